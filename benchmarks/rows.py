"""What is measured: one row for each figure, with its limit, what is asked of it, and its peers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

HERE = Path(__file__).parent
PEERS = {"ray": "Ray Tune", "optuna": "Optuna"}
SCRATCH = tempfile.TemporaryDirectory(prefix="tunesmith-benchmark-", ignore_cleanup_errors=True)
Measure: TypeAlias = Callable[[], float]


class Peer(NamedTuple):
    """How a peer is measured, and how many times better ours is to be (None: nothing was asked)."""

    measure: Measure
    asked: float | None


class Row(NamedTuple):
    """A line of the table. Of a rate (unit "/s") ours is to be above `reach` times the limit, of the others below."""

    what: str
    unit: str
    limit_name: str
    limit: Measure
    ours: Measure
    reach: float
    peers: dict[str, Peer]
    pairs: int = 1  # ours and the limit are taken this many times a round: short ones scatter more
    rounds: int = 99  # at most so many: what hardly scatters need not be repeated

    @property
    def is_rate(self) -> bool:
        return self.unit == "/s"


def script(*arguments: str) -> float:
    """The number that a measuring script prints last. It gets a folder of its own, which stays until the end.

    What earlier measurements have left for the disk to do is waited for, and nothing is deleted on the way: for half a
    minute after many files were deleted, ext4 takes five times as long to make new ones.
    """
    os.sync()
    command = [sys.executable, str(HERE / arguments[0]), *arguments[1:], tempfile.mkdtemp(dir=SCRATCH.name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.splitlines()[-1])


def until_first(*arguments: str) -> float:
    """Seconds from the start of a process to its first result."""
    os.sync()
    command = [sys.executable, str(HERE / arguments[0]), *arguments[1:], tempfile.mkdtemp(dir=SCRATCH.name)]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "result":
                took = time.perf_counter() - begun
                process.communicate()
                return took
    raise RuntimeError(f"{' '.join(arguments)} gave no result")


def python(code: str) -> float:
    """Seconds that a new interpreter takes for `code`."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begun


def constant(value: float) -> Measure:
    return lambda: value


def limit(what: str) -> Measure:
    return partial(script, "limits.py", what)


def ours(what: str) -> Measure:
    return partial(script, "ours.py", what)


def against(what: str, **asked: float | None) -> dict[str, Peer]:
    return {name: Peer(partial(script, "peers.py", name, what), times) for name, times in asked.items()}


def first_against(**asked: float | None) -> dict[str, Peer]:
    return {name: Peer(partial(until_first, "peers.py", name, "first"), times) for name, times in asked.items()}


ROWS = [
    Row("no-op trials, a fresh process each", "/s", "fork, exit, wait", limit("forks"), ours("fresh"), 0.70,
        against("fresh", ray=300)),
    Row("no-op trials, warm workers", "/s", "pipe round trips", limit("pipes"), ours("warm"), 0.25,
        against("warm", ray=200, optuna=50)),
    Row("reports, one worker", "/s", "pipe round trips", limit("pipes"), ours("reports-1"), 0.40,
        against("reports-1", ray=20)),
    Row("reports, two workers", "/s", "pipe round trips", limit("pipes"), ours("reports-2"), 0.40,
        against("reports-2", ray=20)),
    Row("first result", "s", "`import numpy`", partial(python, "import numpy"),
        partial(until_first, "ours.py", "first"), 2.0, first_against(ray=20, optuna=None), pairs=5),
    Row("200 trials of 50 ms, two workers, fresh", "s", "the ideal", constant(5), ours("makespan-fresh"), 1.05,
        against("makespan-fresh", ray=None)),
    Row("200 trials of 50 ms, two workers, warm", "s", "the ideal", constant(5), ours("makespan-warm"), 1.05,
        against("makespan-warm", ray=None)),
    Row("driver's memory with one trial", "MB", "asked", constant(60), ours("memory"), 1.0,
        against("memory", ray=None, optuna=None), rounds=1),
    Row("driver's memory, each trial more", "B", "asked", constant(2000), ours("growth"), 1.0, {}, rounds=1),
    Row("`import tunesmith`", "s", "`import sqlite3, json`", partial(python, "import sqlite3, json"),
        partial(python, "import tunesmith"), 2.0, {}, pairs=10),
]  # fmt: skip

ASIDES = {
    "pipe round trips with both processes on one CPU": limit("pipes-one-cpu"),
    "pipe round trips of one process that answers two": limit("pipes-served"),
}
