"""The event store: an SQLite database in the experiment's folder, and a tail of lines that have yet to go into it.

Both are described in docs/store.md, and docs/adr/0013-a-tail-before-the-database.md says why there are two.
"""

from __future__ import annotations

import errno
import gc
import shlex
import sqlite3
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec

from tunesmith.errors import ExperimentDamagedError, IllegalMoveError, StorageError
from tunesmith.events import Event, TrialEvent
from tunesmith.store.encoding import checksum, decode, decode_many, encode
from tunesmith.store.pages import PAGE_SIZE
from tunesmith.store.shared import in_memory, journal_path, use_rollback_journal
from tunesmith.store.tail import SUFFIX, Row, Tail, read_tail, tail_path
from tunesmith.worker.disk import sync_folder

DATABASE: Final = "experiment.db"  # its name in an experiment's folder
BESIDE: Final = ("-wal", "-shm", "-journal", SUFFIX)  # what may be behind it in the names of files that belong to it
SCHEMA_VERSION = 3
_SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    seq   INTEGER PRIMARY KEY,
    kind  TEXT NOT NULL,
    trial INTEGER,
    body  TEXT NOT NULL,
    crc   INTEGER
);
INSERT INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}');
"""
_INSERT = "INSERT INTO main.events (seq, kind, trial, body, crc) VALUES (?, ?, ?, CAST(? AS TEXT), ?)"
_LAST = "SELECT coalesce(max(seq), 0) FROM main.events"
# For a reader the tail is a part of the table, whose name then is that of a view over both.
_JOIN = f"""
CREATE TEMP TABLE tail (seq INTEGER PRIMARY KEY, kind TEXT, trial INTEGER, body TEXT, crc INTEGER);
CREATE TEMP VIEW events AS SELECT seq, kind, trial, body, crc FROM main.events
    UNION ALL SELECT seq, kind, trial, body, crc FROM temp.tail WHERE seq > ({_LAST});
