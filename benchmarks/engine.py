"""Measures the engine against the machine's own limits and against peers, all in one run, and prints a table.

    python benchmarks/engine.py [--peers ray,optuna] [--rounds 3] [--cpus 2] [--only TEXT] [--json FILE] [--update]

Every round measures every row once: the limit, ours and the peers one after another, in the opposite order every other
round, so that what else the machine does falls on all sides. Ratios are medians of the rounds' ratios. Peers come with
``pip install -e ".[benchmarks]"``. ``--update`` rewrites the table in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from published import publish
from rows import ASIDES, HERE, PEERS, ROWS, Measure, Row
from table import Samples, page

BEGIN, END = "<!-- table: python benchmarks/engine.py --update -->", "<!-- end of table -->"
IMPORTED = """
import sys
before = set(sys.modules)
import tunesmith
names = {name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names) - {'tunesmith'}
print(', '.join(sorted(names)))
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="", help="ray, optuna, or both with a comma between")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpus", type=int, default=2, help="how many CPUs everything is tied to")
    parser.add_argument("--only", default="", help="rows whose name has this text")
    parser.add_argument("--json", type=Path, help="a file for every figure of every round")
    parser.add_argument("--update", action="store_true", help="rewrite the table in benchmarks/README.md")
    given = parser.parse_args()
    given.peers = [name for name in given.peers.split(",") if name]
    if unknown := set(given.peers) - set(PEERS):
        parser.error(f"--peers knows {', '.join(PEERS)}, not {', '.join(sorted(unknown))}")
    if given.rounds < 1 or given.cpus < 1:
        parser.error("--rounds and --cpus must be 1 or more")
    if given.update and given.only:
        parser.error("--update needs every row: leave --only out")
    if importlib.util.find_spec("numpy") is None:
        parser.error('the limit of the first result is `import numpy`: pip install -e ".[benchmarks]"')
    return given


def prepare(cpus: int) -> None:
    """Tie this process and its children to some CPUs, and compile the library, as an installed one is."""
    there = sorted(os.sched_getaffinity(0))
    if len(there) < cpus:
        raise SystemExit(f"--cpus {cpus}: this process may use {len(there)}. Ask for that many or fewer.")
    os.sched_setaffinity(0, there[:cpus])
    spec = importlib.util.find_spec("tunesmith")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit('tunesmith is not installed: pip install -e ".[benchmarks]"')
    subprocess.run([sys.executable, "-m", "compileall", "-q", *spec.submodule_search_locations], check=False)


def attempt(measure: Measure, what: str) -> float:
    """A figure, or NaN and a message: one failure must not cost the other rows."""
    try:
        return measure()
    except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"{what}: {error}", file=sys.stderr)
        return float("nan")


def sample(row: Row, peers: Sequence[str], is_turned: bool, taken: Samples) -> None:
    """One round of a row."""

    def pairs() -> None:
        both = [(attempt(row.limit, row.limit_name), attempt(row.ours, row.what)) for _ in range(row.pairs)]
        for name, values in zip(("limit", "ours"), zip(*both, strict=True), strict=True):
            taken.setdefault(name, []).append(statistics.median(values))

    def peer(name: str) -> None:
        taken.setdefault(name, []).append(attempt(row.peers[name].measure, f"{row.what}, {name}"))

    steps = [pairs, *(lambda name=name: peer(name) for name in peers if name in row.peers)]
    for step in reversed(steps) if is_turned else steps:
        step()


def conditions(cpus: int, peers: Sequence[str]) -> str:
    """The machine and the versions, in words."""
    imported = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True).stdout
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in peers)]
    return (
        f"Measured {time.strftime('%Y-%m-%d')} on {cpus} CPUs of a {platform.machine()} machine with "
        f"{os.cpu_count()}, {platform.system()}, {', '.join(versions)}.\n"
        f"`import tunesmith` imports from other packages: {imported.strip() or 'nothing'}."
    )


def main() -> int:
    given = arguments()
    prepare(given.cpus)
    there = [name for name in given.peers if importlib.util.find_spec(name) is not None]
    missing = {name: "not installed" if name in given.peers else "not measured" for name in PEERS if name not in there}
    rows = [row for row in ROWS if given.only in row.what]
    taken: dict[str, Samples] = {row.what: {} for row in rows}
    asides: Samples = {}
    begun = time.monotonic()
    for number in range(given.rounds):
        for row in rows:
            if number < row.rounds:
                sample(row, there, number % 2 == 1, taken[row.what])
                figures = ", ".join(f"{name} {values[-1]:.4g}" for name, values in taken[row.what].items())
                print(f"{time.monotonic() - begun:4.0f} s, round {number + 1}: {row.what}: {figures}", file=sys.stderr)
        for what, measure in () if given.only else ASIDES.items():
            asides.setdefault(what, []).append(attempt(measure, what))
    table = f"{page(rows, taken, missing, asides)}\n\n{conditions(given.cpus, there)}"
    print(table)
    if given.json:
        given.json.write_text(json.dumps({"rows": taken, "asides": asides}, indent=1))
    if given.update:
        publish(table, BEGIN, END)
    shutil.rmtree(HERE / "__pycache__", ignore_errors=True)
    samples = [*asides.values(), *(values for row in taken.values() for values in row.values())]
    return int(any(value != value for values in samples for value in values))


if __name__ == "__main__":
    sys.exit(main())
