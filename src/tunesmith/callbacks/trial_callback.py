"""A reader of a run, told trial by trial."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tunesmith import events as e
from tunesmith.callbacks.following import ENDING, FollowedTrial
from tunesmith.callbacks.protocol import Callback
from tunesmith.core.experiment import Experiment
from tunesmith.trial import Status


class TrialCallback(Callback):
    """A `Callback` with a method for each thing that happens to a trial. Subclass it and override what you need.

    `trial` has the attributes ``number, trial_id, name, path, config`` and ``results``, the number of its results that
    stand. What was reported before a resume is not told again.

    Example:
        >>> class Best(TrialCallback):
        ...     best = float("inf")
        ...     def on_trial_result(self, trial, result):
        ...         if result["loss"] < self.best:
        ...             self.best = result["loss"]
        ...             print(f"{trial.name} has {self.best}")
    """

    _path = Path()
    _experiment = Experiment()

    # -- to override

    def on_trial_start(self, trial: FollowedTrial) -> None:
        """Take note that the trial's worker has started, for the first time or once more."""

    def on_trial_result(self, trial: FollowedTrial, result: dict[str, Any]) -> None:
        """Read a complete result, as `tunesmith.load` has it."""

    def on_trial_restore(self, trial: FollowedTrial) -> None:
        """Take note that the trial goes back: only the first ``trial.results`` of its results stand."""

    def on_trial_complete(self, trial: FollowedTrial) -> None:
        """Take note that the trial has ended, by itself or because it was stopped."""

    def on_trial_error(self, trial: FollowedTrial) -> None:
        """Take note that the trial has failed for good."""

    # -- the events behind it

    def on_start(self, path: Path, experiment: Experiment, total: int | None) -> None:
        """Remember the experiment. A method that overrides this one must call it."""
        self._path, self._experiment = path, experiment
        self._trials: dict[int, FollowedTrial] = {}

    def on_resume(self, past: Iterable[e.Event]) -> None:
        """Follow what happened before. A method that overrides this one must call it."""
        for event in past:
            if type(event) is e.Reported:
                self._trials[event.trial].count(event)
            elif isinstance(event, e.TrialEvent):
                self._follow(event)
        for number in tuple(self._trials):
            if self._experiment.trials[number].status.is_final:
                del self._trials[number]

    def on_events(self, events: Sequence[e.Event]) -> None:
        """Call the methods above. A method that overrides this one must call it."""
        ends = {(v.trial, v.iteration) for v in events if isinstance(v, e.Judged) and v.action in ENDING}
        changed: dict[int, None] = {}
        for event in events:
            if type(event) is e.Reported:
                report = event
                if (event.trial, event.iteration) in ends:
                    report = msgspec.structs.replace(event, done=True)
                trial = self._trials[event.trial]
                trial.count(report)
                self.on_trial_result(trial, trial.result(report))
            elif isinstance(event, e.TrialEvent):
                before = self._trials[event.trial].results if event.trial in self._trials else 0
                trial = self._follow(event)
                changed[event.trial] = None
                if trial.results < before:
                    self.on_trial_restore(trial)
                if type(event) is e.Started:
                    self.on_trial_start(trial)
        for number in changed:
            status = self._experiment.trials[number].status
            if status.is_final and number in self._trials:
                trial = self._trials.pop(number)
                (self.on_trial_error if status is Status.ERROR else self.on_trial_complete)(trial)

    def _follow(self, event: e.TrialEvent) -> FollowedTrial:
        if isinstance(event, e.Suggested):
            self._trials[event.trial] = FollowedTrial(event, self._path, self._experiment)
        else:
            self._trials[event.trial].apply(event)
        return self._trials[event.trial]
