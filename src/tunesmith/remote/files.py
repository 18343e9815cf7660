"""Files below a URL: streamed, tried again while the server is away, and replaced so that no reader sees a half."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from tunesmith.errors import StorageError
from tunesmith.remote.causes import chained, missing, patience_s, told
from tunesmith.remote.storage import RemoteStorage
from tunesmith.remote.usual import prepare, usual_options

CHUNK: Final = 1 << 20  # bytes that are held at once
_BLOCK: Final = 8 << 20  # bytes of a part of an upload; object stores want 5 MiB at least
_PARTS_MAX: Final = 9_000  # S3 has 10,000 at most
_PACKET: Final = 32 << 10  # bytes that an SFTP server sends at once
_MAGIC: Final = frozenset("*?[")  # fsspec would look for names that match, where there is one with these in it
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0
# Where a file is there at once and whole, or not at all, and folders need not be made.
_OBJECTS: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci"})
T = TypeVar("T")


class Files:
    """The files below `storage`. Names are relative to it. One thread uses it at a time.

    Every call is tried again for `storage.retry_s` seconds while the server is away, with pauses that double, and over
    a new connection. What stays wrong is raised at once.

    Raises:
        MissingPackageError: fsspec, or the package for this protocol, is not installed.
        StorageError: credentials, names or the server are wrong, or it has been away for too long.
    """

    def __init__(
        self,
        storage: RemoteStorage,
        *,
        retry_s: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.storage = storage
        self._retry_s = storage.retry_s if retry_s is None else retry_s
        self._sleep = sleep
        self._clock = clock
        self._fs: Any = None
        self._root = ""
        self._made: set[str] = set()

    # -- whole files

    def upload(self, source: Path, name: str, digest: Any = None) -> tuple[int, Any]:
        """Copy the file `source` there; return its bytes, and `digest` gone on with them.

        Raises:
            OSError: there is no such file on this machine.
            StorageError: as the class; or the file changed meanwhile.
        """
        with source.open("rb") as reader:
            size = os.fstat(reader.fileno()).st_size

            def copy() -> tuple[int, Any]:
                hashed = None if digest is None else digest.copy()
                reader.seek(0)
                with self._writing(name, size) as write:
                    sent = 0
                    while chunk := reader.read(CHUNK):
                        write(chunk)
                        sent += len(chunk)
                        if hashed is not None:
                            hashed.update(chunk)
                    if sent != size:
                        raise StorageError(f"{source} changed while it was copied: {size:,} bytes became {sent:,}.")
                return size, hashed

            return self._try(f"{name} can't be written", copy)

    def download(self, name: str, target: Path, digest: Any = None) -> Any:
        """Copy a file from there to `target`; return `digest` gone on with its bytes.

        Raises:
            FileNotFoundError: there is none.
            StorageError: as the class.
        """

        def copy() -> Any:
            hashed = None if digest is None else digest.copy()
            with self._fs.open(self._path(name), "rb", block_size=_BLOCK) as reader, _here(target) as write:
                for chunk in _pieces(reader):
                    write(chunk)
                    if hashed is not None:
                        hashed.update(chunk)
            return hashed

        return self._try(f"{name} can't be read", copy, may_lack=True)

    def replace(self, source: Path, name: str) -> None:
        """Copy a file there as `upload` does; who reads `name` meanwhile finds the old one or the new one, whole."""
        aside = self._aside(name)
        self.upload(source, aside)
        self._settle(aside, name)

    def put(self, name: str, data: bytes) -> None:
        """Write a small file."""

        def put() -> None:
            with self._writing(name, len(data)) as write:
                write(data)

        self._try(f"{name} can't be written", put)

    def write(self, name: str, data: bytes) -> None:
        """Write a small file as `put` does; who reads it meanwhile finds the old one or the new one, whole."""
        aside = self._aside(name)
        self.put(aside, data)
        self._settle(aside, name)

    def read(self, name: str) -> bytes | None:
        """Return the contents of a small file; None when there is none."""

        def get() -> bytes:
            with self._fs.open(self._path(name), "rb") as file:
                data: bytes = file.read()
            return data

        try:
            return self._try(f"{name} can't be read", get, may_lack=True)
        except FileNotFoundError:
            return None

    # -- names

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

        def ask() -> bool:
            self._fs.invalidate_cache()
            return bool(self._fs.isfile(self._path(name)))

        return self._try(f"{name} can't be looked for", ask)

    def sizes(self, name: str = "") -> dict[str, int]:
        """Return the bytes of all files below a folder, by their names relative to it; none if there is no folder."""

        def find() -> dict[str, int]:
            self._fs.invalidate_cache()
            root = self._path(name)
            try:
                found = self._fs.find(root, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return {}
            at = len(root.rstrip("/")) + 1
            return {path[at:]: int(info["size"] or 0) for path, info in found.items() if path[at:].strip("/")}

        return self._try(f"{name or 'the folder'} can't be listed", find)

    def names(self, name: str = "") -> list[str]:
        """Return the names in a folder, sorted; none if there is no folder."""

        def ls() -> list[str]:
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(self._path(name), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted({path.rstrip("/").rpartition("/")[2] for path in found} - {""})

        return self._try(f"{name or 'the folder'} can't be listed", ls)

    def delete(self, name: str) -> None:
        """Delete a file, or a folder with all that is in it; one that is gone is no error."""

        def remove() -> None:
            self._fs.invalidate_cache()
            path = self._path(name)
            with suppress(FileNotFoundError):
                if not _MAGIC & set(path):
                    self._fs.rm(path, recursive=True)
                    return
                for inner, info in sorted(self._fs.find(path, withdirs=True, detail=True).items(), reverse=True):
                    (self._fs.rmdir if info["type"] == "directory" else self._fs.rm_file)(inner)
                with suppress(FileNotFoundError, NotADirectoryError):
                    self._fs.rmdir(path)

        self._try(f"{name} can't be deleted", remove)
        self._made.clear()

    def probe(self) -> None:
        """Write, read and delete a small file: better to learn now what would fail later.

        Raises:
            MissingPackageError, StorageError: as the class. Nothing is tried again.
        """
        name, data = f".probe-{os.urandom(6).hex()}", os.urandom(64)
        patience, self._retry_s = self._retry_s, 0.0
        try:
            self.write(name, data)
            found = self.read(name)
            self.delete(name)
        finally:
            self._retry_s = patience
        if found != data:
            raise StorageError(f"{self.storage.shown} does not give back what was written to it.")

    # -- the file system

    def _try(self, what: str, act: Callable[[], T], *, may_lack: bool = False) -> T:
        """Do it, again and again while the server is away; where a file `may_lack`, FileNotFoundError is an answer."""
        begun, pause = self._clock(), _PAUSE_S
        while True:
            try:
                self._connect()
                return act()
            except Exception as error:
                if may_lack and isinstance(error, FileNotFoundError):
                    raise
                spent = self._clock() - begun
                if spent + pause > min(self._retry_s, patience_s(error)):
                    raise self._failed(what, error, spent) from chained(self.storage, error)
            self._disconnect()
            self._sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _failed(self, what: str, error: Exception, spent: float) -> Exception:
        return told(self.storage, what, error, spent if self._retry_s else 0.0)

    def _connect(self) -> None:
        if self._fs is not None:
            return
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise missing(self.storage, error) from error
        url, options = self.storage.arguments()
        options = {**usual_options(self.storage.protocol), **options}
        self._fs, root = url_to_fs(url, skip_instance_cache=True, **options)
        self._root = str(root).rstrip("/")
        self._made.clear()
        prepare(self._fs, self.storage.protocol)

    def _disconnect(self) -> None:
        fs, self._fs = self._fs, None
        with suppress(Exception):
            fs.client.close()  # of paramiko: a thread waits on each connection

    def close(self) -> None:
        """Let the connection go; the next call makes another one."""
        self._disconnect()

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _aside(self, name: str) -> str:
        return name if self.storage.protocol in _OBJECTS else f"{name}.part-{os.urandom(4).hex()}"

    def _settle(self, aside: str, name: str) -> None:
        if aside != name:
            self._try(f"{name} can't be written", lambda: self._fs.mv(self._path(aside), self._path(name)))

    def _writing(self, name: str, size: int) -> _Writing:
        path = self._path(name)
        if self.storage.protocol not in _OBJECTS:
            parent = path.rpartition("/")[0]
            if parent not in self._made:
                self._fs.makedirs(parent, exist_ok=True)
                self._made.add(parent)
        block = max(_BLOCK, -(-size // _PARTS_MAX // CHUNK) * CHUNK)
        return _Writing(self._fs.open(path, "wb", block_size=block))


def import_packages(storage: RemoteStorage) -> None:
    """Import what the storage needs, so that processes that are forked from this one need not.

    What is missing is told of when a file is wanted.
    """
    with suppress(Exception):
        from fsspec import get_filesystem_class

        get_filesystem_class(storage.protocol)


@contextmanager
def _here(target: Path) -> Iterator[Callable[[bytes], None]]:
    """Open a file of this machine. When it can't be written, that is not the server's fault, and not tried again."""
    with target.open("wb", buffering=0) as file:

        def write(data: bytes) -> None:
            try:
                while data:
                    data = data[file.write(data) :]
            except OSError as error:
                raise StorageError(f"{target} can't be written: {error}") from error

        yield write


def _pieces(file: Any) -> Iterator[bytes]:
    """Yield what is in a file, a piece at a time."""
    if hasattr(file, "readv"):  # of paramiko, which else waits for each packet, or holds all that it has asked for
        size = file.stat().st_size
        for start in range(0, size, _BLOCK):
            end = min(start + _BLOCK, size)
            yield from file.readv([(at, min(_PACKET, end - at)) for at in range(start, end, _PACKET)])
        return
    while chunk := file.read(CHUNK):
        yield chunk


class _Writing:
    """A file that is being written. When that fails it is given up, not finished with what it has."""

    def __init__(self, file: Any) -> None:
        self._file = file
        if hasattr(file, "set_pipelined"):  # paramiko would wait for each 32 KiB
            file.set_pipelined(True)

    def __enter__(self) -> Callable[[bytes], Any]:
        write: Callable[[bytes], Any] = self._file.write
        return write

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._file.close()
            return
        from fsspec.spec import AbstractBufferedFile

        with suppress(Exception):
            if isinstance(self._file, AbstractBufferedFile):
                self._file.closed = True  # or it would make an object of what it has when it is collected
                self._file.discard()
            else:
                self._file.close()
