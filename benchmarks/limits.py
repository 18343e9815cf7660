"""What the machine itself can do: the limits that the engine is held against, each printed as a number a second.

python benchmarks/limits.py forks|pipes|pipes-one-cpu|pipes-served
"""

from __future__ import annotations

import os
import select
import sys
import time


def forks(count: int = 1500) -> float:
    """Forks a second of a bare interpreter: fork, exit, wait, one after another."""
    begun = time.perf_counter()
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    return count / (time.perf_counter() - begun)


def asker(receive: int, send: int, count: int) -> None:
    """Send a byte and wait for the answer, `count` times."""
    for _ in range(count):
        os.write(send, b"x")
        os.read(receive, 1)


def pipes(count: int = 30_000) -> float:
    """Round trips a second of one byte between this process and another one, through a pair of pipes."""
    there_out, there_in = os.pipe()
    back_out, back_in = os.pipe()
    pid = os.fork()
    if pid == 0:
        while os.read(there_out, 1) == b"x":
            os.write(back_in, b"x")
        os._exit(0)
    begun = time.perf_counter()
    asker(back_out, there_in, count)
    rate = count / (time.perf_counter() - begun)
    os.write(there_in, b"q")
    os.waitpid(pid, 0)
    return rate


def pipes_one_cpu() -> float:
    """The same with both processes on one CPU, where none has to be woken on another."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    return pipes(60_000)


def pipes_served(askers: int = 2, count: int = 20_000) -> float:
    """Round trips a second of one process that answers several, as a driver answers its workers."""
    poll, answers, pids = select.poll(), {}, []
    for _ in range(askers):
        there_out, there_in = os.pipe()
        back_out, back_in = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.read(back_out, 1)
            asker(back_out, there_in, count)
            os._exit(0)
        pids.append(pid)
        os.close(there_in)
        answers[there_out] = back_in
        poll.register(there_out, select.POLLIN)
    for back in answers.values():
        os.write(back, b"x")
    begun = time.perf_counter()
    left = askers * count
    while left:
        for ready, _ in poll.poll():
            if os.read(ready, 1):
                os.write(answers[ready], b"x")
                left -= 1
            else:
                poll.unregister(ready)
    took = time.perf_counter() - begun
    for pid in pids:
        os.waitpid(pid, 0)
    return askers * count / took


LIMITS = {"forks": forks, "pipes": pipes, "pipes-one-cpu": pipes_one_cpu, "pipes-served": pipes_served}

if __name__ == "__main__":
    print(LIMITS[sys.argv[1]]())
