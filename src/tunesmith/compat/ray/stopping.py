"""When trials stop: the criteria of 2019, and what the server was asked to stop."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.errors import MetricError
from tunesmith.stoppers.protocol import Stopper


class Criteria(Stopper):
    """Stops a trial when any of the named values reaches its threshold, from below.

    Args:
        limits_of: returns the thresholds of the trial of this number, by name.
        wanted: returns whether somebody has asked that the trial of this number be stopped.
    """

    def __init__(
        self, limits_of: Callable[[int], Mapping[str, float]], wanted: Callable[[int], bool] = lambda number: False
    ) -> None:
        self._limits_of = limits_of
        self._wanted = wanted
        budget = os.environ.get("TRIALRUNNER_WALLTIME_LIMIT")
        self._budget_s = float(budget) if budget else None
        self._spent_s = 0.0

    def observe(self, trial: int, result: dict[str, Any]) -> None:
        """Add up the time of all iterations."""
        self._spent_s += result.get("time_this_iter_s") or 0.0

    def judge(self, trial: int, result: dict[str, Any]) -> str | None:
        """Compare each value.

        Raises:
            MetricError: the result has no such value.
        """
        if self._wanted(trial):
            return "it was asked to stop"
        for name, limit in self._limits_of(trial).items():
            value = result.get(name)
            if value is None:
                raise MetricError(f"Stopping criteria {name} not provided in result {result}.")
            if value >= limit:
                return f"{name} reached {value:g}, the limit is {limit:g}"
        return None

    def judge_all(self) -> str | None:
        """Compare the time with the limit of the environment."""
        if self._budget_s is not None and self._spent_s > self._budget_s:
            return f"the time limit of {self._budget_s:g} s (TRIALRUNNER_WALLTIME_LIMIT) is used up"
        return None
