"""What a run optimises: metrics with their directions, and what must hold."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite, isnan, nan
from typing import Any, Literal

import msgspec

from tunesmith.errors import ArgumentError, MetricError, nearest
from tunesmith.pareto import Merit

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

    def share(self, metrics: Mapping[str, Any]) -> float:
        """Return by how much the bound is broken as a share of it, 0 where it is kept, inf where nobody knows."""
        violation = self.violation(metrics)
        return inf if isnan(violation) else max(violation, 0.0) / (abs(self.bound) or 1.0)

    def __str__(self) -> str:
        return f"{self.metric} {self.relation} {self.bound:g}"


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
        """All that is to be optimised, each by itself and without constraints, this one first."""
        return (Objective(self.metric, self.mode), *self.others)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all that is to be optimised."""
        return (self.metric, *(other.metric for other in self.others))

    @property
    def limits(self) -> str:
        """The constraints in words, as the user wrote them."""
        return ", ".join(map(str, self.constraints))

    def settings(self) -> dict[str, Any]:
        """Return what is recorded beside the metric and the mode; see `objective_of`."""
        return {
            "others": [[other.metric, other.mode] for other in self.others],
            "constraints": [[bound.metric, bound.relation, bound.bound] for bound in self.constraints],
        }

    def value(self, metrics: Mapping[str, Any]) -> float:
        """Return the metric's value in `metrics` as a float; it may be NaN or infinite.

        Raises:
            MetricError: the metric is missing or is not a number.
        """
        try:
            value = metrics[self.metric]
        except KeyError:
            raise _missing(self.metric, metrics, "Report it, or set metric= to a name that is reported.") from None
        if isinstance(value, (bool, int, float)):
            return float(value)
        raise MetricError(
            f"The metric {self.metric!r} must be a number, but the trial reported {value!r} ({type(value).__name__})."
        )

    def check(self, metrics: Mapping[str, Any]) -> tuple[str, float] | None:
        """Return the first metric that is to be optimised and is not finite, with its value; None if all are.

        Raises:
            MetricError: one of them, or one with a constraint, is missing or is not a number.
        """
        found = None
        for goal in self.goals if self.others else (self,):
            value = goal.value(metrics)
            if found is None and not isfinite(value):
                found = goal.metric, value
        for bound in self.constraints:
            if bound.metric not in metrics:
                raise _missing(bound.metric, metrics, "Report it with every result, as constraints= needs it.")
            if not isinstance(metrics[bound.metric], (int, float)):
                raise MetricError(
                    f"The metric {bound.metric!r} has a constraint and must be a number, but the trial reported "
                    f"{metrics[bound.metric]!r}."
                )
        return found

    def keeps(self, metrics: Mapping[str, Any]) -> bool:
        """Return whether a result keeps all constraints; one that is not known, or not finite, is not kept."""
        return all(bound.violation(metrics) <= 0 for bound in self.constraints)

    def merit(self, metrics: Mapping[str, Any] | None) -> Merit:
        """Return how good a result is by all metrics and constraints; the worst for None.

        The violations are added up, each in units of its bound.
        """
        scores = tuple(goal.score_or_worst(metrics or {}) for goal in self.goals)
        if metrics is None or min(scores) == -inf:
            return Merit(inf, scores)
        return Merit(sum(bound.share(metrics) for bound in self.constraints), scores)

    def score(self, metrics: Mapping[str, Any]) -> float:
        """Return the value turned so that larger is better.

        The worst, ``-inf``, for NaN and infinities of either sign, and where a constraint is broken.
        """
        value = self.value(metrics)
        return -inf if self.constraints and not self.keeps(metrics) else self.score_of(value)

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


def parse_objective(metric: Any, mode: Any, constraints: Any = None) -> Objective:
    """Return the objective that users write as a metric and a mode, or a list of each, and a dict of constraints.

    Raises:
        ArgumentError: they make none.

    >>> parse_objective(["loss", "speed"], ["min", "max"], {"mb": "<= 10"}).metrics
    ('loss', 'speed')
    """
    if mode is None:
        raise ArgumentError(f"metric={metric!r} is given without mode=. Say mode='min' or mode='max'.")
    metrics = list(metric) if isinstance(metric, (list, tuple)) else [metric]
    modes = list(mode) if isinstance(mode, (list, tuple)) else [mode] * len(metrics)
    if not metrics or len(modes) != len(metrics):
        raise ArgumentError(
            f"metric={metric!r} and mode={mode!r} don't go together: give one mode, or one for each metric."
        )
    if len(set(map(str, metrics))) < len(metrics):
        raise ArgumentError(f"metric={metric!r} names a metric twice.")
    others = tuple(Objective(name, direction) for name, direction in zip(metrics[1:], modes[1:], strict=True))
    return Objective(metrics[0], modes[0], others, parse_constraints(constraints))


def parse_constraints(constraints: Any) -> tuple[Constraint, ...]:
    """Return the bounds that ``{"memory_mb": "<= 4000"}`` stands for. Raises ArgumentError if it stands for none."""
    if constraints is None:
        return ()
    if not isinstance(constraints, Mapping):
        raise ArgumentError(
            f'constraints must be a dict of metrics and their bounds, such as {{"memory_mb": "<= 4000"}}; got '
            f"{constraints!r}."
        )
    return tuple(_parse_constraint(metric, bound) for metric, bound in constraints.items())


def _parse_constraint(metric: Any, bound: Any) -> Constraint:
    relation = bound.strip()[:2] if isinstance(bound, str) else ""
    try:
        limit = float(bound.strip()[2:])
    except (AttributeError, ValueError):
        limit = nan
    if not isinstance(metric, str) or not metric or relation not in ("<=", ">=") or not isfinite(limit):
        raise ArgumentError(
            f"The constraint {metric!r}: {bound!r} can't be read. Write the name of a reported value, and '<=' or '>=' "
            'with a number: constraints={"memory_mb": "<= 4000"}.'
        )
    return Constraint(metric, relation, limit)  # type: ignore[arg-type]  # one of the two, by the check above


def objective_of(metric: str | None, mode: str | None, settings: Mapping[str, Any]) -> Objective | None:
    """Return the objective of a record: its metric, its mode, and what `Objective.settings` has written.

    >>> objective_of("loss", "min", {"constraints": [["mb", "<=", 10]]}).limits
    'mb <= 10'
    """
    if metric is None:
        return None
    return Objective(
        metric,
        mode,  # type: ignore[arg-type]  # was validated
        tuple(Objective(*other) for other in settings.get("others", ())),
        tuple(Constraint(*bound) for bound in settings.get("constraints", ())),
    )


def _missing(name: str, metrics: Mapping[str, Any], advice: str) -> MetricError:
    names = [known for known, value in metrics.items() if isinstance(value, (int, float))]
    return MetricError(
        f"The metric {name!r} is not in the report, which has: {', '.join(names) or 'no numbers'}."
        f"{nearest(name, names)} {advice}"
    )
