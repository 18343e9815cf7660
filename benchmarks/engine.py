"""Measures the engine against the machine's own limits and against peers, all in one run, and prints a table.

    python benchmarks/engine.py [--peers ray optuna] [--rounds 3] [--cpus 2] [--update]

Rounds are interleaved, so that what else the machine does falls on all sides, and medians are shown. Peers need
``pip install -e ".[benchmarks]"``. ``--update`` rewrites the table in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
BEGIN, END = "<!-- table: python benchmarks/engine.py --update -->", "<!-- end of table -->"


def script(*arguments: str) -> str:
    """The last line of what a measuring script prints."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / arguments[0]), *arguments[1:], folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout.splitlines()[-1]


def limit(what: str) -> float:
    return float(script("limits.py", what))


def ours(what: str) -> float:
    return float(script("ours.py", what))


def peer(name: str, what: str) -> float:
    return float(script("peers.py", name, what))


def python(code: str) -> float:
    """Seconds that an interpreter takes for `code`: the median of several."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def until_first(*arguments: str) -> float:
    """Seconds from the start of a process to its first result."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        command = [sys.executable, str(HERE / arguments[0]), *arguments[1:], folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip() == "result":
                    took = time.perf_counter() - begun
                    process.communicate()
                    return took
    raise RuntimeError(f"{' '.join(arguments)} gave no result")


class Row(NamedTuple):
    """A line of the table. `reach` is of ours against the limit; a rate is to be above it, a time below."""

    what: str
    unit: str
    limit_name: str
    limit: Callable[[], float]
    ours: Callable[[], float]
    reach: float
    peers: dict[str, tuple[Callable[[], float], float | None]]


def rows() -> list[Row]:
    def ray(what: str, reach: float | None) -> dict[str, tuple[Callable[[], float], float | None]]:
        return {"ray": (lambda: peer("ray", what), reach)}

    return [
        Row("trials, a fresh process each", "/s", "fork, exit, wait", lambda: limit("forks"), lambda: ours("fresh"),
            0.70, ray("fresh", 300)),
        Row("trials, warm workers", "/s", "pipe round trips", lambda: limit("pipes"), lambda: ours("warm"), 0.25,
            {**ray("warm", 200), "optuna": (lambda: peer("optuna", "warm"), 50)}),
        Row("reports, one worker", "/s", "pipe round trips", lambda: limit("pipes"), lambda: ours("reports-1"), 0.40,
            ray("reports-1", 20)),
        Row("reports, two workers", "/s", "pipe round trips", lambda: limit("pipes"), lambda: ours("reports-2"), 0.40,
            ray("reports-2", 20)),
        Row("first result", "s", "`import numpy`", lambda: python("import numpy"),
            lambda: until_first("ours.py", "first"),
            2.0, {"ray": (lambda: until_first("peers.py", "ray", "first"), 20)}),
        Row("200 trials of 50 ms, fresh", "s", "two workers, ideally", lambda: 5.0, lambda: ours("makespan-fresh"),
            1.05,
            ray("makespan-fresh", None)),
        Row("200 trials of 50 ms, warm", "s", "two workers, ideally", lambda: 5.0, lambda: ours("makespan-warm"),
            1.05,
            ray("makespan-warm", None)),
        Row("driver's memory at its start", "MB", "60 MB", lambda: 60.0,
            lambda: float(script("ours.py", "memory").split()[0]), 1.0, ray("memory", None)),
        Row("driver's memory, a trial more", "B", "2 KB", lambda: 2000.0,
            lambda: float(script("ours.py", "memory").split()[1]), 1.0, {}),
        Row("`import tunesmith`", "s", "`import sqlite3, json`", lambda: python("import sqlite3, json"),
            lambda: python("import tunesmith"), 2.0, {}),
    ]  # fmt: skip


def measure(row: Row, rounds: int, peers: list[str]) -> list[str]:
    """Measure one row and return its cells."""
    limits, mine, others = [], [], {name: [] for name in peers if name in row.peers}
    for _ in range(rounds):
        limits.append(row.limit())
        mine.append(row.ours())
    for name, values in others.items():
        values.append(row.peers[name][0]())
    low, us = statistics.median(limits), statistics.median(mine)
    is_rate = row.unit == "/s"
    ratio = us / low
    met = ratio >= row.reach if is_rate else ratio <= row.reach
    reach = f"{row.reach:.0%}" if is_rate else f"{row.reach:g}x"
    shown = f"{ratio:.0%}" if is_rate else f"{ratio:.2f}x"
    cells = [row.what, number(us, row.unit), f"{number(low, row.unit)} ({row.limit_name})", shown, reach]
    cells.append("yes" if met else "**no**")
    notes = []
    for name, values in others.items():
        value = statistics.median(values)
        better = us / value if is_rate else value / us
        wanted = row.peers[name][1]
        asked = "" if wanted is None else f", asked {wanted:g}" + ("" if better >= wanted else ": **no**")
        notes.append(f"{name} {number(value, row.unit)}: {better:,.3g} times better{asked}")
    return [*cells, "; ".join(notes) or "-"]


def number(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return f"{text}{unit}" if unit == "/s" else f"{text} {unit}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", nargs="*", default=[], choices=["ray", "optuna"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--only", default="", help="rows whose name has this text")
    parser.add_argument("--update", action="store_true")
    given = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cpus])
    lines = [
        "| what | Tunesmith | limit | ratio | reach | met | peers |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for row in rows():
        if given.only in row.what:
            lines.append(f"| {' | '.join(measure(row, given.rounds, given.peers))} |")
            print(lines[-1], flush=True)
    words = f"{given.cpus} CPUs of a {platform.machine()} machine, Linux, Python {platform.python_version()}"
    versions = [f"{name} {version(name)}" for name in given.peers]
    lines += ["", f"Measured {time.strftime('%Y-%m-%d')} on {words}{''.join(', ' + v for v in versions)}."]
    print(lines[-1])
    if given.update:
        update("\n".join(lines))
    shutil.rmtree(HERE / "__pycache__", ignore_errors=True)


def version(name: str) -> str:
    from importlib.metadata import version as installed

    return installed(name)


def update(table: str) -> None:
    page = HERE / "README.md"
    head, rest = page.read_text().split(BEGIN)
    page.write_text(f"{head}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
