"""Tasks of several fidelities in virtual time: a trial reports at each of them, and may be stopped.

Ours is run as anyone runs it, with ASHA; a peer is asked, told and heeded in a loop of workers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from heapq import heappop, heappush
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tasks import ACCURACY, COLUMNS, EPOCHS, ETA, HARTMANN, INSTANCES, OPTIMA, QUALITIES, SKIPPED, TIME, Array, hartmann

import tunesmith as tune
from searching.problems import SAMPLE, Outcome, Task
from searching.sides import Make, OwnMake, Problem, flat, own_space
from searching.spaces import Config, Disguise, Number, Space, draw, numbers
from searching.tables import surrogate

FAMILY = "several fidelities"
HORIZONS = {1: 20.0, 8: 8.0, 64: 2.0}  # by workers: how often the median configuration can be trained on each


class Curve(NamedTuple):
    """What a configuration gives at each fidelity, what it is worth when fully trained, and what a unit takes."""

    observed: Array
    actual: float
    seconds: float


class Ladder(NamedTuple):
    """A task of several fidelities as it is under a seed; regret is 0 at `best` and 1 at `median`."""

    space: Space
    fidelities: tuple[int, ...]
    curve: Callable[[Config], Curve]
    best: float
    median: float
    unit: float  # what the median configuration takes to the last fidelity


def ladders(folder: Path, *, has_surrogates: bool) -> Iterator[Task]:
    for dims, quality in product((3, 6), QUALITIES):
        yield Task(f"MF-Hartmann {dims}, {quality}", FAMILY, partial(mf_hartmann, dims, quality))
    if has_surrogates:
        for name in INSTANCES:
            yield Task(f"lcbench {name}, by epochs", FAMILY, partial(lcbench, folder / "lcbench", name))


@cache
def mf_hartmann(dims: int, quality: str, seed: int = 0) -> Ladder:
    """As for the schedulers, but for any configuration: see `tasks.mf_hartmann`."""
    del seed
    bias, noise = QUALITIES[quality]
    low, high = np.log(HARTMANN[0]), np.log(HARTMANN[-1])
    lacks = (high - np.log(HARTMANN)) / (high - low)
    names = [f"x{i}" for i in range(dims)]

    def curve(config: Config) -> Curve:
        x = numbers(config, names)
        actual = np.array([hartmann(x[None], lack, bias)[0] for lack in lacks])
        rng = np.random.default_rng(x.view(np.uint64))  # the same noise whenever the configuration comes
        return Curve(actual + np.abs(rng.normal(size=len(lacks))) * noise * lacks, float(actual[-1]), 1.0)

    median = float(np.median(hartmann(np.random.default_rng(0).random((20 * SAMPLE, dims)))))
    space = tuple(Number(name, 0.0, 1.0) for name in names)
    return Ladder(space, HARTMANN, curve, OPTIMA[dims], median, float(HARTMANN[-1]))


@cache
def lcbench(folder: Path, name: str, seed: int = 0) -> Ladder:
    """Networks on tabular data: the balanced accuracy on the validation set after some epochs."""
    del seed
    model = surrogate(folder)
    code = model.codes["OpenML_task_id"][name]

    def outputs(configs: list[Config], epochs: Sequence[int]) -> Array:
        rows = [[{**c, "epoch": epoch + SKIPPED}[column] for column in COLUMNS] for c in configs for epoch in epochs]
        return model(np.array(rows, float), np.full((len(rows), 1), code))

    def curve(config: Config) -> Curve:
        found = outputs([config], EPOCHS)
        losses = -found[:, ACCURACY]
        return Curve(losses, float(losses[-1]), float(found[-1, TIME]) / EPOCHS[-1])

    space, rng = model.parameters("OpenML_task_id", "epoch"), np.random.default_rng(0)
    found = outputs([draw(space, rng) for _ in range(20 * SAMPLE)], EPOCHS[-1:])
    losses, unit = -found[:, ACCURACY], float(np.median(found[:, TIME]))
    return Ladder(space, EPOCHS, curve, float(losses.min()), float(np.median(losses)), unit)


def race(ladder: Ladder, make: Make, workers: int, seed: int, first: Sequence[Config] | None) -> Array:
    """The log of a run: for each report its share of the time that there is, no CPU seconds, what was seen, and what
    the configuration is worth when fully trained, both on the scale of the task."""
    disguise = Disguise(ladder.space, seed)
    horizon = HORIZONS[workers] * ladder.unit
    problem = Problem(disguise.space, 1, 0, -1, seed, first, ladder.fidelities, workers)
    rows = (own if isinstance(make, OwnMake) else peer)(ladder, make, problem, disguise, workers, horizon)
    log: Array = np.array(rows, np.float32).reshape(-1, 3)
    values = (log[:, 1:] - ladder.best) / (ladder.median - ladder.best)
    return np.column_stack([log[:, 0] / horizon, np.full(len(log), np.nan), values]).astype(np.float32)


Rows = list[tuple[float, float, float]]  # time, observed, actual


class Listener(tune.Callback):
    """Notes every report up to the horizon."""

    def __init__(self, horizon: float) -> None:
        self.horizon = horizon
        self.rows: Rows = []

    def on_events(self, events: Sequence[Any]) -> None:
        for event in events:
            if type(event).__name__ == "Reported" and event.timestamp <= self.horizon:
                self.rows.append((event.timestamp, event.metrics["loss0"], event.metrics["actual"]))


def own(ladder: Ladder, make: OwnMake, problem: Problem, disguise: Disguise, workers: int, horizon: float) -> Rows:
    """A run with ASHA as it was published, which pauses trials and promotes the best."""
    curves: dict[tuple[Any, ...], Curve] = {}

    def model(config: dict[str, Any], step: int) -> tuple[dict[str, Any], float] | None:
        if step > len(ladder.fidelities):
            return None
        chosen = flat(config)
        key = tuple(chosen.items())
        if key not in curves:
            curves[key] = ladder.curve(disguise.reveal(chosen))
        curve, fidelity = curves[key], ladder.fidelities[step - 1]
        metrics = {"loss0": float(curve.observed[step - 1]), "fidelity": fidelity, "actual": curve.actual}
        return metrics, curve.seconds * (fidelity - (ladder.fidelities[step - 2] if step > 1 else 0))

    listener = Listener(horizon)
    first, last = ladder.fidelities[0], ladder.fidelities[-1]
    with tempfile.TemporaryDirectory(prefix="tunesmith-benchmark-") as folder:
        tune.run(
            model,
            own_space(problem.space),
            metric="loss0",
            mode="min",
            num_samples=-1,
            executor=tune.SimulatedExecutor(workers=workers),
            scheduler=tune.ASHAScheduler(
                "fidelity", max_t=last, grace_period=first, reduction_factor=ETA, variant="promotion"
            ),
            search_alg=make.searcher(problem),
            time_budget_s=horizon,
            callbacks=[listener],
            storage_path=folder,
            seed=problem.seed,
            verbose=0,
        )
    return listener.rows


def peer(ladder: Ladder, make: Make, problem: Problem, disguise: Disguise, workers: int, horizon: float) -> Rows:
    """A loop of workers: a trial reports at each fidelity, and the side says whether it goes on."""
    side, rows = make(problem), Rows()
    agenda: list[tuple[float, int, int]] = []  # the next report: its time, its trial, and at which fidelity
    curves: dict[int, tuple[float, Curve]] = {}  # and when the trial was begun
    started = 0

    def at(number: int, step: int) -> float:
        begun, curve = curves[number]
        return begun + curve.seconds * ladder.fidelities[step]

    def start(now: float) -> None:
        nonlocal started
        curves[started] = now, ladder.curve(disguise.reveal(side.ask(started)))
        heappush(agenda, (at(started, 0), started, 0))
        started += 1

    for _ in range(workers):
        start(0.0)
    while agenda[0][0] <= horizon:
        now, number, step = heappop(agenda)
        curve = curves[number][1]
        value = float(curve.observed[step])
        rows.append((now, value, curve.actual))
        may_go_on = side.report(number, ladder.fidelities[step], value)
        if step + 1 == len(ladder.fidelities) or not may_go_on:
            side.tell(number, Outcome((value,), (curve.actual,)), is_complete=step + 1 == len(ladder.fidelities))
            start(now)
        else:
            heappush(agenda, (at(number, step + 1), number, step + 1))
    return rows
