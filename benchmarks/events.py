"""Measures how many events a second go through controller, scheduler and store, in simulated runs, and prints a table.

    python benchmarks/events.py [--largest 1000000] [--rounds 3] [--update]

Nothing is trained: 1,000 simulated workers report whatever the scheduler lets them, up to about `--largest` reports in
one run. Each run has a process of its own. Its seconds are those of one CPU, user and system, for the whole call, less
those for a run of one report: sampling, the store and the reading of the results are in them, what else the machine
does is not. The exponent is that of a power of the size, fitted to the seconds by least squares of the logarithms: 1 is
a cost of an event that does not depend on how many there were before. ``--update`` rewrites the table
in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from published import publish

import tunesmith as tune

BEGIN, END = "<!-- events: python benchmarks/events.py --update -->", "<!-- end of events -->"
REACH = 30_000  # events a second
LARGE = (1_000_000, 10_000)  # trials and workers that have to fit into memory
REACH_GB = 3.0
STEPS = 81
TITLES = ("what", "trials", "reports", "events", "CPU seconds", "events/s", "µs an event", "memory")


class Case(NamedTuple):
    """A row of runs: `trials` makes their number out of the number of reports that is wanted, `steps` what each has."""

    scheduler: Callable[[], Any]
    trials: Callable[[int], int]
    steps: Callable[[int], int]


CASES = {  # ASHA lets a trial report about 3.8 times
    "FIFO, 1,000 trials": Case(tune.FIFOScheduler, lambda size: 1000, lambda size: size // 1000),
    "FIFO, 10 reports each": Case(tune.FIFOScheduler, lambda size: size // 10, lambda size: 10),
    "ASHA": Case(lambda: tune.ASHAScheduler(max_t=STEPS), lambda size: round(size / 3.8), lambda size: STEPS),
    "ASHA, promoting": Case(
        lambda: tune.ASHAScheduler(max_t=STEPS, variant="promotion"), lambda size: round(size / 3.8), lambda size: STEPS
    ),
}


class Run(NamedTuple):
    """What one simulated run took; `memory` are the bytes of its process at most."""

    trials: int
    reports: int
    events: int
    seconds: float
    memory: float


def learn(config: dict[str, Any], step: int) -> tuple[dict[str, Any], float] | None:
    """A curve whose steps take as long as they like, so that hardly two reports come at the same moment."""
    if step > config["steps"]:
        return None
    return {"loss": config["x"] + 1 / step}, 60 * (0.5 + config["x"])


class Count(tune.Callback):
    """Counts what happens."""

    def __init__(self) -> None:
        self.events = self.reports = 0

    def on_events(self, events: Sequence[Any]) -> None:
        self.events += len(events)
        for event in events:
            self.reports += type(event).__name__ == "Reported"


def simulate(case: str, size: int, workers: int) -> Run:
    """Run the case in this process."""
    scheduler, trials, steps = CASES[case]
    took = []
    for number, each in ((1, 1), (1, 1), (trials(size), steps(size))):  # the first one imports
        count = Count()
        space = {"x": tune.uniform(0, 1), "steps": each}
        with tempfile.TemporaryDirectory() as folder:
            begun = time.process_time()
            results = tune.run(
                learn, space, metric="loss", mode="min", num_samples=number, scheduler=scheduler(),
                executor=tune.SimulatedExecutor(workers=workers), callbacks=[count], seed=1,
                storage_path=folder, verbose=0,
            )  # fmt: skip
            took.append(time.process_time() - begun)
        if results.errors or len(results) != number:
            raise RuntimeError(f"{results!r} of {number} trials")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Run(number, count.reports, count.events, took[2] - took[1], memory)


def measure(case: str, size: int, workers: int) -> Run:
    """Run the case in a process of its own."""
    command = [sys.executable, __file__, "--simulate", json.dumps([case, size, workers])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case}, {size} reports: {done.stderr.strip()}")
    return Run(*json.loads(done.stdout))


def exponent(runs: Sequence[Run]) -> float:
    """The power of the number of events that the seconds grow with."""
    x = [math.log(run.events) for run in runs]
    y = [math.log(run.seconds) for run in runs]
    return statistics.linear_regression(x, y).slope


def line(what: str, run: Run, *, reach: bool) -> str:
    rate = run.events / run.seconds
    cells = [
        what, f"{run.trials:,}", f"{run.reports:,}", f"{run.events:,}", f"{run.seconds:.3g}",
        f"{rate:,.0f}{' **short**' if reach and rate < REACH else ''}", f"{run.seconds / run.events * 1e6:.1f}",
        f"{run.memory / 1e6:,.0f} MB",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def table(largest: int, rounds: int) -> str:
    """Measure everything and return the page."""
    sizes = [10**power for power in range(3, round(math.log10(largest)) + 1)]
    lines, fits = [f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}"], []
    for case in CASES:
        runs = []
        for size in sizes:
            tries = [measure(case, size, 1000) for _ in range(rounds)]
            runs.append(sorted(tries, key=lambda run: run.seconds)[len(tries) // 2])
            lines.append(line(case, runs[-1], reach=True))
            print(lines[-1], file=sys.stderr)
        fits.append(f"{exponent(runs):.2f} ({case})")
    large = measure("ASHA", round(LARGE[0] * 3.8), LARGE[1])
    lines.append(line(f"ASHA, {LARGE[1]:,} workers", large, reach=False))
    verdict = "within" if large.memory < REACH_GB * 1e9 else "**above**"
    return "\n".join(
        [
            *lines,
            "",
            f"- At least {REACH:,} events a second were asked for with 1,000 workers.",
            f"- The seconds grow with the number of events to the power of {', '.join(fits)}.",
            f"- {LARGE[0]:,} trials on {LARGE[1]:,} workers are {verdict} the {REACH_GB:g} GB that were asked for.",
            "",
            f"Measured {time.strftime('%Y-%m-%d')} on one of the {os.cpu_count()} CPUs of a {platform.machine()} "
            f"machine, {platform.system()}, Python {platform.python_version()}; "
            f"{f'the median of {rounds} runs a row, the last row of one' if rounds > 1 else 'one run a row'}.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=1_000_000, help="reports of the largest run; a power of ten")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--update", action="store_true", help="rewrite the table in benchmarks/README.md")
    parser.add_argument("--simulate", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.simulate:
        print(json.dumps(simulate(*json.loads(given.simulate))))
        return
    page = table(given.largest, given.rounds)
    print(page)
    if given.update:
        publish(page, BEGIN, END)


if __name__ == "__main__":
    main()
