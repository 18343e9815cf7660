"""First in, first out: every trial runs to its own end."""

from __future__ import annotations

from tunesmith.events import Event, Reported
from tunesmith.objective import Objective
from tunesmith.schedulers.protocol import CONTINUE, Decision, Waiting


class FIFOScheduler:
    """Start trials in the order in which they were made and stop none of them.

    >>> scheduler = FIFOScheduler()
    """

    def setup(self, objective: Objective | None, seed: int) -> None:
        """Need neither an objective nor a seed."""

    def apply(self, event: Event) -> None:
        """Remember nothing."""

    def judge(self, report: Reported) -> Decision:
        """Let every trial continue."""
        return CONTINUE

    def choose(self, waiting: Waiting) -> int | None:
        """Return the first pending trial that fits, else the first paused one that fits."""
        for trials in (waiting.pending, waiting.paused):
            for trial in trials:
                if waiting.fits(trial):
                    return trial
        return None
