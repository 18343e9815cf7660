"""Scores a scheduler's run: the regret of what it had found at each moment, and intervals over tasks and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from tasks import Array, Task

MOMENTS = np.geomspace(0.01, 1.0, 101)  # of the horizon
DRAWS = 2000  # of the bootstrap


class Log(NamedTuple):
    """What happened in a run: for each report its time, the configuration's row and the column of the table."""

    times: Sequence[float]
    rows: Sequence[int]
    columns: Sequence[int]


Run: TypeAlias = Callable[[Task, Array, int, float, int], Log]  # of a task, its rows, workers, horizon and seed


class Key(NamedTuple):
    """What a set of runs with different seeds has in common."""

    family: str
    task: str
    workers: int
    scheduler: str


Results: TypeAlias = dict[Key, Array]  # curves of regret by seed; of the configuration or the model; by moment


class Score(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


def regrets(task: Task, log: Log, horizon: float) -> Array:
    """The regret at each of `MOMENTS`: of the best configuration so far, and of the best model so far, a row each.

    The best is so as observed, at whatever fidelity. It is scored without noise: the configuration by what it gives
    when fully trained, the model as it was trained by then. Before the first report the regret is 1.
    """
    times, rows, columns = (np.array(values) for values in log)
    if not len(times):
        return np.ones((2, len(MOMENTS)))
    observed = np.nan_to_num(task.observed[rows, columns], nan=np.inf)
    is_better = observed < np.concatenate([[np.inf], np.minimum.accumulate(observed)[:-1]])
    actual = np.stack([task.actual[rows, -1], task.actual[rows, columns]])[:, is_better]
    regret = np.concatenate([np.ones((2, 1)), task.regret(actual)], axis=1)
    return regret[:, np.searchsorted(times[is_better], MOMENTS * horizon, side="right")]


def resampled(tasks: int, seeds: int, *, over_tasks: bool) -> tuple[Array, Array]:
    """Indices of a bootstrap by seeds within tasks, or by tasks first: the same ones for every scheduler."""
    draw = np.random.default_rng(0)
    which = draw.integers(tasks, size=(DRAWS, tasks, 1)) if over_tasks else np.arange(tasks)[None, :, None]
    return which, draw.integers(seeds, size=(DRAWS, tasks, seeds))


def bounded(value: float, samples: Array) -> Score:
    low, high = np.percentile(samples, (2.5, 97.5))
    return Score(value, float(low), float(high))


def mean(values: Array, *, over_tasks: bool = False) -> Score:
    """The mean over tasks and seeds."""
    samples = values[resampled(*values.shape, over_tasks=over_tasks)].mean(axis=(1, 2))
    return bounded(float(values.mean()), samples)


def band(curves: Array) -> tuple[Array, Array, Array]:
    """The mean curve over tasks and seeds, and the two ends of its interval."""
    scores = [mean(values) for values in np.moveaxis(curves, -1, 0)]
    middle, low, high = np.array(scores).T
    return middle, low, high


def area(curves: Array) -> Array:
    """The mean regret over the logarithm of time: what matters if nobody knows when the search will end."""
    return curves.mean(axis=-1)


def share(curves: Array, reference: Array) -> Score:
    """The share of the time in which a scheduler's regret falls to the final one of `reference`: 1 if it never does.

    For each task it is read off the mean curves over seeds; tasks are joined by the geometric mean.
    """
    which, seeds = resampled(*curves.shape[:2], over_tasks=True)
    samples = [_share(curves[t, s], reference[t, s]) for t, s in zip(which, seeds, strict=True)]
    return bounded(_share(curves, reference), np.array(samples))


def _share(curves: Array, reference: Array) -> float:
    is_there = curves.mean(axis=1) <= reference.mean(axis=1)[:, -1:]
    first = np.where(is_there.any(axis=1), is_there.argmax(axis=1), len(MOMENTS) - 1)
    return float(np.exp(np.log(MOMENTS[first]).mean()))
