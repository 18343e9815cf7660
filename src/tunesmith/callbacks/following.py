"""Follows each trial through the events: who it is, with what configuration, and which of its reports stand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tunesmith import events as e
from tunesmith.core.experiment import Experiment
from tunesmith.core.story import Story
from tunesmith.readable import readable_config
from tunesmith.result import Origin, complete

ENDING = frozenset({"stop", "fail"})  # the decisions after which a trial reports no more


class FollowedTrial(Story):
    """A trial as of the last event that was followed.

    `number`, `trial_id` and `name` say which one it is, `path` is its folder, `config` its configuration as far as it
    is plain data. `results` counts its reports that stand: a trial that goes back to a checkpoint takes some back.
    """

    __slots__ = (
        "_config",
        "_record",
        "experiment_id",
        "number",
        "page",
        "path",
        "started",
        "trial_id",
        "waiting",
    )

    def __init__(self, made: e.Suggested, path: Path, experiment: Experiment) -> None:
        super().__init__(made)
        self.number, self.trial_id = made.trial, made.trial_id
        self.path = path / made.folder
        self.experiment_id = experiment.created.experiment_id if experiment.created else ""
        self.started: e.Started | None = None
        self.waiting: list[e.Reported] = []  # what a reader has not written yet
        self.page: Any = None  # what a reader keeps beside the trial
        self._record = experiment.trials[made.trial]
        self._config: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The present name."""
        return self.trial.name

    @property
    def config(self) -> dict[str, Any]:
        """The present configuration. Objects appear as the text of their repr."""
        if self._config is None:
            trial = self.trial
            self._config = friendly(readable_config(self._record.space, trial.values, trial.overrides))
        return self._config

    def result(self, report: e.Reported) -> dict[str, Any]:
        """Return a report of the present incarnation as a complete result."""
        origin = Origin(self.trial_id, self.name, self.experiment_id, self.config)
        return complete(report, self.started, origin, date=date(int(report.timestamp)), done=report.done)

    def apply(self, event: e.TrialEvent) -> bool:
        """Take note of anything else that happened to the trial; return whether its configuration may have changed."""
        if type(event) is e.Started:
            self.started = event
        changed = super().apply(event)
        if changed:
            self._config = None
        return changed


@lru_cache(maxsize=64)  # reports come in the order of time
def date(second: int) -> str:
    """Return a moment, in seconds since the epoch, as results have it, in local time."""
    return time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(second))


def friendly(value: Any) -> Any:
    """Return a value in what JSON and all its readers know: tuples and sets as lists, keys as texts.

    >>> friendly({1: (2, {3})})
    {'1': [2, [3]]}
    """
    if isinstance(value, Mapping):
        return {str(key): friendly(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [friendly(inner) for inner in value]
    if isinstance(value, (set, frozenset)):
        return [friendly(inner) for inner in sorted(value, key=repr)]
    return value if value is None or isinstance(value, (str, int, float)) else repr(value)


def flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return a nested mapping as one of paths.

    >>> flat({"loss": 1, "valid": {"loss": 2}})
    {'loss': 1, 'valid/loss': 2}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{path}/{key}" if path else key
        if isinstance(value, dict) and value:
            found.update(flat(value, name))
        else:
            found[name] = value
    return found
