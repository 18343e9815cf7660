"""What a run optimises: a metric and a direction."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from typing import Any, Literal

import msgspec

from tunesmith.errors import ArgumentError, MetricError, nearest

Mode = Literal["min", "max"]


class Objective(msgspec.Struct, frozen=True):
    """The metric to optimise and the direction, ``"min"`` or ``"max"``.

    >>> Objective("loss", "min").score({"loss": 0.25})
    -0.25
    """

    metric: str
    mode: Mode

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) or not self.metric:
            raise ArgumentError(f"metric must be the name of a reported value, got {self.metric!r}.")
        if self.mode not in ("min", "max"):
            raise ArgumentError(f"mode must be 'min' or 'max', got {self.mode!r}.")

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

    def score_of(self, value: float) -> float:
        """Return `value` turned so that larger is better; a value that is not finite is ``-inf``."""
        if not isfinite(value):
            return -inf
        return value if self.mode == "max" else -value
