"""The event store: an SQLite database in the experiment's folder, and a tail of lines that have yet to go into it.

Both are described in docs/store.md, and docs/adr/0013-a-tail-before-the-database.md says why there are two.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tunesmith.errors import StorageError
from tunesmith.events import Event, TrialEvent
from tunesmith.store.database import (
    INSERT,
    LAST,
    SCHEMA_VERSION,
    Durability,
    check_presence,
    connect,
    create,
    storage_error,
)
from tunesmith.store.encoding import checksum, encode
from tunesmith.store.reading import EventReader
from tunesmith.store.tail import Row, Tail, tail_path

_KINDS: dict[type[Event], str] = {}
_MANY = 500  # events that are worth a transaction of their own
_TAIL_BYTES = 1 << 20  # after so many the tail goes into the database


class EventStore(EventReader):
    """Appends events in transactions, and reads them as any `EventReader`.

    Make one with `create` or `open`; use it as a context, or `close` it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, tail: Tail) -> None:
        super().__init__(path, connection, SCHEMA_VERSION)
        self._tail = tail
        self._waiting: list[Row] = []  # what is in the tail and not in the database
        try:
            (last,) = connection.execute(LAST).fetchone()
            self._next = last + 1
            if tail_path(path).exists():
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
        create(path, durability)
        return cls._to_write(path, durability, is_shared=is_shared)

    @classmethod
    def open(cls, path: Path, durability: Durability = "normal", *, is_shared: bool = False) -> EventStore:
        """Open a database to append to it. One of an older schema is brought up to the present one.

        Raises:
            StorageError: it is missing, is no database of this library, or was written by a newer version.
        """
        check_presence(path)
        return cls._to_write(path, durability, is_shared=is_shared)

    @classmethod
    def _to_write(cls, path: Path, durability: Durability, *, is_shared: bool) -> EventStore:
        connection = connect(path, is_shared=is_shared)
        return cls(path, connection, Tail(tail_path(path), synced=durability == "full"))

    def append(self, events: Sequence[Event]) -> None:
        """Write events in one transaction; they are durable when this returns.

        Raises:
            StorageError: the disk is full or failed; none of these events was written, all earlier ones are safe.
        """
        if not events:
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
            self._db.executemany(INSERT, [*self._waiting, *rows])
            execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                execute("ROLLBACK")
            raise
        if self._waiting:  # not before: a loss of power must find them here or there
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

    def close(self) -> None:
        """Close the database; its side files are merged into it and go away, unless the disk is full."""
        with suppress(StorageError):
            self.settle()
            self._tail.remove()
        self._tail.close()
        with suppress(sqlite3.Error):
            if self._db.execute("PRAGMA journal_mode").fetchone() == (b"truncate",):  # an empty one would stay
                self._db.execute("PRAGMA journal_mode=DELETE")
                self._db.execute("SELECT value FROM meta").fetchone()
        super().close()
