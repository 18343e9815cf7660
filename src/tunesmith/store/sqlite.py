"""The event store: one SQLite database in the experiment's folder. Its schema is described in docs/store.md."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import quote

import msgspec

from tunesmith.errors import StorageError
from tunesmith.events import Event, TrialEvent
from tunesmith.store.encoding import decode, encode

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    seq   INTEGER PRIMARY KEY,
    kind  TEXT NOT NULL,
    trial INTEGER,
    body  TEXT NOT NULL
);
"""
_INSERT = "INSERT INTO events (seq, kind, trial, body) VALUES (?, ?, ?, CAST(? AS TEXT))"
_KINDS: dict[type[Event], str] = {}


class EventStore:
    """Appends events in transactions and reads them back in order.

    Make one with `create`, `open` or `open_to_read`; use it as a context, or `close` it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        (last,) = self._guard(lambda: connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone())
        self._next = last + 1

    @classmethod
    def create(cls, path: Path, durability: Literal["normal", "full"] = "normal") -> EventStore:
        """Make a new database.

        With `durability` "normal" what was appended survives the death of any process; with "full" a loss of power
        as well, at the price of waiting for the disk.

        Raises:
            StorageError: there is one already, or it can't be written.
        """
        if path.exists():
            raise StorageError(f"There is a database at {path} already.")
        try:
            connection = _connect(path, durability)
            connection.executescript("BEGIN;" + _SCHEMA)
            connection.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _storage_error(path, error) from error
        return cls(path, connection)

    @classmethod
    def open(cls, path: Path, durability: Literal["normal", "full"] = "normal") -> EventStore:
        """Open a database to append to it.

        Raises:
            StorageError: it is missing, is no database of this library, or was written by a newer version.
        """
        if not path.exists():
            raise StorageError(f"There is no experiment: {path} does not exist.")
        try:
            connection = _connect(path, durability)
            _check_version(path, connection)
        except sqlite3.Error as error:
            raise _storage_error(path, error) from error
        return cls(path, connection)

    @classmethod
    def open_to_read(cls, path: Path) -> EventStore:
        """Open a database without writing anything, also while a driver writes it, also in a read-only folder.

        Raises:
            StorageError: as `open`.
        """
        if not path.exists():
            raise StorageError(f"There is no experiment: {path} does not exist.")
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        try:
            if not _has_journal(path):  # all is in the database itself: read it without making any file beside it
                return cls(path, _connect_to_read(path, f"{uri}&immutable=1"))
            try:
                connection = _connect_to_read(path, uri)
            except sqlite3.OperationalError:  # SQLite can't make its own files there, so nobody writes either
                connection = _connect_to_read(path, f"{uri}&immutable=1")
        except sqlite3.Error as error:
            raise _storage_error(path, error) from error
        return cls(path, connection)

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
            rows.append((seq, name, event.trial if isinstance(event, TrialEvent) else None, encode(event)))
            seq += 1
        execute = self._db.execute
        try:
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
            StorageError: the database is damaged; the message says where.
        """
        yield from self._select("WHERE seq > ? ORDER BY seq", after)

    def read_trial(self, trial: int) -> Iterator[tuple[int, Event]]:
        """Yield ``(seq, event)`` of one trial, in order."""
        yield from self._select("WHERE trial = ? ORDER BY seq", trial)

    def read_last(self) -> Iterator[tuple[int, Event]]:
        """Yield ``(seq, event)`` in order, but of a trial's reports only the last: enough to see where things are."""
        last = "SELECT max(seq) FROM events WHERE kind = 'reported' GROUP BY trial"
        yield from self._select(f"WHERE seq > ? AND (kind <> 'reported' OR seq IN ({last})) ORDER BY seq", 0)

    def _select(self, where: str, value: int) -> Iterator[tuple[int, Event]]:
        seq = 0
        try:
            for seq, body in self._db.execute(f"SELECT seq, CAST(body AS BLOB) FROM events {where}", (value,)):
                yield seq, decode(body)
        except sqlite3.Error as error:
            raise _storage_error(self.path, error) from error
        except msgspec.MsgspecError as error:
            raise StorageError(f"Event {seq} in {self.path} can't be read: {error}.") from error

    def close(self) -> None:
        """Close the database; its side files are merged into it and go away."""
        self._db.close()

    def _guard(self, query: object) -> tuple[int]:
        try:
            return query()  # type: ignore[operator,no-any-return]  # a query without arguments
        except sqlite3.Error as error:
            raise _storage_error(self.path, error) from error

    def __enter__(self) -> EventStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _connect(path: Path, durability: str) -> sqlite3.Connection:
    # The driver's only thread appends; check_same_thread is off for runs that are closed by another one.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    connection.execute("PRAGMA page_size=2048")  # a commit of a few reports touches few bytes
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    connection.execute(f"PRAGMA synchronous={'FULL' if durability == 'full' else 'NORMAL'}")
    return connection


def _has_journal(path: Path) -> bool:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _connect_to_read(path: Path, uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    _check_version(path, connection)
    return connection


def _check_version(path: Path, connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone() or ("0",)
    if int(version) > SCHEMA_VERSION:
        raise StorageError(
            f"The experiment at {path.parent} was written by a newer tunesmith (schema {version}, this one reads up "
            f"to {SCHEMA_VERSION}). Upgrade with: pip install --upgrade tunesmith"
        )


def _storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    text = str(error)
    if "full" in text:
        return StorageError(
            f"The disk that holds {path} is full ({text}). All that trials reported before is safe. "
            "Make room, then run the same command with resume=True."
        )
    if "not a database" in text or "no such table" in text or "malformed" in text:
        return StorageError(f"{path} is no database of an experiment, or is damaged ({text}).")
    return StorageError(f"The database {path} can't be used: {text}.")
