"""Judges searchers beside random search and peers: the tables and the picture of search.md.

    python benchmarks/search.py --quick --sides tpe "TPESearch(gamma=0.2)" --save mine.npz
    python benchmarks/search.py [--class TEXT...] [--tasks TEXT...] [--sides NAME...] [--seeds 20] [--workers 1 8 64]
        [--jobs 1] [--minutes M] [--save FILE] [--load FILE...] [--update]

Every side gets the same tasks under the same seeds, disguised, and begins with the same ten configurations. A side is
a name of ``tune.run(search_alg=...)``, a class of tunesmith with settings, each of them with a name of its own if
need be (``mine=tpe(gamma=0.2)``), or a peer. ``--save`` keeps every run: those that the file has are not done again.
``--load`` adds the runs of other files, and ``--seeds 0`` does nothing but show what there is. Peers come with
``pip install -r benchmarks/search.txt``.
"""

from __future__ import annotations

import os

# Before anything loads a BLAS: a suggestion has one thread, ours and everyone's.
os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")})

import argparse
import random
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from published import publish
from searching import latency, pages, tables
from searching.cells import Cell, Keeper, here, merged
from searching.loops import run
from searching.peers import PEERS, available
from searching.problems import Task
from searching.sides import Make, UnableError, ours
from searching.suite import PARALLEL, QUICK, suite
from tasks import Array

from tunesmith.searchers.names import NAMES

HERE = Path(__file__).parent
BEGIN, END = "<!-- table: python benchmarks/search.py --update -->", "<!-- end of table -->"
LATENCY, LATENCY_END = "<!-- latency: python benchmarks/search.py --latency --update -->", "<!-- end of latency -->"
NOT_MODELS = {"random", "grid"}  # names of ours that there is nothing to judge of


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 seeds of 28 tasks")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--from-seed", type=int, default=0, help="the first of them")
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--class", dest="families", nargs="+", default=[""], help="classes whose name has a text")
    parser.add_argument("--tasks", nargs="+", default=[""], help="tasks whose name has one of these texts")
    parser.add_argument("--sides", nargs="+", help="all names of ours and all peers, if nothing is said")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no run is begun after so many")
    parser.add_argument("--own-design", action="store_true", help="every side begins as it likes")
    parser.add_argument("--yahpo", type=Path, default=tables.DATA, help="the folder with lcbench and rbv2_rpart")
    parser.add_argument("--save", type=Path, help="a file for all runs")
    parser.add_argument("--again", action="store_true", help="the runs that it has are done again")
    parser.add_argument("--load", type=Path, nargs="+", default=[], help="such files, to be shown with it")
    parser.add_argument("--latency", action="store_true", help="what a suggestion costs, and nothing else")
    parser.add_argument("--update", action="store_true", help="rewrite the tables and the picture")
    given = parser.parse_args()
    if given.seeds < 0 or given.jobs < 1:
        parser.error("--seeds must be 0 or more, and --jobs 1 or more")
    if given.quick:
        given.seeds = min(given.seeds, 3)
    return given


def sides(names: Sequence[str] | None) -> dict[str, Make]:
    """The sides that can run, by their names in the tables."""
    if names is None:
        names = [*PEERS, *(name for name in NAMES if name not in NOT_MODELS)]
    found: dict[str, Make] = {}
    for text in names:
        if text not in PEERS:
            label, _, rest = text.partition("=")
            is_labelled = bool(rest) and "(" not in label
            found[label if is_labelled else text] = ours(rest if is_labelled else text)
        elif available(text):
            found[text] = PEERS[text]
        else:
            print(f"{text} is left out: it is not installed.", file=sys.stderr)
    return found


def chosen(given: argparse.Namespace) -> list[Task]:
    """The tasks that were asked for."""
    return [
        task
        for task in suite(given.yahpo)
        if any(text in task.family for text in given.families) and any(text in task.name for text in given.tasks)
    ]


def plan(given: argparse.Namespace, every: Sequence[Task], names: Sequence[str]) -> Iterator[Cell]:
    """All runs, one seed after another; with several workers some of the tasks, of one worker quickly too."""
    alone = QUICK if given.quick else {task.name for task in every}
    for seed in range(given.from_seed, given.from_seed + given.seeds):
        for workers in given.workers:
            for task in every:
                if task.name in (alone if workers == 1 else PARALLEL):
                    yield from (Cell(task.family, task.name, workers, side, seed) for side in names)


class Bench(NamedTuple):
    """What a process needs to do runs: it is inherited, since functions made on the way can't be sent."""

    tasks: dict[str, Task]
    sides: dict[str, Make]
    has_same_design: bool
    until: float  # of the monotonic clock


bench: list[Bench] = []  # of this process


def measure(cell: Cell) -> Array | str | None:
    """The log of a run, empty if the side can't do it; None if it is too late, a text if it failed."""
    tasks, makes, has_same_design, until = bench[0]
    if time.monotonic() > until:
        return None
    warnings.filterwarnings("ignore")
    random.seed(cell.seed)
    np.random.seed(cell.seed)  # some peers draw from it
    try:
        return run(tasks[cell.task], makes[cell.side], cell.workers, cell.seed, same_design=has_same_design)
    except UnableError:
        return np.empty((0, 4), np.float32)
    except Exception:  # noqa: BLE001  # one run that fails is a word in the end, and the others count
        return traceback.format_exc(limit=-4)


def work(given: argparse.Namespace, keeper: Keeper) -> int:
    """Do what is not yet done; how many runs failed."""
    makes, every = sides(given.sides), {task.name: task for task in chosen(given)}
    cells = [cell for cell in plan(given, list(every.values()), list(makes)) if given.again or cell not in keeper.logs]
    begun, failed = time.monotonic(), dict[str, str]()
    shared = Bench(every, makes, not given.own_design, begun + 60 * given.minutes)
    with ProcessPoolExecutor(given.jobs, get_context("fork"), bench.append, (shared,)) as pool:
        for i, (cell, log) in enumerate(zip(cells, pool.map(measure, cells), strict=True)):
            if isinstance(log, str):
                failed[f"{cell.side} on {cell.task}"] = log
            elif log is not None:
                keeper.add(cell, log)
            if i == len(cells) - 1 or i % max(len(cells) // 20, 1) == 0:
                print(f"{time.monotonic() - begun:5.0f} s: {i + 1} of {len(cells)} runs", file=sys.stderr)
    for what, why in failed.items():
        print(f"{what} failed:\n{why}", file=sys.stderr)
    return len(failed)


def cost(given: argparse.Namespace) -> int:
    """Measure what a suggestion costs."""
    warnings.filterwarnings("ignore")
    rows = latency.measured(sides(given.sides), lambda text: print(text, file=sys.stderr))
    text = latency.table(list(rows))
    print(text)
    if given.update:
        publish(text, LATENCY, LATENCY_END, HERE / "search.md")
    return 0


def main() -> int:
    given = arguments()
    if given.latency:
        return cost(given)
    keeper = Keeper(given.save, here("what each side likes" if given.own_design else "the same configurations"))
    failed = 0
    try:
        if given.seeds:
            failed = work(given, keeper)
    finally:
        keeper.close()
    logs, about = merged(given.load, keeper.logs, keeper.about)
    text = pages.tables(logs, about)
    print(text)
    if given.update:
        publish(text, BEGIN, END, HERE / "search.md")
        pages.picture(logs, HERE / "search.svg")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
