"""The database in an experiment's folder: its schema, its files, how it is opened, and what is said when it can't be.

It is described in docs/store.md.
"""

from __future__ import annotations

import errno
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final, Literal, TypeAlias

from tunesmith.errors import ExperimentDamagedError, StorageError
from tunesmith.store.pages import PAGE_SIZE
from tunesmith.store.shared import journal_path, use_rollback_journal
from tunesmith.store.tail import SUFFIX, tail_path
from tunesmith.worker.disk import sync_folder

DATABASE: Final = "experiment.db"  # its name in an experiment's folder
BESIDE: Final = ("-wal", "-shm", "-journal", SUFFIX)  # what may be behind it in the names of files that belong to it
SCHEMA_VERSION: Final = 3
INSERT: Final = "INSERT INTO main.events (seq, kind, trial, body, crc) VALUES (?, ?, ?, CAST(? AS TEXT), ?)"
LAST: Final = "SELECT coalesce(max(seq), 0) FROM main.events"
BROKEN: Final = ("not a database", "no such table", "no such column", "malformed", "corrupt")
"""What SQLite says of a file that is no database, or of which a part is overwritten."""
Durability: TypeAlias = Literal["normal", "full"]

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
_SHARED_TIMEOUT_S = 5  # a reader on another machine may keep the database; then the tail waits
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


# -- files


def status(path: Path) -> tuple[int, int] | None:
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
    return [*found, journal] if (status(journal) or (0,))[0] else found


def recovered_path(path: Path) -> Path:
    """Return where the database is that was recovered from `path`, until it takes its place."""
    return path.with_name(f"{path.stem}.recovered{path.suffix}")


# -- connections


def create(path: Path, durability: Durability) -> None:
    """Make a new database.

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
    except (sqlite3.Error, OSError) as error:
        raise storage_error(path, error) from error


def connect(path: Path, *, is_shared: bool = False) -> sqlite3.Connection:
    """Open a database to write it; one of an older schema is brought up to the present one.

    Raises:
        StorageError: it is no database of this library, or was written by a newer version.
    """
    try:
        connection = _connected(path, is_shared=is_shared)
        version = schema_version(path, connection)
        if version < SCHEMA_VERSION:
            sums = "ALTER TABLE events ADD COLUMN crc INTEGER;" if version < 2 else ""
            connection.executescript(
                f"BEGIN IMMEDIATE; {sums}"
                f"UPDATE meta SET value = '{SCHEMA_VERSION}' WHERE key = 'schema_version'; COMMIT"
            )
    except sqlite3.Error as error:
        raise storage_error(path, error) from error
    return connection


def _connected(path: Path, *, is_shared: bool) -> sqlite3.Connection:
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


def check_presence(path: Path) -> None:
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


def schema_version(path: Path, connection: sqlite3.Connection) -> int:
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


# -- errors


def damaged(path: Path, what: str) -> ExperimentDamagedError:
    """Return the error of a database that can't be read as it is."""
    command = f"python -m tunesmith recover {shlex.quote(str(path.parent))}"
    text = f"The experiment at {path.parent} is damaged: {what}. Recover what is whole with: {command}"
    return ExperimentDamagedError(text)


def storage_error(path: Path, error: sqlite3.Error | OSError) -> StorageError:
    """Return the error for what SQLite, or the disk, has said about the database at `path`."""
    text = str(error)
    if "full" in text or "disk I/O" in text or getattr(error, "errno", None) in _FULL:
        return StorageError(
            f"The disk that holds {path} is full or has failed ({text}). All that trials reported before is safe. "
            "Make room, then run the same command with resume=True."
        )
    if any(word in text for word in BROKEN):
        return damaged(path, f"{path.name} is no database of an experiment, or a part of it is overwritten ({text})")
    return StorageError(f"The database {path} can't be used: {text}.")
