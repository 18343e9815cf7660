"""What the commands read of an experiment: where each trial is, quickly."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tunesmith import events as e
from tunesmith.callbacks.following import flat
from tunesmith.core.experiment import Experiment, TrialRecord
from tunesmith.errors import StorageError
from tunesmith.readable import readable_config
from tunesmith.store.database import DATABASE
from tunesmith.store.reading import EventReader


def read(folder: Path) -> tuple[e.Created, Experiment]:
    """Return how an experiment began and where its trials are. Nothing is unpickled.

    Raises:
        StorageError: there is no experiment, or it has not begun.
    """
    experiment = Experiment()
    with EventReader.open_to_read(folder / DATABASE) as store:
        for _, event in store.read_last():
            experiment.apply(event)
    if experiment.created is None:
        raise StorageError(f"The experiment at {folder} has not begun yet. Look again in a moment.")
    return experiment.created, experiment


def row(created: e.Created, trial: TrialRecord) -> dict[str, Any]:
    """Return a trial as a row: who it is, its last result, and its configuration as ``config/...``."""
    last = trial.last.result() if trial.last is not None else {}
    config = readable_config(created.settings.get("space", {}), trial.values, trial.overrides)
    return {
        "trial_name": trial.name,
        "trial_id": trial.trial_id,
        "status": trial.status.public,
        "last_update_time": moment(last.pop("timestamp", None)),
        **flat(last),
        **flat(config, "config"),
        "trainable_name": created.settings.get("trainable"),
        "reason": trial.reason or None,
        "failures": trial.failures or None,
        "repeats": trial.repeats,
        "confirms": trial.confirms,
    }


def moment(timestamp: float | None) -> str | None:
    """Return a moment, in seconds since the epoch, as local time."""
    return None if timestamp is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(timestamp))
