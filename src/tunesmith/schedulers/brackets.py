"""Brackets: groups of trials that train until a milestone and are cut down to their best there, time and again."""

from __future__ import annotations

from math import ceil
from typing import Any, Final

import msgspec

from tunesmith.pareto import Merit, standings
from tunesmith.schedulers.rules import Rules
from tunesmith.trial import Status

_ROUNDING: Final = 1e-9  # what a product of floats may be off by
_BRACKETS_2019: Final = 5  # in a round, whatever max_t is


class Stage(msgspec.Struct, frozen=True):
    """At most `size` trials train until `milestone`."""

    size: int
    milestone: float


class Plan(msgspec.Struct, frozen=True):
    """The stages of a bracket, and the `work` in all of them: the training time of its trials together."""

    stages: tuple[Stage, ...]
    work: float


def plans(max_t: float, eta: float) -> tuple[Plan, ...]:
    """Return the brackets of a round, the one with the most trials and the lowest milestone first.

    The bracket s starts with ``n = ceil((s_max + 1) / (s + 1) * eta**s)`` trials, where `s_max` is the largest whole
    number with ``eta**s_max <= max_t``. Its stage i has ``floor(n / eta**i)`` trials and the milestone
    ``max_t / eta**(s - i)``, rounded down.

    Args:
        max_t: the last milestone, 1 or more.
        eta: above 1; one trial in so many goes on from each stage.

    Source: Li et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization, JMLR 18-185 (2018),
    algorithm 1.

    >>> [(stage.size, stage.milestone) for stage in plans(81, 3)[0].stages]
    [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)]
    """
    s_max = 0
    while eta ** (s_max + 1) <= max_t * (1 + _ROUNDING):
        s_max += 1
    return tuple(_plan(s, (s_max + 1) / (s + 1), max_t, eta) for s in range(s_max, -1, -1))


def _plan(s: int, share: float, max_t: float, eta: float) -> Plan:
    size = ceil(share * eta**s - _ROUNDING)
    stages = [Stage(max(1, int(size / eta**i + _ROUNDING)), int(max_t / eta ** (s - i) + _ROUNDING)) for i in range(s)]
    stages.append(Stage(max(1, int(size / eta**s + _ROUNDING)), max_t))
    before = [0, *(stage.milestone for stage in stages)]
    work = sum(stage.size * (stage.milestone - start) for stage, start in zip(stages, before, strict=False))
    return Plan(tuple(stages), work)


def plans_2019(max_t: float, eta: float) -> tuple[Plan | None, ...]:
    """Return the brackets of a round in 0.6.5: always five, the smallest first, None where the milestone would be 0.

    From stage to stage, the time to the next milestone grows by `eta` rather than the milestone itself.

    >>> [(stage.size, stage.milestone) for stage in plans_2019(81, 3)[2].stages]
    [(15, 9), (5, 36), (2, 81)]
    """
    return tuple(_plan_2019(s, max_t, eta) for s in range(_BRACKETS_2019))


def _plan_2019(s: int, max_t: float, eta: float) -> Plan | None:
    first: float = int(max_t * eta**-s)
    if first == 0:
        return None
    size, step, milestone = ceil(_BRACKETS_2019 / (s + 1) * eta**s), first, first
    stages, work, counted = [Stage(size, milestone)], size * first, first
    for _ in range(s):
        size, step = ceil(size / eta), min(eta * step, max_t - milestone)
        milestone += step
        stages.append(Stage(size, milestone))
        counted = min(eta * counted, max_t - first)  # should be less: what the stages between have used is forgotten
        work += size * counted
    return Plan(tuple(stages), work)


class Arrival(msgspec.Struct, frozen=True):
    """When a trial reported at or after a milestone for the first time, and how good it was.

    That is a score, or a merit where there are several metrics.
    """

    time: float
    score: float | Merit


def _places(scores: dict[int, Any]) -> dict[int, Any]:
    """Return what to sort trials by, from the worst: their scores, or with several metrics their fronts."""
    if not any(isinstance(score, Merit) for score in scores.values()):
        return scores
    found = standings(list(scores.values()))
    return {trial: (-front, -crowded) for trial, (front, crowded) in zip(scores, found, strict=True)}


class Cut(msgspec.Struct, frozen=True):
    """What a comparison at a milestone leads to: of the trials in `ranking`, from the worst, the last `kept` go on."""

    milestone: float
    ranking: tuple[int, ...]
    arrivals: dict[int, Arrival]
    kept: int

    @property
    def losers(self) -> tuple[int, ...]:
        """The trials that don't go on, the worst first."""
        return self.ranking[: len(self.ranking) - self.kept]

    @property
    def winners(self) -> tuple[int, ...]:
        """The trials that go on, by number."""
        return tuple(sorted(self.ranking[len(self.ranking) - self.kept :]))

    @property
    def cutoff(self) -> float | Merit:
        """The score of the worst that goes on, if any does."""
        return self.arrivals[self.ranking[-self.kept]].score


