"""Rungs at which trials are compared by several metrics: by fronts, whom nobody else dominates."""

from __future__ import annotations

from tunesmith.events import Reported
from tunesmith.objective import Objective
from tunesmith.pareto import Merit, best_first, crowding, ranks
from tunesmith.schedulers.promotion import PromotionRung
from tunesmith.schedulers.protocol import CONTINUE, Decision, TrialView
from tunesmith.schedulers.reading import shown
from tunesmith.schedulers.rungs import Key, Ladders, Variant


class FrontRung(PromotionRung):
    """A rung that orders its trials by their fronts, and within a front the lonelier first.

    Each arrival may change the standing of all others, so that it is found anew when somebody asks for it: for two
    metrics in O(n log n), for more in O(n^2) at worst, with n trials at the rung.
    """

    __slots__ = ("_best_first", "_merits", "_ranks")

    def __init__(self, milestone: float, eta: float) -> None:
        super().__init__(milestone, eta)
        self._merits: dict[int, Merit] = {}
        self._ranks: dict[int, int] = {}
        self._best_first: list[int] = []

    def __len__(self) -> int:
        return len(self._merits)

    def add(self, key: Key) -> None:
        """Record the merit of a trial."""
        self._merits[-key[1]] = key[0]
        self._forget()

    def remove(self, key: Key) -> None:
        """Withdraw a merit that was recorded."""
        del self._merits[-key[1]]
        self._forget()

    def merit(self, trial: int) -> Merit:
        """Return what the trial recorded."""
        return self._merits[trial]

    def cutoff(self) -> None:
        """Return None: no one value tells who may go on."""

    def ahead(self, trial: int) -> int:
        """Return how many are better than the trial."""
        rank = self._ranked()[trial]
        level = [other for other, its in self._ranks.items() if its == rank]
        room = dict(zip(level, crowding([self._merits[other].scores for other in level]), strict=True))
        lonelier = sum(distance > room[trial] for distance in room.values())
        return sum(its < rank for its in self._ranks.values()) + lonelier

    def front(self, trial: int) -> int:
        """Return in which front the trial is, from 1."""
        return self._ranked()[trial] + 1

    def wait(self, key: Key) -> None:
        """Let a trial wait that has recorded its merit; it may be waiting already."""
        self.waiting[-key[1]] = key

    def leave(self, trial: int, *, promoted: bool) -> None:
        """Let a trial wait no longer, if it did."""
        self.promoted += promoted
        self.waiting.pop(trial, None)

    def best(self) -> int | None:
        """Return the best that waits."""
        return next((trial for trial in self._ordered() if trial in self.waiting), None) if self.waiting else None

    def promotable(self) -> int | None:
        """Return the best that waits, if it may go on."""
        best = self.best()
        return best if best is not None and best in self._ordered()[: self.quota()] else None

    def _ranked(self) -> dict[int, int]:
        if not self._ranks:
            self._ranks = dict(zip(self._merits, ranks(list(self._merits.values())), strict=True))
        return self._ranks

    def _ordered(self) -> list[int]:
        if not self._best_first:
            trials = sorted(self._merits)
            self._best_first = [trials[i] for i in best_first([self._merits[trial] for trial in trials])]
        return self._best_first

    def _forget(self) -> None:
        self._ranks, self._best_first = {}, []


class FrontStopping(Variant[FrontRung]):
    """Stop a trial at a rung where more than one in `eta` of the trials there are better; the others go on."""

    def __init__(self, ladders: Ladders[FrontRung], objective: Objective, eta: float) -> None:
        super().__init__(ladders, objective)
        self._eta = eta
        self._reached: tuple[Reported | None, tuple[FrontRung, ...]] = (None, ())  # by the last arrival's report

    def arrive(self, trial: TrialView, rungs: tuple[FrontRung, ...], score: Merit) -> Decision:
        """Record the merit; the trial is compared when somebody asks, which in a replay nobody does."""
        self._reached = trial.last, rungs
        return super().arrive(trial, rungs, score)

    def verdict(self, report: Reported) -> Decision:
        """Return what the trial is to do that has arrived with this report, if it has."""
        arrival, rungs = self._reached
        trial = report.trial
        for rung in rungs if arrival is report else ():
            count = len(rung)
            if count >= self._eta and rung.ahead(trial) > (count - 1) / self._eta:
                return Decision("stop", self._reason(rung, trial, count))
        return CONTINUE

    def _reason(self, rung: FrontRung, trial: int, count: int) -> str:
        return (
            f"stopped at rung {rung.milestone:g}: with {shown(self.objective, rung.merit(trial))} it is in front"
            f" {rung.front(trial)}, and {rung.ahead(trial)} of the {count} trials there are better"
        )
