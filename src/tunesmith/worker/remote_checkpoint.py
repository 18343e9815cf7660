"""Checkpoints elsewhere: what a worker sends there and fetches, and what others may load of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from tunesmith.errors import DamagedCheckpointError, StorageError
from tunesmith.remote.files import Files
from tunesmith.remote.storage import RemoteStorage
from tunesmith.trial import CheckpointRef
from tunesmith.worker.checkpoint import (
    SHEET,
    Checkpoint,
    CheckpointShelf,
    Sheet,
    files_below,
    free_bytes,
    full_disk,
    heading,
)

_FETCHED: Final = ".fetched"  # in a trial's folder: what its present start has loaded


class RemoteShelf(CheckpointShelf):
    """Keeps the checkpoints of one trial in its folder below `storage`, which is the experiment's.

    An object store has no renaming that would make many files appear at once. So a checkpoint's files go to a place
    that no other one ever had, the sheet last, and it counts when its report is recorded: with the digest of what was
    sent.
    """

    __slots__ = ("_fetched", "_files", "_storage")

    def __init__(self, storage: RemoteStorage, experiment: str, folder: str, incarnation: int) -> None:
        super().__init__(experiment, folder, incarnation)
        self._storage = storage
        self._files = Files(storage)
        self._fetched: tuple[str, Path] | None = None

    def keep_copy(self, source: str, sheet: Sheet) -> CheckpointRef:
        """Send the files of the directory `source`, and `sheet`; nothing is copied on this machine.

        Raises:
            StorageError: the files can't be read or sent.
        """
        origin = self._reported(source)
        try:
            return self._send(origin, sheet.iteration, sheet.time_total_s, msgspec.json.encode(sheet))
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"The checkpoint {source} can't be read: {error}") from error

    def keep(self, iteration: int, time_total_s: float, fill: Callable[[Path], None]) -> CheckpointRef:
        """Let `fill` write files into a new directory on this machine, send them, and delete the directory.

        Raises:
            StorageError: the disk is full, or the files can't be sent. Nothing of it is left on this machine.
            BaseException: what `fill` raises.
        """
        aside = None
        try:
            aside = self.prepare(iteration)
            fill(aside)
            sheet = aside / SHEET
            return self._send(aside, iteration, time_total_s, sheet.read_bytes() if sheet.exists() else None)
        except StorageError:
            raise
        except Exception as error:
            story = full_disk(error, Path(self._experiment, self._folder), iteration)
            if story:
                raise StorageError(story) from error
            raise
        finally:
            if aside is not None:
                shutil.rmtree(aside, ignore_errors=True)

    def _send(self, folder: Path, iteration: int, time_total_s: float, sheet: bytes | None) -> CheckpointRef:
        """Send a directory's files, read once and a piece at a time."""
        start = "" if self._incarnation == 1 else f".{self._incarnation}"
        name = f"checkpoint_{iteration:06d}{start}-{int.from_bytes(os.urandom(6), 'big')}"
        path = f"{self._folder}/{name}" if self._folder else name
        names = set(files_below(folder)) | ({SHEET} if sheet is not None else set())
        digest, size = sha256(), 0
        for relative in sorted(names):
            if relative == SHEET and sheet is not None:
                digest.update(heading(relative, len(sheet)) + sheet)
                size += len(sheet)
                continue
            digest.update(heading(relative, (folder / relative).stat().st_size))
            sent, digest = self._files.upload(folder / relative, f"{path}/{relative}", digest)
            size += sent
        if sheet is not None:
            self._files.put(f"{path}/{SHEET}", sheet)
        return CheckpointRef(path, iteration, digest.hexdigest(), size, time_total_s)

    def find(self, reference: CheckpointRef) -> Checkpoint:
        """Return the checkpoint that `reference` names, fetched if that is not done yet. Raises as `verify`."""
        if self._fetched is not None and self._fetched[0] == reference.path and self._fetched[1].is_dir():
            return Checkpoint(self._fetched[1])
        return self.verify(reference)

    def verify(self, reference: CheckpointRef) -> Checkpoint:
        """Fetch the checkpoint that `reference` names into the trial's folder, in the place of the one before.

        Raises:
            DamagedCheckpointError: it is gone or not whole.
            StorageError: the server can't be reached, or the disk is full: no fault of the checkpoint.
        """
        self.close()
        fetched = Path(self._experiment, self._folder, _FETCHED)
        target = fetched / Path(reference.path).name
        fetch(self._files, reference, target)
        self._fetched = reference.path, target
        return Checkpoint(target)

    def close(self) -> None:
        """Delete what was fetched, also by a start of before."""
        self._fetched = None
        shutil.rmtree(Path(self._experiment, self._folder, _FETCHED), ignore_errors=True)
        self._files.close()


