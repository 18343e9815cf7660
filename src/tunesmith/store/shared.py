"""Folders that other machines see, too: what SQLite and locks may rely on there."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

# File systems of the kernel's own that several machines may have mounted, or that are passed through from another one.
_SHARED: Final = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "afs", "9p", "virtiofs", "vboxsf",
    "prl_fs", "gfs2", "ocfs2", "glusterfs", "orangefs", "pvfs2", "pvfs", "panfs", "wekafs", "quobyte", "coda", "ncpfs",
})  # fmt: skip
_LOCAL_FUSE: Final = frozenset({"fuseblk", "fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.ntfs-3g", "fuse.encfs"})
_MOUNTS: Final = Path("/proc/self/mountinfo")
_NO_SUCH_LOCKS: Final = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


def shared_type(folder: Path, mounts: Path = _MOUNTS) -> str:
    """Return the type of the file system of a folder if other machines may have it, too; else an empty text.

    Known on Linux only, from proc_pid_mountinfo(5). A folder that is not there is where its parent is.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    path, best, found = f"{folder.resolve()}/", "", ""
    for line in lines:
        before, separator, after = line.partition(" - ")
        fields = before.split()
        if not separator or len(fields) < 5:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]).rstrip("/") + "/"
        if path.startswith(point) and len(point) >= len(best):  # the last one mounted there covers the others
            best, found = point, after.split()[0]
    is_shared = found in _SHARED or (found.startswith("fuse") and found not in _LOCAL_FUSE)
    return found if is_shared else ""


def lock(fd: int) -> None:
    """Take a lock on an open file that other machines see; at once, or not at all.

    It is a record lock of POSIX, which network file systems pass on to their server, but belongs to the open file and
    not to the process (fcntl_locking(2)): a process that opens and closes the file again would lose the usual kind.

    Raises:
        BlockingIOError: somebody else has it.
        OSError: the file system has no locks.
    """
    kind = getattr(fcntl, "F_OFD_SETLK", None)
    if kind is not None:
        try:
            fcntl.fcntl(fd, kind, struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        except OSError as error:
            if error.errno not in _NO_SUCH_LOCKS:
                raise
        else:
            return
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except PermissionError as error:  # EACCES, which POSIX allows as well as EAGAIN
        raise BlockingIOError(errno.EAGAIN, error.strerror) from error


def use_rollback_journal(connection: sqlite3.Connection) -> None:
    """Let a database be changed without shared memory, which does not reach another machine.

    Exclusive locking has to be set before a write-ahead log is looked at: then its index is in the heap. It ends here,
    so that readers are let in. Truncating leaves the journal's name there: a file that is deleted while a reader on
    another machine has it open lives on under a name of NFS's. It also tells readers that the database is being
    written; so it is made now. (They must not look into the file itself: who closes it takes the locks of his whole
    process back, as https://www.sqlite.org/howtocorrupt.html says in 2.2, and the driver may be in it.)
    Source: https://www.sqlite.org/wal.html#noshm, https://www.sqlite.org/pragma.html#pragma_journal_mode
    """
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA journal_mode=TRUNCATE")
    connection.execute("PRAGMA locking_mode=NORMAL")  # the lock goes with the next statement
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('open', '')")  # what changes nothing makes no journal
    connection.execute("DELETE FROM meta WHERE key = 'open'")
    connection.execute("COMMIT")


def journal_path(path: Path) -> Path:
    """Return where the rollback journal of a database is. It is there while a driver, or what it has left, is."""
    return path.with_name(f"{path.name}-journal")


def in_memory(path: Path, uri: str) -> sqlite3.Connection:
    """Return a copy of a database with a rollback journal, in memory: whoever reads long must not hold up its writer.

    Raises:
        sqlite3.Error: it can't be read.
    """
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=30)) as source:
            source.backup(copy)
        (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":  # what comes over the network need not be of one moment, where there are no locks
            raise sqlite3.DatabaseError(f"malformed: {found}")
    except sqlite3.OperationalError:
        journal = journal_path(path)
        if not journal.exists() or not journal.stat().st_size:
            raise
        # A writer died in the middle of a transaction, and who only reads must not take it back, but in a copy.
        with TemporaryDirectory(prefix="tunesmith_") as folder:
            for file in (journal, path):
                shutil.copyfile(file, Path(folder, file.name))
            with closing(sqlite3.connect(Path(folder, path.name))) as source:
                source.backup(copy)
    return copy
