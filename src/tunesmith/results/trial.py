"""One trial of an experiment, as its record has it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tunesmith import events as e
from tunesmith.core.experiment import TrialRecord
from tunesmith.errors import MissingPackageError, TrialError
from tunesmith.objective import Objective
from tunesmith.result import DECISIONS, Decided, Origin, complete
from tunesmith.trial import Status

if TYPE_CHECKING:
    import pandas as pd

    from tunesmith.remote.storage import RemoteStorage
    from tunesmith.worker.checkpoint import Checkpoint


class Told(NamedTuple):
    """A report, the start of the worker that sent it, and the configuration of that moment."""

    report: e.Reported
    started: e.Started | None
    config: dict[str, Any]


class Reader(Protocol):
    """The experiment that a trial belongs to."""

    path: Path
    remote: RemoteStorage | None
    experiment_id: str
    _objective: Objective | None

    def _one(self, metric: str | None, mode: str | None) -> Objective:
        """Return what to compare by: one metric."""
        ...

    def _configure(
        self, space: dict[str, Any], values: Mapping[str, Any], overrides: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return a configuration."""
        ...

    def _events(self, trial: int) -> Iterator[e.Event]:
        """Yield the events of a trial."""
        ...

    def _told(self, trial: int) -> list[Told]:
        """Return the reports of a trial that stand."""
        ...


class Trial:
    """One trial. Attributes are as of the moment when the results were read."""

    def __init__(self, reader: Reader, record: TrialRecord) -> None:
        self._reader = reader
        self._record = record
        self._history: list[dict[str, Any]] | None = None

    @property
    def number(self) -> int:
        """The trial's number, from 0, in the order of suggestion."""
        return self._record.number

    @property
    def trial_id(self) -> str:
        """The trial's id, unique among experiments."""
        return self._record.trial_id

    @property
    def name(self) -> str:
        """The trial's name."""
        return self._record.name

    @property
    def config(self) -> dict[str, Any]:
        """The configuration."""
        return self._reader._configure(self._record.space, self._record.values, self._record.overrides)

    @property
    def status(self) -> str:
        """PENDING, RUNNING, PAUSED, TERMINATED or ERROR."""
        return self._record.status.public

    @property
    def reason(self) -> str:
        """Why the trial was stopped or paused, as a sentence; empty when it ended by itself."""
        return self._record.reason

    @property
    def confirms(self) -> int | None:
        """The number of the trial that this one runs again, as `confirm=` wished; None for any other trial."""
        return self._record.confirms

    @property
    def repeats(self) -> int | None:
        """The number of the first trial of the same configuration, for the others that a `Repeater` made."""
        return self._record.repeats

    @property
    def why(self) -> str:
        """How the searcher came to this configuration; empty for one that was drawn at random or is a grid's."""
        return next((event.why for event in self._reader._events(self.number) if isinstance(event, e.Suggested)), "")

    @property
    def decisions(self) -> list[Decided]:
        """What was decided about the trial, in order, and why."""
        return [Decided.of(event) for event in self._reader._events(self.number) if isinstance(event, DECISIONS)]

    @property
    def failures(self) -> int:
        """How many failures were charged to the trial."""
        return self._record.failures

    @property
    def path(self) -> Path:
        """The trial's folder."""
        return self._reader.path / self._record.folder

    @property
    def error(self) -> TrialError | None:
        """What made the trial fail, with the worker's traceback as `traceback`; None unless it is in ERROR."""
        failure = self._record.failure
        if failure is None or self._record.status is not Status.ERROR:
            return None
        return TrialError(failure.message, traceback=failure.traceback, kind=failure.kind)

    @property
    def last_result(self) -> dict[str, Any] | None:
        """The last result that stands, complete; None when there is none."""
        last = self._record.last
        if last is None:  # rolled back to a checkpoint and nothing new yet
            return self.history[-1] if self._record.iteration else None
        return self._complete(Told(last, self._record.started, self.config), last=True)

    @property
    def history(self) -> list[dict[str, Any]]:
        """All results that stand, complete, in order. An iteration that was done twice is there once."""
        if self._history is None:
            told = self._reader._told(self.number)
            self._history = [self._complete(each, last=each is told[-1]) for each in told]
        return self._history

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The last checkpoint, or None where there is none, or none any more."""
        from tunesmith.worker.checkpoint import Checkpoint

        ref, remote = self._record.checkpoint, self._reader.remote
        if ref is not None and remote is not None:
            from tunesmith.worker.remote_checkpoint import RemoteCheckpoint

            return RemoteCheckpoint(remote, ref, self._reader.path)
        path = None if ref is None else self._reader.path / ref.path
        return Checkpoint(path) if path is not None and path.is_dir() else None

    @property
    def is_feasible(self) -> bool:
        """Whether the last result is finite in all metrics of the run and keeps all of its constraints.

        A trial that failed is not; without an objective, one that has a result is.
        """
        objective, result = self._reader._objective, self._standing_result()
        return result is not None and (objective is None or objective.merit(result).is_feasible)

    def _standing_result(self) -> dict[str, Any] | None:
        """Return the last result of a trial that has not failed, as it was reported or complete."""
        if self._record.status is Status.ERROR:
            return None
        last = self._record.last
        return self.last_result if last is None else last.result()

    def best_result(self, metric: str | None = None, mode: str | None = None) -> dict[str, Any] | None:
        """Return the trial's best result, by the run's objective or another one; None if no value is finite."""
        objective = self._reader._one(metric, mode)
        best, found = -inf, None
        for result in self.history:
            score = objective.score_or_worst(result)
            if score > best:
                best, found = score, result
        return found

    def dataframe(self) -> pd.DataFrame:
        """Return the history as a pandas frame, a row a result."""
        return import_pandas().DataFrame([{k: v for k, v in r.items() if k != "config"} for r in self.history])

    def _complete(self, told: Told, *, last: bool) -> dict[str, Any]:
        record = self._record
        origin = Origin(record.trial_id, record.name, self._reader.experiment_id, told.config)
        date = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(told.report.timestamp))
        return complete(told.report, told.started, origin, date=date, done=last and record.status.is_final)

    def __repr__(self) -> str:
        return f"<Trial {self.number} {self.name} {self.status} {self._record.iteration} iterations>"


def import_pandas() -> Any:
    """Return the package, or raise MissingPackageError."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingPackageError('A dataframe needs pandas: pip install "tunesmith[dataframe]"') from error
    return pd
