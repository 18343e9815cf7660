"""What an experiment's record tells of its learning curves, and what they took."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapreplace
from math import inf
from pathlib import Path
from typing import Any

import msgspec

from tunesmith import events as e
from tunesmith.core.experiment import Experiment
from tunesmith.errors import StorageError
from tunesmith.objective import Objective
from tunesmith.store.database import DATABASE
from tunesmith.store.reading import EventReader
from tunesmith.trial import Failure, Status


class Effort(msgspec.Struct, frozen=True):
    """What an experiment took and what it found.

    `time_s` is how long it ran, `training_s` the seconds of all its trials' steps, `reports` the number of these.
    `best` is the best value of the metric, as it was reported, and `best_trial` the number of the trial that had it;
    both are None when no value is finite or there is no metric.
    """

    time_s: float
    training_s: float
    reports: int
    best: float | None = None
    best_trial: int | None = None


class RecordedTrial:
    """A trial's configuration and its curve: the last report of each of its iterations.

    `whole`: it came to its own end after that. `failure` is why it failed, if it did. When neither is so it was
    stopped, or it has not ended, and nobody knows how it would have gone on.
    """

    __slots__ = ("curve", "failure", "values", "whole")

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.curve: list[e.Reported] = []
        self.whole = False
        self.failure: Failure | None = None

    def add(self, report: e.Reported) -> None:
        """Take a report; of an iteration that was done twice the last one counts."""
        self.curve[report.iteration - 1 : report.iteration] = [report]


class Recording:
    """An experiment's trials as its record has them.

    `workers` is how many of them ran at once at most. `mixed` is the number of a trial that went on from another one's
    state or with another configuration, so that its curve is not that of its configuration; None when there is none.
    """

    def __init__(self, created: e.Created) -> None:
        self.created = created
        self.trials: list[RecordedTrial] = []
        self.workers = 0
        self.mixed: int | None = None

    @classmethod
    def read(cls, folder: Path) -> Recording:
        """Read the record of the experiment in `folder`.

        Raises:
            StorageError: there is none, or it can't be read.
        """
        experiment = Experiment()
        with EventReader.open_to_read(folder / DATABASE) as store:
            stored = (event for event, _ in store.fold(experiment.apply))
            created = next((event for event in stored if isinstance(event, e.Created)), None)
            if created is None:
                raise StorageError(f"The experiment at {folder} has not begun yet: there is nothing to replay.")
            recording = cls(created)
            for event in stored:
                recording._add(event, experiment)
        for record, trial in zip(experiment.trials, recording.trials, strict=True):
            trial.whole = record.status is Status.TERMINATED and not record.reason
            trial.failure = record.failure if record.status is Status.ERROR else None
        searched = zip(experiment.trials, recording.trials, strict=True)
        recording.trials = [trial for record, trial in searched if record.confirms is None]
        return recording

    def _add(self, event: e.Event, experiment: Experiment) -> None:
        match event:
            case e.Reported():
                self.trials[event.trial].add(event)
            case e.Suggested():
                self.trials.append(RecordedTrial(event.values))
            case e.Placed():
                self.workers = max(self.workers, sum(n for status, n in experiment.counts.items() if status.is_live))
            case e.Cloned() | e.Changed(overrides=dict()):
                self.mixed = event.trial if self.mixed is None else self.mixed

    def effort(self, objective: Objective | None, workers: int) -> Effort:
        """Return what the recorded steps take on so many workers, a trial after the other in the order of numbers."""
        seconds = [sum(report.time_this_iter_s for report in trial.curve) for trial in self.trials]
        busy = [0.0] * workers
        for each in seconds:
            heapreplace(busy, busy[0] + each)
        reports = sum(len(trial.curve) for trial in self.trials)
        return Effort(max(busy), sum(seconds), reports, *(self._best(objective) if objective else ()))

    def _best(self, objective: Objective) -> tuple[float, int] | tuple[()]:
        """Return the best value and the number of its trial, if any value is finite; of several metrics none is."""
        found: tuple[float, int] | tuple[()] = ()
        if objective.others:
            return found
        best = -inf
        for number, trial in enumerate(self.trials):
            for report in trial.curve:
                score = objective.score(report.metrics) if objective.metric in report.metrics else -inf
                if score > best:
                    best, found = score, (objective.value(report.metrics), number)
        return found
