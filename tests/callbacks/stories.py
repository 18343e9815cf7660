"""Lives of trials, told to a callback event by event as the driver would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith import events as e
from tunesmith.callbacks.protocol import Callback
from tunesmith.core.experiment import Experiment
from tunesmith.resources import Allocation, Resources
from tunesmith.retrying import FailurePolicy
from tunesmith.trial import CheckpointRef, Failure


def created(**space: Any) -> e.Created:
    return e.Created("id", "name", 0, "loss", "min", 0.0, "1", {"space": space, "max_failures": -1})


class Story:
    """Folds events, keeps them, and tells them to `readers`."""

    def __init__(self, path: Path, *readers: Callback, **space: Any) -> None:
        self.path, self.readers = path, list(readers)
        self.experiment, self.past = Experiment(FailurePolicy(-1)), list[e.Event]()
        self.allocation = Allocation(Resources())
        for reader in readers:
            reader.on_start(path, self.experiment, None)
        self.tell(created(**(space or {"x": "Float()"})))

    def tell(self, *events: e.Event) -> None:
        self.write(*events)
        for reader in self.readers:
            reader.on_events(events)

    def write(self, *events: e.Event) -> None:
        """Happen, without a word to anybody: the driver was killed after the commit."""
        for event in events:
            self.experiment.apply(event)
        self.past += events

    def resume(self, *readers: Callback) -> None:
        """Go on with the readers of another process."""
        self.readers = list(readers)
        for reader in readers:
            reader.on_start(self.path, self.experiment, None)
            reader.on_resume(self.past)
        self.tell(e.SessionOpened(2, 1, "host", 0.0, Resources()))

    def begin(self, number: int, checkpoint: CheckpointRef | None = None, **values: Any) -> None:
        if number == len(self.experiment.trials):
            self.tell(e.Suggested(number, f"id{number}", f"train_{number}", f"f{number}", values or {"x": 0.5}))
        incarnation = self.experiment.trials[number].incarnation + 1
        self.tell(e.Placed(number, incarnation, self.allocation, checkpoint))
        self.tell(e.Started(number, incarnation, 100 + incarnation, "host", "ip"))

    def reports(self, number: int, *losses: Any, first: int = 1, **more: Any) -> Sequence[e.Reported]:
        incarnation = self.experiment.trials[number].incarnation
        return [
            e.Reported(number, incarnation, t, {"loss": loss, **more}, 1e9 + t, 0.5, t / 2, t / 2, t)
            for t, loss in enumerate(losses, first)
        ]

    def report(self, number: int, *losses: Any, first: int = 1, **more: Any) -> None:
        for report in self.reports(number, *losses, first=first, **more):
            self.tell(report)

    def fail(self, number: int) -> None:
        self.tell(e.Failed(number, self.experiment.trials[number].incarnation, Failure("error", "no")))

    def complete(self, number: int) -> None:
        self.tell(e.Completed(number, self.experiment.trials[number].incarnation))
