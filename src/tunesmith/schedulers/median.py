"""The median stopping rule: a trial must have been, once, as good as half of the others are on average."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from math import inf
from statistics import median
from typing import Final

from tunesmith.errors import ArgumentError, MetricError
from tunesmith.events import Event, Judged, Reported
from tunesmith.objective import Mode, Objective
from tunesmith.pareto import Merit, Scores, ranks
from tunesmith.schedulers.protocol import CONTINUE, Decision, Scheduler, TrialView, View
from tunesmith.schedulers.reading import Clock, measured, shown, side
from tunesmith.schedulers.rules import RULES_TODAY, Rules
from tunesmith.trial import Status

_WORSE: Final = "worse than the median at "  # how the reasons of this rule begin


class Past:
    """What a trial has reported, in order: the time, the sum of the scores from `start` to it, and the best so far."""

    __slots__ = ("_iterations", "_start", "_sums", "bests", "times")

    def __init__(self, start: float) -> None:
        self._start = start
        self._iterations = array("q")
        self.times, self._sums, self.bests = array("d"), array("d"), array("d")

    def add(self, iteration: int, t: float, score: float) -> None:
        """Take a report in, instead of those from its iteration on, which were rolled back."""
        while self._iterations and self._iterations[-1] >= iteration:
            self._iterations.pop()
            for column in (self.times, self._sums, self.bests):
                column.pop()
        self._sums.append((self._sums[-1] if self._sums else 0.0) + (score if t >= self._start else 0.0))
        self.bests.append(max(score, self.bests[-1]) if self.bests else score)
        self._iterations.append(iteration)
        self.times.append(t)

    def mean(self, t: float) -> float | None:
        """Return the mean score from `start` to `t`, both included; None if there was no report."""
        count = bisect_right(self.times, t)
        counted = count - bisect_left(self.times, self._start, 0, count)
        return self._sums[count - 1] / counted if counted else None


class MedianStoppingRule(Scheduler):
    """Stop a trial whose best value so far is worse than the median of the others' mean values up to the same time.

    The others are all that have got as far, ended or not. No trial is judged before another one has completed, so that
    what early values are worth was seen at least once: in the simulator this loses nothing where they tell how a trial
    ends, and saves the run where they mislead (``benchmarks/schedulers.md``). A value that is not finite is the worst.

    Where the run has several metrics, the trial's best values, each of its own report, take part in the comparison of
    the others' means, and it is stopped if it stands in a later front than the median of these.

    Args:
        time_attr: the measure of progress, a reported number that grows; trials are compared at equal times.
        metric: what to compare; the run's own metric by default.
        mode: ``"min"`` or ``"max"``; the run's own by default.
        grace_period: the time before which no trial is stopped and no value enters a mean, 0 or more, in units of
            `time_attr`.
        min_samples_required: how many others must have got as far, 1 or more.
        min_time_slice: while there are fewer, a trial that has gone on for longer than this since it last did so
            gives its place to one that waits, so that there will be more. In units of `time_attr`; 0: it never does.
        hard_stop: False pauses a bad trial once instead. It goes on after the others, and is not judged again.
        rules: `RULES_TODAY`, or `RULES_2019` to compare with completed trials only, as Ray Tune 0.6.5 does;
            ``Rules(median_waits=False)`` judges before any has completed.

    Raises:
        ArgumentError: a number is out of its range.

    Source: Golovin et al., Google Vizier: A Service for Black-Box Optimization, KDD 2017, section 3.2.2.

    >>> scheduler = MedianStoppingRule("training_iteration", "loss", "min", grace_period=5)
    """

    compares_fronts = True

    def __init__(  # noqa: PLR0917 - the order of Tune's arguments
        self,
        time_attr: str = "time_total_s",
        metric: str | None = None,
        mode: Mode | None = None,
        grace_period: float = 60.0,
        min_samples_required: int = 3,
        min_time_slice: float = 0,
        hard_stop: bool = True,
        *,
        rules: Rules = RULES_TODAY,
    ) -> None:
        super().__init__(metric, mode)
        for name, value in {"grace_period": grace_period, "min_time_slice": min_time_slice}.items():
            if not isinstance(value, (int, float)) or not 0 <= value < inf:
                raise ArgumentError(f"{name} must be a number from 0, got {value!r}.")
        if not isinstance(min_samples_required, int) or min_samples_required < 1:
            raise ArgumentError(f"min_samples_required must be a whole number from 1, got {min_samples_required!r}.")
        self.time_attr, self.grace_period, self.min_samples_required = time_attr, grace_period, min_samples_required
        self.min_time_slice, self.hard_stop, self.rules = min_time_slice, hard_stop, rules
        self._time = Clock(time_attr)
        self._trouble = CONTINUE  # with the last report
        self._start = -inf if rules.median_of_completed else grace_period
        self._pasts: dict[int, tuple[Past, ...]] = {}  # one for each metric
        self._completed: dict[int, None] = {}
        self._found_worse: set[int] = set()
        self._yielded: dict[int, float] = {}  # when, in the trial's own time

    def setup(self, objective: Objective | None, seed: int) -> None:
        """Take the run's objective."""
        super().setup(objective, seed)
        if self.objective is not None:  # which `super` has seen to
            self._goal = self.objective
            self._worst = (-inf,) * len(self.objective.metrics)

    def apply(self, event: Event, trial: TrialView | None) -> None:
        """Fold an event: keep what was reported, and who was stopped."""
        if type(event) is Reported:
            self._trouble = self._keep(event) if event.metrics else CONTINUE
        elif trial is not None:
            if type(event) is Judged:
                self._note(event)
            if trial.status is Status.TERMINATED and trial.number not in self._found_worse:
                self._completed[trial.number] = None

    def _keep(self, report: Reported) -> Decision:
        t = self._time(report)
        if not isinstance(t, (int, float)):
            return Decision("fail", self._time.complaint(report))
        try:
            found = measured(self._goal, report.metrics)
        except MetricError as error:
            return Decision("fail", str(error))
        scores = (found,) if not isinstance(found, Merit) else found.scores if found.is_feasible else self._worst
        if report.trial not in self._pasts:
            self._pasts[report.trial] = tuple(Past(self._start) for _ in scores)
        for past, score in zip(self._pasts[report.trial], scores, strict=True):
            past.add(report.iteration, t, score)
        return CONTINUE

    def _note(self, event: Judged) -> None:
        if event.reason.startswith(_WORSE):
            self._found_worse.add(event.trial)
        elif event.action == "pause" and event.iteration is not None:
            self._yielded[event.trial] = self._pasts[event.trial][0].times[-1]

    def judge(self, report: Reported, view: View) -> Decision:
        """Compare the trial's best value with the others' means, when its grace is over."""
        trial = report.trial
        if self._trouble is not CONTINUE or trial in self._found_worse:
            return self._trouble
        t = self._pasts[trial][0].times[-1]
        if t < self.grace_period or (self.rules.median_of_completed and t == self.grace_period):
            return CONTINUE
        means = list(self._means(trial, t))
        if len(means) < self.min_samples_required:
            return self._wait(trial, t, len(means), view)
        if self.rules.median_waits and not self._completed:
            return CONTINUE
        return self._compare(trial, t, means)

    def _means(self, trial: int, t: float) -> Iterator[Scores]:
        """Return the mean values up to `t` of those that the trial is compared with."""
        if self.rules.median_of_completed:
            others = [self._pasts[number] for number in self._completed if number in self._pasts]
        else:
            others = [past for number, past in self._pasts.items() if number != trial and past[0].times[-1] >= t]
        for pasts in others:
            means = [past.mean(t) for past in pasts]
            if means[0] is not None:
                yield tuple(means)  # type: ignore[arg-type]  # all have the same times

    def _compare(self, trial: int, t: float, means: list[Scores]) -> Decision:
        best = tuple(past.bests[-1] for past in self._pasts[trial])
        if len(best) > 1:
            own, *others = ranks([Merit(0.0, scores) for scores in (best, *means)])
            behind, limit = own > median(others), median(others) + 1
            comparison = f"{shown(self._goal, Merit(0.0, best))} is in front {own + 1} and not in {limit:g}"
        else:
            limit = median(mean[0] for mean in means)
            behind = best[0] < limit
            comparison = f"{shown(self._goal, best[0])} is {side(self._goal)} {shown(self._goal, limit)}"
        if not behind:
            return CONTINUE
        return Decision(
            "stop" if self.hard_stop else "pause",
            f"{_WORSE}{self.time_attr} {t:g}: its best {comparison}, the median of {len(means)} other trials",
        )

    def _wait(self, trial: int, t: float, count: int, view: View) -> Decision:
        ran = t - self._yielded.get(trial, 0.0)
        if not 0 < self.min_time_slice < ran or not (view.pending or view.paused):
            return CONTINUE
        return Decision(
            "pause",
            f"gives its place to a trial that waits: it ran for {ran:g} {self.time_attr}, and only {count} of the"
            f" {self.min_samples_required} trials to compare it with have got as far",
        )

    def describe(self, view: View) -> str:
        """Return how many trials were found worse than the median, as users of Tune know it."""
        return f"Using MedianStoppingRule: num_stopped={len(self._found_worse)}."
