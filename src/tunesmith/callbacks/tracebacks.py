"""Keeps the story of each failure where the trial's other files are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunesmith import events as e
from tunesmith.callbacks.protocol import Callback
from tunesmith.core.experiment import Experiment


class TracebackFiles(Callback):
    """Append each failure of a trial, with its traceback, to ``error.txt`` in the trial's folder.

    A checkpoint that was found damaged is told there, too.
    """

    def __init__(self) -> None:
        self._path = Path()
        self._experiment = Experiment()

    def on_start(self, path: Path, experiment: Experiment, total: int | None) -> None:
        """Remember where the trials' folders are."""
        self._path, self._experiment = path, experiment

    def on_events(self, events: Sequence[e.Event]) -> None:
        """Write what has failed."""
        for event in events:
            if isinstance(event, (e.Failed, e.Lost)):
                text = f"{event.failure.message}\n\n{event.failure.traceback}".rstrip()
                self._write(event.trial, f"Start {event.incarnation}: {text}\n\n")
            elif isinstance(event, e.Damaged):
                self._write(event.trial, f"Start {event.incarnation}: {event.reason} The trial goes back.\n\n")
            elif isinstance(event, e.Judged) and event.action == "fail":
                self._write(event.trial, f"{event.reason}\n\n")

    def _write(self, trial: int, text: str) -> None:
        folder = self._path / self._experiment.trials[trial].folder
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "error.txt").open("a", encoding="utf-8") as file:
            file.write(text)
