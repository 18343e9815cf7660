"""A run on a stage: an experiment that is driven by hand, a clock that stands still, and a real terminal."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import queue
import struct
import termios
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyte

from tunesmith import events as e
from tunesmith.console import Console
from tunesmith.core.experiment import Experiment
from tunesmith.objective import Objective
from tunesmith.resources import Allocation, Resources
from tunesmith.retrying import FailurePolicy
from tunesmith.trial import CheckpointRef, Failure

PATH = Path("/runs/digits")
LOSS = Objective("loss", "min")
MARK = b"\x1b]0;drawn\x07"  # sets a title, which no picture shows


class Stage:
    """Plays events to an experiment and a console, as the driver does."""

    def __init__(
        self,
        stream: Any = None,
        *,
        objective: Objective | None = LOSS,
        verbose: int = 1,
        total: int | None = 10,
        size: tuple[int, int] | None = None,
        path: Path = PATH,
        max_failures: int = 0,
        start: bool = True,
    ) -> None:
        self.stream = io.StringIO() if stream is None else stream
        self.now = 1000.0
        self.path, self.total = path, total
        self.experiment = Experiment(FailurePolicy(max_failures))
        self.console = Console(objective, verbose, self.stream, lambda: self.now, is_terminal=bool(size), size=size)
        if start:
            self.start()

    def start(self) -> None:
        self.console.on_start(self.path, self.experiment, self.total)

    def play(self, *events: e.Event) -> None:
        for event in events:
            self.experiment.apply(event)
        self.console.on_events(events)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.console.on_idle()

    def begin(self, number: int, checkpoint: CheckpointRef | None = None, **values: Any) -> None:
        """Make the trial, if it is new, and run it."""
        if number == len(self.experiment.trials):
            self.play(e.Suggested(number, f"t{number}", f"train_{number}", f"{number:05d}_train", values))
        incarnation = self.experiment.trials[number].incarnation + 1
        self.play(
            e.Placed(number, incarnation, Allocation(Resources()), checkpoint),
            e.Started(number, incarnation, 1, "host", "127.0.0.1"),
        )

    def report(self, number: int, *, checkpoint: bool = False, **metrics: Any) -> None:
        trial = self.experiment.trials[number]
        at = trial.iteration + 1
        kept = CheckpointRef(f"c{at}", at, time_total_s=float(at)) if checkpoint else None
        self.play(e.Reported(number, trial.incarnation, at, metrics, self.now, 1.0, float(at), float(at), at, kept))

    def complete(self, number: int) -> None:
        self.play(e.Completed(number, self.experiment.trials[number].incarnation))

    def fail(self, number: int, message: str) -> None:
        self.play(e.Failed(number, self.experiment.trials[number].incarnation, Failure("error", message)))

    def trial(self, number: int, loss: Any, **values: Any) -> None:
        """Play a whole trial of one report."""
        self.begin(number, **values)
        self.report(number, loss=loss)
        self.complete(number)

    def end(self) -> None:
        self.console.on_end()

    def text(self) -> str:
        return str(self.stream.getvalue())

    def said(self) -> list[str]:
        """Return the lines since the last call."""
        lines = self.text().splitlines()
        self.stream.seek(0)
        self.stream.truncate()
        return lines


class Terminal:
    """The two ends of a pseudo terminal and a picture of what it shows. A thread reads, as its buffer is small."""

    def __init__(self, columns: int, lines: int) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self.screen = pyte.HistoryScreen(columns, lines, history=10_000)
        self._parser = pyte.ByteStream(self.screen)
        self._data: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the other end is closed
                return
            self._data.put(data)

    def read(self) -> list[str]:
        """Return what is on the screen after all that was written, without empty lines at the end."""
        os.write(self.stream.fileno(), MARK)
        data = b""
        while not data.endswith(MARK):
            data += self._data.get(timeout=30)
        self._parser.feed(data)
        return shown(self.screen)

    def close(self) -> None:
        self.stream.close()
        self._reader.join(30)
        os.close(self._master)


def shown(screen: pyte.HistoryScreen) -> list[str]:
    """Return the lines on a screen."""
    return _stripped([line.rstrip() for line in screen.display])


def everything(screen: pyte.HistoryScreen) -> list[str]:
    """Return the lines that have scrolled away and those on the screen."""
    above = ["".join(line[x].data for x in range(screen.columns)).rstrip() for line in screen.history.top]
    return [*above, *shown(screen)]


def _stripped(lines: Sequence[str]) -> list[str]:
    last = max((index for index, line in enumerate(lines) if line), default=-1)
    return list(lines[: last + 1])
