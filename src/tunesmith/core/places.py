"""Where each trial is that has not ended: waiting for its turn, paused, or with resources of its own."""

from __future__ import annotations

from collections import deque

from tunesmith.core.experiment import TrialRecord
from tunesmith.resources import Allocation, Pool, Resources
from tunesmith.retrying import LONGEST_PAUSE_S
from tunesmith.trial import Status


class Places:
    """The lists of trials and the books of what they were granted; the fold of who started and who has left.

    `pending` are those that have never run, or are to be tried again, in the order of their turn. `paused` are in the
    order of their pausing; those of them whose workers keep their state in memory are in `parked`, too, and stay there
    while they are being stopped. `granted` have resources. `resting` are those of the pending that have failed and must
    not be tried again before the moment that is noted with them.
    """

    __slots__ = ("granted", "parked", "paused", "pending", "pool", "resting")

    def __init__(self) -> None:
        self.pool = Pool(Resources(cpu=0))
        self.granted: dict[int, Allocation] = {}
        self.pending: deque[int] = deque()
        self.paused: dict[int, None] = {}
        self.parked: dict[int, None] = {}
        self.resting: dict[int, float] = {}

    @property
    def ready(self) -> int:
        """How many are pending and may start at once."""
        return len(self.pending) - len(self.resting)

    @property
    def anybody_waits(self) -> bool:
        """Whether a trial could be started."""
        return bool(self.pending or self.paused)

    def waiting(self) -> list[int]:
        """Return all that could be started, by number."""
        return sorted({*self.pending, *self.paused})

    def reopen(self, total: Resources) -> list[int]:
        """Begin with other resources, of which nothing is granted, and return the trials that had some, by number."""
        running = sorted(self.granted)
        self.pool = Pool(total)
        self.granted.clear()
        self.parked.clear()
        return running

    def awaken(self, now: float) -> None:
        """Let those rest no longer whose moment has come. One that is too far off was noted by another clock."""
        if self.resting:
            self.resting = {n: at for n, at in self.resting.items() if now < at <= now + LONGEST_PAUSE_S}

    def grant(self, trial: int, request: Resources) -> Allocation | None:
        """Take what a trial asks for off the books; None when it does not fit now."""
        allocation = self.pool.acquire(request)
        if allocation is not None:
            self.granted[trial] = allocation
        return allocation

    def start(self, trial: int, allocation: Allocation) -> None:
        """Let a trial go that has waited. A recorded grant is booked as it was; a live one was booked by `grant`."""
        if trial not in self.granted:
            self.pool.take(allocation)
            self.granted[trial] = allocation
        self.parked.pop(trial, None)
        self.resting.pop(trial, None)
        if trial in self.paused:
            del self.paused[trial]
        elif self.pending and self.pending[0] == trial:
            self.pending.popleft()
        else:
            self.pending.remove(trial)

    def settle(self, trial: TrialRecord) -> None:
        """Give the resources of a trial that has no worker any more back, and put it where it belongs."""
        number, status = trial.number, trial.status
        granted = self.granted.pop(number, None)
        if granted is not None:
            self.pool.release(granted)
        if status.is_final:
            self.resting.pop(number, None)
            if number in self.paused:
                del self.paused[number]
            elif granted is None and number in self.pending:
                self.pending.remove(number)
        elif status is Status.PAUSED:
            self.paused[number] = None
        else:
            self.pending.appendleft(number)  # it has waited once already
            if trial.retry_at:
                self.resting[number] = trial.retry_at
