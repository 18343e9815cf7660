"""Measures how long the schedulers take to decide when there are many trials, and prints a table.

    python benchmarks/decisions.py [--trials 10000] [--update]

A simulated run on 100 workers; the clock stands around each question that the core asks the scheduler: what becomes of
a trial that has reported (judge), of the others (review), and which one starts next (choose). Two reports
never come at the same moment. ``--update`` rewrites the table in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from published import publish

import tunesmith as tune

BEGIN, END = "<!-- decisions: python benchmarks/decisions.py --update -->", "<!-- end of decisions -->"
REACH_US = 1000.0
STEPS = 27
QUESTIONS = ("judge", "review", "choose")
TITLES = ("scheduler", "trials", *(f"{question}, µs: median, 99 %, most" for question in QUESTIONS))
SCHEDULERS: dict[str, Callable[[], Any]] = {
    "HyperBand": lambda: tune.HyperBandScheduler("training_iteration", max_t=STEPS),
    "PBT": lambda: tune.PopulationBasedTraining(
        "training_iteration", perturbation_interval=3, hyperparam_mutations={"x": tune.uniform(0, 1)}
    ),
    "PBT, in step": lambda: tune.PopulationBasedTraining(
        "training_iteration", perturbation_interval=3, hyperparam_mutations={"x": tune.uniform(0, 1)}, synch=True
    ),
    "ASHA": lambda: tune.ASHAScheduler(max_t=STEPS),
    "ASHA, promoting": lambda: tune.ASHAScheduler(max_t=STEPS, variant="promotion"),
    "median stopping": lambda: tune.MedianStoppingRule("training_iteration", grace_period=3),
}


def learn(config: dict[str, Any], step: int) -> tuple[dict[str, Any], float] | None:
    """A curve whose steps take as long as they like."""
    return None if step > STEPS else ({"loss": config["x"] + 1 / step}, 60 * (0.5 + config["x"]))


def timed(scheduler: Any) -> dict[str, list[float]]:
    """Put a clock around the scheduler's answers; return the lists that the times, in seconds, go to."""
    found: dict[str, list[float]] = {question: [] for question in QUESTIONS}

    def around(answer: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
        def ask(*given: Any) -> Any:
            begun = time.perf_counter()
            try:
                return answer(*given)
            finally:
                times.append(time.perf_counter() - begun)

        return ask

    for question, times in found.items():
        setattr(scheduler, question, around(getattr(scheduler, question), times))
    return found


def measure(scheduler: Any, trials: int) -> dict[str, list[float]]:
    times = timed(scheduler)
    with tempfile.TemporaryDirectory() as folder:
        results = tune.run(
            learn, {"x": tune.uniform(0, 1)}, metric="loss", mode="min", num_samples=trials, scheduler=scheduler,
            executor=tune.SimulatedExecutor(workers=100), seed=1, storage_path=folder, verbose=0,
        )  # fmt: skip
    if len(results) != trials or results.errors:
        raise SystemExit(f"{results!r} of {trials} trials")
    return times


def cell(times: list[float]) -> str:
    if not times:
        return "-"
    cuts = statistics.quantiles(times, n=100) if len(times) > 1 else [times[0]] * 99
    short = " **short**" if cuts[49] * 1e6 > REACH_US else ""
    return f"{cuts[49] * 1e6:.1f}, {cuts[98] * 1e6:.1f}, {max(times) * 1e6:,.0f}{short}"


def table(trials: int) -> str:
    lines = [f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}"]
    for name, make in SCHEDULERS.items():
        times = measure(make(), trials)
        lines.append(f"| {name} | {trials:,} | {' | '.join(cell(times[question]) for question in QUESTIONS)} |")
        print(lines[-1], file=sys.stderr)
    return "\n".join([*lines, "", f"Asked for: {REACH_US / 1000:g} ms at the median, with 10,000 trials."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--update", action="store_true", help="rewrite the table in benchmarks/README.md")
    given = parser.parse_args()
    page = table(given.trials)
    print(page)
    if given.update:
        publish(page, BEGIN, END)


if __name__ == "__main__":
    main()
