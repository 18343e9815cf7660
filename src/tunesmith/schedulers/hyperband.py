"""HyperBand: brackets of trials, from a few that all train to the end to many that are cut down early."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import inf

from tunesmith.errors import ArgumentError, MetricError
from tunesmith.events import Event, Judged, Placed, Reopened, Reported, SessionOpened, Suggested
from tunesmith.objective import Mode, Objective
from tunesmith.pareto import Merit
from tunesmith.schedulers.brackets import Bracket, Cut, plans, plans_2019
from tunesmith.schedulers.protocol import CONTINUE, Decision, Scheduler, TrialView, View
from tunesmith.schedulers.reading import Clock, measured, shown, side
from tunesmith.schedulers.rules import RULES_TODAY, Rules


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _going_on(brackets: Iterable[Bracket | None]) -> Iterator[Bracket]:
    return (bracket for bracket in brackets if bracket is not None and not bracket.is_over)


def _shows_a_cut(event: Event) -> bool:
    """Whether an event about a trial at a milestone says that it was compared: it goes on, or a review decided."""
    if type(event) is Judged:
        return event.by == "scheduler" and event.iteration is None
    return type(event) is Placed


class HyperBandScheduler(Scheduler):
    """Train many trials a little and a few for long: in each bracket, only the best go on from milestone to milestone.

    A round has a bracket for each trade-off between many trials that are compared early and few that are compared
    late, in case early values mislead. Trials fill the brackets one after another, then the next round. At a milestone,
    trials pause until all of their bracket are there; the best one in `reduction_factor` go on, the others are stopped.
    A bracket that is not full waits for more trials as long as the search makes any. Nobody waits for a trial that has
    ended. A value that is not finite is the worst.

    As the trials of a bracket wait for each other, give it as many trials as a round has, 143 with the defaults, and
    trials that can be paused. `ASHAScheduler` does without waiting.

    Where the run has several metrics, the best are those of the first fronts: see `ASHAScheduler`.

    Args:
        time_attr: the measure of progress, a reported number that grows: ``training_iteration``, ``time_total_s`` or
            one of the user's own.
        metric: what to compare; the run's own metric by default.
        mode: ``"min"`` or ``"max"``; the run's own by default.
        max_t: the last milestone, 1 or more, in units of `time_attr`; the first are about 1.
        reduction_factor: above 1; one trial in so many goes on from a milestone.
        stop_last_trials: whether `max_t` ends a trial; if not, those that get there go on to their own end.
        rules: `RULES_TODAY`, or `RULES_2019` for the brackets and the decisions of Ray Tune 0.6.5.

    Raises:
        ArgumentError: a number is out of its range.

    Source: Li et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization, JMLR 18-185 (2018),
    algorithm 1. It begins with the bracket of most trials, which finds good values later where early ones mislead (see
    benchmarks/schedulers.md); here the trials that are never cut come first.

    >>> scheduler = HyperBandScheduler(metric="loss", mode="min", max_t=81, reduction_factor=3)
    >>> [plan.stages[0].size for plan in scheduler.plans]
    [5, 8, 15, 34, 81]
    """

    compares_fronts = True

    def __init__(  # noqa: PLR0917 - the order of Tune's arguments
        self,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: Mode | None = None,
        max_t: float = 81,
        reduction_factor: float = 3,
        stop_last_trials: bool = True,
        *,
        rules: Rules = RULES_TODAY,
    ) -> None:
        super().__init__(metric, mode)
        if not _is_number(max_t) or not 1 <= max_t < inf:
            raise ArgumentError(f"max_t must be a number from 1, got {max_t!r}.")
        if not _is_number(reduction_factor) or not 1 < reduction_factor < inf:
            raise ArgumentError(
                f"reduction_factor must be a number above 1, got {reduction_factor!r}: one trial in so many goes on"
                " from each milestone."
            )
        self.time_attr, self.max_t, self.reduction_factor = time_attr, max_t, reduction_factor
        self.stop_last_trials, self.rules = stop_last_trials, rules
        found = (plans if rules.hyperband_of_theory else plans_2019)(max_t, reduction_factor)
        turned = rules.hyperband_of_theory and not rules.hyperband_most_trials_first
        self.plans = found[::-1] if turned else found
        self.num_stopped = 0
        self.sees_all = not rules.hyperband_of_theory
        self._waits_at_end = stop_last_trials and rules.hyperband_waits_at_end
        self._time = Clock(time_attr)
        self._verdict = CONTINUE  # about the last report, unless its trial has arrived at a milestone
        self._rounds: list[list[Bracket | None]] = [[]]
        self._settled = 0  # how many rounds, from the first, are over
        self._brackets: dict[int, Bracket] = {}  # of the trials that have not ended
        self._unsettled: dict[Bracket, None] = {}  # those in which a decision is due, or would be if no trial joined

    def setup(self, objective: Objective | None, seed: int) -> None:
        """Take the run's objective."""
        super().setup(objective, seed)
        if self.objective is not None:  # which `super` has seen to
            self._goal = self.objective

    # -- the fold

    def apply(self, event: Event, trial: TrialView | None) -> None:
        """Fold an event: who joins a bracket, arrives at a milestone, goes on from it, or ends."""
        if type(event) is Reported:
            self._verdict = self._read(event)
        elif isinstance(event, (Suggested, Reopened)):
            self._enter(event.trial)
        elif type(event) is SessionOpened:
            for bracket in self._open_brackets():
                bracket.reopen()
        elif trial is not None and trial.number in self._brackets:
            self._follow(event, trial)

    def _enter(self, trial: int) -> None:
        """Let a trial join the newest bracket, or one more if that is full."""
        while True:
            newest = self._rounds[-1]
            bracket = newest[-1] if newest else None
            if bracket is not None and not bracket.is_full:
                break
            if len(newest) == len(self.plans):
                self._rounds.append(newest := [])
            plan = self.plans[len(newest)]
            newest.append(None if plan is None else Bracket(plan, self.reduction_factor, self.rules))
        bracket.join(trial)
        self._brackets[trial] = bracket
        self._note(bracket)

    def _read(self, report: Reported) -> Decision:
        bracket = self._brackets.get(report.trial)
        if bracket is None or not report.metrics:
            return CONTINUE
        t = self._time(report)
        try:
            bracket.advance(report.trial, t)
            if not t >= bracket.stage.milestone:
                return CONTINUE  # nine reports in ten
        except TypeError:
            return Decision("fail", self._time.complaint(report))
        return self._reach(report, bracket, t)

    def _reach(self, report: Reported, bracket: Bracket, t: float) -> Decision:
        try:
            score = measured(self._goal, report.metrics)
        except MetricError as error:
            return Decision("fail", str(error))
        if self._waits_at_end or not (bracket.is_last or (self.stop_last_trials and t >= self.max_t)):
            bracket.arrive(report.trial, t, score)
            self._note(bracket)
            return CONTINUE
        if not self.stop_last_trials:
            return CONTINUE
        limit = bracket.stage.milestone if bracket.is_last else self.max_t
        return Decision("stop", self._enough(t, limit), enough=True)

    def _enough(self, t: float, limit: float) -> str:
        return f"{self.time_attr} reached {t:g}, and training ends at {limit:g}"

    def has_enough(self, report: Reported) -> bool:
        """Return whether the report is at `max_t` or beyond it."""
        t = self._time(report)
        return self.stop_last_trials and _is_number(t) and t >= self.max_t

    def _follow(self, event: Event, trial: TrialView) -> None:
        number = trial.number
        bracket = self._brackets[number]
        if bracket.is_complete and number in bracket.arrived and _shows_a_cut(event):
            cut = bracket.cut()
            self.num_stopped += len(cut.losers) if cut.kept else 0  # to have reached the end is not to have lost
        bracket.follow(number, trial.status)
        if trial.status.is_final:
            del self._brackets[number]
        self._note(bracket)

    def _note(self, bracket: Bracket) -> None:
        """Keep in mind whether something is to be decided about a bracket, and which rounds are over."""
        if bracket.is_complete or bracket.losers:
            self._unsettled[bracket] = None
        else:
            self._unsettled.pop(bracket, None)
        while self._settled < len(self._rounds) - 1 and not any(_going_on(self._rounds[self._settled])):
            self._settled += 1

    def _open_brackets(self) -> Iterator[Bracket]:
        return _going_on(chain.from_iterable(self._rounds[self._settled :]))

    # -- the questions

    def judge(self, report: Reported, view: View) -> Decision:
        """Pause a trial at its milestone; hold the one for which the others have waited until they are compared."""
        bracket = self._brackets.get(report.trial)
        arrival = None if bracket is None else bracket.arrived.get(report.trial)
        if bracket is None or arrival is None or self._verdict is not CONTINUE:
            return self._verdict
        here = f"at milestone {bracket.stage.milestone:g} with {shown(self._goal, arrival.score)}"
        if self._is_due(bracket, view):
            return Decision("hold", f"{here}: all of its bracket are there to be compared")
        more = "" if bracket.is_full or view.complete else ", and more may join"
        there = f"{len(bracket.arrived)} of the {bracket.size} trials of its bracket are there"
        return Decision("pause", f"paused {here}: {there}{more}")

    def _is_due(self, bracket: Bracket, view: View) -> bool:
        """Whether the trials of a bracket are to be compared now."""
        return bracket.is_complete and (bracket.is_full or view.complete)

    def review(self, view: View) -> Sequence[tuple[int, Decision]]:
        """Stop the trials that were found too bad, and let the one go on that was held."""
        return [decision for bracket in self._unsettled for decision in self._decide(bracket, view)]

    def _decide(self, bracket: Bracket, view: View) -> list[tuple[int, Decision]]:
        decisions = [(trial, self._stop(trial, cut)) for trial, cut in bracket.losers.items()]
        if self._is_due(bracket, view):
            cut = bracket.rank()
            decisions += [(trial, self._stop(trial, cut)) for trial in cut.losers]
            decisions += [(trial, self._let_go(trial, cut)) for trial in cut.winners if view.trials[trial].held]
        return sorted(decisions, key=lambda decision: view.trials[decision[0]].held)  # first those that have waited

    def _stop(self, trial: int, cut: Cut) -> Decision:
        arrival, milestone = cut.arrivals[trial], cut.milestone
        if not cut.kept:
            return Decision("stop", self._enough(arrival.time, milestone), enough=True)
        if isinstance(arrival.score, Merit):
            return Decision(
                "stop",
                f"stopped at milestone {milestone:g}: with {shown(self._goal, arrival.score)} it is not among the best"
                f" {cut.kept} of {len(cut.ranking)} trials, by their fronts",
            )
        relation = side(self._goal) if arrival.score < cut.cutoff else "level with"  # type: ignore[operator]  # by above
        return Decision(
            "stop",
            f"stopped at milestone {milestone:g}: {shown(self._goal, arrival.score)} is {relation} the cutoff"
            f" {shown(self._goal, cut.cutoff)} of {len(cut.ranking)} trials, the best {cut.kept} of which go on",
        )

    def _let_go(self, trial: int, cut: Cut) -> Decision:
        value = shown(self._goal, cut.arrivals[trial].score)
        return Decision(
            "continue",
            f"goes on from milestone {cut.milestone:g}: {value} is among the best {cut.kept} of"
            f" {len(cut.ranking)} trials",
        )

    def choose(self, view: View) -> int | None:
        """Return the next trial of the first bracket that has one; under the rules of 2019, of the least complete."""
        for brackets in self._rounds[self._settled :]:
            order = list(_going_on(brackets))
            if not self.rules.hyperband_first_bracket_first:
                order.sort(key=lambda bracket: bracket.completed)
            for bracket in order:
                for trial in self._startable(bracket, view):
                    if view.fits(trial):
                        return trial
        return None

    def _startable(self, bracket: Bracket, view: View) -> Iterable[int]:
        return bracket.winners() if self._is_due(bracket, view) else bracket.ready

    def describe(self, view: View) -> str:
        """Return how many trials lost a comparison, and the brackets as users of Tune know them.

        The rounds before the first that is not over are left out, except under the rules of 2019.
        """
        brackets = sum(map(len, self._rounds))
        lines = [f"Using HyperBand: num_stopped={self.num_stopped} total_brackets={brackets}"]
        first = self._settled if self.rules.hyperband_of_theory else 0
        for number in range(first, len(self._rounds)):
            lines.append(f"Round #{number}:")
            lines += [f"  {self._describe_bracket(bracket, view)}" for bracket in self._rounds[number]]
        return "\n".join(lines)

    def _describe_bracket(self, bracket: Bracket | None, view: View) -> str:
        if bracket is None:
            return "None"
        counts = Counter(
            "PENDING" if trial in bracket.ready else view.trials[trial].status.public for trial in bracket.members
        )
        states = ", ".join(f"{state}: {count}" for state, count in sorted(counts.items()))
        size, milestone = bracket.stage.size, bracket.stage.milestone
        head = f"Bracket(Max Size (n)={size}, Milestone (r)={milestone}, completed={bracket.completed:.1%})"
        return f"{head}: {{{states}}} "
