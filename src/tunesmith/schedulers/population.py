"""A population: its trials by how good they were when they last came to a perturbation, and by whose turn it is."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import count
from math import ceil, inf
from typing import Final, TypeAlias

from tunesmith.schedulers.protocol import TrialView
from tunesmith.schedulers.rungs import Key
from tunesmith.trial import Status

Turn: TypeAlias = tuple[float, int, int]  # the time of the last perturbation, how many came before, the trial

_WAITING: Final = frozenset({Status.PENDING, Status.PAUSED})


class Member:
    """A trial, and what it was when it last came to a perturbation: at the time `last` and the iteration `iteration`.

    `due` is the time of its next one. `key` is its place in the ranking, None before the first. `is_itself` is False
    from when it became a clone to its next perturbation: what it goes on from is not what was ranked. `trial` is the
    view of it, which is always of the present. `turn` is its place among those that wait, `waits` whether it does; one
    that was started and thrown back has its turn again.
    """

    __slots__ = ("due", "is_itself", "iteration", "key", "last", "trial", "turn", "waits")

    def __init__(self, trial: TrialView, due: float) -> None:
        self.trial = trial
        self.due = due
        self.last = 0.0
        self.iteration = 0
        self.key: Key | None = None
        self.is_itself = False
        self.turn: Turn | None = None
        self.waits = False

    @property
    def score(self) -> float:
        """The score of then; larger is better."""
        return self.key[0] if self.key else -inf

    @property
    def is_ready(self) -> bool:
        """Whether others may go on from its checkpoint: it must hold the state that was ranked, or a later one."""
        checkpoint = self.trial.checkpoint
        return (
            self.is_itself
            and self.score > -inf
            and checkpoint is not None
            and checkpoint.iteration >= self.iteration
            and not self.trial.saving
        )


class Population:
    """The trials that have not ended. Ranking one, or letting it wait, costs O(log n) comparisons.

    `quantile` is the share of the ranked ones that are the best, and that are the worst; from 0 to 0.5.
    """

    def __init__(self, quantile: float) -> None:
        self.members: dict[int, Member] = {}
        self._quantile = quantile
        self._ranking: list[Key] = []  # from the worst to the best
        self._queue: list[Turn] = []  # of those that wait for a place
        self._turns = count()

    def __len__(self) -> int:
        """How many are ranked."""
        return len(self._ranking)

    @property
    def share(self) -> int:
        """How many are the best, and how many the worst; none while there is nobody to compare with."""
        ranked = len(self._ranking)
        return min(ceil(self._quantile * ranked), ranked // 2)

    def rank(self, member: Member, t: float, score: float, iteration: int) -> None:
        """Take in what a trial is at its perturbation."""
        self._forget(member)
        member.last, member.iteration, member.is_itself = t, iteration, True
        member.turn = None
        member.key = (score, -member.trial.number)
        insort(self._ranking, member.key)

    def remove(self, member: Member) -> None:
        """Let go of a trial that has ended."""
        self._forget(member)
        self.members.pop(member.trial.number, None)

    def place(self, member: Member) -> None:
        """Let a trial wait, or no longer, as its status says."""
        waits, turn = member.trial.status in _WAITING, member.turn
        keeps_turn = turn is not None and turn[0] == member.last
        if member.waits and turn is not None:
            if waits and keeps_turn:
                return
            del self._queue[bisect_left(self._queue, turn)]
        if waits:
            if turn is None or not keeps_turn:
                turn = member.turn = (member.last, next(self._turns), member.trial.number)
            insort(self._queue, turn)
        member.waits = waits

    def waiting(self) -> Iterator[Member]:
        """Yield those that wait for a place: by the time of their last perturbation, then as they came.

        Not by number: a clone has its donor's time. If it went first, it might be cloned again, and so for ever.
        """
        return (self.members[number] for _, _, number in self._queue)

    def is_worst(self, member: Member) -> bool:
        """Whether it is among the worst."""
        return member.key is not None and bisect_left(self._ranking, member.key) < self.share

    def is_best(self, member: Member) -> bool:
        """Whether it is among the best."""
        return member.key is not None and bisect_left(self._ranking, member.key) >= len(self) - self.share

    def worst(self) -> list[Member]:
        """Return the worst, beginning with the worst of all."""
        return [self.members[-minus] for _, minus in self._ranking[: self.share]]

    def best(self) -> list[Member]:
        """Return the best, ending with the best of all."""
        return [self.members[-minus] for _, minus in self._ranking[len(self) - self.share :]]

    def _forget(self, member: Member) -> None:
        if member.key is not None:
            del self._ranking[bisect_left(self._ranking, member.key)]
            member.key = None
