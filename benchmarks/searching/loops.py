"""Runs a side on a task: one trial after another, or with many workers in virtual time."""

from __future__ import annotations

import time
from heapq import heappop, heappush

import numpy as np
from tasks import Array

from searching.ladders import Ladder, race
from searching.peers import PEERS, RANDOM
from searching.problems import Instance, Outcome, Task
from searching.sides import Make, Problem, ours
from searching.spaces import Config, Disguise, draw
from searching.special import volume

FIRST = 10  # configurations that every side begins with
HORIZONS = {8: 16.0, 64: 8.0}  # by workers: the time that there is, an evaluation takes a second at the median
SPREAD = 0.7  # of the logarithm of what an evaluation takes
TIME, CPU, SEEN, ACTUAL = range(4)  # columns of a run's log
FAILED = float("inf")  # what is seen of a crash, and of what breaks a constraint


def horizon(evaluations: int, workers: int) -> float:
    """The time that there is."""
    return float(evaluations) if workers == 1 else HORIZONS.get(workers, min(HORIZONS.values()))


def first(task: Task, disguise: Disguise, seed: int) -> list[Config]:
    """The configurations that every side begins with."""
    rng = np.random.default_rng([seed, *task.name.encode()])
    return [draw(disguise.space, rng) for _ in range(FIRST)]


def run(task: Task, make: Make, workers: int, seed: int, *, same_design: bool = True) -> Array:
    """The log of a run: for each evaluation, in the order of their ends, the time, CPU seconds, what was seen, and
    what it was without noise, on the scale of the task.

    With one worker the time counts evaluations. With more, it is virtual: evaluations take times that are lognormal,
    the same for a trial's number whatever the side, and that end is what the run is judged at. The CPU seconds are
    those of asking for the trial and of telling its end. For tasks of several fidelities see `race`.
    """
    instance = task.make(seed)
    disguise = Disguise(instance.space, seed)
    beginning = first(task, disguise, seed) if same_design else None
    if isinstance(instance, Ladder):
        return race(instance, ours(RANDOM) if make is PEERS[RANDOM] else make, workers, seed, beginning)
    end = horizon(task.evaluations, workers)
    count = task.evaluations if workers == 1 else int(2 * workers * end)  # more than take place
    side = make(Problem(disguise.space, instance.goals, instance.constraints, count, seed, beginning, workers=workers))
    recorder = Recorder(instance)
    agenda: list[tuple[float, int, Config]] = []
    spent: dict[int, float] = {}
    started = 0

    def start(now: float) -> None:
        nonlocal started
        begun = time.process_time()
        config = side.ask(started)
        spent[started] = time.process_time() - begun
        heappush(agenda, (now + duration(seed, started, workers), started, disguise.reveal(config)))
        started += 1

    for _ in range(workers):
        start(0.0)
    while agenda and agenda[0][0] <= end:
        now, number, config = heappop(agenda)
        outcome = instance.evaluate(config, np.random.default_rng([seed, number, 0x0E]))
        begun = time.process_time()
        side.tell(number, outcome)
        recorder.add(now, spent.pop(number) + time.process_time() - begun, outcome)
        if workers > 1 or started < task.evaluations:
            start(now)
    return recorder.log()


def duration(seed: int, number: int, workers: int) -> float:
    """What an evaluation takes: a second at the median."""
    return 1.0 if workers == 1 else float(np.random.default_rng([seed, number, 0x71]).lognormal(0.0, SPREAD))


class Recorder:
    """Keeps what has happened, on the task's scale.

    Of several objectives it keeps what the points so far lack in hypervolume, as a share of all that can be had.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._rows: list[tuple[float, float, float, float]] = []
        self._points: list[tuple[float, ...]] = []

    def add(self, now: float, cpu: float, outcome: Outcome) -> None:
        self._rows.append((now, cpu, *self._scored(outcome)))

    def _scored(self, outcome: Outcome) -> tuple[float, float]:
        best, median = self._instance.best, self._instance.median
        if self._instance.goals > 1:
            self._points.append(outcome.actual)
            lack = 1 - volume(np.array(self._points)) / best
            return lack, lack
        scaled = [(values[0] - best) / (median - best) for values in (outcome.seen, outcome.actual)]
        if scaled[0] != scaled[0] or any(violation > 0 for violation in outcome.violations):
            return FAILED, FAILED
        return scaled[0], scaled[1]

    def log(self) -> Array:
        found: Array = np.array(self._rows, np.float32).reshape(-1, 4)
        return found
