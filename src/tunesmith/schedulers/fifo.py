"""First in, first out: every trial runs to its own end."""

from __future__ import annotations

from tunesmith.schedulers.protocol import Scheduler, View


class FIFOScheduler(Scheduler):
    """Start trials in the order in which they were made and stop none of them.

    >>> scheduler = FIFOScheduler()
    """

    needs_objective = False

    def describe(self, view: View) -> str:
        """Return the line that users of Tune know."""
        return "Using FIFO scheduling algorithm."