"""
_KINDS: dict[type[Event], str] = {}
_CHUNK = 256  # rows that are decoded at once
_MANY = 500  # events that are worth a transaction of their own
_SHARED_TIMEOUT_S = 5  # a reader on another machine may keep the database; then the tail waits
_TAIL_BYTES = 1 << 20  # after so many the tail goes into the database

T = TypeVar("T")
Durability: TypeAlias = Literal["normal", "full"]


class _Head(msgspec.Struct):
    """What a row says of an event apart from its text."""

    kind: str
    trial: int | None = None


_decode_head = msgspec.json.Decoder(_Head).decode


class EventStore:
    """Appends events in transactions and reads them back in order.

    Make one with `create`, `open` or `open_to_read`; use it as a context, or `close` it.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        version: int,
        tail: Tail | None = None,
        *,
        renew: Callable[[], sqlite3.Connection] | None = None,
    ) -> None:
        self.path = path
        self._renew = renew  # for a reader of a copy: makes a new one
        self._copied = _status(path)
        self._db = connection
        self._crc = "crc" if version >= 2 else "NULL"
        self._tail = tail  # None for a reader
        self._seen: tuple[int, int] | None = None  # of the tail: its size and its time
        self._waiting: list[Row] = []  # what is in the tail and not in the database
        try:
            (last,) = connection.execute(_LAST).fetchone()
            self._next = last + 1
            if tail is not None and tail_path(path).exists():
                self._waiting = self._read_tail()
                self._next += len(self._waiting)
                self._move()
                tail.remove()
        except StorageError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise storage_error(path, error) from error

    @classmethod
    def create(cls, path: Path, durability: Durability = "normal", *, is_shared: bool = False) -> EventStore:
        """Make a new database.

        With `durability` "normal" what was appended survives the death of any process; with "full" a loss of power
        as well, at the price of waiting for the disk. `is_shared` is whether other machines see the folder, too.

        Raises:
            StorageError: there is one already, or what is left of one, or it can't be written.
        """
        if path.exists():
            raise StorageError(f"There is a database at {path} already.")
        left = leftovers(path)
        if left:
            raise damaged(path, f"{path.name} is missing, but {left[0].name} is there")
        aside = path.with_name(f"{path.name}.new")  # whoever is killed meanwhile leaves no half database behind
        try:
            aside.unlink(missing_ok=True)
            with closing(sqlite3.connect(aside, isolation_level=None)) as connection:
                pragmas = f"PRAGMA page_size={PAGE_SIZE}; PRAGMA journal_mode=OFF;"
                connection.executescript(f"{pragmas} BEGIN; {_SCHEMA} COMMIT")
            aside.rename(path)
            if durability == "full":
                sync_folder(path.parent)
                sync_folder(path.parent.parent)
            connection = _connect(path, is_shared=is_shared)
        except (sqlite3.Error, OSError) as error:
            raise storage_error(path, error) from error
        return cls._to_write(path, connection, durability)

    @classmethod
    def open(cls, path: Path, durability: Durability = "normal", *, is_shared: bool = False) -> EventStore:
        """Open a database to append to it. One of an older schema is brought up to the present one.

        Raises:
            StorageError: it is missing, is no database of this library, or was written by a newer version.
        """
        _check_presence(path)
        try:
            connection = _connect(path, is_shared=is_shared)
            version = _version(path, connection)
            if version < SCHEMA_VERSION:
                sums = "ALTER TABLE events ADD COLUMN crc INTEGER;" if version < 2 else ""
                connection.executescript(
                    f"BEGIN IMMEDIATE; {sums}"
                    f"UPDATE meta SET value = '{SCHEMA_VERSION}' WHERE key = 'schema_version'; COMMIT"
                )
        except sqlite3.Error as error:
            raise storage_error(path, error) from error
        return cls._to_write(path, connection, durability)

    @classmethod
    def _to_write(cls, path: Path, connection: sqlite3.Connection, durability: Durability) -> EventStore:
        return cls(path, connection, SCHEMA_VERSION, Tail(tail_path(path), synced=durability == "full"))

    @classmethod
    def open_to_read(cls, path: Path) -> EventStore:
        """Open a database without writing anything, also while a driver writes it, also in a read-only folder.

        Raises:
            StorageError: as `open`.
        """
        _check_presence(path)
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        alone = f"{uri}&immutable=1"  # all is in the database itself: no file is made beside it
        try:
            if journal_path(path).exists():  # in a shared folder
                return cls._to_read_copy(path, uri)
            if not path.with_name(f"{path.name}-wal").exists():  # no driver has it open
                return cls._to_read(path, alone)
            try:
                return cls._to_read(path, uri)
            except sqlite3.OperationalError:  # SQLite can't make its own files there, so nobody writes either
                return cls._to_read(path, alone)
        except sqlite3.Error as error:
            raise storage_error(path, error) from error

    @classmethod
    def open_aside(cls, path: Path) -> EventStore:
        """Open a database that has been recovered and is not in its place yet, to read it."""
        return cls._to_read(path, f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1")

    @classmethod
    def _to_read(cls, path: Path, uri: str) -> EventStore:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        connection.text_factory = bytes
        return cls(path, connection, _version(path, connection))

    @classmethod
    def _to_read_copy(cls, path: Path, uri: str) -> EventStore:
        def copy() -> sqlite3.Connection:
            for pause in (0.1, 0.5, 1.0, None):
                try:
                    connection = in_memory(path, uri)
                except sqlite3.DatabaseError as error:
                    if not any(word in str(error) for word in _BROKEN):
                        raise
                    if pause is None:
                        raise damaged(path, f"{_HALF_SEEN} ({error})") from error
                    time.sleep(pause)
                else:
                    break
            connection.text_factory = bytes
            return connection

        connection = copy()
        return cls(path, connection, _version(path, connection), renew=copy)

    @property
    def is_copy(self) -> bool:
        """Whether it reads a copy in memory, which it makes anew when the database has changed."""
        return self._renew is not None

    def append(self, events: Sequence[Event]) -> None:
        """Write events in one transaction; they are durable when this returns.

        Raises:
            StorageError: the disk is full or failed; none of these events was written, all earlier ones are safe.
        """
        if self._tail is None or not events:
            return
        rows: list[Row] = []
        seq = self._next
        for event in events:
            kind = type(event)
            name = _KINDS.get(kind) or _KINDS.setdefault(kind, kind.__name__.lower())
            body = encode(event)
            rows.append((seq, name, event.trial if isinstance(event, TrialEvent) else None, body, checksum(seq, body)))
            seq += 1
        try:
            if not ((len(rows) >= _MANY or self._tail.size >= _TAIL_BYTES) and self._has_moved(rows)):
                self._tail.append(rows)
                self._waiting += rows
        except (sqlite3.Error, OSError) as error:
            raise storage_error(self.path, error) from error
        self._next = seq

    def _move(self, rows: Sequence[Row] = ()) -> None:
        """Bring the tail into the database, and `rows` behind it, in one transaction that waits for the disk."""
        execute = self._db.execute
        try:
            execute("BEGIN IMMEDIATE")
            self._db.executemany(_INSERT, [*self._waiting, *rows])
            execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                execute("ROLLBACK")
            raise
        if self._waiting and self._tail is not None:  # not before: a loss of power must find them here or there
            self._waiting.clear()
            self._tail.clear()

    def _has_moved(self, rows: Sequence[Row]) -> bool:
        """Bring the tail and `rows` into the database, unless somebody reads it for long: then the tail grows on."""
        try:
            self._move(rows)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            return False
        return True

    def settle(self) -> None:
        """Bring all that was appended into the database itself.

        Raises:
            StorageError: the disk is full or failed; nothing is lost, and the tail stays.
        """
        try:
            if self._waiting:
                self._move()
        except (sqlite3.Error, OSError) as error:
            raise storage_error(self.path, error) from error

    def _read_tail(self) -> list[Row]:
        """Return the rows of the tail that are not in the database."""
        found = read_tail(tail_path(self.path))
        (last,) = self._db.execute(_LAST).fetchone()
        if found.damaged:
            broken = found.whole[-1][0] if found.whole else last
            raise damaged(self.path, f"event {broken + 1} is not what was written")
        rows = []
        for seq, body, crc in found.whole:
            if seq > last:
                head = _decode_head(body)
                rows.append((seq, head.kind, head.trial, body, crc))
        if rows and rows[0][0] != last + 1:
            raise damaged(self.path, f"event {last + 1} is missing")
        return rows

    def _join_tail(self) -> None:
        """Let the statements that follow see what is in the tail now.

        What they find in the database is as new at least: so no event is missed that is on its way from here to there.
        """
        self._look_again()
        status = _status(tail_path(self.path))
        if status is None or self._seen == status:
            return
        try:
            rows = self._read_tail()
        except ExperimentDamagedError:
            if self._renew is None:
                raise
            self._look_again(surely=True)  # it was brought into the database between the copy and this moment
            rows = self._read_tail()
        if self._seen is None:
            self._db.execute("PRAGMA temp_store=MEMORY")
            self._db.executescript(_JOIN)
        self._seen = status
        self._db.execute("DELETE FROM temp.tail")
        self._db.executemany(_INSERT.replace("main.events", "temp.tail"), rows)

    def _look_again(self, *, surely: bool = False) -> None:
        """Make a new copy of the database, for who reads a copy, if it has changed."""
        status = _status(self.path)
        if self._renew is not None and (surely or status != self._copied):
            self._db.close()
            self._db, self._copied, self._seen = self._renew(), status, None

    def read(self, after: int = 0) -> Iterator[tuple[int, Event]]:
        """Yield ``(seq, event)`` in order, from the event behind `after` on.

        Raises:
            StorageError: the database is damaged; the message says where, and how to recover what is whole.
        """
        for seqs, events in self._read(after):
            yield from zip(seqs, events, strict=True)

    def _read(self, after: int) -> Iterator[tuple[Sequence[int], Sequence[Event]]]:
        expected = after
        for seqs, events in self._select("WHERE seq > ? ORDER BY seq", after):
            expected += len(seqs)
            if seqs[-1] != expected:
                missing = next(seq for seq, found in enumerate(seqs, expected - len(seqs) + 1) if seq != found)
                raise damaged(self.path, f"event {missing} is missing")
            yield seqs, events

    def fold(self, apply: Callable[[Event], T]) -> Iterator[tuple[Event, T]]:
        """Apply a fold to all events in order and yield each of them with what came of it.

        Raises:
            StorageError: as `read`, or an event contradicts those before it.
        """
        collects = gc.isenabled()
        gc.disable()  # nothing is given up here, and a collector would look at all the trials again and again
        try:
            for seqs, events in self._read(0):
                for seq, event in zip(seqs, events, strict=True):
                    try:
                        found = apply(event)
                    except IllegalMoveError as error:
                        raise damaged(self.path, f"event {seq} contradicts those before it ({error})") from error
                    yield event, found
        finally:
            if collects:
                gc.enable()

    def __iter__(self) -> Iterator[Event]:
        """Yield the events in order."""
        return (event for _, event in self.read())

    def read_trial(self, trial: int) -> Iterator[tuple[int, Event]]:
        """Yield ``(seq, event)`` of one trial, in order. Raises as `read`."""
        for seqs, events in self._select("WHERE trial = ? ORDER BY seq", trial):
            yield from zip(seqs, events, strict=True)

    def places(self) -> dict[int, array[int]]:
        """Return where the events of each trial are, for `read_at`."""
        found: dict[int, array[int]] = {}
        try:
            self._join_tail()
            for seq, trial in self._db.execute("SELECT seq, trial FROM events WHERE trial IS NOT NULL ORDER BY seq"):
                places = found.get(trial)
                if places is None:
                    places = found[trial] = array("Q")
                places.append(seq)
        except sqlite3.Error as error:
            raise storage_error(self.path, error) from error
        return found

    def read_at(self, places: Sequence[int]) -> Iterator[tuple[int, Event]]:
        """Yield ``(seq, event)`` at the given places, in order. Raises as `read`."""
        for at in range(0, len(places), _CHUNK):
            wanted = ",".join(map(str, places[at : at + _CHUNK]))
            for seqs, events in self._select(f"WHERE seq > ? AND seq IN ({wanted}) ORDER BY seq", 0):
                yield from zip(seqs, events, strict=True)

    def read_last(self) -> Iterator[tuple[int, Event]]:
        """Yield ``(seq, event)`` in order, but of a trial's reports only the last: enough to see where things are."""
        last = "SELECT max(seq) FROM events WHERE kind = 'reported' GROUP BY trial"
        for seqs, events in self._select(f"WHERE seq > ? AND (kind <> 'reported' OR seq IN ({last})) ORDER BY seq", 0):
            yield from zip(seqs, events, strict=True)

    def read_kind(self, kind: type[Event]) -> Iterator[tuple[int, Event]]:
        """Yield ``(seq, event)`` of one kind, in order. Raises as `read`."""
        for seqs, events in self._select("WHERE kind = ? ORDER BY seq", kind.__name__.lower()):
            yield from zip(seqs, events, strict=True)

    def _select(self, where: str, value: int | str) -> Iterator[tuple[Sequence[int], Sequence[Event]]]:
        """Yield numbers and events, some at a time."""
        try:
            self._join_tail()
            cursor = self._db.execute(f"SELECT seq, body, {self._crc} FROM events {where}", (value,))
            while rows := cursor.fetchmany(_CHUNK):
                seqs, bodies, sums = zip(*rows, strict=True)
                if set(map(type, bodies)) != {bytes} or sums != tuple(map(checksum, seqs, bodies)):
                    self._check(rows)
                yield seqs, self._decode(seqs, bodies)
        except sqlite3.Error as error:
            raise storage_error(self.path, error) from error

    def _check(self, rows: Sequence[tuple[int, Any, int | None]]) -> None:
        for seq, body, crc in rows:
            whole = type(body) is bytes and (crc is None or crc == checksum(seq, body))  # schema 1 had no sums
            if not whole:
                raise damaged(self.path, f"event {seq} is not what was written")

    def _decode(self, seqs: Sequence[int], bodies: Sequence[bytes]) -> list[Event]:
        try:
            return decode_many(bodies)
        except msgspec.MsgspecError:
            pass  # find out which one it is
        events = []
        for seq, body in zip(seqs, bodies, strict=True):
            try:
                events.append(decode(body))
            except msgspec.MsgspecError as error:
                raise damaged(self.path, f"event {seq} is no event that this version knows ({error})") from error
        return events

    def sums(self) -> Iterator[tuple[int, int | None]]:
        """Yield the number and the checksum of every event, in order: enough to tell one record from another.

        Raises:
            StorageError: the database can't be read.
        """
        try:
            self._join_tail()
            yield from self._db.execute(f"SELECT seq, {self._crc} FROM events ORDER BY seq")
        except sqlite3.Error as error:
            raise storage_error(self.path, error) from error

    def copy_to(self, target: sqlite3.Connection) -> None:
        """Copy the database and the tail, as of now, into an empty one.

        Raises:
            StorageError: the tail is damaged.
            sqlite3.Error: the database can't be read, or `target` not be written.
        """
        rows = self._read_tail()  # before the database, which then is as new at least
        self._db.backup(target)
        (last,) = target.execute(_LAST).fetchone()
        target.execute("BEGIN")
        target.executemany(_INSERT, [row for row in rows if row[0] > last])
        target.execute("COMMIT")

    def check(self) -> None:
        """Let SQLite look at all of its structures, which takes longer than to read the events.

        Raises:
            ExperimentDamagedError: one of them is damaged.
        """
        try:
            (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            raise storage_error(self.path, error) from error
        if found != b"ok":
            raise damaged(self.path, found.decode(errors="replace"))

    def close(self) -> None:
        """Close the database; its side files are merged into it and go away, unless the disk is full."""
        if self._tail is not None:
            with suppress(StorageError):
                self.settle()
                self._tail.remove()
            self._tail.close()
            with suppress(sqlite3.Error):
                if self._db.execute("PRAGMA journal_mode").fetchone() == (b"truncate",):  # an empty one would stay
                    self._db.execute("PRAGMA journal_mode=DELETE")
                    self._db.execute("SELECT value FROM meta").fetchone()
        self._db.close()

    def __enter__(self) -> EventStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _status(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file does: its size and its time; None when it is not there."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size, found.st_mtime_ns


def is_begun(path: Path) -> bool:
    """Whether there is a database at `path`, whole or not."""
    return path.exists() or bool(leftovers(path))


def leftovers(path: Path) -> list[Path]:
    """Return the files beside the database `path` that are a part of it, or were to become it."""
    beside = [path.with_name(f"{path.name}-wal"), tail_path(path), recovered_path(path)]
    found = [file for file in beside if file.exists()]
    journal = journal_path(path)  # an empty one is of a transaction that is done
    return [*found, journal] if (_status(journal) or (0,))[0] else found


def recovered_path(path: Path) -> Path:
    """Return where the database is that was recovered from `path`, until it takes its place."""
    return path.with_name(f"{path.stem}.recovered{path.suffix}")


def damaged(path: Path, what: str) -> ExperimentDamagedError:
    """Return the error of a database that can't be read as it is."""
    command = f"python -m tunesmith recover {shlex.quote(str(path.parent))}"
    text = f"The experiment at {path.parent} is damaged: {what}. Recover what is whole with: {command}"
    return ExperimentDamagedError(text)


def _connect(path: Path, *, is_shared: bool = False) -> sqlite3.Connection:
    # The driver's only thread appends; check_same_thread is off for runs that are closed by another one.
    timeout = _SHARED_TIMEOUT_S if is_shared else 30
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=timeout)
    connection.text_factory = bytes
    if is_shared:
        use_rollback_journal(connection)
    else:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=4000")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _check_presence(path: Path) -> None:
    """Refuse what SQLite would take for a new database: it would delete what is left of the old one."""
    left = leftovers(path)
    if not path.exists():
        if left:
            raise damaged(path, f"{path.name} is missing, but {left[0].name} is there")
        raise StorageError(f"There is no experiment: {path} does not exist.")
    if path.stat().st_size == 0:
        raise damaged(path, f"{path.name} is empty")
    if recovered_path(path) in left:
        raise damaged(path, "its recovery was interrupted")


def _version(path: Path, connection: sqlite3.Connection) -> int:
    """Return the version of the schema, if it is one that can be read."""
    found = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    try:
        version = int(found[0])
    except (TypeError, ValueError):
        raise damaged(path, "it does not say the version of its schema") from None
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"The experiment at {path.parent} was written by a newer tunesmith (schema {version}, this one reads up "
            f"to {SCHEMA_VERSION}). Upgrade with: pip install --upgrade tunesmith"
        )
    return version


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_HALF_SEEN = (
    "another machine may be writing it, of whose work this one sees only a part yet, and then it can be read in half a "
    "minute; or a part of it is overwritten"
)
_BROKEN = ("not a database", "no such table", "no such column", "malformed", "corrupt")


def storage_error(path: Path, error: sqlite3.Error | OSError) -> StorageError:
    """Return the error for what SQLite, or the disk, has said about the database at `path`."""
    text = str(error)
    if "full" in text or "disk I/O" in text or getattr(error, "errno", None) in _FULL:
        return StorageError(
            f"The disk that holds {path} is full or has failed ({text}). All that trials reported before is safe. "
            "Make room, then run the same command with resume=True."
        )
    if any(word in text for word in _BROKEN):
        return damaged(path, f"{path.name} is no database of an experiment, or a part of it is overwritten ({text})")
    return StorageError(f"The database {path} can't be used: {text}.")
