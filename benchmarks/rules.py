"""Are today's rules of the schedulers better than those of 2019? Both on the same tasks and seeds; prints a table.

    python benchmarks/rules.py [--seeds 10] [--lcbench FOLDER]

What is measured, and how, is that of ``schedulers.py``. It needs NumPy, and onnxruntime for LCBench.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scheduler_ours import tunesmith
from schedulers import HORIZONS, ROWS_A_HORIZON, tasks
from scoring import area, mean, regrets
from tasks import ETA, OUTSIDE, Task, order

import tunesmith as tune

Make = Callable[[Task, tune.Rules], Any]


def stopping(task: Task, rules: tune.Rules) -> Any:
    return tune.ASHAScheduler(
        "fidelity", max_t=task.full, grace_period=task.grace, reduction_factor=ETA, brackets=1, rules=rules
    )


def hyperband(task: Task, rules: tune.Rules) -> Any:
    return tune.HyperBandScheduler("fidelity", max_t=task.full, reduction_factor=ETA, rules=rules)


def median(task: Task, rules: tune.Rules) -> Any:
    return tune.MedianStoppingRule("fidelity", grace_period=task.grace, min_samples_required=5, rules=rules)


SCHEDULERS: dict[str, Make] = {"ASHA, stopping": stopping, "HyperBand": hyperband, "median stopping": median}
TITLES = ("tasks", "workers", "scheduler", "anytime, today", "anytime, 2019", "difference", "at the end, difference")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--lcbench", type=Path, default=OUTSIDE, help="the folder lcbench of yahpo_data")
    given = parser.parse_args()
    families: dict[str, list[Task]] = {}
    for task in tasks(given.lcbench, "", False):
        families.setdefault(task.family, []).append(task)
    print(f"| {' | '.join(TITLES)} |\n|{' --- |' * len(TITLES)}")
    for family, every in families.items():
        for workers, length in HORIZONS.items():
            for name, make in SCHEDULERS.items():
                curves = np.array([[[run(task, workers, length, seed, make, rules) for seed in range(given.seeds)]
                                    for task in every] for rules in (tune.RULES_TODAY, tune.RULES_2019)])  # fmt: skip
                today, then = curves
                scores = [
                    mean(area(today)),
                    mean(area(then)),
                    mean(area(today) - area(then), over_tasks=True),
                    mean(today[..., -1] - then[..., -1], over_tasks=True),
                ]
                cells = [f"{s.value:+.3f} ({s.low:+.3f} to {s.high:+.3f})" for s in scores]
                print(f"| {family} | {workers} | {name} | {' | '.join(cells)} |", flush=True)


def run(task: Task, workers: int, length: float, seed: int, make: Make, rules: tune.Rules) -> Any:
    """The curve of regret of the configurations found in one run."""
    horizon = length * task.unit
    rows = order(task, seed)[: int(workers * length * ROWS_A_HORIZON)]
    return regrets(task, tunesmith(lambda task: make(task, rules))(task, rows, workers, horizon, seed), horizon)[0]


if __name__ == "__main__":
    main()
