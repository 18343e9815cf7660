"""Checkpoints: directories, written aside, made durable, and then given their name."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from tunesmith.errors import ArgumentError, DamagedCheckpointError, StorageError
from tunesmith.trial import CheckpointRef
from tunesmith.worker.disk import sync_folder

_CHUNK = 1 << 20
_NOTHING_FREE = 1 << 16  # bytes: a disk with less is full
SHEET: Final = ".tunesmith.json"


class Checkpoint:
    """A directory that holds a trial's state. `path` is its absolute path.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> _ = Path(folder, "weights.txt").write_text("0.5")
    >>> checkpoint = Checkpoint.from_directory(folder)
    >>> with checkpoint.as_directory() as directory:
    ...     Path(directory, "weights.txt").read_text()
    '0.5'
    """

    __slots__ = ("path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = str(Path(path).absolute())

    @classmethod
    def from_directory(cls, path: str | os.PathLike[str]) -> Checkpoint:
        """Return the checkpoint whose files are in the directory `path`; reporting it copies them.

        Raises:
            ArgumentError: there is no such directory.
        """
        if not isinstance(path, (str, os.PathLike)):
            raise ArgumentError(f"A checkpoint is made from the path of a directory, got {path!r:.200}.")
        if not Path(path).is_dir():
            raise ArgumentError(
                f"A checkpoint is a directory, but {os.fspath(path)!r} is {_what(Path(path))}. "
                "Write the files into a directory and pass its path."
            )
        return cls(path)

    def to_directory(self, path: str | os.PathLike[str] | None = None) -> str:
        """Copy the files to the directory `path`, a new temporary one by default, and return its path.

        Raises:
            StorageError: the checkpoint is gone.
        """
        import shutil
        import tempfile

        self._verify()
        target = tempfile.mkdtemp(prefix="checkpoint_") if path is None else os.fspath(path)
        shutil.copytree(self.path, target, dirs_exist_ok=True)
        return target

    @contextmanager
    def as_directory(self) -> Iterator[str]:
        """Give the path of the directory for reading, without a copy.

        Raises:
            StorageError: the checkpoint is gone.
        """
        self._verify()
        yield self.path

    def _verify(self) -> None:
        if not Path(self.path).is_dir():
            raise StorageError(f"The checkpoint {self.path} is {_what(Path(self.path))}; it can't be loaded.")

    def __repr__(self) -> str:
        return f"Checkpoint({self.path!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checkpoint) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)


class Sheet(msgspec.Struct):
    """What has to be remembered beside the user's files, in each checkpoint: it shows whose work the directory is.

    `totals` are running sums, by metric.

    For a class trainable, `form` says what `save_checkpoint` returned, ``directory``, ``path`` or ``dict``, and
    `relative` where that is.
    """

    iteration: int
    time_total_s: float
    totals: dict[str, float | int] = {}
    form: str = "directory"
    relative: str = ""


def write_sheet(folder: Path, sheet: Sheet) -> None:
    """Put the sheet beside the files of a checkpoint."""
    (folder / SHEET).write_bytes(msgspec.json.encode(sheet))


def read_sheet(folder: Path) -> Sheet | None:
    """Return the sheet of the checkpoint in `folder`, or None when it has none.

    Raises:
        DamagedCheckpointError: it can't be read.
    """
    try:
        return msgspec.json.decode((folder / SHEET).read_bytes(), type=Sheet)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise DamagedCheckpointError(f"The checkpoint in {folder} is damaged: {error}") from error


class CheckpointShelf:
    """Keeps the checkpoints of one trial, in its folder.

    Args:
        experiment: the experiment's folder, absolute.
        folder: the trial's folder, relative to it.
        incarnation: the trial's start; names hold it, so that a worker that was given up, and is not dead, can never
            write where its successor does.
    """

    __slots__ = ("_experiment", "_folder", "_incarnation")

    def __init__(self, experiment: str, folder: str, incarnation: int) -> None:
        self._experiment = experiment
        self._folder = folder
        self._incarnation = incarnation

    def prepare(self, iteration: int) -> Path:
        """Return a new, empty directory beside the place where the checkpoint of `iteration` will be."""
        import shutil

        aside = Path(self._experiment, self._folder, f"checkpoint_{iteration:06d}.tmp-{self._incarnation}")
        if aside.exists():
            shutil.rmtree(aside)
        aside.mkdir(parents=True)
        return aside

    def keep_copy(self, source: str, sheet: Sheet) -> CheckpointRef:
        """Copy the directory `source` and keep the copy, with `sheet` in it.

        Raises:
            StorageError: the files can't be read or written.
        """
        origin = self._reported(source)

        def fill(aside: Path) -> None:
            names = files_below(origin)
            size = sum((origin / name).stat().st_size for name in names)
            if size > free_bytes(aside):  # others need what is left, the store too: better not to fill it up first
                raise OSError(errno.ENOSPC, f"{size:,} bytes are needed and {free_bytes(aside):,} are free", source)
            for relative in names:
                target = aside / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(origin / relative, target)
            write_sheet(aside, sheet)

        try:
            return self.keep(sheet.iteration, sheet.time_total_s, fill)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"The checkpoint {source} can't be copied to the trial's folder: {error}") from error

    def _reported(self, source: str) -> Path:
        """Return the directory that was reported, if it can be a checkpoint."""
        origin = Path(source)
        if not origin.is_dir():
            raise StorageError(f"The checkpoint that was reported, {source}, is {_what(origin)}; it can't be kept.")
        if Path(self._experiment, self._folder).resolve().is_relative_to(origin.resolve()):
            raise ArgumentError(
                f"The directory {source} contains the trial's own folder and can't be a checkpoint. "
                "Write the checkpoint's files into a directory of their own."
            )
        return origin

    def keep(self, iteration: int, time_total_s: float, fill: Callable[[Path], None]) -> CheckpointRef:
        """Let `fill` write files into a new directory, make that durable, and give it its name.

        Raises:
            StorageError: the disk is full, or the files can't be written out. Nothing of it is left.
            BaseException: what `fill` raises.
        """
        import shutil

        folder = Path(self._experiment, self._folder)
        aside, ours = None, True
        try:
            aside = self.prepare(iteration)
            ours = False
            fill(aside)
            ours = True
            digest, size = _seal(aside)
            target = self._free_name(aside, iteration)
            aside.rename(target)
            sync_folder(target.parent)
        except BaseException as error:
            story = full_disk(error, folder, iteration)
            if aside is not None:
                shutil.rmtree(aside, ignore_errors=True)
            if story:
                raise StorageError(story) from error
            if ours and isinstance(error, OSError):
                raise StorageError(f"The checkpoint of iteration {iteration} can't be kept: {error}") from error
            raise
        path = f"{self._folder}/{target.name}" if self._folder else target.name
        return CheckpointRef(path, iteration, digest, size, time_total_s)

    def find(self, reference: CheckpointRef) -> Checkpoint:
        """Return the checkpoint that `reference` names, if it is there and has the right size.

        Raises:
            DamagedCheckpointError: it is gone or not whole.
        """
        path = Path(self._experiment, reference.path)
        if not path.is_dir():
            raise DamagedCheckpointError(f"The checkpoint {reference.path} is {_what(path)}.")
        try:
            size = sum((path / relative).stat().st_size for relative in files_below(path))
        except OSError as error:
            raise DamagedCheckpointError(f"The checkpoint {reference.path} can't be read: {error.strerror}.") from error
        if reference.digest and size != reference.size:
            raise DamagedCheckpointError(
                f"The checkpoint {reference.path} is damaged: it has {size} bytes, and {reference.size} were written."
            )
        return Checkpoint(path)

    def close(self) -> None:
        """Let go of what was held to load checkpoints."""

    def verify(self, reference: CheckpointRef) -> Checkpoint:
        """Return the checkpoint that `reference` names, all of which has been read and is what was written.

        Raises:
            DamagedCheckpointError: it is gone or not whole.
        """
        found = self.find(reference)
        if reference.digest:
            try:
                digest, _ = _digest(Path(found.path))
            except OSError as error:
                raise DamagedCheckpointError(
                    f"The checkpoint {reference.path} can't be read: {error.strerror}."
                ) from error
            if digest != reference.digest:
                raise DamagedCheckpointError(
                    f"The checkpoint {reference.path} is damaged: its files are not what was written."
                )
        return found

    def _free_name(self, aside: Path, iteration: int) -> Path:
        # A trial that went back passes the same iterations again, and a worker that was given up may wake. The start
        # makes the name its own, also when the older directory is gone, so that one is never taken for another.
        start = "" if self._incarnation == 1 else f".{self._incarnation}"
        target = aside.with_name(f"checkpoint_{iteration:06d}{start}")
        attempt = 1
        while target.exists():  # it has saved this iteration before, and that directory may still be in use
            attempt += 1
            target = aside.with_name(f"checkpoint_{iteration:06d}{start}-{attempt}")
        return target


def files_below(root: Path) -> list[str]:
    """Return the paths of all files below `root`, relative to it and sorted."""
    found = []
    for folder, _, names in os.walk(root):
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]  # noqa: PTH118 - many at once
    return sorted(found)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            writer.write(chunk)


def _seal(folder: Path) -> tuple[str, int]:
    """Write all files and directories out to the disk; return their digest, and the bytes."""
    sealed = _digest(folder, sync=True)
    for inner, _, _ in os.walk(folder, topdown=False):
        sync_folder(Path(inner))
    return sealed


def _digest(folder: Path, *, sync: bool = False) -> tuple[str, int]:
    """Return a digest over the paths and contents of all files, and their bytes.

    SHA-256, for which present processors have instructions: with these it is the fastest hash of the standard library
    but for SHA-1 (`benchmarks/hashes.py`).
    """
    from hashlib import sha256

    digest, size = sha256(), 0
    for relative in files_below(folder):
        with (folder / relative).open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            digest.update(heading(relative, length))
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            if sync:
                os.fsync(file.fileno())
            size += length
    return digest.hexdigest(), size


def heading(relative: str, length: int) -> bytes:
    """Return what stands before a file's bytes in the digest of a checkpoint."""
    return f"{relative}\0{length}\0".encode(errors="surrogateescape")


def free_bytes(folder: Path) -> int:
    """Return the bytes that this user may still write to the disk of `folder`."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def full_disk(error: BaseException, folder: Path, iteration: int) -> str:
    """Say that a checkpoint did not fit on the disk, if that is what `error` comes from; else return nothing.

    Libraries tell of a full disk in errors of their own, so what is free is asked as well.
    """
    if not isinstance(error, Exception):
        return ""
    try:
        free = free_bytes(folder)
    except OSError:
        return ""
    if not (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) and free >= _NOTHING_FREE:
        return ""
    return (
        f"The checkpoint of iteration {iteration} can't be written: the disk of {folder} is full ({error}). The "
        "checkpoint before it is whole. Make room, keep fewer checkpoints with keep_checkpoints_num= or "
        "checkpoint_quota_bytes=, or use another disk with storage_path=."
    )


def _what(path: Path) -> str:
    return "a file" if path.exists() else "not there"
