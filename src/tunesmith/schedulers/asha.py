"""ASHA: trials are compared at rungs, each with those that have got there before it, and none waits for another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Literal

from tunesmith.errors import ArgumentError, MetricError, nearest
from tunesmith.events import Event, Judged, Reopened, Reported, SessionOpened, Suggested
from tunesmith.objective import Mode, Objective
from tunesmith.schedulers.fronts import FrontRung, FrontStopping
from tunesmith.schedulers.promotion import Promotion, PromotionRung
from tunesmith.schedulers.protocol import CONTINUE, Decision, Scheduler, TrialView, View
from tunesmith.schedulers.reading import Clock, as_reported, measured, shown, side
from tunesmith.schedulers.rules import RULES_TODAY, Rules
from tunesmith.schedulers.rungs import Ladders, R, Rung, Variant, check_rungs, milestones
from tunesmith.trial import Status

_VARIANTS: Final = ("stopping", "promotion")


class Stopping(Variant[Rung]):
    """Stop a trial at a rung whose cutoff it misses; the others go on and are not judged there again."""

    def __init__(self, ladders: Ladders[Rung], objective: Objective, least: float, *, counts_itself: bool) -> None:
        super().__init__(ladders, objective)
        self._least = least
        self._counts_itself = counts_itself

    def arrive(self, trial: TrialView, rungs: tuple[Rung, ...], score: float) -> Decision:
        """Record the score at each rung, and stop the trial at the first that it fails."""
        verdict = CONTINUE
        for rung in rungs:
            if self._counts_itself:
                rung.add((score, -trial.number))
            count, cutoff = len(rung), rung.cutoff()
            if not self._counts_itself:
                rung.add((score, -trial.number))
            if verdict is CONTINUE and cutoff is not None and count >= self._least and score < cutoff:
                verdict = Decision("stop", self._reason(rung, score, cutoff, count))
        return verdict

    def _reason(self, rung: Rung, score: float, cutoff: float, count: int) -> str:
        return (
            f"stopped at rung {rung.milestone:g}: {shown(self.objective, score)} is {side(self.objective)} the cutoff"
            f" {shown(self.objective, cutoff)} of {count} trial{'s' if count > 1 else ''}"
        )


class ASHAScheduler(Scheduler):
    """Stop most trials early: at each rung, only the best one in `reduction_factor` go on.

    The rungs are at `grace_period`, `grace_period` times `reduction_factor`, and so on, up to `max_t`. A trial that
    gets to one is compared with all that have got there before it, so that no trial ever waits for another to catch
    up. A report that jumps over rungs counts once for each of them. A value that is not finite is the worst.

    ``variant="stopping"`` decides at once: a trial whose value is worse than the cutoff, a percentile by linear
    interpolation of the values at that rung with its own among them, is stopped, and the others go on for good; while
    there are fewer than `reduction_factor` values, all go on. ``variant="promotion"`` pauses every trial at every rung
    and starts the best that waits when a worker is free: fewer bad trials go on, at the price of pausing. Use it where
    trials can be paused cheaply and train for long.

    Where the run has several metrics, trials are compared by fronts: first those that no other at the rung dominates,
    then those whom only these do, and so on, and within a front those that have more room around them. With
    constraints, those that break them come last, those that break them least first.

    Args:
        time_attr: the measure of progress, a reported number that grows: ``training_iteration``, ``time_total_s`` or
            one of the user's own.
        metric: what to compare; the run's own metrics by default.
        mode: ``"min"`` or ``"max"``; the run's own by default.
        max_t: where a trial has had enough, in units of `time_attr`.
        grace_period: the lowest rung, above 0, in units of `time_attr`. No trial is stopped before it.
        reduction_factor: above 1; one trial in so many goes on from a rung.
        brackets: into how many groups the trials are put at random, 1 or more. Each group has its own rungs, and
            lacks the lowest one of the group before it, in case early values mislead.
        variant: ``"stopping"`` or ``"promotion"``.
        stop_last_trials: whether `max_t` ends a trial; if not, those that get there go on to their own end.
        rules: `RULES_TODAY`, or `RULES_2019` for the decisions of Ray Tune 0.6.5.

    Raises:
        ArgumentError: a number is out of its range, or there is no such variant.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, arXiv 1810.05934: algorithm 2
    is the promotion variant.

    >>> scheduler = ASHAScheduler(metric="loss", mode="min", max_t=81, reduction_factor=3)
    >>> scheduler.milestones
    (1, 3, 9, 27, 81)
    """

    compares_fronts = True

    def __init__(  # noqa: PLR0917 - the order of Tune's arguments
        self,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: Mode | None = None,
        max_t: float = 100,
        grace_period: float = 1,
        reduction_factor: float = 4,
        brackets: int = 1,
        *,
        variant: Literal["stopping", "promotion"] = "stopping",
        stop_last_trials: bool = True,
        rules: Rules = RULES_TODAY,
    ) -> None:
        super().__init__(metric, mode)
        check_rungs(grace_period, max_t, reduction_factor)
        if not isinstance(brackets, int) or brackets < 1:
            raise ArgumentError(f"brackets must be a whole number from 1, got {brackets!r}.")
        if variant not in _VARIANTS:
            raise ArgumentError(
                f"variant must be one of {', '.join(map(repr, _VARIANTS))}, got {variant!r}."
                f"{nearest(str(variant), _VARIANTS)}"
            )
        self.time_attr, self.max_t, self.reduction_factor = time_attr, max_t, reduction_factor
        self.brackets, self.variant, self.stop_last_trials, self.rules = brackets, variant, stop_last_trials, rules
        self.milestones = milestones(grace_period, max_t, reduction_factor, exact=rules.asha_exact)
        self.num_stopped = 0
        self._each = rules.asha_counts_each_rung or variant == "promotion"
        self._time = Clock(time_attr)
        self._verdict = CONTINUE  # about the last report

    def setup(self, objective: Objective | None, seed: int) -> None:
        """Take the run's objective and the seed, and build the rungs."""
        super().setup(objective, seed)
        if self.objective is not None:  # which `super` has seen to
            self._variant = self._make_variant(self.objective)
            self._ladders = self._variant.ladders

    def _make_variant(self, objective: Objective) -> Variant[Any]:
        if objective.others:
            if self.variant == "promotion":
                return Promotion(self._build(FrontRung), objective)
            return FrontStopping(self._build(FrontRung), objective, self.reduction_factor)
        if self.variant == "promotion":
            return Promotion(self._build(PromotionRung), objective)
        counts_itself = self.rules.asha_counts_itself
        least = self.reduction_factor if counts_itself else 1
        ladders = self._build(partial(Rung, exact=self.rules.asha_exact))
        return Stopping(ladders, objective, least, counts_itself=counts_itself)

    def _build(self, rung: Callable[[float, float], R]) -> Ladders[R]:
        """Return the rungs of each bracket: each lacks the lowest of the one before it."""
        return Ladders(
            [
                tuple(rung(milestone, self.reduction_factor) for milestone in self.milestones[lacking:])
                for lacking in range(self.brackets)
            ]
        )

    def apply(self, event: Event, trial: TrialView | None) -> None:
        """Fold an event: record what a report says at the rungs that it reaches."""
        if type(event) is Reported:
            self._verdict = self._read(event, trial)  # type: ignore[arg-type]  # a report has a trial
        elif trial is not None:
            self._follow(event, trial)
        elif type(event) is SessionOpened:
            self._variant.reopen()

    def _read(self, report: Reported, trial: TrialView) -> Decision:
        if not report.metrics:
            return CONTINUE
        t = self._time(report)
        due = self._ladders.due[report.trial]
        try:
            if t < (due[0].milestone if due else self.max_t):
                return CONTINUE  # nine reports in ten
        except TypeError:
            return Decision("fail", self._time.complaint(report))
        if trial.status is not Status.RUNNING:
            return CONTINUE  # it is not judged, so the next report has to be
        return self._reach(report, trial, t)

    def _reach(self, report: Reported, trial: TrialView, t: float) -> Decision:
        try:
            score = measured(self._variant.objective, report.metrics)
        except MetricError as error:
            return Decision("fail", str(error))
        enough = t >= self.max_t
        if enough and self.stop_last_trials and not self._each:
            return self._enough(t)
        rungs = self._ladders.climb(report.trial, t, each=self._each)
        if not enough:
            return self._variant.arrive(trial, rungs, score) if rungs else CONTINUE
        self._variant.record(report.trial, rungs, score)
        return self._enough(t) if self.stop_last_trials else CONTINUE

    def _enough(self, t: float) -> Decision:
        return Decision("stop", f"{self.time_attr} reached {t:g}, max_t is {self.max_t:g}", enough=True)

    def has_enough(self, report: Reported) -> bool:
        """Return whether the report is at `max_t` or beyond it."""
        t = self._time(report)
        return self.stop_last_trials and isinstance(t, (int, float)) and t >= self.max_t

    def _follow(self, event: Event, trial: TrialView) -> None:
        if type(event) is Suggested:
            self._ladders.enter(trial.number, self.seed)
        elif type(event) is Reopened:
            self._ladders.enter_again(trial.number)
        elif type(event) is Judged and event.action == "stop":
            self.num_stopped += event.by == "scheduler"
        self._variant.fold(trial)
        if trial.status.is_final:
            self._ladders.leave(trial.number)

    def judge(self, report: Reported, view: View) -> Decision:
        """Return what the last report, which was folded just now, led to."""
        return self._variant.verdict(report) if self._verdict is CONTINUE else self._verdict

    def review(self, view: View) -> Sequence[tuple[int, Decision]]:
        """Stop paused trials that can't be promoted any more."""
        return self._variant.review(view)

    def choose(self, view: View) -> int | None:
        """Return a trial that may be promoted, else the next that waits for its turn."""
        for trials in self._variant.candidates(view):
            for trial in trials:
                if view.fits(trial):
                    return trial
        return None

    def describe(self, view: View) -> str:
        """Return how many trials were stopped, and the cutoff of each rung, as users of Tune know it."""
        head = f"Using AsyncHyperBand: num_stopped={self.num_stopped}"
        brackets = [" | ".join(map(self._describe_rung, reversed(rungs))) for rungs in self._ladders.brackets]
        return "\n".join([head, *(f"Bracket: {rungs}" for rungs in brackets)])

    def _describe_rung(self, rung: Rung) -> str:
        if isinstance(rung, FrontRung):
            return f"Iter {rung.milestone:.3f}: {len(rung)} trials"
        cutoff = rung.cutoff()
        value = None if cutoff is None else as_reported(self._variant.objective, cutoff)
        if value is None or not self.rules.asha_exact:
            return f"Iter {rung.milestone:.3f}: {value}"
        return f"Iter {rung.milestone:.3f}: {value:.5g}"


AsyncHyperBandScheduler = ASHAScheduler
