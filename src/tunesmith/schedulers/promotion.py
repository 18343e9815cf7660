"""Successive halving by promotion: trials pause at each rung, and the best of a rung go on to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import chain
from typing import Any

import msgspec

from tunesmith.objective import Objective
from tunesmith.schedulers.protocol import Decision, TrialView, View
from tunesmith.schedulers.reading import shown
from tunesmith.schedulers.rungs import Key, Ladders, Rung, Variant
from tunesmith.trial import Status


class PromotionRung(Rung):
    """A rung at which paused trials wait. Of n that got there, the best ``floor(n / eta)`` may go on."""

    __slots__ = ("_queue", "promoted", "waiting")

    def __init__(self, milestone: float, eta: float) -> None:
        super().__init__(milestone, eta)
        self.waiting: dict[int, Key] = {}
        self.promoted = 0
        self._queue: list[tuple[float, int]] = []  # (-score, trial): a heap with the best on top

    def quota(self) -> int:
        """How many may go on."""
        return self._share(len(self))

    def cutoff(self) -> float | None:
        """Return the score of the worst that may go on."""
        least = self._scores.least
        return None if least is None else least[0]

    def wait(self, key: Key) -> None:
        """Let a trial wait that has recorded `key`; it may be waiting already."""
        score, trial = key[0], -key[1]
        if trial not in self.waiting:
            self.waiting[trial] = key
            heappush(self._queue, (-score, trial))

    def leave(self, trial: int, *, promoted: bool) -> None:
        """Let a trial wait no longer, if it did."""
        self.promoted += promoted
        self.waiting.pop(trial, None)
        queue = self._queue
        while queue and self.waiting.get(queue[0][1]) != (-queue[0][0], -queue[0][1]):
            heappop(queue)

    def best(self) -> int | None:
        """Return the best that waits."""
        return self._queue[0][1] if self._queue else None

    def promotable(self) -> int | None:
        """Return the best that waits, if it may go on."""
        best, least = self.best(), self._scores.least
        return best if best is not None and least is not None and self.waiting[best] >= least else None

    def _share(self, count: int) -> int:
        return int(count / self._eta)


class Arrival(msgspec.Struct, frozen=True):
    """What a trial recorded at the rungs that it has reached, the last of which it pauses at."""

    rungs: tuple[PromotionRung, ...]
    key: Key


class Promotion(Variant[PromotionRung]):
    """Pause each trial at each rung; start the best that may go on from the highest rung there is.

    A record is withdrawn when its trial fails while it pauses, as it reports the same again. It stands when a trial
    loses its worker, while it pauses or later: that work is done again only if the trial goes on, and not judged again.

    At the end of the search, when nothing else is left to run, a rung that has let none go on lets its best one, so
    that a few trials give a winner that was trained to its end.
    """

    def __init__(self, ladders: Ladders[PromotionRung], objective: Objective) -> None:
        super().__init__(ladders, objective)
        rungs = [rung for bracket in ladders.brackets for rung in bracket]
        self._rungs = sorted(rungs, key=lambda rung: -rung.milestone)
        self.arrivals: dict[int, Arrival] = {}  # of the trials that are at a rung, and not promoted
        self._interrupted: dict[int, None] = {}  # paused, but not by a decision from here
        self._pausing: dict[int, None] = {}  # about to be

    def arrive(self, trial: TrialView, rungs: tuple[PromotionRung, ...], score: Any) -> Decision:
        """Record the score and pause the trial."""
        self.record(trial.number, rungs, score)
        rung = rungs[-1]
        self.arrivals[trial.number] = Arrival(rungs, (score, -trial.number))
        return Decision(
            "pause",
            f"paused at rung {rung.milestone:g} with {shown(self.objective, score)}:"
            f" the best {rung.quota()} of the {len(rung)} trials there so far may go on",
        )

    def fold(self, trial: TrialView) -> None:
        """Follow a trial from its arrival to its promotion, its end or its failure."""
        number, status = trial.number, trial.status
        arrival = self.arrivals.get(number)
        if arrival is None:
            for place, there in ((self._interrupted, Status.PAUSED), (self._pausing, Status.PAUSING)):
                if status is there:
                    place[number] = None
                else:
                    place.pop(number, None)
        elif status is Status.PAUSED:
            arrival.rungs[-1].wait(arrival.key)
        elif status is not Status.RUNNING and status is not Status.PAUSING:
            del self.arrivals[number]
            arrival.rungs[-1].leave(number, promoted=status is Status.STARTING)
            if status is Status.PENDING:
                self.withdraw(number, arrival)

    def reopen(self) -> None:
        """Let the trials wait that were pausing when their workers were lost."""
        for arrival in self.arrivals.values():
            arrival.rungs[-1].wait(arrival.key)
        self._interrupted.update(self._pausing)
        self._pausing.clear()

    def withdraw(self, trial: int, arrival: Arrival) -> None:
        """Take back what a trial recorded: it is to arrive again."""
        for rung in arrival.rungs:
            rung.remove(arrival.key)
        self.ladders.fall(trial, arrival.rungs)

    def candidates(self, view: View) -> Iterable[Iterable[int]]:
        """Return the best trial of each rung, if it may go on, then those that wait for their turn."""
        return self._promotable(), self._interrupted, view.pending, self._last_resort(view)

    def review(self, view: View) -> Sequence[tuple[int, Decision]]:
        """Stop the trials that wait when none of them can be promoted any more."""
        if not self.arrivals or not self._at_end(view):
            return ()
        if next(chain(self._promotable(), self._last_resort(view)), None) is not None:
            return ()
        return [(number, Decision("stop", self.farewell(number))) for number in sorted(self.arrivals)]

    def farewell(self, trial: int) -> str:
        """Say why a trial that waits is stopped; empty if it does not wait."""
        arrival = self.arrivals.get(trial)
        if arrival is None:
            return ""
        rung = arrival.rungs[-1]
        return (
            f"stopped at rung {rung.milestone:g}: {shown(self.objective, arrival.key[0])} is not among the best"
            f" {max(rung.quota(), 1)} of {len(rung)} trials, and no more trials will come"
        )

    def open_rungs(self) -> Sequence[PromotionRung]:
        """Return the rungs from which trials may go on, the highest first."""
        return self._rungs

    def _promotable(self) -> Iterator[int]:
        for rung in self.open_rungs():
            trial = rung.promotable()
            if trial is not None:
                yield trial

    def _last_resort(self, view: View) -> Iterator[int]:
        if self._at_end(view):
            for rung in self.open_rungs():
                trial = rung.best()
                if trial is not None and not rung.promoted:
                    yield trial

    def _at_end(self, view: View) -> bool:
        """Whether nothing runs that could change a rung, and nothing will."""
        return not (view.running or view.pending or self._interrupted) and view.complete
