"""Rungs: the milestones at which trials are compared, and what they had reported there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush, heappushpop
from math import exp, inf, log
from typing import Any, Final, Generic, TypeAlias, TypeVar

from tunesmith.errors import ArgumentError
from tunesmith.events import Reported
from tunesmith.objective import Objective
from tunesmith.schedulers.protocol import CONTINUE, Decision, TrialView, View
from tunesmith.streams import stream

Key: TypeAlias = tuple[Any, int]  # (score, -trial): the larger is the better one; of equals, the one made first

_ROUNDING: Final = 1e-9  # what a product of floats may be off by, relatively


def milestones(grace_period: float, max_t: float, reduction_factor: float, *, exact: bool = True) -> tuple[float, ...]:
    """Return ``grace_period * reduction_factor**k``, as many as are not above `max_t`, in rising order.

    Args:
        grace_period: the lowest of them, above 0.
        max_t: the limit, `grace_period` or more.
        reduction_factor: above 1.
        exact: False takes their number from a logarithm, which loses the last one where it is rounded down.

    >>> milestones(1, 243, 3), milestones(1, 243, 3, exact=False)
    ((1, 3, 9, 27, 81, 243), (1, 3, 9, 27, 81))
    """
    if not exact:
        count = int(log(max_t / grace_period) / log(reduction_factor) + 1)
        return tuple(grace_period * reduction_factor**k for k in range(count))
    found = [grace_period]
    while (higher := found[-1] * reduction_factor) <= max_t * (1 + _ROUNDING):
        found.append(min(higher, max_t))
    return tuple(found)


def check_rungs(grace_period: float, max_t: float, reduction_factor: float) -> None:
    """Refuse what makes no rungs.

    Raises:
        ArgumentError: a number is not one, or is out of its range.
    """
    given = {"grace_period": grace_period, "max_t": max_t, "reduction_factor": reduction_factor}
    for name, value in given.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < inf:
            raise ArgumentError(f"{name} must be a number above 0, got {value!r}.")
    if grace_period > max_t:
        raise ArgumentError(
            f"grace_period={grace_period:g} is above max_t={max_t:g}, so that no trial would ever be compared."
            " Lower grace_period or raise max_t."
        )
    if reduction_factor <= 1:
        raise ArgumentError(
            f"reduction_factor must be above 1, got {reduction_factor!r}: one trial in so many goes on from each rung."
        )


def interpolated(low: float, high: float, fraction: float) -> float:
    """Return the value `fraction` of the way from `low` to `high`; all that is above ``-inf`` counts as `high`."""
    if low == high or fraction == 0:
        return low
    return high if low == -inf else low * (1 - fraction) + high * fraction


class Split:
    """Keys, of which the best `share(n)` of n are told from the rest. A key costs O(log n), whatever n.

    `share` must not fall when n grows.
    """

    __slots__ = ("_best", "_rest", "_share")

    def __init__(self, share: Callable[[int], int]) -> None:
        self._share = share
        self._best: list[Key] = []  # a heap with the worst on top
        self._rest: list[Key] = []  # turned keys: a heap with the best on top

    def __len__(self) -> int:
        return len(self._best) + len(self._rest)

    @property
    def least(self) -> Key | None:
        """The worst of the best."""
        return self._best[0] if self._best else None

    @property
    def next(self) -> Key | None:
        """The best of the rest."""
        return _turned(self._rest[0]) if self._rest else None

    def add(self, key: Key) -> None:
        """Take a key in."""
        heappush(self._rest, _turned(heappushpop(self._best, key)))
        while len(self._best) < self._share(len(self)):
            heappush(self._best, _turned(heappop(self._rest)))

    def remove(self, key: Key) -> None:
        """Take a key out, which is in it. Rare, and O(n)."""
        keys = [*self._best, *map(_turned, self._rest)]
        keys.remove(key)
        keys.sort(reverse=True)
        size = self._share(len(keys))
        self._best, self._rest = keys[:size], [_turned(key) for key in keys[size:]]
        heapify(self._best)  # the rest is sorted, and so a heap already


def _turned(key: Key) -> Key:
    return -key[0], -key[1]


class Rung:
    """The scores that trials had when they reached `milestone`.

    Unless `exact`, the place of the percentile is rounded as NumPy rounds it, with the same last digit.
    """

    __slots__ = ("_eta", "_exact", "_scores", "milestone")

    def __init__(self, milestone: float, eta: float, *, exact: bool = True) -> None:
        self.milestone = milestone
        self._eta, self._exact = eta, exact
        self._scores = Split(self._share)

    def __len__(self) -> int:
        return len(self._scores)

    def add(self, key: Key) -> None:
        """Record a score."""
        self._scores.add(key)

    def remove(self, key: Key) -> None:
        """Withdraw a score that was recorded."""
        self._scores.remove(key)

    def cutoff(self) -> float | None:
        """Return the score that one in `eta` reaches: a percentile by linear interpolation. None: nothing to go by."""
        low, high = self._scores.next, self._scores.least
        if low is None:
            return None
        position = self._position(len(self))
        return interpolated(low[0], low[0] if high is None else high[0], position - int(position))

    def _position(self, count: int) -> float:
        if self._exact:
            return (count - 1) * (self._eta - 1) / self._eta
        return (1 - 1 / self._eta) * 100 / 100 * (count - 1)

    def _share(self, count: int) -> int:
        return count - 1 - int(self._position(count))


R = TypeVar("R", bound=Rung)


class Ladders(Generic[R]):
    """The rungs of each bracket, in rising order, and `due`: those that each trial has yet to reach."""

    def __init__(self, brackets: Sequence[tuple[R, ...]]) -> None:
        self.brackets = brackets
        self.due: dict[int, tuple[R, ...]] = {}
        self._left: dict[int, tuple[R, ...]] = {}  # what was due of those that have ended
        longest = max(map(len, brackets))
        self._weights = [exp(len(rungs) - longest) for rungs in brackets]

    def enter(self, trial: int, seed: int) -> None:
        """Put a trial at the foot of a ladder: at random, and the longer ladders are the likelier."""
        ladder = self.brackets[0]
        if len(self.brackets) > 1:
            (ladder,) = stream(seed, "asha", "bracket", trial).choices(self.brackets, self._weights)
        self.due[trial] = ladder

    def climb(self, trial: int, t: float, *, each: bool = True) -> tuple[R, ...]:
        """Return the rungs that a trial reaches at `t`, which are no longer due; only the highest unless `each`."""
        due = self.due[trial]
        reached = tuple(rung for rung in due if rung.milestone <= t)
        if each:
            self.due[trial] = due[len(reached) :]
            return reached
        self.due[trial] = tuple(rung for rung in due if rung not in reached[-1:])
        return reached[-1:]

    def fall(self, trial: int, rungs: tuple[R, ...]) -> None:
        """Make rungs due again that a trial had reached last."""
        self.due[trial] = (*rungs, *self.due[trial])

    def leave(self, trial: int) -> None:
        """Let go of a trial that has ended. What it has recorded stays."""
        if trial in self.due:
            self._left[trial] = self.due.pop(trial)

    def enter_again(self, trial: int) -> None:
        """Let a trial that has ended climb on: at the rungs that it has reached it is not compared again."""
        if trial in self._left:
            self.due[trial] = self._left.pop(trial)


class Variant(Generic[R]):
    """What becomes of a trial at the rungs that it reaches. This one lets every trial go on."""

    def __init__(self, ladders: Ladders[R], objective: Objective) -> None:
        self.ladders = ladders
        self.objective = objective

    def record(self, trial: int, rungs: tuple[R, ...], score: Any) -> None:
        """Record a score, or with several metrics a merit, that decides nothing about its own trial."""
        for rung in rungs:
            rung.add((score, -trial))

    def arrive(self, trial: TrialView, rungs: tuple[R, ...], score: Any) -> Decision:
        """Record the score of a trial at the rungs that it has reached and return what it is to do."""
        self.record(trial.number, rungs, score)
        return CONTINUE

    def verdict(self, report: Reported) -> Decision:
        """Return what a trial is to do whose report led to no decision when it was folded."""
        return CONTINUE

    def fold(self, trial: TrialView) -> None:
        """Take note of a trial after an event other than a report."""

    def reopen(self) -> None:
        """Take note that no worker is left."""

    def candidates(self, view: View) -> Iterable[Iterable[int]]:
        """Return the trials that may start now, the first choice first."""
        return view.pending, view.paused

    def review(self, view: View) -> Sequence[tuple[int, Decision]]:
        """Return decisions about trials that wait."""
        return ()