def fetch(files: Files, reference: CheckpointRef, target: Path) -> None:
    """Fetch a checkpoint into the directory `target`, which is there afterwards when it is whole, and else is not.

    Raises:
        DamagedCheckpointError: it is gone or not whole.
        StorageError: the server can't be reached, or the disk is full.
    """
    sizes = files.sizes(reference.path)
    if not sizes:
        raise DamagedCheckpointError(f"The checkpoint {reference.path} is not there.")
    size = sum(sizes.values())
    if reference.digest and size != reference.size:
        raise DamagedCheckpointError(
            f"The checkpoint {reference.path} is damaged: it has {size} bytes, and {reference.size} were written."
        )
    aside = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        if size > free_bytes(aside):
            raise StorageError(
                f"The checkpoint {reference.path} can't be fetched: {size:,} bytes are needed in {target.parent}, and "
                f"{free_bytes(aside):,} are free."
            )
        digest = _download(files, reference.path, sizes, aside)
        if reference.digest and digest != reference.digest:
            raise DamagedCheckpointError(
                f"The checkpoint {reference.path} is damaged: its files are not what was written."
            )
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
    except FileNotFoundError as error:
        raise DamagedCheckpointError(f"The checkpoint {reference.path} is not whole: {error}") from error
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"The checkpoint {reference.path} can't be kept in {target.parent}: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _download(files: Files, path: str, sizes: dict[str, int], folder: Path) -> str:
    digest: Any = sha256()
    for relative, length in sorted(sizes.items()):
        place = folder / relative
        if ".." in place.parts or not place.is_relative_to(folder):
            raise DamagedCheckpointError(f"The checkpoint {path} has a file with the name {relative!r}.")
        place.parent.mkdir(parents=True, exist_ok=True)
        digest.update(heading(relative, length))
        digest = files.download(f"{path}/{relative}", place, digest)
    return str(digest.hexdigest())


class RemoteCheckpoint(Checkpoint):
    """A checkpoint elsewhere. It is fetched, and compared with what was written, when its files are wanted.

    Args:
        storage: the experiment's place.
        reference: what is recorded of the checkpoint.
        folder: the folder on this machine that `path` fetches it into.
    """

    __slots__ = ("_folder", "_reference", "_storage")

    def __init__(self, storage: RemoteStorage, reference: CheckpointRef, folder: Path) -> None:
        self._storage = storage
        self._reference = reference
        self._folder = folder

    @property
    def url(self) -> str:
        """Where it is, without a password."""
        return self._storage.at(self._reference.path).shown

    @property
    def path(self) -> str:  # type: ignore[override]  # fetched when it is asked for
        """A directory on this machine with its files, fetched by the first who asks.

        Raises:
            StorageError: it is gone or not whole, or the server can't be reached.
        """
        target = self._folder / self._reference.path
        if not target.is_dir():
            fetch(Files(self._storage), self._reference, target)
        return str(target)

    def to_directory(self, path: str | os.PathLike[str] | None = None) -> str:
        """Fetch the files into the directory `path`, a new temporary one by default, and return its path.

        Raises:
            StorageError: as `path`.
        """
        target = Path(tempfile.mkdtemp(prefix="checkpoint_") if path is None else path)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".checkpoint_") as beside:
            fetch(Files(self._storage), self._reference, Path(beside, "files"))
            shutil.copytree(Path(beside, "files"), target, dirs_exist_ok=True, copy_function=shutil.move)
        return str(target)

    @contextmanager
    def as_directory(self) -> Iterator[str]:
        """Give the path of a directory with the files, which is deleted afterwards. Raises as `path`."""
        with tempfile.TemporaryDirectory(prefix="checkpoint_") as folder:
            fetch(Files(self._storage), self._reference, Path(folder, "files"))
            yield str(Path(folder, "files"))

    def __repr__(self) -> str:
        return f"Checkpoint({self.url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteCheckpoint) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)
