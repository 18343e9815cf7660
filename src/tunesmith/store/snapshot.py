"""One file with all that a store has at a moment, and how two stores lie to each other."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

from tunesmith.errors import StorageError
from tunesmith.store.database import BESIDE, storage_error
from tunesmith.store.reading import EventReader

Relation = Literal["same", "ahead", "behind", "apart"]


def snapshot(path: Path, target: Path) -> int:
    """Make `target` a database with all events of the store at `path`, also while a driver writes it.

    SQLite's online backup copies the database as of one moment, and the tail is put behind that, so that the file
    needs no other beside it.

    Returns:
        How many events it has.

    Raises:
        StorageError: the store can't be read, or `target` can't be written.
    """
    target.unlink(missing_ok=True)
    with EventReader.open_to_read(path) as store:
        try:
            with closing(sqlite3.connect(target, isolation_level=None)) as copy:
                store.copy_to(copy)
                copy.execute("PRAGMA journal_mode=DELETE")  # the header says so: it has no log beside it
                (events,) = copy.execute("SELECT count(*) FROM events").fetchone()
                return int(events)
        except sqlite3.Error as error:
            raise storage_error(target, error) from error


def relation(ours: Path, theirs: Path) -> Relation:
    """Return whether `ours` has the events of `theirs` and more, or less, or went another way.

    Every event's place and checksum is compared: two runs of the same experiment may well have some in common.

    Raises:
        StorageError: one of them can't be read.
    """
    with EventReader.open_to_read(ours) as one, EventReader.open_to_read(theirs) as other:
        mine, yours = one.sums(), other.sums()
        while True:
            left, right = next(mine, None), next(yours, None)
            if left == right:
                if left is None:
                    return "same"
                continue
            return "ahead" if right is None else "behind" if left is None else "apart"


def take_over(copy: Path, path: Path) -> None:
    """Put the database `copy` in the place of the store at `path`, which has less.

    Raises:
        StorageError: it can't be moved.
    """
    try:
        for file in beside(path):
            file.unlink(missing_ok=True)
        copy.rename(path)
    except OSError as error:
        raise StorageError(f"The database can't be put into {path.parent}: {error}") from error


def beside(path: Path) -> Iterator[Path]:
    """Yield the files that may belong to the database at `path`."""
    for suffix in BESIDE:
        yield path.with_name(path.name + suffix)
