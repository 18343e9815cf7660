"""Workers that were forked ahead: a trial that finds one begins without waiting for a fork."""

from __future__ import annotations

import socket
from struct import Struct
from typing import Final

_HEAD: Final = Struct("<II")  # the slot, the length of the assignment
_CLOEXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)

Order = tuple[int, int, bytes]  # a slot, the reading end of its pipe, an assignment


class Spares:
    """The zygote's list of them, by process id.

    Args:
        limit: how many may wait.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._waiting: dict[int, socket.socket] = {}

    @property
    def pids(self) -> frozenset[int]:
        """The processes that wait."""
        return frozenset(self._waiting)

    def wanted(self) -> bool:
        """Whether there is room for one more."""
        return len(self._waiting) < self.limit

    def add(self, pid: int, end: socket.socket) -> None:
        """Note a process that waits at the other end of `end`."""
        self._waiting[pid] = end

    def hand_over(self, order: Order) -> int | None:
        """Give a trial to one that waits and return its process id; None when there is none."""
        slot, down, assignment = order
        while self._waiting:
            pid, end = self._waiting.popitem()
            with end:
                try:
                    socket.send_fds(end, [_HEAD.pack(slot, len(assignment))], [down])
                    end.sendall(assignment)
                except OSError:  # it has died meanwhile
                    continue
            return pid
        return None

    def remove(self, pid: int) -> None:
        """Forget a process that is gone."""
        end = self._waiting.pop(pid, None)
        if end is not None:
            end.close()


def wait_for_order(end: socket.socket) -> Order | None:
    """Wait, in a spare, for its trial; None when there will be none."""
    head, descriptors, _, _ = socket.recv_fds(end, _HEAD.size, 1, _CLOEXEC)
    if len(head) < _HEAD.size or not descriptors:
        return None
    slot, length = _HEAD.unpack(head)
    assignment = b""
    while len(assignment) < length:
        block = end.recv(length - len(assignment))
        if not block:
            return None
        assignment += block
    return slot, descriptors[0], assignment
