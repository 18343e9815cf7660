"""Measures what it takes to resume an experiment, and what durability costs, and prints tables.

    python benchmarks/durability.py [--largest 1000000] [--rounds 5] [--place FOLDER] [--update]

Resume: simulated experiments of many reports are made once; then each is resumed by a process of its own with the same
call, which folds all that is recorded, finds that nothing is left to do and reads the results. Its seconds are those of
a CPU, for the whole call, less those for an experiment of one report; the time on the clock stands beside them. Memory
is what the process took at most, less that for an experiment of one report.

Durability: two warm workers report as fast as they are answered, and ASHA decides. The rate is that between the first
report and the last. It is measured with a store that keeps events in memory, with the real one, and with the real one
that waits for the disk, in turn, round by round; the share that is lost is the median of the rounds. As the driver is
what limits the rate, the seconds of a CPU that it takes for a report are told, too: they say what a machine would lose
that has nothing else to do. ``--place`` is where the experiments are; the disk decides about the last row.
``--update`` rewrites the tables in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from published import publish

import tunesmith as tune
from tunesmith import assembly
from tunesmith.events import Event, Reported
from tunesmith.store.reading import EventReader
from tunesmith.store.sqlite import EventStore

BEGIN, END = "<!-- durability: python benchmarks/durability.py --update -->", "<!-- end of durability -->"
REACH_S = {100_000: 2.0, 1_000_000: 20.0}
REACH_LOST = 0.3
STEPS = 81
ASHA_REPORTS = 3.8  # of a trial under ASHA, on average


class Case(NamedTuple):
    """An experiment: so many reports of so many trials; ASHA makes about `ASHA_REPORTS` of each."""

    reports: int
    trials: int
    scheduler: str = "FIFO"


class Resumed(NamedTuple):
    """What one resume took. Memory in bytes."""

    trials: int
    reports: int
    cpu_s: float
    wall_s: float
    memory: float


# -- resume


def learn(config: dict[str, Any], step: int) -> tuple[dict[str, Any], float] | None:
    if step > config["steps"]:
        return None
    return {"loss": config["x"] + 1 / step, "accuracy": 1 - config["x"]}, 60 * (0.5 + config["x"])


def call(case: Case, place: str) -> tune.Results:
    """Begin the experiment, or resume it."""
    asha = case.scheduler == "ASHA"
    steps = STEPS if asha else case.reports // case.trials
    return tune.run(
        learn, {"x": tune.uniform(0, 1), "steps": steps}, metric="loss", mode="min", num_samples=case.trials,
        scheduler=tune.ASHAScheduler(max_t=STEPS) if asha else None, seed=1, resume="auto", verbose=0,
        executor=tune.SimulatedExecutor(workers=1000), storage_path=place,
        name=f"{case.scheduler}-{case.trials}-{case.reports}",
    )  # fmt: skip


def resume(case: Case, place: str) -> Resumed:
    """Resume the experiment in this process."""
    call(Case(1, 1), place)  # imports
    cpu, wall = [], []
    for each in (Case(1, 1), case):
        begun = time.process_time(), time.perf_counter()
        results = call(each, place)
        cpu.append(time.process_time() - begun[0])
        wall.append(time.perf_counter() - begun[1])
        if each is not case:
            base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) * 1024
    with EventReader.open_to_read(results.path / "experiment.db") as store:
        reports = sum(type(event) is Reported for _, event in store.read())
    return Resumed(len(results), reports, cpu[1] - cpu[0], wall[1] - wall[0], memory)


def resume_table(largest: int, place: str) -> list[str]:
    titles = ("scheduler", "reports", "trials", "CPU seconds", "on the clock", "reach asked", "memory")
    lines = [f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}"]
    for size in (size for size in REACH_S if size <= largest):
        for case in (Case(size, 1000), Case(size, size // 10), Case(size, round(size / ASHA_REPORTS), "ASHA")):
            in_a_process("--make", [[*case], place])
            (done,) = in_a_process("--resume", [[*case], place])
            found = Resumed(*done)
            reach = REACH_S[size] * max(1.0, found.reports / size)
            short = " **short**" if found.cpu_s > reach else ""
            cells = [
                case.scheduler, f"{found.reports:,}", f"{found.trials:,}", f"{found.cpu_s:.3g}",
                f"{found.wall_s:.3g} s", f"{REACH_S[size]:g} s{short}", f"{found.memory / 1e6:,.1f} MB",
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], file=sys.stderr)
    return lines


# -- durability


class MemoryStore(EventStore):
    """Keeps events in memory until it is closed."""

    def append(self, events: Sequence[Event]) -> None:
        self.__dict__.setdefault("_held", []).extend(events)

    def close(self) -> None:
        super().append(self.__dict__.pop("_held", ()))
        super().close()


class Watch(tune.Callback):
    """Counts the reports after the first ones, and takes the time of those and of the last ones."""

    def __init__(self) -> None:
        self.first = self.last = (0.0, 0.0)
        self.reports = 0

    def on_events(self, events: Sequence[Any]) -> None:
        reports = sum(type(event) is Reported for event in events)
        if reports:
            self.last = time.perf_counter(), time.process_time()
            if not any(self.first):
                self.first = self.last
            else:
                self.reports += reports


def report(config: dict[str, Any]) -> None:
    for step in range(1, config["steps"] + 1):
        tune.report(loss=config["x"] + 1 / step)


class Rate(NamedTuple):
    """The reports a second of a run, and the microseconds of a CPU that its driver took for each."""

    per_s: float
    cpu_us: float


def rate(kind: str, steps: int, place: str) -> Rate:
    """Measure one run in this process."""
    assembly.EventStore = MemoryStore if kind == "memory" else EventStore  # type: ignore[misc]
    watch = Watch()
    with tempfile.TemporaryDirectory(dir=place) as folder:
        tune.run(
            report, {"x": tune.uniform(0, 1), "steps": steps}, metric="loss", mode="min", num_samples=8, seed=1,
            scheduler=tune.ASHAScheduler(max_t=10 * steps, reduction_factor=4), reuse_workers=True,
            max_concurrent_trials=2, durability="full" if kind == "full" else "normal", storage_path=folder, verbose=0,
            callbacks=[watch],
        )  # fmt: skip
    (wall, cpu), (wall_end, cpu_end) = watch.first, watch.last
    return Rate(watch.reports / (wall_end - wall), (cpu_end - cpu) / watch.reports * 1e6)


def durability_table(rounds: int, steps: int, place: str) -> list[str]:
    kinds = ("memory", "normal", "full")
    found: dict[str, list[Rate]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            found[kind] += [Rate(*each) for each in in_a_process("--rate", [kind, steps, place])]
            print(kind, found[kind][-1], file=sys.stderr)
    titles = ("store", "reports/s", "lost", "driver's CPU, µs a report", "lost", "reach asked")
    lines = [f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}"]
    for kind, name in zip(kinds, ("in memory", '`durability="normal"`', '`durability="full"`'), strict=True):
        pairs = list(zip(found[kind], found["memory"], strict=True))
        lost = 1 - statistics.median(one.per_s / other.per_s for one, other in pairs)
        cpu_lost = 1 - statistics.median(other.cpu_us / one.cpu_us for one, other in pairs)
        per_s, cpu_us = map(statistics.median, zip(*found[kind], strict=True))
        reach = f"at most {REACH_LOST:.0%}{' **short**' if lost > REACH_LOST else ''}" if kind == "normal" else "-"
        losses = ("-", "-") if kind == "memory" else (f"{lost:.0%}", f"{cpu_lost:.0%}")
        lines.append(f"| {name} | {per_s:,.0f} | {losses[0]} | {cpu_us:.1f} | {losses[1]} | {reach} |")
    return lines


# -- the page


def in_a_process(option: str, given: list[Any]) -> list[Any]:
    """Measure in a process of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, __file__, option, json.dumps(given)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return [json.loads(done.stdout)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=1_000_000, help="reports of the largest experiment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4000, help="reports of the longest trials")
    parser.add_argument("--place", help="where the experiments are, a temporary folder by default")
    parser.add_argument("--update", action="store_true", help="rewrite the tables in benchmarks/README.md")
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--resume", help=argparse.SUPPRESS)
    parser.add_argument("--rate", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make or given.resume:
        case, place = json.loads(given.make or given.resume)
        done = resume(Case(*case), place) if given.resume else len(call(Case(*case), place))
        print(json.dumps(done))
        return
    if given.rate:
        print(json.dumps(rate(*json.loads(given.rate))))
        return
    with tempfile.TemporaryDirectory(dir=given.place) as place:
        measured = [*resume_table(given.largest, place), "", *durability_table(given.rounds, given.steps, place)]
    page = "\n".join(
        [
            *measured,
            "",
            f"Measured {time.strftime('%Y-%m-%d')} on {os.cpu_count()} CPUs of a {platform.machine()} machine, "
            f"{platform.system()}, Python {platform.python_version()}.",
        ]
    )
    print(page)
    if given.update:
        publish(page, BEGIN, END)


if __name__ == "__main__":
    main()
