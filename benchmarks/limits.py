"""What the machine itself can do: the limits that the engine is held against.

python benchmarks/limits.py forks|pipes|sockets
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable


def forks(count: int = 1500) -> float:
    """Forks a second of a bare interpreter: fork, exit, wait, one after another."""
    begun = time.perf_counter()
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    return count / (time.perf_counter() - begun)


def round_trips(make: Callable[[], tuple[tuple[int, int], tuple[int, int]]], count: int) -> float:
    """Round trips a second of one byte between this process and another one."""
    (there_out, there_in), (back_out, back_in) = make()
    pid = os.fork()
    if pid == 0:
        while os.read(there_out, 1) == b"x":
            os.write(back_in, b"x")
        os._exit(0)
    begun = time.perf_counter()
    for _ in range(count):
        os.write(there_in, b"x")
        os.read(back_out, 1)
    rate = count / (time.perf_counter() - begun)
    os.write(there_in, b"q")
    os.waitpid(pid, 0)
    return rate


def pipes(count: int = 60_000) -> float:
    """Round trips a second through a pair of pipes."""
    return round_trips(lambda: (os.pipe(), os.pipe()), count)


def sockets(count: int = 20_000) -> float:
    """Round trips a second through a pair of sockets."""

    def make() -> tuple[tuple[int, int], tuple[int, int]]:
        ours, theirs = socket.socketpair()
        mine, other = ours.detach(), theirs.detach()
        return (other, mine), (mine, other)

    return round_trips(make, count)


if __name__ == "__main__":
    print({"forks": forks, "pipes": pipes, "sockets": sockets}[sys.argv[1]]())
