"""PASHA: ASHA that adds a rung only while the ranking of the trials still changes from one rung to the next."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, Final

from tunesmith.errors import MetricError
from tunesmith.events import Event, Reported
from tunesmith.objective import Mode, Objective
from tunesmith.schedulers.asha import ASHAScheduler
from tunesmith.schedulers.promotion import Arrival, Promotion, PromotionRung
from tunesmith.schedulers.protocol import TrialView
from tunesmith.schedulers.reading import shown
from tunesmith.schedulers.rules import RULES_TODAY, Rules
from tunesmith.schedulers.rungs import Ladders, Variant, interpolated

_PERCENTILE: Final = 0.9  # of the gaps of trials that overtake each other twice: what counts as noise

Curve = dict[int, float]  # scores by iteration


class Progressive(Promotion):
    """Promotion up to a rung that rises when the two highest rungs in use disagree about the order of their trials."""

    def __init__(self, ladders: Ladders[PromotionRung], objective: Objective) -> None:
        super().__init__(ladders, objective)
        (self._ladder,) = ladders.brackets
        self._top = 1  # two rungs to begin with; with no rung there, all that there is is open
        self._scores: list[dict[int, float]] = [{} for _ in self._ladder]  # by trial, at each rung
        self._curves: dict[int, Curve] = {}
        self._gaps: list[float] = []  # of the trials at the top rung, sorted

    def learn(self, trial: int, iteration: int, score: float) -> None:
        """Remember a report."""
        self._curves.setdefault(trial, {})[iteration] = score

    def record(self, trial: int, rungs: tuple[PromotionRung, ...], score: float) -> None:
        """Record a score, and open rungs while the order of the trials changes from the last one to the top one."""
        super().record(trial, rungs, score)
        for rung in rungs:
            self._scores[self._ladder.index(rung)][trial] = score
        if not self._is_open() and trial in self._scores[self._top]:
            self._gaps_of(trial, self._scores[self._top])
            while not self._is_open() and not self._agree():
                self._top += 1
                self._measure()

    def withdraw(self, trial: int, arrival: Arrival) -> None:
        """Take back what a trial recorded; a rung that it has opened stays open."""
        super().withdraw(trial, arrival)
        for rung in arrival.rungs:
            del self._scores[self._ladder.index(rung)][trial]
        self._measure()

    def open_rungs(self) -> Sequence[PromotionRung]:
        """Return the rungs below the top one in use."""
        return self._rungs[len(self._ladder) - self._top :]

    def farewell(self, trial: int) -> str:
        """Say why a trial that waits is stopped."""
        arrival = self.arrivals.get(trial)
        if arrival is None or self._is_open() or arrival.rungs[-1] is not self._ladder[self._top]:
            return super().farewell(trial)
        rung = arrival.rungs[-1]
        return (
            f"stopped at rung {rung.milestone:g} with {shown(self.objective, arrival.key[0])}: the {len(rung)} trials"
            f" there rank as at the rung before, to within {self.epsilon:.3g}, so that more training would tell no more"
        )

    @property
    def epsilon(self) -> float:
        """How far two values may lie apart and still count as equal; 0 while nothing is known about the noise."""
        if not self._gaps:
            return 0.0
        position = (len(self._gaps) - 1) * _PERCENTILE
        low = int(position)
        return interpolated(self._gaps[low], self._gaps[min(low + 1, len(self._gaps) - 1)], position - low)

    def _is_open(self) -> bool:
        """Whether trials may go on from every rung."""
        return self._top >= len(self._ladder)

    def _measure(self) -> None:
        """Find the gaps of the trials at the top rung anew."""
        self._gaps.clear()
        before: list[int] = []
        for trial in () if self._is_open() else self._scores[self._top]:
            self._gaps_of(trial, before)
            before.append(trial)

    def _gaps_of(self, trial: int, others: Iterable[int]) -> None:
        """Note how far the trial is from those with which it has changed places to and fro."""
        curve = self._curves[trial]
        for other in others:
            gap = _crossing(curve, self._curves[other])
            if gap is not None:
                insort(self._gaps, gap)

    def _agree(self) -> bool:
        """Whether each place at the top rung is held by a trial that could hold it at the rung below."""
        above, below, epsilon = self._scores[self._top], self._scores[self._top - 1], self.epsilon
        now = sorted(above, key=lambda trial: (-above[trial], trial))
        before = sorted(above, key=lambda trial: (-below[trial], trial))
        return all(_near(below[a], below[b], epsilon) for a, b in zip(now, before, strict=True))


def _near(a: float, b: float, epsilon: float) -> bool:
    return a == b or abs(a - b) <= epsilon


def _crossing(one: Curve, other: Curve) -> float | None:
    """Return how far two curves are apart at last, if they have changed places at least twice."""
    changes, sign, gap = 0, 0, inf
    for iteration, score in one.items():
        if iteration not in other:
            continue
        difference = score - other[iteration]
        if difference != 0 and abs(difference) < inf:
            new = 1 if difference > 0 else -1
            changes += new == -sign
            sign, gap = new, abs(difference)
    return gap if changes >= 2 else None


class PASHAScheduler(ASHAScheduler):
    """ASHA's promotion variant that trains no longer than it takes to tell the best trials apart.

    It starts with the two lowest rungs. Whenever a trial gets to the highest rung in use, the trials there are ranked
    by their values at it and at the rung below; as long as the two rankings disagree, the next rung is opened, up to
    `max_t`. Trials rank as equal when they lie within epsilon of each other: the 90th percentile of the distances
    between trials whose learning curves have crossed to and fro, which is no more than noise. The trials that wait at
    the highest rung in use when all is done are stopped; train the best one on for its final quality.

    Args:
        time_attr: the measure of progress, a reported number that grows.
        metric: what to compare; the run's own metric by default.
        mode: ``"min"`` or ``"max"``; the run's own by default.
        max_t: where a trial has had enough in any case, in units of `time_attr`.
        grace_period: the lowest rung, above 0, in units of `time_attr`.
        reduction_factor: above 1; one trial in so many goes on from a rung.
        stop_last_trials: whether `max_t` ends a trial.
        rules: `RULES_TODAY` or `RULES_2019`, see `ASHAScheduler`.

    Raises:
        ArgumentError: a number is out of its range.

    Source: Bohdal et al., PASHA: Efficient HPO and NAS with Progressive Resource Allocation, ICLR 2023,
    arXiv 2207.06940: algorithm 1, soft ranking and the estimate of epsilon.

    >>> scheduler = PASHAScheduler(metric="loss", mode="min", max_t=81, reduction_factor=3)
    """

    compares_fronts = False  # how much noise there is, it takes from one metric

    def __init__(  # noqa: PLR0917 - the order of Tune's arguments
        self,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: Mode | None = None,
        max_t: float = 100,
        grace_period: float = 1,
        reduction_factor: float = 4,
        *,
        stop_last_trials: bool = True,
        rules: Rules = RULES_TODAY,
    ) -> None:
        super().__init__(
            time_attr,
            metric,
            mode,
            max_t,
            grace_period,
            reduction_factor,
            variant="promotion",
            stop_last_trials=stop_last_trials,
            rules=rules,
        )

    def _make_variant(self, objective: Objective) -> Variant[Any]:
        self._learner = Progressive(self._build(PromotionRung), objective)
        return self._learner

    def apply(self, event: Event, trial: TrialView | None) -> None:
        """Fold an event: every report adds to its trial's learning curve."""
        if type(event) is Reported:
            try:
                score = self._learner.objective.score(event.metrics)
                self._learner.learn(event.trial, event.iteration, score)
            except MetricError:
                pass  # the run says so when it judges the report
        super().apply(event, trial)
