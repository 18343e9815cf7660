"""One driver an experiment: a lock that the kernel releases when its holder dies."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path
from types import TracebackType

from tunesmith.errors import ExperimentBusyError, StorageError
from tunesmith.store.shared import lock


class ExperimentLock:
    """Holds ``driver.lock`` in an experiment's folder from entering to leaving the context.

    In a folder that machines share, of which `shared` is the file system's type, it is a lock that all of them see.
    Many file systems in user space have none, though they say that they had: there the word of another machine counts.

    The file says who holds it. It belongs to the kernel's lock on the open file, not to the file's being there, so a
    driver that was killed leaves nothing stale behind.

    Raises:
        ExperimentBusyError: another driver holds it; the message has its process and host.
        StorageError: the file can't be written, or the file system has no locks.
    """

    def __init__(self, folder: Path, shared: str = "") -> None:
        self._path = folder / "driver.lock"
        self._shared = shared
        self._fd = -1

    def __enter__(self) -> ExperimentLock:
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"The lock {self._path} can't be opened: {error.strerror}.") from error
        try:
            if self._shared:
                lock(fd)
            else:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 500).decode(errors="replace").strip() or "another process"
            os.close(fd)
            raise ExperimentBusyError(
                f"The experiment at {self._path.parent} is being run by {holder}. Wait for it, end it, "
                "or choose another name=. tunesmith.load() can read it meanwhile."
            ) from None
        except OSError as error:  # some network folders have no locks
            os.close(fd)
            raise StorageError(
                f"The folder {self._path.parent} has no locks ({error.strerror}), so that nothing would keep two "
                "drivers from running one experiment. Choose a folder on a disk of this machine with storage_path=."
            ) from error
        if self._shared.startswith("fuse"):
            self._heed(fd)
        os.ftruncate(fd, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode(), 0)
        self._fd = fd
        return self

    def _heed(self, fd: int) -> None:
        """Refuse what a driver on another machine holds, by what it has written: it takes that back when it ends."""
        holder = os.pread(fd, 500, 0).decode(errors="replace").strip()
        host = holder.partition(" on ")[2].partition(" since ")[0]
        if host and host != socket.gethostname():
            os.close(fd)
            raise ExperimentBusyError(
                f"The experiment at {self._path.parent} is being run by {holder}, or was when that machine died: on "
                f"{self._shared} the one can't be told from the other. If it is gone, delete {self._path}."
            )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1
