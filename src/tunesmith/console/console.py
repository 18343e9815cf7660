"""The callback that shows a run: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tunesmith import events as e
from tunesmith.callbacks.protocol import Callback
from tunesmith.console.summary import summary
from tunesmith.console.tally import Tally
from tunesmith.console.words import configuration, counted, duration, number
from tunesmith.core.experiment import Experiment
from tunesmith.objective import Objective

if TYPE_CHECKING:
    from tunesmith.console.live import LiveTable

_REFRESH_S = 0.25
_FIRST_LINE_S = 5.0
_LONGEST_PAUSE_S = 120.0
_TRIAL_PAUSE_S = 5.0


class Console(Callback):
    """Shows a run on `stream`.

    `verbose` 1 is a live table, or on no terminal a line now and then, and a summary; 2 also says what became of
    each trial and why. `clock` gives seconds since the epoch. `size` fixes columns and lines, for tests.
    """

    def __init__(
        self,
        objective: Objective | None,
        verbose: int,
        stream: TextIO,
        clock: Callable[[], float],
        *,
        is_terminal: bool | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self._tally = Tally(objective)
        self._verbose = verbose
        self._stream = stream
        self._clock = clock
        self._is_terminal = _is_terminal(stream) if is_terminal is None else is_terminal
        self._size = size
        self._live: LiveTable | None = None
        self._next = 0.0
        self._pause = _FIRST_LINE_S
        self._said: dict[int, float] = {}
        self._shown_best = float("-inf")

    def on_start(self, path: Path, experiment: Experiment, total: int | None) -> None:
        """Open the table, or say what begins."""
        if not self._verbose:
            return
        now = self._clock()
        self._tally.start(path, experiment, total, now)
        self._next = now + (_REFRESH_S if self._is_terminal else _FIRST_LINE_S)
        if not self._is_terminal:
            trials = counted(total, "trial") if total is not None else "trials without end"
            self._print(f"Tuning {path.name}: {trials}, in {path}")

    def on_events(self, events: Sequence[e.Event]) -> None:
        """Fold, and show what is due."""
        if not self._verbose:
            return
        self._tally.add(events)
        if self._verbose > 1:
            for event in events:
                self._tell(event)
        self._refresh()

    def on_idle(self) -> None:
        """Show what is due."""
        if self._verbose:
            self._refresh()

    def on_end(self) -> None:
        """Close the table and print the summary."""
        if not self._verbose or self._tally.began == 0.0:
            return
        if self._is_terminal:
            self._table().finish(self._clock())
            return
        lines = summary(self._tally, self._clock())
        for title, text in lines:
            self._print(f"{title + ':' if title else '':<8}{text}")

    def _refresh(self) -> None:
        now = self._clock()
        if now < self._next:
            return
        if self._is_terminal:
            self._next = now + _REFRESH_S
            self._table().show(now)
            return
        self._next = now + self._pause
        self._pause = min(self._pause * 1.5, _LONGEST_PAUSE_S)
        self._print(self._progress(now))

    def _table(self) -> LiveTable:
        if self._live is None:
            from tunesmith.console.live import LiveTable

            self._live = LiveTable(self._tally, self._stream, self._size)
        return self._live

    def _progress(self, now: float) -> str:
        tally = self._tally
        total = f"/{tally.total:,}" if tally.total is not None else ""
        text = f"[{duration(now - tally.began)}] {tally.finished:,}{total} trials ended"
        text += "".join(f", {count:,} {name}" for name, count in tally.counts() if name in ("running", "failed"))
        left = tally.remaining_s(now)
        if left is not None:
            text += f", about {duration(left)} left"
        if tally.best is not None and tally.objective is not None:
            best = tally.experiment.trials[tally.best.trial]
            text += f"; best {tally.objective.metric} {number(tally.value_of(tally.best), 6)} (trial {best.number}"
            if tally.best_score > self._shown_best and best.values:
                text += f": {configuration(best.values)}"
            self._shown_best = tally.best_score
            text += ")"
        return text

    def _tell(self, event: e.Event) -> None:
        """Say what became of a trial; of reports one in a while."""
        if not isinstance(event, e.TrialEvent):
            return
        trial = self._tally.experiment.trials[event.trial]
        match event:
            case e.Judged():
                self._print(f"trial {trial.number}: {event.action}: {event.reason}")
            case e.Completed():
                self._print(f"trial {trial.number}: ended by itself after {counted(trial.iteration, 'iteration')}")
            case e.Failed() | e.Lost():
                self._print(f"trial {trial.number}: {trial.status.public}: {event.failure.message.splitlines()[0]}")
            case e.Reported() if not self._is_terminal:
                now = self._clock()
                if now - self._said.get(trial.number, 0.0) >= _TRIAL_PAUSE_S:
                    self._said[trial.number] = now
                    shown = ", ".join(f"{name}={number(value)}" for name, value in event.metrics.items())
                    self._print(f"trial {trial.number}: iteration {event.iteration}: {shown}")

    def _print(self, text: str) -> None:
        if self._live is not None:
            self._live.print(text)
        else:
            print(text, file=self._stream, flush=True)


def _is_terminal(stream: TextIO) -> bool:
    if os.environ.get("TERM") == "dumb" or "ipykernel" in sys.modules:
        return False
    return stream.isatty()
