"""What a searcher knows of its trials at each of some amounts of training."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, inf, log
from typing import Any

from tunesmith.errors import ArgumentError, MetricError, nearest
from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Array
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.known import Known

_ROUNDING = 1e-9  # what a logarithm of a power may be off by


class Rungs:
    """The trials' values at the rungs ``grace_period * reduction_factor**k``, k from 0: a `Known` for each rung.

    At a rung a trial's value is that of its first report there or past it. A report that jumps over rungs counts for
    the highest. A trial is under way at the rung that it comes to next. One that ends before it is not known there; one
    that fails is known to have failed there.

    Args:
        time_attr: the measure of progress, a reported number that grows.
        grace_period: where the lowest rung is, above 0, in units of `time_attr`; reports below it count for it.
        reduction_factor: above 1.

    Raises:
        ArgumentError: a number is out of its range.

    Attributes:
        levels: what is known at each rung that was reached or is next for a trial, by k.
    """

    def __init__(self, time_attr: str, grace_period: float, reduction_factor: float) -> None:
        for name, value, least in (("grace_period", grace_period, 0), ("reduction_factor", reduction_factor, 1)):
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not least < value < inf:
                raise ArgumentError(f"{name} must be a number above {least}, got {value!r}.")
        if not isinstance(time_attr, str) or not time_attr:
            raise ArgumentError(f"time_attr must be the name of a reported number, got {time_attr!r}.")
        self.time_attr, self.grace_period, self.reduction_factor = time_attr, grace_period, reduction_factor

    def setup(self, encoding: Encoding, objective: Objective, num_samples: int | None, seed: int) -> None:
        """Take the problem, and forget what was known."""
        self._problem = encoding, objective, num_samples, seed
        self.levels: dict[int, Known] = {}
        self._next: dict[int, int] = {}  # by trial: the rung that it has yet to reach
        self._rows: dict[int, Array] = {}

    def at(self, level: int) -> float:
        """Return where a rung is, in units of `time_attr`."""
        return float(self.grace_period * self.reduction_factor**level)

    def best_known(self, least: int) -> int | None:
        """Return the highest rung at which `least` results or more are known; None if there is none."""
        return max((level for level, known in self.levels.items() if known.count >= least), default=None)

    def begin(self, trial: int, row: Array) -> None:
        """Learn that a trial is under way."""
        self._rows[trial] = row
        self._next.setdefault(trial, 0)
        self._level(self._next[trial]).begin(trial, row, None)

    def correct(self, trial: int, row: Array) -> None:
        """Learn that a trial under way is made of another row."""
        if trial in self._next:
            self._rows[trial] = row
            self._level(self._next[trial]).correct(trial, row)

    def report(self, trial: int, metrics: Mapping[str, Any]) -> None:
        """Learn a result of a trial.

        Raises:
            MetricError: `time_attr` is not in it, or is no number.
        """
        if trial not in self._next:
            return
        reached = self._reached(metrics)
        upcoming = self._next[trial]
        if reached < upcoming:
            return
        if reached > upcoming:
            self._level(upcoming).withdraw(trial)
        if not self._level(reached).has(trial):
            self._level(reached).begin(trial, self._rows[trial], None)
        self._level(reached).end(trial, metrics, failed=False)
        self._next[trial] = reached + 1
        self._level(reached + 1).begin(trial, self._rows[trial], None)

    def end(self, trial: int, metrics: Mapping[str, Any] | None, *, failed: bool) -> None:
        """Learn the end of a trial, with its last result."""
        if trial not in self._next:
            return
        if metrics is not None and not failed:
            self.report(trial, metrics)
        known = self._level(self._next[trial])
        if failed:
            known.end(trial, None, failed=True)
        else:
            known.withdraw(trial)

    def _level(self, level: int) -> Known:
        if level not in self.levels:
            self.levels[level] = Known(*self._problem)
        return self.levels[level]

    def _reached(self, metrics: Mapping[str, Any]) -> int:
        time = metrics.get(self.time_attr)
        if not isinstance(time, (int, float)) or isinstance(time, bool) or not time < inf:
            found = "is not in the report" if time is None else f"must be a number, but the trial reported {time!r}"
            raise MetricError(
                f"The time attribute {self.time_attr!r} {found}.{nearest(self.time_attr, list(metrics))} "
                "Set the searcher's time_attr= to a number that is reported."
            )
        if time <= self.grace_period:
            return 0
        return floor(log(time / self.grace_period) / log(self.reduction_factor) + _ROUNDING)
