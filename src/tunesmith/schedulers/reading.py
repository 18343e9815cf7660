"""How reports are read, and how their values are told again in a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from operator import attrgetter
from typing import Any, Final

from tunesmith.errors import ArgumentError, nearest
from tunesmith.events import Reported
from tunesmith.objective import Objective
from tunesmith.pareto import Merit

_MEASURED: Final = {"training_iteration": "iteration"}  # fields of a report that go by another name


class Clock:
    """Reads `time_attr` off reports: the user's own value, else the measured one, else None.

    >>> Clock("training_iteration")(Reported(0, 1, 7, {"loss": 0.5}, 0.0, 1.0, 7.0, 7.0, 7))
    7
    """

    def __init__(self, time_attr: str) -> None:
        if not isinstance(time_attr, str):
            raise ArgumentError(f"time_attr must be the name of a reported number, got {time_attr!r}.")
        field = _MEASURED.get(time_attr, time_attr)
        self.time_attr = time_attr
        self._measured: Callable[[Reported], Any] = _nothing
        if field in Reported.__struct_fields__:
            self._measured = attrgetter(field)

    def __call__(self, report: Reported) -> Any:
        """Return the report's time, whatever it is."""
        own = report.metrics.get(self.time_attr)
        return self._measured(report) if own is None else own

    def complaint(self, report: Reported) -> str:
        """Say why the report's time can't be used."""
        value, name = self(report), self.time_attr
        found = "is not in the report" if value is None else f"must be a number, but the trial reported {value!r}"
        names = [*report.metrics, *_MEASURED, *Reported.__struct_fields__]
        return (
            f"The time attribute {name!r} {found}.{nearest(name, names)} Set time_attr= to a number that is reported."
        )


def _nothing(report: Reported) -> None:
    return None


def measured(objective: Objective, metrics: Mapping[str, Any]) -> float | Merit:
    """Return the score of a report, or with several metrics its merit.

    Raises:
        MetricError: a metric is missing or is not a number.
    """
    if not objective.others:
        return objective.score(metrics)
    objective.check(metrics)
    return objective.merit(metrics)


def shown(objective: Objective, score: float | Merit) -> str:
    """Return the value of `score`, or the values of a merit, as the user reported them, for a sentence."""
    if isinstance(score, Merit):
        if objective.constraints and max(score.scores) == -inf:
            return f"nothing within {objective.limits}"
        pairs = zip(objective.goals, score.scores, strict=True)
        values = ", ".join(f"{goal.metric} {shown(goal, value)}" for goal, value in pairs)
        return f"{values} (beyond {objective.limits})" if 0 < score.violation < inf else values
    if score == -inf:
        return "a value that is not finite"
    return f"{as_reported(objective, score):g}"


def side(objective: Objective) -> str:
    """Return on which side of a limit the worse values are."""
    return "below" if objective.mode == "max" else "above"


def as_reported(objective: Objective, score: float) -> float:
    """Return the value that has this score."""
    return score if objective.mode == "max" else -score
