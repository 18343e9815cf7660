"""The trials of a run, and who is told what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tunesmith import events as e
from tunesmith.callbacks.protocol import Callback
from tunesmith.compat.ray import naming
from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.trial import Trial, configured, date
from tunesmith.core.experiment import Experiment, TrialRecord
from tunesmith.naming import TrialInfo
from tunesmith.trial import Status

MakeTrial = Callable[[int, dict[str, Any]], Trial]


class Listener:
    """Is told what becomes of trials. Every method does nothing by default."""

    def on_trial_start(self, trial: Trial) -> None:
        """Take note that a trial runs, for the first time or again."""

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> None:
        """Take note of a result; ``result["done"]`` says whether it is the last one."""

    def on_trial_config(self, trial: Trial) -> None:
        """Take note that a trial goes on with another configuration."""

    def on_trial_checkpoint(self, trial: Trial, path: Path, iteration: int) -> None:
        """Take note of a checkpoint, a directory."""

    def on_trial_failure(self, trial: Trial, text: str) -> None:
        """Take note that a trial has failed; it may be tried again."""

    def on_trial_end(self, trial: Trial) -> None:
        """Take note that a trial has ended, well or not."""


class Roster(Callback):
    """Makes the trials as they are suggested, follows them through the events, and tells `listeners`.

    Args:
        make: makes a trial from its number and its configuration.
        creator: the user's own function that names a trial, or None.
        listeners: told in their order.
    """

    def __init__(
        self, make: MakeTrial, creator: Callable[[Trial], str] | None, listeners: Sequence[Listener] = ()
    ) -> None:
        self.trials: list[Trial] = []
        self.listeners = list(listeners)
        self._make = make
        self._creator = creator
        self._made: dict[int, Trial] = {}  # named already, and not yet in the record
        self._path = Path()
        self._experiment = Experiment()

    # -- what the run asks for

    def name(self, info: TrialInfo) -> str:
        """Make a trial and return its name."""
        trial = self._made[info.number] = self._named(self._make(info.number, info.config))
        return str(trial)

    def folder(self, info: TrialInfo) -> str:
        """Return the name of the folder of the trial that was named just now."""
        return naming.folder(str(self._made[info.number]))

    def find(self, number: int) -> Trial:
        """Return the trial of a number, also before it is in the record."""
        return self._made[number] if number in self._made else self.trials[number]

    def _named(self, trial: Trial) -> Trial:
        if self._creator is not None:
            try:
                trial.custom_trial_name = str(self._creator(trial))
            except Exception as error:
                raise TuneError(f"trial_name_creator raised {type(error).__name__}: {error}") from error
        return trial

    # -- what it reads

    def on_start(self, path: Path, experiment: Experiment, total: int | None) -> None:
        """Take the trials of earlier sessions in."""
        self._path, self._experiment = path, experiment
        for record in experiment.trials:
            trial = self._take(record)
            if record.last is not None:
                trial.last_result = self._result(trial, record, record.last, done=record.status.is_final)

    def _take(self, record: TrialRecord) -> Trial:
        """Return the trial of a record, which is made unless it is there."""
        trial = self._made.pop(record.number, None)
        if trial is None:
            space = self._make(record.number, {}).space
            trial = self._named(self._make(record.number, configured(space, record.values, record.overrides)))
            trial.take_tag(record.name[len(record.first_name) :])
        trial.follow(record)
        self.trials.append(trial)
        return trial

    def on_events(self, events: Sequence[e.Event]) -> None:
        """Follow the trials."""
        last = {
            (event.trial, event.iteration) for event in events if isinstance(event, e.Judged) and event.action == "stop"
        }
        for event in events:
            if isinstance(event, e.Suggested):
                self._take(self._experiment.trials[event.trial])
            elif isinstance(event, e.Reported):
                done = event.done or (event.trial, event.iteration) in last
                self._report(event, done=done)
            elif isinstance(event, e.TrialEvent):
                self._follow(event)

    def _report(self, event: e.Reported, *, done: bool) -> None:
        trial, record = self.trials[event.trial], self._experiment.trials[event.trial]
        trial.last_result = self._result(trial, record, event, done=done)
        if event.checkpoint is not None:
            self._tell_checkpoint(trial, event.checkpoint)
        for listener in self.listeners:
            listener.on_trial_result(trial, trial.last_result)

    def _result(self, trial: Trial, record: TrialRecord, report: e.Reported, *, done: bool) -> dict[str, Any]:
        started = record.started
        result = {"timesteps_total": None, "episodes_total": None, **report.result()}
        result["done"] = done
        result["experiment_id"] = trial.experiment_id
        result["date"] = date(int(report.timestamp))
        result["pid"] = started.pid if started else None
        result["hostname"] = started.hostname if started else None
        result["node_ip"] = started.node_ip if started else None
        result["config"] = trial.config
        return result

    def _follow(self, event: e.TrialEvent) -> None:
        trial, record = self.trials[event.trial], self._experiment.trials[event.trial]
        match event:
            case e.Started():
                self._each(lambda listener: listener.on_trial_start(trial))
            case e.Cloned() | e.Changed():
                trial.take_config()
                trial.take_tag(record.name[len(record.first_name) :])
                self._each(lambda listener: listener.on_trial_config(trial))
            case e.Failed() | e.Lost():
                self._tell_failure(trial, f"{event.failure.message}\n\n{event.failure.traceback}".rstrip())
            case e.Judged(action="fail"):
                self._tell_failure(trial, event.reason)
            case e.Saved() | e.Completed() | e.Stopped() | e.Paused() if event.checkpoint is not None:
                self._tell_checkpoint(trial, event.checkpoint)
        if record.status.is_final and not trial.has_ended:
            self._end(trial)

    def _end(self, trial: Trial) -> None:
        trial.has_ended = True
        if trial.last_result is not None:
            trial.last_result["done"] = True
        self._each(lambda listener: listener.on_trial_end(trial))

    def _each(self, tell: Callable[[Listener], None]) -> None:
        for listener in self.listeners:
            tell(listener)

    def _tell_failure(self, trial: Trial, text: str) -> None:
        self._each(lambda listener: listener.on_trial_failure(trial, text))

    def _tell_checkpoint(self, trial: Trial, checkpoint: Any) -> None:
        path = self._path / checkpoint.path
        self._each(lambda listener: listener.on_trial_checkpoint(trial, path, checkpoint.iteration))

    def on_end(self) -> None:
        """End the listeners of trials that have not come to an end."""
        for trial in self.trials:
            if not trial.has_ended and trial.status != Status.PENDING.value:
                for listener in self.listeners:
                    listener.on_trial_end(trial)
