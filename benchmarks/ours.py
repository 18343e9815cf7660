"""One measurement of Tunesmith, printed as a number. Each runs in a process of its own.

python benchmarks/ours.py WHAT FOLDER
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import tunesmith as tune


def nothing(config: dict[str, Any]) -> float:
    return 0.0


def chatty(config: dict[str, Any]) -> None:
    for _ in range(config["reports"]):
        tune.report(loss=0.5)


def doze(config: dict[str, Any]) -> float:
    time.sleep(0.05)
    return 0.0


def run(trainable: Any, space: dict[str, Any], count: int, **how: Any) -> float:
    """Seconds of a whole run, none of whose trials may fail."""
    begun = time.perf_counter()
    results = tune.run(
        trainable, space, metric="loss", mode="min", num_samples=count, verbose=0, storage_path=sys.argv[-1], **how
    )
    took = time.perf_counter() - begun
    if results.errors or len(results.trials) != count:
        raise RuntimeError(f"{len(results.trials)} trials of {count}, {len(results.errors)} failed")
    return took


NUMBER = {"x": tune.uniform(0, 1)}


def trials(count: int, **how: Any) -> float:
    """Trials a second, without the start of the run: the difference between a long and a short one."""
    run(nothing, NUMBER, 20, **how)
    short = run(nothing, NUMBER, 50, **how)
    return count / (run(nothing, NUMBER, 50 + count, **how) - short)


def fresh() -> float:
    return trials(800)


def warm() -> float:
    return trials(4000, reuse_workers=True)


def reports(workers: int, count: int = 20_000) -> float:
    """Reports a second, the same way."""
    short, long = (
        run(chatty, {"reports": n}, workers, max_concurrent_trials=workers) for n in (200, 200 + count // workers)
    )
    return count / (long - short)


def makespan(**how: Any) -> float:
    """Seconds of 200 trials of 50 ms on two workers, start and end of the run included."""
    return run(doze, NUMBER, 200, max_concurrent_trials=2, **how)


class First(tune.Callback):
    """Tells of the first report, and ends there."""

    def on_events(self, events: Sequence[Any]) -> None:
        if any(type(event).__name__ == "Reported" for event in events):
            print("result", flush=True)
            os._exit(0)


def first() -> float:
    run(nothing, NUMBER, 1, callbacks=[First()])
    raise RuntimeError("no result")


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a file of the kernel's
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Memory(tune.Callback):
    """Notes the driver's memory when its first trial ends and when all have."""

    def __init__(self) -> None:
        self.first = self.last = 0

    def on_events(self, events: Sequence[Any]) -> None:
        if not self.first and any(type(event).__name__ == "Completed" for event in events):
            self.first = resident()

    def on_end(self) -> None:
        self.last = resident()


def memory() -> float:
    """Megabytes of the driver when the only trial of its run ends."""
    seen = Memory()
    run(nothing, NUMBER, 1, callbacks=[seen])
    return seen.first / 1e6


def growth(count: int = 20_000) -> float:
    """Bytes of the driver for each trial more, from the end of the first to the end of the run."""
    seen = Memory()
    run(nothing, NUMBER, count, reuse_workers=True, callbacks=[seen])
    return (seen.last - seen.first) / count


WHAT: dict[str, Any] = {
    "fresh": fresh,
    "warm": warm,
    "reports-1": lambda: reports(1),
    "reports-2": lambda: reports(2),
    "makespan-fresh": makespan,
    "makespan-warm": lambda: makespan(reuse_workers=True),
    "first": first,
    "memory": memory,
    "growth": growth,
}

if __name__ == "__main__":
    print(WHAT[sys.argv[1]]())
