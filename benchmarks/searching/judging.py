"""Scores: regret over time, its mean over the logarithm of time, and differences with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from scoring import DRAWS, Score, area, bounded
from tasks import Array

from searching.cells import Cell, Logs
from searching.ladders import FAMILY as FIDELITIES
from searching.loops import ACTUAL, CPU, FIRST, SEEN, TIME, horizon
from searching.peers import RANDOM

STEPS = 101  # moments at which regret is read
Curves: TypeAlias = "dict[str, dict[int, Array]]"  # regret over time by task and seed


class Panel(NamedTuple):
    """What was measured of a class of tasks with some workers."""

    family: str
    workers: int
    curves: dict[str, Curves]  # by side
    cpu: dict[str, Array]  # the seconds of all suggestions, by side
    draws: dict[str, Array]  # what random search has drawn, all seeds together, by task

    def shared(self, one: str, other: str) -> dict[str, tuple[Array, Array]]:
        """The curves of two sides by task, for the seeds that both have: shape (seeds, moments)."""
        found = {}
        for task, left in self.curves[one].items():
            right = self.curves[other].get(task, {})
            seeds = sorted(left.keys() & right.keys())
            if seeds:
                found[task] = np.stack([left[s] for s in seeds]), np.stack([right[s] for s in seeds])
        return found


def panels(logs: Logs) -> Iterator[Panel]:
    """The regrets of all runs; the best value that a task is known to have is the best that any run has found."""
    best: dict[str, float] = {}
    for cell, log in logs.items():
        found = float(log[:, ACTUAL].min()) if len(log) else 0.0
        best[cell.task] = min(best.get(cell.task, 0.0), found)
    for place in sorted({(cell.workers, cell.family) for cell in logs}):
        here = {cell: log for cell, log in logs.items() if (cell.workers, cell.family) == place and len(log)}
        sides: dict[str, Curves] = {}
        cpu: dict[str, list[Array]] = {}
        draws: dict[str, list[Array]] = {}
        for cell, log in here.items():
            curve = regrets(log, cell, best[cell.task])
            sides.setdefault(cell.side, {}).setdefault(cell.task, {})[cell.seed] = curve
            cpu.setdefault(cell.side, []).append(log[FIRST:, CPU])
            if cell.side == RANDOM and cell.family != FIDELITIES and (log[1:, ACTUAL] > log[:-1, ACTUAL]).any():
                draws.setdefault(cell.task, []).append(scaled(log[:, ACTUAL], best[cell.task]))
        yield Panel(place[1], place[0], sides, _joined(cpu), _joined(draws))


def _joined(parts: Mapping[str, Sequence[Array]]) -> dict[str, Array]:
    return {name: np.concatenate(found) for name, found in parts.items()}


def scaled(actual: Array, best: float) -> Array:
    """Values on a task's scale as regrets, of 0 to 1."""
    found: Array = np.clip((actual.astype(float) - best) / (1 - best), 0.0, 1.0)
    return found


def moments(cell: Cell, count: int) -> Array:
    """When regret is read, evenly on the logarithm of time: from the end of the first configurations to the last, by
    their count; or from the first second in which one could end, or the first twentieth of the time that there is."""
    if cell.family == FIDELITIES:
        return np.geomspace(0.05, 1.0, STEPS)
    return (
        np.geomspace(FIRST, count, STEPS)
        if cell.workers == 1
        else np.geomspace(1.0, horizon(count, cell.workers), STEPS)
    )


def regrets(log: Array, cell: Cell, best: float) -> Array:
    """The regret at each moment, of what looked best by then; 1 where nothing did."""
    is_counted = cell.workers == 1 and cell.family != FIDELITIES
    times = np.arange(1, len(log) + 1) if is_counted else log[:, TIME]
    seen = log[:, SEEN]
    is_better = seen < np.concatenate([[np.inf], np.minimum.accumulate(seen)[:-1]])
    values = np.concatenate([[1.0], scaled(log[is_better, ACTUAL], best)])
    found: Array = values[np.searchsorted(times[is_better], moments(cell, len(log)) + 1e-9, side="right")]
    return found


def anytime(curves: Array) -> Array:
    """The mean over the logarithm of time."""
    return area(curves)


def final(curves: Array) -> Array:
    return curves[..., -1]


# -- over tasks and seeds


def mean(values: Sequence[Array]) -> Score:
    """The mean over tasks of the mean over their seeds; the interval is that of a bootstrap by tasks, then seeds."""
    draw = np.random.default_rng(0)
    means = np.stack([found[draw.integers(len(found), size=(DRAWS, len(found)))].mean(axis=1) for found in values])
    which = draw.integers(len(values), size=(DRAWS, len(values)))
    samples = means[which, np.arange(DRAWS)[:, None]].mean(axis=1)
    return bounded(float(np.mean([found.mean() for found in values])), samples)


def p_value(values: Sequence[Array]) -> float:
    """Of Wilcoxon's signed ranks over tasks, whose means these are; 1 where there is nothing to tell."""
    from scipy.stats import wilcoxon

    means = np.array([found.mean() for found in values])
    return float(wilcoxon(means).pvalue) if len(means) > 1 and (means != 0).any() else 1.0


def holm(values: Sequence[float]) -> list[float]:
    """The same, for as many questions at once.

    >>> holm([0.01, 0.04, 0.5])
    [0.03, 0.08, 0.5]
    """
    order = np.argsort(values)
    adjusted = np.maximum.accumulate([values[i] * (len(values) - rank) for rank, i in enumerate(order)])
    found = np.empty(len(values))
    found[order] = np.minimum(adjusted, 1.0)
    return [float(value) for value in found]


def ratio(left: Array, right: Array) -> float:
    """How much of one regret another is, both of which may be 0: below a millionth they count as that."""
    return float(max(left.mean(), 1e-6) / max(right.mean(), 1e-6))


def multiple(regret: float, draws: Array, evaluations: int) -> float:
    """How many times as many evaluations random search takes to a regret, from the share of draws that have it."""
    share = max(float(np.mean(draws <= regret)), 1 / len(draws))
    return 1 / (share * evaluations)
