"""What a run optimises: metrics with their directions, and what must hold."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite, nan
from typing import Any, Literal

import msgspec

from tunesmith.errors import ArgumentError, MetricError, nearest

Mode = Literal["min", "max"]


class Constraint(msgspec.Struct, frozen=True):
    """A bound that a metric must keep: ``"<="`` or ``">="``.

    >>> Constraint("memory_mb", "<=", 4000).violation({"memory_mb": 4096})
    96.0
    """

    metric: str
    relation: Literal["<=", ">="]
    bound: float

    def violation(self, metrics: Mapping[str, Any]) -> float:
        """Return by how much the bound is broken, 0 or less where it is kept; NaN if the metric is no finite number."""
        value = metrics.get(self.metric)
        if not isinstance(value, (int, float)) or not isfinite(value):
            return nan
        return float(value) - self.bound if self.relation == "<=" else self.bound - float(value)


class Objective(msgspec.Struct, frozen=True):
    """The metric to optimise and the direction, ``"min"`` or ``"max"``.

    `others` are further ones to optimise at the same time, and `constraints` what must hold of a result to be good.

    >>> Objective("loss", "min").score({"loss": 0.25})
    -0.25
    """

    metric: str
    mode: Mode
    others: tuple[Objective, ...] = ()
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) or not self.metric:
            raise ArgumentError(f"metric must be the name of a reported value, got {self.metric!r}.")
        if self.mode not in ("min", "max"):
            raise ArgumentError(f"mode must be 'min' or 'max', got {self.mode!r}.")

    @property
    def goals(self) -> tuple[Objective, ...]:
        """All that is to be optimised, this one first."""
        return (self, *self.others)

    def value(self, metrics: Mapping[str, Any]) -> float:
        """Return the metric's value in `metrics` as a float; it may be NaN or infinite.

        Raises:
            MetricError: the metric is missing or is not a number.
        """
        try:
            value = metrics[self.metric]
        except KeyError:
            names = [name for name, v in metrics.items() if isinstance(v, (int, float))]
            raise MetricError(
                f"The metric {self.metric!r} is not in the report, which has: {', '.join(names) or 'no numbers'}."
                f"{nearest(self.metric, names)} Report it, or set metric= to a name that is reported."
            ) from None
        if isinstance(value, (bool, int, float)):
            return float(value)
        raise MetricError(
            f"The metric {self.metric!r} must be a number, but the trial reported {value!r} ({type(value).__name__})."
        )

    def score(self, metrics: Mapping[str, Any]) -> float:
        """Return the value turned so that larger is better; NaN and infinities of either sign are the worst."""
        return self.score_of(self.value(metrics))

    def score_or_worst(self, metrics: Mapping[str, Any]) -> float:
        """Return the score; ``-inf`` too where the metric is missing or is no number."""
        try:
            return self.score(metrics)
        except MetricError:
            return -inf

    def score_of(self, value: float) -> float:
        """Return `value` turned so that larger is better; a value that is not finite is ``-inf``."""
        if not isfinite(value):
            return -inf
        return value if self.mode == "max" else -value
