"""Reads the events of an experiment, which are in a database and in a tail of lines that have yet to go into it.

Both are described in docs/store.md.
"""

from __future__ import annotations

import gc
import sqlite3
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from tunesmith.errors import ExperimentDamagedError, IllegalMoveError
from tunesmith.events import Event
from tunesmith.store.database import (
    BROKEN,
    INSERT,
    LAST,
    check_presence,
    damaged,
    schema_version,
    status,
    storage_error,
)
from tunesmith.store.encoding import checksum, decode, decode_many
from tunesmith.store.shared import in_memory, journal_path
from tunesmith.store.tail import Row, read_tail, tail_path

# The tail is a part of the table, whose name then is that of a view over both.
_JOIN = f"""
CREATE TEMP TABLE tail (seq INTEGER PRIMARY KEY, kind TEXT, trial INTEGER, body TEXT, crc INTEGER);
CREATE TEMP VIEW events AS SELECT seq, kind, trial, body, crc FROM main.events
    UNION ALL SELECT seq, kind, trial, body, crc FROM temp.tail WHERE seq > ({LAST});
"""
_CHUNK = 256  # rows that are decoded at once
_HALF_SEEN = (
    "another machine may be writing it, of whose work this one sees only a part yet, and then it can be read in half a "
    "minute; or a part of it is overwritten"
)

T = TypeVar("T")
R = TypeVar("R", bound="EventReader")


class _Head(msgspec.Struct):
    """What a row says of an event apart from its text."""

    kind: str
    trial: int | None = None


_decode_head = msgspec.json.Decoder(_Head).decode


class EventReader:
    """Reads events in order, also while a driver writes them.

    Make one with `open_to_read`; use it as a context, or `close` it.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        version: int,
        *,
        renew: Callable[[], sqlite3.Connection] | None = None,
    ) -> None:
        self.path = path
        self._renew = renew  # for a reader of a copy: makes a new one
        self._copied = status(path)
        self._db = connection
        self._crc = "crc" if version >= 2 else "NULL"
        self._seen: tuple[int, int] | None = None  # of the tail: its size and its time

    @staticmethod
    def open_to_read(path: Path) -> EventReader:
        """Open a database without writing anything, also while a driver writes it, also in a read-only folder.

        Raises:
            StorageError: it is missing, is no database of this library, or was written by a newer version.
        """
        check_presence(path)
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        alone = f"{uri}&immutable=1"  # all is in the database itself: no file is made beside it
        try:
            if journal_path(path).exists():  # in a shared folder
                return EventReader._to_read_copy(path, uri)
            if not path.with_name(f"{path.name}-wal").exists():  # no driver has it open
                return EventReader._to_read(path, alone)
            try:
                return EventReader._to_read(path, uri)
            except sqlite3.OperationalError:  # SQLite can't make its own files there, so nobody writes either
                return EventReader._to_read(path, alone)
        except sqlite3.Error as error:
            raise storage_error(path, error) from error

    @staticmethod
    def open_aside(path: Path) -> EventReader:
        """Open a database that has been recovered and is not in its place yet, to read it."""
        return EventReader._to_read(path, f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1")

    @staticmethod
    def _to_read(path: Path, uri: str) -> EventReader:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        connection.text_factory = bytes
        return EventReader(path, connection, schema_version(path, connection))

    @staticmethod
    def _to_read_copy(path: Path, uri: str) -> EventReader:
        def copy() -> sqlite3.Connection:
            for pause in (0.1, 0.5, 1.0, None):
                try:
                    connection = in_memory(path, uri)
                except sqlite3.DatabaseError as error:
                    if not any(word in str(error) for word in BROKEN):
                        raise
                    if pause is None:
                        raise damaged(path, f"{_HALF_SEEN} ({error})") from error
                    time.sleep(pause)
                else:
                    break
            connection.text_factory = bytes
            return connection

        connection = copy()
        return EventReader(path, connection, schema_version(path, connection), renew=copy)

    @property
    def is_copy(self) -> bool:
        """Whether it reads a copy in memory, which it makes anew when the database has changed."""
        return self._renew is not None

    def _read_tail(self) -> list[Row]:
        """Return the rows of the tail that are not in the database."""
        found = read_tail(tail_path(self.path))
        (last,) = self._db.execute(LAST).fetchone()
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
        now = status(tail_path(self.path))
        if now is None or self._seen == now:
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
        self._seen = now
        self._db.execute("DELETE FROM temp.tail")
        self._db.executemany(INSERT.replace("main.events", "temp.tail"), rows)

    def _look_again(self, *, surely: bool = False) -> None:
        """Make a new copy of the database, for who reads a copy, if it has changed."""
        if self._renew is None:
            return
        now = status(self.path)
        if surely or now != self._copied:
            self._db.close()
            self._db, self._copied, self._seen = self._renew(), now, None

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
        (last,) = target.execute(LAST).fetchone()
        target.execute("BEGIN")
        target.executemany(INSERT, [row for row in rows if row[0] > last])
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
        """Let the database go."""
        self._db.close()

    def __enter__(self: R) -> R:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