class Bracket:
    """Trials that are compared with each other, and how far they have got.

    A member that pauses at a milestone has arrived there for good, even if its worker is lost: it does that work again
    only if it goes on. One that fails before it has paused arrives again. A member that has ended or is about to is
    waited for no longer.

    Args:
        plan: how many trials there may be and how long they train.
        eta: one in so many goes on at a cut.
        rules: whether that is a share of the plan's trials, and who wins a tie.
    """

    def __init__(self, plan: Plan, eta: float, rules: Rules) -> None:
        self.plan = plan
        self.level = 0
        self.members: dict[int, float] = {}  # all there have ever been, and the latest time that each has reported
        self.arrived: dict[int, Arrival] = {}  # those that are at the milestone
        self.ready: dict[int, None] = {}  # those that have no worker, but should
        self.losers: dict[int, Cut] = {}  # those that a cut has found to be too bad and that have not ended yet
        self._live: set[int] = set()  # those that have neither lost nor ended
        self._idle: set[int] = set()  # those that have no worker
        self._pausing: set[int] = set()  # those that are about to have none
        self._progress = 0.0
        self._eta, self._rules = eta, rules

    @property
    def stage(self) -> Stage:
        """How many may train, and until when."""
        return self.plan.stages[self.level]

    @property
    def size(self) -> int:
        """How many trials have neither lost nor ended."""
        return len(self._live)

    @property
    def is_last(self) -> bool:
        """Whether no more cuts will follow."""
        return self.level == len(self.plan.stages) - 1

    @property
    def is_full(self) -> bool:
        """Whether no more trials may join."""
        return self.level > 0 or len(self.members) >= self.stage.size

    @property
    def is_complete(self) -> bool:
        """Whether all its trials are at the milestone."""
        return 0 < len(self._live) == len(self.arrived)

    @property
    def is_over(self) -> bool:
        """Whether none of its trials will go on."""
        return not self._live

    @property
    def completed(self) -> float:
        """How much of the planned work is done: about, and from 0 to 1."""
        return 1.0 if self.members and self.is_over else min(1.0, self._progress / self.plan.work)

    def join(self, trial: int) -> None:
        """Take a trial in that has not started yet."""
        self.members[trial] = 0
        self._live.add(trial)
        self._idle.add(trial)
        self.ready[trial] = None

    def advance(self, trial: int, time: float) -> None:
        """Take note that a trial has trained until `time`."""
        before = self.members[trial]
        if time > before:
            self._progress += time - before
            self.members[trial] = time

    def arrive(self, trial: int, time: float, score: float | Merit) -> None:
        """Let a trial wait at the milestone, if it does not already."""
        if trial in self._live and trial not in self.arrived:
            self.arrived[trial] = Arrival(time, score)

    def follow(self, trial: int, status: Status) -> None:
        """Take note of what a trial does now."""
        if status is Status.PAUSING:
            self._pausing.add(trial)
        else:
            self._pausing.discard(trial)
        if status is Status.STOPPING or status.is_final:
            self._leave(trial)
        elif status.is_live:
            self._idle.discard(trial)
            self.ready.pop(trial, None)
        elif trial not in self._idle:
            self._idle.add(trial)
            if status is Status.PENDING:
                self.arrived.pop(trial, None)  # it failed before it had paused, and is to arrive again
            if trial in self._live and trial not in self.arrived:
                self.ready = {trial: None, **self.ready}  # it has waited once already, and the others wait for it

    def _leave(self, trial: int) -> None:
        self._live.discard(trial)
        self._idle.discard(trial)
        for place in (self.arrived, self.ready, self.losers):
            place.pop(trial, None)

    def reopen(self) -> None:
        """Take note that no worker is left."""
        there = self._idle | self._pausing
        self.arrived = {trial: arrival for trial, arrival in self.arrived.items() if trial in there}
        self._pausing.clear()
        self._idle = set(self._live)
        self.ready = dict.fromkeys(trial for trial in sorted(self._live) if trial not in self.arrived)

    def rank(self) -> Cut:
        """Compare the trials at the milestone. At the last one, none goes on."""
        trials = sorted(self.arrived)
        kept = 0 if self.is_last else min(self._quota(), len(trials))
        if not self.is_last:
            first = -1 if self._rules.hyperband_ties_to_first else 1
            places = _places({trial: self.arrived[trial].score for trial in trials})
            trials.sort(key=lambda trial: (places[trial], first * trial))
        return Cut(self.stage.milestone, tuple(trials), dict(self.arrived), kept)

    def _quota(self) -> int:
        if self._rules.hyperband_counts_members:
            return max(1, int(len(self.arrived) / self._eta + _ROUNDING))
        return self.plan.stages[self.level + 1].size

    def cut(self) -> Cut:
        """Carry the comparison out: losers leave, winners go on to the next milestone, unless they are past it."""
        cut = self.rank()
        for trial in cut.losers:
            self._leave(trial)
            self.losers[trial] = cut
        if not self.is_last:
            self.level += 1
            for trial in cut.winners:
                if not self.arrived[trial].time >= self.stage.milestone:
                    del self.arrived[trial]
                    if trial in self._idle:
                        self.ready[trial] = None
        return cut

    def winners(self) -> list[int]:
        """Return the trials at the milestone that would go on and have no worker, by number."""
        return [trial for trial in self.rank().winners if trial in self._idle]
