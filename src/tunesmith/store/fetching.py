"""Reads an experiment that is elsewhere, from its copy there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ArgumentError, StorageError
from tunesmith.store.database import DATABASE

if TYPE_CHECKING:  # where no URL is used it is not imported
    from tunesmith.remote.storage import RemoteStorage


def as_storage(place: object, options: Mapping[str, Any] | None = None) -> RemoteStorage | None:
    """Return what a URL names; None for the path of a folder.

    Raises:
        ArgumentError: there are options for what is no URL.
    """
    if isinstance(place, (str, os.PathLike)) and "://" not in str(place) and "::" not in str(place):
        if options:
            raise ArgumentError("storage_options= is for a URL, such as 's3://bucket/runs'; this is a folder's path.")
        return None
    from tunesmith.remote.storage import RemoteStorage

    return place if isinstance(place, RemoteStorage) else RemoteStorage(str(place), dict(options or {}))


def fetch_database(storage: RemoteStorage, folder: Path) -> None:
    """Put the database of the experiment at `storage` into `folder`, as it was copied there last.

    Raises:
        MissingPackageError: a package for this protocol is not installed.
        StorageError: there is no experiment, or the server is away.
    """
    from tunesmith.remote.files import Files

    files = Files(storage, retry_s=0)
    aside = folder / f".{DATABASE}.part"
    try:
        files.download(DATABASE, aside)
        aside.rename(folder / DATABASE)
    except FileNotFoundError as error:
        raise StorageError(
            f"There is no experiment at {storage.shown}: it has no {DATABASE}. Give the experiment's own place, "
            "<storage_path>/<name>."
        ) from error
    finally:
        files.close()


def experiments(place: str | Path, options: Mapping[str, Any] | None = None) -> list[Path] | list[RemoteStorage]:
    """Return the experiments in a folder, or below a URL.

    Raises:
        MissingPackageError: a package for this protocol is not installed.
        StorageError: there is no such folder, or the server is away.
    """
    storage = as_storage(place, options)
    if storage is None:
        folder = Path(place).expanduser()
        if not folder.is_dir():
            raise StorageError(f"There is no folder {folder}.")
        return [path for path in sorted(folder.iterdir()) if (path / DATABASE).exists()]
    from tunesmith.remote.files import Files

    files = Files(storage, retry_s=0)
    try:
        return [storage.at(name) for name in files.names() if files.exists(f"{name}/{DATABASE}")]
    finally:
        files.close()


@contextmanager
def opened(place: str | Path | RemoteStorage, options: Mapping[str, Any] | None = None) -> Iterator[Path]:
    """Give the folder of an experiment for reading: itself, or for a URL a temporary one with its database.

    Raises:
        ArgumentError: there are options for what is no URL.
        MissingPackageError: a package for this protocol is not installed.
        StorageError: there is no experiment, or the server is away.
    """
    storage = as_storage(place, options)
    if storage is None:
        yield Path(place).expanduser()  # type: ignore[arg-type]  # the path of a folder, as it is no storage
        return
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="tunesmith_") as temporary:
        folder = Path(temporary, storage.url.rstrip("/").rpartition("/")[2])
        folder.mkdir()
        fetch_database(storage, folder)
        yield folder
