"""Measures Tunesmith on Ray against Ray Tune, on one Ray that was started before, and prints a table.

    python benchmarks/on_ray.py [--rounds 3] [--only TEXT] [--update]

One Ray with eight CPUs, more than there are, is started for all of it. Every round measures ours, Ray Tune and what Ray
itself can do one after another, in the opposite order every other round; ratios are medians of the rounds' ratios.
Needs ``pip install -e ".[benchmarks]"``. ``--update`` rewrites the table in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from statistics import median
from typing import NamedTuple

from published import publish
from rows import HERE, script, until_first

BEGIN, END = "<!-- on ray: python benchmarks/on_ray.py --update -->", "<!-- end of on ray -->"
SIDES, CPUS = "on_ray_sides.py", 8


class Row(NamedTuple):
    """A line: what is asked is a ratio to Ray Tune's, or, for the makespan, to the ideal."""

    what: str
    name: str
    unit: str
    asked: float
    raw: str  # what of Ray's own is its limit, and the name of that measurement
    limit: str
    rounds: int = 99

    @property
    def is_rate(self) -> bool:
        return self.unit == "/s"


ROWS = [
    Row("no-op trials, reused actors", "warm", "/s", 5, "calls, two actors", "calls"),
    Row("no-op trials, fresh actors", "fresh", "/s", 2, "actors started, two at a time", "starts"),
    Row("reports under ASHA, two workers", "asha", "/s", 10, "calls, two actors", "calls"),
    Row("first result", "first", "s", 2, "", ""),
    Row(
        "200 trials of 1 s, eight at a time", "makespan", "s", 1.08, "200 calls of 1 s, eight new actors", "makespan", 2
    ),
]
IDEAL_S = 200 / CPUS


def number(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{text}{unit}" if unit == "/s" else f"{text} {unit}"


def line(row: Row, ours: list[float], peers: list[float], limits: list[float]) -> str:
    better = median(a / b for a, b in (zip(ours, peers, strict=True) if row.is_rate else zip(peers, ours, strict=True)))
    limit, to_limit, asked = "-", "-", f"{row.asked:g} x Ray Tune's" if row.is_rate else "at most half of Ray Tune's"
    met = better >= row.asked
    if limits:
        ratio = median(a / b for a, b in zip(ours, limits, strict=True))
        limit, to_limit = f"{number(median(limits), row.unit)} ({row.raw})", f"{ratio:.2f} x"
    if row.name == "makespan":
        over = median(ours) / IDEAL_S
        met, asked = over <= row.asked, f"at most {row.asked:g} x the ideal, {IDEAL_S:g} s; is {over:.2f} x"
    cells = [
        row.what, number(median(ours), row.unit), number(median(peers), row.unit), f"{better:.3g} x better",
        asked + ("" if met else " **short**"), limit, to_limit,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name has this text")
    parser.add_argument("--update", action="store_true", help="rewrite the table in benchmarks/README.md")
    given = parser.parse_args()
    from ray.cluster_utils import Cluster

    head = {"num_cpus": CPUS, "object_store_memory": 200_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    rows = [row for row in ROWS if given.only in row.what]
    taken: dict[str, tuple[list[float], ...]] = {row.name: ([], [], []) for row in rows}
    begun = time.monotonic()
    try:
        time.sleep(5)  # Ray prepares some processes
        for turn in range(given.rounds):
            for row in rows:
                if turn >= row.rounds:
                    continue
                start = until_first if row.name == "first" else script
                steps: list[tuple[int, Callable[[], float]]] = [
                    (0, partial(start, SIDES, "ours", row.name, cluster.address)),
                    (1, partial(start, SIDES, "tune", row.name, cluster.address)),
                ]
                if row.limit:
                    steps.append((2, partial(script, SIDES, "raw", row.limit, cluster.address)))
                for side, measure in reversed(steps) if turn % 2 else steps:
                    taken[row.name][side].append(measure())
                figures = ", ".join(f"{values[-1]:.4g}" for values in taken[row.name] if values)
                print(f"{time.monotonic() - begun:4.0f} s, round {turn + 1}: {row.what}: {figures}", file=sys.stderr)
    finally:
        cluster.shutdown()
    table = "\n".join([
        "| what | ours | Ray Tune | | asked | Ray's own limit | ours to the limit |",
        f"|{'---|' * 7}",
        *(line(row, *taken[row.name]) for row in rows),
        "",
        f"Measured {time.strftime('%Y-%m-%d')} on {os.cpu_count()} CPUs of a {platform.machine()} machine, "
        f"{platform.system()}, Python {platform.python_version()}, ray {version('ray')}; {given.rounds} rounds.",
    ])  # fmt: skip
    print(table)
    if given.update:
        publish(table, BEGIN, END)
    shutil.rmtree(HERE / "__pycache__", ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
