"""Rungs at which trials are compared by several metrics: by fronts, whom nobody else dominates."""

from __future__ import annotations

from bisect import bisect_left

from tunesmith.events import Reported
from tunesmith.objective import Objective
from tunesmith.pareto import Merit, standings
from tunesmith.schedulers.promotion import PromotionRung
from tunesmith.schedulers.protocol import CONTINUE, Decision, TrialView
from tunesmith.schedulers.reading import shown
from tunesmith.schedulers.rungs import Key, Ladders, Variant


class FrontRung(PromotionRung):
    """A rung that orders its trials by their fronts, and within a front the lonelier first.

    Each arrival may change the standing of all others, so that the order is found anew when somebody asks for it.
    """

    __slots__ = ("_best_first", "_merits", "_standings")

    def __init__(self, milestone: float, eta: float) -> None:
        super().__init__(milestone, eta)
        self._merits: dict[int, Merit] = {}
        self._standings: dict[int, tuple[int, float]] = {}
        self._best_first: list[int] = []

    def __len__(self) -> int:
        return len(self._merits)

    def add(self, key: Key) -> None:
        """Record the merit of a trial."""
        self._merits[-key[1]] = key[0]
        self._standings.clear()

    def remove(self, key: Key) -> None:
        """Withdraw a merit that was recorded."""
        del self._merits[-key[1]]
        self._standings.clear()

    def merit(self, trial: int) -> Merit:
        """Return what the trial recorded."""
        return self._merits[trial]

    def cutoff(self) -> None:
        """Return None: no one value tells who may go on."""

    def ahead(self, trial: int) -> int:
        """Return how many are better than the trial."""
        self._compare()
        found = self._standings
        return bisect_left(self._best_first, found[trial], key=found.__getitem__)

    def front(self, trial: int) -> int:
        """Return in which front the trial is, from 1."""
        self._compare()
        return self._standings[trial][0] + 1

    def wait(self, key: Key) -> None:
        """Let a trial wait that has recorded its merit; it may be waiting already."""
        self.waiting[-key[1]] = key

    def leave(self, trial: int, *, promoted: bool) -> None:
        """Let a trial wait no longer, if it did."""
        self.promoted += promoted
        self.waiting.pop(trial, None)

    def best(self) -> int | None:
        """Return the best that waits."""
        self._compare()
        return next((trial for trial in self._best_first if trial in self.waiting), None) if self.waiting else None

    def promotable(self) -> int | None:
        """Return the best that waits, if it may go on."""
        best = self.best()
        return best if best is not None and best in self._best_first[: self.quota()] else None

    def _compare(self) -> None:
        if not self._standings:
            trials = sorted(self._merits)
            found = standings([self._merits[trial] for trial in trials])
            self._standings = dict(zip(trials, found, strict=True))
            self._best_first = sorted(trials, key=self._standings.__getitem__)


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
