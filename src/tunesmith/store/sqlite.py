"""The event store: one SQLite database in the experiment's folder. Its schema is described in docs/store.md."""

from __future__ import annotations

import errno
import os
import shlex
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec

from tunesmith.errors import ExperimentDamagedError, IllegalMoveError, StorageError
from tunesmith.events import Event, TrialEvent
from tunesmith.store.encoding import checksum, decode, decode_many, encode
from tunesmith.store.pages import PAGE_SIZE

DATABASE: Final = "experiment.db"  # its name in an experiment's folder
SCHEMA_VERSION = 2
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
_INSERT = "INSERT INTO events (seq, kind, trial, body, crc) VALUES (?, ?, ?, CAST(? AS TEXT), ?)"
_KINDS: dict[type[Event], str] = {}
_CHUNK = 64  # rows that are decoded at once

T = TypeVar("T")
Durability: TypeAlias = Literal["normal", "full"]


class EventStore:
    """Appends events in transactions and reads them back in order.

    Make one with `create`, `open` or `open_to_read`; use it as a context, or `close` it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, version: int) -> None:
        self.path = path
        self._db = connection
        self._crc = "crc" if version >= 2 else "NULL"
        try:
            (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        except sqlite3.Error as error:
            raise _storage_error(path, error) from error
        self._next = last + 1

    @classmethod
    def create(cls, path: Path, durability: Durability = "normal") -> EventStore:
        """Make a new database.

        With `durability` "normal" what was appended survives the death of any process; with "full" a loss of power
        as well, at the price of waiting for the disk.

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
            connection = _connect(path, durability)
        except (sqlite3.Error, OSError) as error:
            raise _storage_error(path, error) from error
        return cls(path, connection, SCHEMA_VERSION)

    @classmethod
    def open(cls, path: Path, durability: Durability = "normal") -> EventStore:
        """Open a database to append to it. One of an older schema is brought up to the present one.

        Raises:
            StorageError: it is missing, is no database of this library, or was written by a newer version.
        """
        _check_presence(path)
        try:
            connection = _connect(path, durability)
            if _version(path, connection) < SCHEMA_VERSION:
                connection.executescript(
                    "BEGIN IMMEDIATE; ALTER TABLE events ADD COLUMN crc INTEGER;"
                    f"UPDATE meta SET value = '{SCHEMA_VERSION}' WHERE key = 'schema_version'; COMMIT"
                )
        except sqlite3.Error as error:
            raise _storage_error(path, error) from error
        return cls(path, connection, SCHEMA_VERSION)

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
            if not _has_journal(path):
                return cls._to_read(path, alone)
            try:
                return cls._to_read(path, uri)
            except sqlite3.OperationalError:  # SQLite can't make its own files there, so nobody writes either
                return cls._to_read(path, alone)
        except sqlite3.Error as error:
            raise _storage_error(path, error) from error

    @classmethod
    def open_aside(cls, path: Path) -> EventStore:
        """Open a database that has been recovered and is not in its place yet, to read it."""
        return cls._to_read(path, f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1")

    @classmethod
    def _to_read(cls, path: Path, uri: str) -> EventStore:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        connection.text_factory = bytes
        return cls(path, connection, _version(path, connection))

    def append(self, events: Sequence[Event]) -> None:
        """Write events in one transaction; they are durable when this returns.

        Raises:
            StorageError: the disk is full or failed; none of these events was written, all earlier ones are safe.
        """
        if not events:
            return
        rows = []
        seq = self._next
        for event in events:
            kind = type(event)
            name = _KINDS.get(kind) or _KINDS.setdefault(kind, kind.__name__.lower())
            body = encode(event)
            rows.append((seq, name, event.trial if isinstance(event, TrialEvent) else None, body, checksum(seq, body)))
            seq += 1
        execute = self._db.execute
        try:
            if len(rows) == 1:  # the usual case; a statement by itself is a transaction
                execute(_INSERT, rows[0])
            else:
                execute("BEGIN IMMEDIATE")
                self._db.executemany(_INSERT, rows)
                execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                execute("ROLLBACK")
            raise _storage_error(self.path, error) from error
        self._next = seq

    def read(self, after: int = 0) -> Iterator[tuple[int, Event]]:
        """Yield ``(seq, event)`` in order, from the event behind `after` on.

        Raises:
            StorageError: the database is damaged; the message says where, and how to recover what is whole.
        """
        expected = after
        for seqs, events in self._select("WHERE seq > ? ORDER BY seq", after):
            expected += len(seqs)
            if seqs[-1] != expected:
                missing = next(seq for seq, found in enumerate(seqs, expected - len(seqs) + 1) if seq != found)
                raise damaged(self.path, f"event {missing} is missing")
            yield from zip(seqs, events, strict=True)

    def fold(self, apply: Callable[[Event], T]) -> Iterator[tuple[Event, T]]:
        """Apply a fold to all events in order and yield each of them with what came of it.

        Raises:
            StorageError: as `read`, or an event contradicts those before it.
        """
        for seq, event in self.read():
            try:
                found = apply(event)
            except IllegalMoveError as error:
                raise damaged(self.path, f"event {seq} contradicts those before it ({error})") from error
            yield event, found

    def __iter__(self) -> Iterator[Event]:
        """Yield the events in order."""
        return (event for _, event in self.read())

    def read_trial(self, trial: int) -> Iterator[tuple[int, Event]]:
        """Yield ``(seq, event)`` of one trial, in order. Raises as `read`."""
        for seqs, events in self._select("WHERE trial = ? ORDER BY seq", trial):
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
            cursor = self._db.execute(f"SELECT seq, body, {self._crc} FROM events {where}", (value,))
            while rows := cursor.fetchmany(_CHUNK):
                seqs, bodies, sums = zip(*rows, strict=True)
                if set(map(type, bodies)) != {bytes} or sums != tuple(map(checksum, seqs, bodies)):
                    self._check(rows)
                yield seqs, self._decode(seqs, bodies)
        except sqlite3.Error as error:
            raise _storage_error(self.path, error) from error

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

    def check(self) -> None:
        """Let SQLite look at all of its structures, which takes longer than to read the events.

        Raises:
            ExperimentDamagedError: one of them is damaged.
        """
        try:
            (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            raise _storage_error(self.path, error) from error
        if found != b"ok":
            raise damaged(self.path, found.decode(errors="replace"))

    def close(self) -> None:
        """Close the database; its side files are merged into it and go away."""
        self._db.close()

    def __enter__(self) -> EventStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def is_begun(path: Path) -> bool:
    """Whether there is a database at `path`, whole or not."""
    return path.exists() or bool(leftovers(path))


def leftovers(path: Path) -> list[Path]:
    """Return the files beside the database `path` that are a part of it, or were to become it."""
    beside = [path.with_name(f"{path.name}-wal"), recovered_path(path)]
    return [file for file in beside if file.exists()]


def recovered_path(path: Path) -> Path:
    """Return where the database is that was recovered from `path`, until it takes its place."""
    return path.with_name(f"{path.stem}.recovered{path.suffix}")


def damaged(path: Path, what: str) -> ExperimentDamagedError:
    """Return the error of a database that can't be read as it is."""
    command = f"python -m tunesmith recover {shlex.quote(str(path.parent))}"
    text = f"The experiment at {path.parent} is damaged: {what}. Recover what is whole with: {command}"
    return ExperimentDamagedError(text)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _connect(path: Path, durability: Durability) -> sqlite3.Connection:
    # The driver's only thread appends; check_same_thread is off for runs that are closed by another one.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    connection.text_factory = bytes
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    connection.execute(f"PRAGMA synchronous={'FULL' if durability == 'full' else 'NORMAL'}")
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


def _has_journal(path: Path) -> bool:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


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


_BROKEN = ("not a database", "no such table", "no such column", "malformed", "corrupt")


def _storage_error(path: Path, error: sqlite3.Error | OSError) -> StorageError:
    text = str(error)
    if "full" in text or "disk I/O" in text or getattr(error, "errno", None) in (errno.ENOSPC, errno.EFBIG):
        return StorageError(
            f"The disk that holds {path} is full or has failed ({text}). All that trials reported before is safe. "
            "Make room, then run the same command with resume=True."
        )
    if any(word in text for word in _BROKEN):
        return damaged(path, f"{path.name} is no database of an experiment, or a part of it is overwritten ({text})")
    return StorageError(f"The database {path} can't be used: {text}.")
