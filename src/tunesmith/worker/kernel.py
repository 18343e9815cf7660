"""What is asked of the operating system so that no process outlives its run."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Final

LINUX: Final = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Kernel:
    """The few calls that Python has no name for. On other systems than Linux they do nothing."""

    __slots__ = ("_children", "_prctl")

    def __init__(self) -> None:
        self._prctl: Any = None
        self._children = -1
        if LINUX:
            import ctypes

            self._prctl = ctypes.CDLL(None).prctl

    def die_with_parent(self, number: int) -> None:
        """Have the kernel send this process the signal `number` when its parent ends."""
        if self._prctl is not None:
            self._prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)

    def adopt_orphans(self) -> None:
        """Become the parent of any descendant whose own parent ends, so that none can escape."""
        if self._prctl is not None:
            self._prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def become_worker(self) -> None:
        """Die with the parent, at once, and adopt orphans: both in as few steps as can be."""
        prctl = self._prctl
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
            prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def children(self) -> list[int]:
        """Return the ids of this process's children, zombies included; empty where the system can't tell."""
        if not LINUX:
            return []
        try:
            if self._children < 0:
                pid = os.getpid()
                self._children = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
            found = b""
            while chunk := os.pread(self._children, 65536, len(found)):
                found += chunk
            return [int(pid) for pid in found.split()]
        except OSError:  # a kernel without that file
            return _children_by_search()


def _children_by_search() -> list[int]:
    me, found = os.getpid(), []
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - as above
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            if parent == me:
                found.append(int(name))
    return found


def kill_group(leader: int) -> None:
    """Kill the process group of a worker. Only for a leader that has not been collected: its id can't be another's."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # not yet its own group, or (macOS) only a zombie in it
        try:
            os.kill(leader, signal.SIGKILL)
        except ProcessLookupError:
            pass
