"""Where an experiment is: its folder on this machine, and its place elsewhere if it has one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tunesmith import naming
from tunesmith.errors import ExperimentExistsError, StorageError
from tunesmith.store.database import DATABASE, is_begun
from tunesmith.store.shared import shared_type

if TYPE_CHECKING:  # where no URL is used it is not imported
    from tunesmith.remote.storage import RemoteStorage
    from tunesmith.store.mirror import Mirror

_STOP_S, _PAUSE_S = 60.0, 300.0


class Place(msgspec.Struct, frozen=True):
    """The experiment's `folder` on this machine, and where it is copied to, if it is."""

    folder: Path
    remote: RemoteStorage | None = None
    shared: str = ""  # the type of the folder's file system, if other machines see it, too

    @property
    def grace(self) -> dict[str, float]:
        """The limits for how long a trial may take to save, where they are not the usual ones: sending takes time."""
        if self.remote is None:
            return {}
        return {"stop_grace_s": _STOP_S, "pause_grace_s": max(_PAUSE_S, self.remote.retry_s)}

    def __str__(self) -> str:
        return str(self.folder) if self.remote is None else f"{self.remote.shown} (on this machine: {self.folder})"


def find_place(
    storage: str | os.PathLike[str] | RemoteStorage | None,
    name: str | None,
    trainable: str,
    resume: object,
    *,
    shared: bool | None,
) -> Place:
    """Return the experiment's place. Its folder is made if need be, and what is elsewhere has been tried out.

    `shared` says whether other machines see the folder, too; None finds out.

    Raises:
        ExperimentExistsError: there is an experiment of this name, and `resume` is False.
        MissingPackageError: a package for the storage is not installed.
        StorageError: there is nothing to resume, or the place can't be used.
    """
    stamp = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{os.urandom(2).hex()}"
    wanted = name or f"{naming.slug(trainable)}_{stamp}"
    if storage is None or isinstance(storage, (str, os.PathLike)):
        place = Place(Path(storage or "~/tunesmith").expanduser().absolute() / wanted)
    else:
        place = Place(storage.folder() / wanted, storage.at(wanted))
    exists = is_begun(place.folder / DATABASE) or _is_elsewhere(place.remote)
    if resume not in (False, "auto") and not exists:
        hint = "" if name else " Say which one with name=."
        raise StorageError(
            f"There is nothing to resume: no experiment at {place}.{hint} resume='auto' would start one."
        )
    if exists and resume is False:
        raise ExperimentExistsError(
            f"The experiment {wanted!r} exists already at {place}. "
            "Pass resume=True to go on with it, or choose another name=."
        )
    _make(place.folder, "storage_path=" if place.remote is None else "storage_path=tune.RemoteStorage(url, local=...)")
    kind = "shared folder" if shared else "" if shared is False else shared_type(place.folder)
    if kind and not is_begun(place.folder / DATABASE):
        _tell(
            f"{place.folder} is on a file system that other machines see, too ({kind}): SQLite keeps a rollback "
            "journal there, as its write-ahead log needs memory that all share. See docs/storage.md#shared-folders."
        )
    return msgspec.structs.replace(place, shared=kind)


def _make(folder: Path, argument: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {folder} can't be made: {error}. Choose another place with {argument}."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(f"The folder {folder} can't be written. Choose another place with {argument}.")


def _is_elsewhere(remote: RemoteStorage | None) -> bool:
    """Whether there is a copy of an experiment; what is wrong with the place is found out now, and not by a trial."""
    if remote is None:
        return False
    from tunesmith.remote.files import Files

    files = Files(remote, retry_s=0)
    try:
        files.probe()
        return files.exists(DATABASE)
    finally:
        files.close()


def open_mirror(place: Place) -> Mirror | None:
    """Return what copies the experiment, after the folder has what the copy has; None if nothing is copied.

    Raises:
        ExperimentBusyError: another driver is running the experiment.
        StorageError: the folder and the copy have gone different ways, or the server is away.
    """
    if place.remote is None:
        return None
    from tunesmith.store.mirror import Mirror

    mirror = Mirror(place.remote, place.folder, _tell)
    mirror.open()
    return mirror


def _tell(text: str) -> None:
    with suppress(OSError, ValueError):  # the terminal may have been closed
        print(text, file=sys.stderr, flush=True)


@contextmanager
def removed_if_empty(folder: Path) -> Iterator[None]:
    """Leave no trace of an experiment that never began."""
    try:
        yield
    finally:
        if not (folder / DATABASE).exists():
            for name in ("driver.lock", "workers.log"):
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()
