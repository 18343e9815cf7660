"""The places of workers, and those of them whose trials are parked in memory."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from tunesmith.events import Started, WorkerEvent
from tunesmith.executors.machine import memory_left
from tunesmith.trial import Failure

_LEAST_MEMORY = 0.15  # of the machine's: below it nothing is parked, and what is parked has to go


class Slot:
    """A worker's place: its pipe stays, its processes and trials come and go.

    `owed` counts the answers that the worker waits for; -1 when one was sent ahead. `last` is the event that the
    worker ended its trial with. Where the trial has what only the end of its process sets free (`exclusive`: a GPU, a
    named resource), or may be started again, it is held back until then. `stays` says that the worker will not leave
    after this end, but wait for its trial's next start; `doomed` that it is being killed. `overdue` says why it is, or
    will be.
    """

    __slots__ = (
        "deadline",
        "doomed",
        "down",
        "exclusive",
        "folder",
        "incarnation",
        "index",
        "last",
        "overdue",
        "owed",
        "started",
        "stays",
        "trial",
        "visible",
    )

    def __init__(self, index: int, down: int) -> None:
        self.index = index
        self.down = down
        self.clear()

    def clear(self) -> None:
        """Forget the trial and the process."""
        self.started: Started | None = None
        self.doomed = False
        self.forget_trial()
        self.visible = ""

    def forget_trial(self) -> None:
        """Forget the trial; the process is still there."""
        self.trial = -1
        self.incarnation = 0
        self.owed = 0
        self.folder = ""
        self.exclusive = self.stays = False
        self.last: WorkerEvent | None = None
        self.deadline: float | None = None
        self.overdue: Failure | None = None

    def hasten(self, what: str, grace_s: float, now: float) -> bool:
        """Have the trial killed if it is not done with `what` within `grace_s` seconds; False if it would be sooner."""
        deadline = now + grace_s
        if deadline >= (inf if self.deadline is None else self.deadline):
            return False
        self.deadline = deadline
        story = f"The trial was told to {what}, did not within {grace_s:g} s, and was killed."
        self.overdue = Failure("killed", story)
        return True


class Parking:
    """The workers whose trials are paused and keep their state in memory, by trial, the oldest first.

    Args:
        limit: how many there may be.
        memory: the share of the machine's memory that is available.
    """

    def __init__(self, limit: int, memory: Callable[[], float] = memory_left) -> None:
        self._limit = limit
        self._memory = memory
        self._slots: dict[int, Slot] = {}
        self._leaving: set[int] = set()

    def has_room(self, slot: Slot) -> bool:
        """Whether the worker in `slot` may be parked: it waits in a report, holds no GPU, and there is room."""
        idle = slot.owed > 0 and not slot.visible
        return idle and len(self._slots) < self._limit and self._memory() >= _LEAST_MEMORY

    def put(self, slot: Slot) -> None:
        """Park a worker."""
        self._slots[slot.trial] = slot

    def find(self, trial: int, incarnation: int) -> Slot | None:
        """Return the worker that is parked for one incarnation of a trial, or None."""
        slot = self._slots.get(trial)
        return slot if slot is not None and slot.incarnation == incarnation else None

    def wake(self, trial: int) -> Slot | None:
        """Take a trial's worker out, if it is there and has not been told to leave."""
        return None if trial in self._leaving else self._slots.pop(trial, None)

    def leave(self, slot: Slot) -> bool:
        """Note that a worker was told to leave; False when it had been told before."""
        if slot.trial in self._leaving:
            return False
        self._leaving.add(slot.trial)
        return True

    def remove(self, slot: Slot) -> bool:
        """Forget a worker that is gone; False when it was not parked."""
        self._leaving.discard(slot.trial)
        return self._slots.pop(slot.trial, None) is not None

    def surplus(self) -> Slot | None:
        """Return the oldest worker that has to leave because memory is short, or None."""
        staying = next((slot for trial, slot in self._slots.items() if trial not in self._leaving), None)
        return staying if staying is not None and self._memory() < _LEAST_MEMORY else None

    def all(self) -> list[Slot]:
        """Return all of them."""
        return list(self._slots.values())
