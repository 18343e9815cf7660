"""What a suggestion costs: TPESearch beside Optuna's TPE, 10 variables, in CPU milliseconds at the median.

    python benchmarks/suggestions.py [--counts 100 1000 10000] [--asks 30] [--without-optuna]

Both know the same random trials and are asked in turn, in one process, and told each result; set
OPENBLAS_NUM_THREADS=1 for both. Tunesmith's time is that of ``ask`` and ``tell``, Optuna's that of ``ask``, ten
``suggest_*`` and ``tell``. The last table is of Tunesmith alone, with as many trials under way as there are finished.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tunesmith as tune
from tunesmith.space import Space

LETTERS = ["a", "b", "c", "d"]
NUMBERS = {f"x{i}": tune.uniform(0, 1) for i in range(10)}
OPTIONS = {**{f"x{i}": tune.uniform(0, 1) for i in range(7)}, **{f"c{i}": tune.choice(LETTERS) for i in range(3)}}


def value(config: dict[str, Any]) -> float:
    return sum(LETTERS.index(v) / 4 if isinstance(v, str) else (v - 0.3) ** 2 for v in config.values())


def ours(space: dict[str, Any], known: list[dict[str, Any]], under_way: int = 0) -> Callable[[], float]:
    search = tune.TPESearch(space, "loss", "min", seed=1)
    for number, config in enumerate(known):
        search.remind(number, config, None)
        if number < len(known) - under_way:
            search.tell(number, {"loss": value(config)})

    def ask() -> float:
        begun = time.process_time()
        asked = search.ask()
        search.tell(asked.number, {"loss": value(asked.config)})
        return time.process_time() - begun

    return ask


def theirs(space: dict[str, Any], known: list[dict[str, Any]]) -> Callable[[], float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    number, letter = (
        optuna.distributions.FloatDistribution(0, 1),
        optuna.distributions.CategoricalDistribution(LETTERS),
    )
    distributions = {name: number if name.startswith("x") else letter for name in space}
    study.add_trials([
        optuna.trial.create_trial(params=config, distributions=distributions, value=value(config)) for config in known
    ])  # fmt: skip

    def ask() -> float:
        begun = time.process_time()
        trial = study.ask()
        config = {
            name: trial.suggest_float(name, 0, 1) if name.startswith("x") else trial.suggest_categorical(name, LETTERS)
            for name in space
        }
        study.tell(trial, value(config))
        return time.process_time() - begun

    return ask


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--asks", type=int, default=30)
    parser.add_argument("--without-optuna", action="store_true")
    given = parser.parse_args()
    print("| variables | trials | Tunesmith | Optuna | ratio |\n|---|---|---|---|---|")
    for title, space in (("10 numbers", NUMBERS), ("7 numbers, 3 options", OPTIONS)):
        for count in given.counts:
            known = [Space(space).sample(5, number) for number in range(count)]
            sides = [ours(space, known)] if given.without_optuna else [ours(space, known), theirs(space, known)]
            for side in sides:
                side()
            times = np.array([[side() for side in sides] for _ in range(given.asks)]) * 1e3
            middle = np.median(times, axis=0)
            rest = f"{middle[1]:.1f} ms | {middle[1] / middle[0]:.1f}" if len(middle) > 1 else "- | -"
            print(f"| {title} | {count:,} | {middle[0]:.2f} ms | {rest} |", flush=True)
    print("\n| trials | of which under way | Tunesmith |\n|---|---|---|")
    for count in given.counts:
        known = [Space(NUMBERS).sample(5, number) for number in range(2 * count)]
        ask = ours(NUMBERS, known, under_way=count)
        print(
            f"| {2 * count:,} | {count:,} | {np.median([ask() for _ in range(given.asks)]) * 1e3:.2f} ms |", flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
