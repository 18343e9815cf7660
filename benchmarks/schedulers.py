"""Judges schedulers in virtual time, beside random search and peers: the table and the picture of schedulers.md.

    python benchmarks/schedulers.py [--quick] [--seeds 20] [--jobs 1] [--lcbench FOLDER]
        [--tasks TEXT] [--only PATTERN] [--save FILE]
    python benchmarks/schedulers.py --load FILE... [--update]

Every scheduler starts the same configurations in the same order on the same learning curves, with 8 and 64 workers.
``--quick`` takes 2 seeds and fewer tasks. ``--save`` keeps the curves of regret after each seed, ``--load`` reads them
instead of running anything, ``--update`` rewrites the table in benchmarks/schedulers.md and the picture beside it.
Peers come with ``pip install -r benchmarks/schedulers.txt``, LCBench from github.com/slds-lmu/yahpo_data.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from published import publish
from scheduler_ours import OURS
from scheduler_page import BASELINE, picture, tables
from scheduler_peers import PEERS
from scoring import Key, Results, regrets
from tasks import OUTSIDE, QUALITIES, Array, Task, lcbench, mf_hartmann, order

HERE = Path(__file__).parent
BEGIN, END = "<!-- table: python benchmarks/schedulers.py --update -->", "<!-- end of table -->"
HORIZONS = {8: 8.0, 64: 2.0}  # by workers: how often the median configuration could be trained, one after another
SLOW = ("Syne Tune PASHA",)  # measured with --only PASHA alone
ROWS_A_HORIZON = 100  # at most so many trials are started while the median configuration is trained


class Case(NamedTuple):
    """One run: a scheduler on a task (by its place in the list) with some workers and a seed."""

    task: int
    workers: int
    scheduler: str
    seed: int


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds, and one task of each kind")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    parser.add_argument("--lcbench", type=Path, default=OUTSIDE, help="the folder lcbench of yahpo_data")
    parser.add_argument("--only", default="", help="schedulers whose name has this pattern, and random search")
    parser.add_argument("--tasks", default="", help="tasks whose name has this text")
    parser.add_argument("--save", type=Path, help="a file for the curves of regret")
    parser.add_argument("--load", type=Path, nargs="+", help="such files, instead of running anything")
    parser.add_argument("--update", action="store_true", help="rewrite the table and the picture")
    given = parser.parse_args()
    if given.seeds < 1 or given.jobs < 1:
        parser.error("--seeds and --jobs must be 1 or more")
    if given.quick:
        given.seeds = min(given.seeds, 2)
    return given


def tasks(folder: Path, text: str, is_quick: bool) -> list[Task]:
    """The tasks with this text in their names; those that can't be had are left out with a word."""
    qualities = ["good", "terrible"] if is_quick else list(QUALITIES)
    found = [mf_hartmann(dims, quality) for dims, quality in product([3] if is_quick else [3, 6], qualities)]
    if not (folder / "model.onnx").exists():
        print(f"LCBench is left out: there is no {folder / 'model.onnx'}. Give --lcbench FOLDER.", file=sys.stderr)
    elif importlib.util.find_spec("onnxruntime") is None:
        print("LCBench is left out: pip install onnxruntime.", file=sys.stderr)
    else:
        found += lcbench(folder, *([["167168"]] if is_quick else []))
    return [task for task in found if text in task.name]


def schedulers(only: str) -> list[str]:
    """Names of the schedulers that can run."""
    names = list(OURS)
    for package, title in {"syne_tune": "Syne Tune", "optuna": "Optuna"}.items():
        if importlib.util.find_spec(package) is None:
            print(f"{title} is left out: it is not installed.", file=sys.stderr)
        else:
            names += [name for name in PEERS if name.startswith(title)]
    wanted = [name for name in names if re.search(only, name)] if only else [name for name in names if name not in SLOW]
    return list(dict.fromkeys([BASELINE, *wanted]))


def measure(every: Sequence[Task], case: Case) -> Array:
    """The curve of regret of one run."""
    task = every[case.task]
    horizon = HORIZONS[case.workers] * task.unit
    rows = order(task, case.seed)[: int(case.workers * HORIZONS[case.workers] * ROWS_A_HORIZON)]
    log = {**OURS, **PEERS}[case.scheduler](task, rows, case.workers, horizon, case.seed)
    return regrets(task, log, horizon)


def is_measured(task: Task, case: Case) -> bool:
    """Both versions of PASHA compare every trial with every other: theirs has no end where there are many."""
    if not case.scheduler.endswith("PASHA"):
        return True
    return case.workers == min(HORIZONS) and (case.scheduler in OURS or task.family == "LCBench")


def run(every: Sequence[Task], names: Sequence[str], seeds: int, jobs: int) -> Iterator[Results]:
    """All runs, one seed after another: the results after each of them."""
    begun = time.monotonic()
    curves: dict[Key, list[Array]] = {}
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
        for seed in range(seeds):
            every_case = (Case(*case, seed) for case in product(range(len(every)), HORIZONS, names))
            cases = [case for case in every_case if is_measured(every[case.task], case)]
            measured = list(pool.map(partial(measure, every), cases))
            for case, curve in zip(cases, measured, strict=True):
                task = every[case.task]
                curves.setdefault(Key(task.family, task.name, case.workers, case.scheduler), []).append(curve)
            print(f"{time.monotonic() - begun:5.0f} s: {seed + 1} of {seeds} seeds", file=sys.stderr)
            yield {key: np.stack(rows) for key, rows in curves.items()}


def save(results: Results, path: Path) -> None:
    np.savez_compressed(path, **{json.dumps(key): curves for key, curves in results.items()})


def load(path: Path) -> Results:
    with np.load(path) as file:
        return {Key(*json.loads(key)): file[key] for key in file.files}


def update(text: str, results: Results) -> None:
    publish(text, BEGIN, END, HERE / "schedulers.md")
    picture(results, HERE / "schedulers.svg")


def main() -> int:
    given = arguments()
    if given.load:
        results = {key: curves for path in given.load for key, curves in load(path).items()}
    else:
        for results in run(
            tasks(given.lcbench, given.tasks, given.quick), schedulers(given.only), given.seeds, given.jobs
        ):
            if given.save:
                save(results, given.save)
    text = tables(results)
    print(text)
    if given.update:
        update(text, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
