"""Checkpoints: directories, written aside, made durable, and then given their name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tunesmith.errors import ArgumentError, StorageError
from tunesmith.trial import CheckpointRef

_CHUNK = 1 << 20
_SHEET = ".tunesmith.json"


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
    """What has to be remembered beside the user's files. `totals` are running sums, by metric.

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
    (folder / _SHEET).write_bytes(msgspec.json.encode(sheet))


def read_sheet(folder: Path) -> Sheet | None:
    """Return the sheet of the checkpoint in `folder`, or None when it has none.

    Raises:
        StorageError: it can't be read.
    """
    try:
        return msgspec.json.decode((folder / _SHEET).read_bytes(), type=Sheet)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StorageError(f"The checkpoint in {folder} is damaged: {error}") from error


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
        """Copy the directory `source` and keep the copy, with `sheet` in it if it has something to say.

        Raises:
            StorageError: the files can't be read or written.
        """
        origin = Path(source)
        here = Path(self._experiment, self._folder)
        if not origin.is_dir():
            raise StorageError(f"The checkpoint that was reported, {source}, is {_what(origin)}; it can't be kept.")
        if here.resolve().is_relative_to(origin.resolve()):
            raise ArgumentError(
                f"The directory {source} contains the trial's own folder and can't be a checkpoint. "
                "Write the checkpoint's files into a directory of their own."
            )
        try:
            aside = self.prepare(sheet.iteration)
            for relative in _files(origin):
                target = aside / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(origin / relative, target)
            (aside / _SHEET).unlink(missing_ok=True)
            if sheet.totals:
                write_sheet(aside, sheet)
        except OSError as error:
            raise StorageError(f"The checkpoint {source} can't be copied to the trial's folder: {error}") from error
        return self.keep(aside, sheet.iteration, sheet.time_total_s)

    def keep(self, aside: Path, iteration: int, time_total_s: float) -> CheckpointRef:
        """Make the directory that `prepare` gave durable and give it its name.

        Raises:
            StorageError: the files can't be written out.
        """
        try:
            digest, size = _seal(aside)
            target = self._free_name(aside, iteration)
            aside.rename(target)
            _sync(target.parent)
        except OSError as error:
            raise StorageError(f"The checkpoint of iteration {iteration} can't be kept: {error}") from error
        path = f"{self._folder}/{target.name}" if self._folder else target.name
        return CheckpointRef(path, iteration, digest, size, time_total_s)

    def find(self, reference: CheckpointRef) -> Checkpoint:
        """Return the checkpoint that `reference` names.

        Raises:
            StorageError: it is gone or not whole.
        """
        path = Path(self._experiment, reference.path)
        if not path.is_dir():
            raise StorageError(f"The checkpoint {path} is {_what(path)}; the trial can't go on from it.")
        size = sum((path / relative).stat().st_size for relative in _files(path))
        if reference.digest and size != reference.size:
            raise StorageError(
                f"The checkpoint {path} is damaged: it has {size} bytes, and {reference.size} were written. "
                "The trial can't go on from it."
            )
        return Checkpoint(path)

    def _free_name(self, aside: Path, iteration: int) -> Path:
        start = "" if self._incarnation == 1 else f".{self._incarnation}"
        target = aside.with_name(f"checkpoint_{iteration:06d}{start}")
        attempt = 1
        while target.exists():  # it has saved this iteration before, and that directory may still be in use
            attempt += 1
            target = aside.with_name(f"checkpoint_{iteration:06d}{start}-{attempt}")
        return target


def _files(root: Path) -> list[str]:
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
    """Write all files and directories out to the disk; return a digest over paths and contents, and the bytes."""
    from hashlib import sha256

    digest, size = sha256(), 0
    for relative in _files(folder):
        with (folder / relative).open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            digest.update(f"{relative}\0{length}\0".encode(errors="surrogateescape"))
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            os.fsync(file.fileno())
            size += length
    for inner, _, _ in os.walk(folder, topdown=False):
        _sync(Path(inner))
    return digest.hexdigest(), size


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _what(path: Path) -> str:
    return "a file" if path.exists() else "not there"
