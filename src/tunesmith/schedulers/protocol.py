"""What the controller expects of a scheduler."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import msgspec

from tunesmith.events import Event, Reported
from tunesmith.objective import Objective


class Decision(msgspec.Struct, frozen=True):
    """What shall become of a trial after a report: ``continue``, ``stop`` or ``pause``, and why, in a sentence."""

    action: str
    reason: str = ""


CONTINUE = Decision("continue")


class Waiting(Protocol):
    """The trials that could be started, as a scheduler may see them."""

    @property
    def pending(self) -> Collection[int]:
        """Numbers of the trials that have never run or are to be tried again, in the order of their turn."""
        ...

    @property
    def paused(self) -> Collection[int]:
        """Numbers of the paused trials, in the order of their pausing."""
        ...

    def fits(self, trial: int) -> bool:
        """Whether the resources that the trial asks for are free."""
        ...


class Scheduler(Protocol):
    """Decides which trial starts next and which goes on. Pure: its state is the fold of the events it is shown.

    `judge` and `choose` are questions and change nothing; they are not asked again in a replay.
    """

    def setup(self, objective: Objective | None, seed: int) -> None:
        """Take the objective and the seed for `tunesmith.streams`; called once, before anything else.

        Raises:
            ArgumentError: the scheduler needs an objective and there is none.
        """
        ...

    def apply(self, event: Event) -> None:
        """Fold an event, a decision included."""
        ...

    def judge(self, report: Reported) -> Decision:
        """Decide about a running trial after its report, which `apply` has folded."""
        ...

    def choose(self, waiting: Waiting) -> int | None:
        """Return the trial to start now, one that fits, or None to start none."""
        ...
