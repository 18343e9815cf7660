"""The stoppers: thresholds, a user's function, plateaus, and combinations."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, isnan, nan
from typing import Any

from tunesmith.errors import ArgumentError, MetricError, nearest
from tunesmith.objective import Objective
from tunesmith.stoppers.protocol import Stopper


def _number(result: Mapping[str, Any], name: str, what: str) -> float:
    """Return the number called `name`, or NaN when the trial has not reported one yet (None)."""
    if name not in result:
        raise MetricError(
            f"{what} {name!r} is not in the report, which has: {', '.join(result)}.{nearest(name, result)}"
        )
    value = result[name]
    if value is None:
        return nan
    if not isinstance(value, (bool, int, float)):
        raise MetricError(f"{what} {name!r} must be a number, but the trial reported {value!r}.")
    return float(value)


class ThresholdStopper(Stopper):
    """Stop a trial as soon as any of the named values reaches its threshold (``>=``).

    >>> ThresholdStopper({"training_iteration": 10}).judge(0, {"training_iteration": 10})
    'training_iteration reached 10, the limit is 10'
    """

    def __init__(self, limits: Mapping[str, float]) -> None:
        for name, limit in limits.items():
            if not isinstance(limit, (int, float)) or isinstance(limit, bool) or isnan(limit):
                raise ArgumentError(f"stop[{name!r}] must be a number, got {limit!r}.")
        self.limits = dict(limits)

    def judge(self, trial: int, result: dict[str, Any]) -> str | None:
        """Compare each value; a value that is missing from the result is an error."""
        for name, limit in self.limits.items():
            value = _number(result, name, "The stopping criterion")
            if value >= limit:
                return f"{name} reached {value:g}, the limit is {limit:g}"
        return None


class FunctionStopper(Stopper):
    """Stop a trial when ``function(trial_id, result)`` is true. What it answered is recorded with the stop."""

    def __init__(self, function: Callable[[str, dict[str, Any]], Any]) -> None:
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def judge(self, trial: int, result: dict[str, Any]) -> str | None:
        """Ask the user's function."""
        if self.function(result["trial_id"], result):
            return f"the stop function {self.name} said so"
        return None


class MaximumIterationStopper(Stopper):
    """Stop a trial after `max_iter` iterations of this run."""

    def __init__(self, max_iter: int) -> None:
        if max_iter < 1:
            raise ArgumentError(f"max_iter must be 1 or more, got {max_iter!r}.")
        self.max_iter = max_iter

    def judge(self, trial: int, result: dict[str, Any]) -> str | None:
        """Compare ``training_iteration``."""
        if result["training_iteration"] >= self.max_iter:
            return f"it has done {self.max_iter} iterations"
        return None


class TrialPlateauStopper(Stopper):
    """Stop a trial whose last `num_results` values of `metric` have a standard deviation of at most `std`.

    At least `grace_period` results are awaited. With `metric_threshold` and `mode`, only a trial whose value is no
    better than the threshold is stopped. Values that are not finite count as no plateau.
    """

    def __init__(
        self,
        metric: str,
        std: float = 0.01,
        *,
        num_results: int = 4,
        grace_period: int = 4,
        metric_threshold: float | None = None,
        mode: str | None = None,
    ) -> None:
        if num_results < 2:
            raise ArgumentError(f"num_results must be 2 or more, got {num_results!r}.")
        if metric_threshold is not None and mode not in ("min", "max"):
            raise ArgumentError("metric_threshold needs mode='min' or mode='max'.")
        self.metric, self.std, self.num_results, self.grace_period = metric, std, num_results, grace_period
        self.metric_threshold, self.mode = metric_threshold, mode
        self._windows: dict[int, deque[float]] = {}
        self._seen: dict[int, int] = {}

    def observe(self, trial: int, result: dict[str, Any]) -> None:
        """Remember the last values of the trial."""
        if self.metric in result:
            window = self._windows.setdefault(trial, deque(maxlen=self.num_results))
            window.append(_number(result, self.metric, "The metric"))
            self._seen[trial] = self._seen.get(trial, 0) + 1

    def judge(self, trial: int, result: dict[str, Any]) -> str | None:
        """Compare the spread of the last values."""
        value = _number(result, self.metric, "The metric")
        window = self._windows[trial]
        if self._seen[trial] < self.grace_period or len(window) < self.num_results or not all(map(isfinite, window)):
            return None
        if self.metric_threshold is not None:
            good = value < self.metric_threshold if self.mode == "min" else value > self.metric_threshold
            if good:
                return None
        spread = statistics.pstdev(window)
        if spread <= self.std:
            return f"{self.metric} is on a plateau: its last {self.num_results} values spread by {spread:.3g}"
        return None


class ExperimentPlateauStopper(Stopper):
    """End the run when the best `top` values of `metric` have spread by at most `std` for `patience` results more."""

    def __init__(self, metric: str, std: float = 0.001, top: int = 10, mode: str = "min", patience: int = 0) -> None:
        if top < 2:
            raise ArgumentError(f"top must be 2 or more, got {top!r}.")
        self.objective = Objective(metric, mode)  # type: ignore[arg-type]  # validated when made
        self.std, self.top, self.patience = std, top, patience
        self._best: list[float] = []
        self._still = 0

    def observe(self, trial: int, result: dict[str, Any]) -> None:
        """Keep the best values and count for how many results they have been close together."""
        metric = self.objective.metric
        if metric not in result or not isfinite(_number(result, metric, "The metric")):
            return
        self._best.append(self.objective.score(result))
        self._best.sort(reverse=True)
        del self._best[self.top :]
        flat = len(self._best) == self.top and statistics.pstdev(self._best) <= self.std
        self._still = self._still + 1 if flat else 0

    def judge_all(self) -> str | None:
        """Compare the count with the patience."""
        if self._still > self.patience:
            return f"the best {self.top} values of {self.objective.metric} are within a spread of {self.std:g}"
        return None


class CombinedStopper(Stopper):
    """Stop when any of several stoppers says so; the first one's reason is given."""

    def __init__(self, *stoppers: Stopper) -> None:
        self.stoppers = stoppers

    def observe(self, trial: int, result: dict[str, Any]) -> None:
        """Show the result to each of them."""
        for stopper in self.stoppers:
            stopper.observe(trial, result)

    def judge(self, trial: int, result: dict[str, Any]) -> str | None:
        """Ask each of them in turn."""
        return next((reason for s in self.stoppers if (reason := s.judge(trial, result))), None)

    def judge_all(self) -> str | None:
        """Ask each of them in turn."""
        return next((reason for s in self.stoppers if (reason := s.judge_all())), None)


def make_stopper(stop: object) -> Stopper | None:
    """Turn what a user passes as ``stop=`` into a stopper: thresholds, a function, a stopper, a list of these.

    Raises:
        ArgumentError: it is none of these.
    """
    if stop is None or isinstance(stop, Stopper):
        return stop
    if isinstance(stop, Mapping):
        return ThresholdStopper(stop) if stop else None
    if callable(stop):
        return FunctionStopper(stop)
    if isinstance(stop, Sequence) and not isinstance(stop, str):
        return CombinedStopper(*(s for s in map(make_stopper, stop) if s is not None))
    raise ArgumentError(
        "stop must be thresholds such as {'training_iteration': 10}, a function of (trial_id, result), a Stopper, "
        f"or a list of these; got {stop!r}."
    )
