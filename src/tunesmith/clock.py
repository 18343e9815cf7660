"""The time that a driver goes by."""

from __future__ import annotations

import time
from collections.abc import Callable


def uptime() -> float:
    """Return the seconds since the machine was started, those asleep included where the system counts them."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)  # Linux; elsewhere a machine that sleeps stops the clock
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class SteadyClock:
    """Seconds since the epoch that never jump: `wall` is read once, `steady` tells how much later it is since.

    A system clock that is set anew while a run is under way moves no deadline and no moment before an earlier one.

    >>> clock = SteadyClock(wall=lambda: 1000.0, steady=iter([5.0, 7.5]).__next__)
    >>> clock()
    1002.5
    """

    __slots__ = ("_offset", "_steady")

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float]) -> None:
        self._offset = wall() - steady()
        self._steady = steady

    def __call__(self) -> float:
        """Return the present time."""
        return self._offset + self._steady()
