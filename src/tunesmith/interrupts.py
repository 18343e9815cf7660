"""Turns Ctrl-C, SIGTERM and a closed terminal into a request that the driver reads."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType


class Interrupts:
    """Catches SIGINT, SIGTERM and SIGHUP while it is entered, if that is in the main thread.

    The first signal is remembered in `reason` and wakes the driver, which saves what runs; the second one raises
    KeyboardInterrupt on the spot, unless `hold` was called: then only one after it does. The handlers of before come
    back on exit. A SIGHUP that is ignored, as under nohup, stays so.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.reason: str | None = None
        self.signal: int | None = None
        self._wake = wake
        self._patience = 1  # how many signals more do not raise
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned
        self._before.clear()

    @property
    def status(self) -> int | None:
        """What to exit with after a signal that means the process to end; None without one, or after a Ctrl-C."""
        return None if self.signal in (None, signal.SIGINT) else 128 + self.signal

    def read(self) -> str | None:
        """Return why the user wants to leave, or None."""
        return self.reason

    def hold(self) -> None:
        """Let one more signal pass, since what is going on is the end, and short."""
        self._patience = 1

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self._patience -= 1
        if self._patience < 0:
            raise KeyboardInterrupt
        if self.reason is not None:
            return
        self.signal = number
        self.reason = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self._wake()
