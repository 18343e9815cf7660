"""``ExperimentAnalysis``: what came of an experiment, from its folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tunesmith
from tunesmith.compat.ray import naming
from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.registry import get_trainable_cls
from tunesmith.definition import read_created
from tunesmith.errors import StorageError
from tunesmith.results import Trial
from tunesmith.store.database import DATABASE
from tunesmith.store.reading import EventReader


class ExperimentAnalysis:
    """Reads the folder of an experiment, finished or not. Nothing is unpickled.

    Args:
        experiment_path: the folder, such as ``~/ray_results/my_experiment``.
        trials: ignored: the trials are read.

    Raises:
        TuneError: there is no experiment.
    """

    def __init__(self, experiment_path: str, trials: Any = None) -> None:
        self._path = Path(os.path.expanduser(experiment_path))  # noqa: PTH111 - text as in 2019
        try:
            self._results = tunesmith.load(self._path)
            with EventReader.open_to_read(self._path / DATABASE) as store:
                created = read_created(store)
        except StorageError as error:
            raise TuneError(f"{experiment_path} is not a valid experiment directory: {error}") from error
        if created is None:
            raise TuneError(f"{experiment_path} is not a valid experiment directory: it has not begun.")
        self._seed, self._settings, self._at = created.seed, created.settings, created.at

    def _id(self, trial: Trial) -> str:
        return naming.trial_id(self._seed, trial.number)

    def dataframe(self) -> Any:
        """Return a pandas frame: a row a trial, with its last result, and its configuration as ``config:...``."""
        frame = self._results.dataframe()
        names = {name: name.replace("/", ":") for name in frame.columns if name.startswith("config/")}
        frame["trial_id"] = [self._id(trial) for trial in self._results]
        frame["logdir"] = [str(trial.path) for trial in self._results]
        frame["trainable_name"] = self._settings.get("trainable")
        return frame.rename(columns=names)

    def stats(self) -> dict[str, Any]:
        """Return when the experiment began, and when its last result came."""
        last = max((result["timestamp"] for t in self._results if (result := t.last_result)), default=self._at)
        return {"start_time": self._at, "timestamp": last}

    def runner_data(self) -> dict[str, Any]:
        """Return what is known of the run as a whole."""
        return {"checkpoint_file": str(self._path / DATABASE), "_start_time": self._at, **self._settings}

    def trial_dataframe(self, trial_id: str) -> Any:
        """Return a pandas frame with a row for each result of a trial.

        Raises:
            KeyError: there is no such trial.
        """
        for trial in self._results:
            if trial_id in (self._id(trial), trial.trial_id):
                return trial.dataframe()
        raise KeyError(f"There is no trial {trial_id}; there are: {', '.join(map(self._id, self._results))}.")

    def get_best_config(self, metric: str, mode: str = "max") -> dict[str, Any]:
        """Return the configuration of the trial whose last result has the best `metric`."""
        return self._results.get_best_trial(metric, mode, scope="last").config

    def get_best_trainable(self, metric: str, trainable_cls: Callable[..., Any] | None = None) -> Any:
        """Return the trainable of the best trial, restored from its last checkpoint.

        Raises:
            TuneError: that trial has no checkpoint.
        """
        best = self._results.get_best_trial(metric, "max", scope="last")
        kept = best.checkpoint
        if kept is None:
            raise TuneError(f"{best.name} has no checkpoint. Run with checkpoint_at_end=True.")
        cls = trainable_cls or get_trainable_cls(str(self._settings.get("trainable")))
        trainable = cls(config=best.config)
        sidecar = next(Path(kept.path).rglob("*.tune_metadata"))
        trainable.restore(str(sidecar).removesuffix(".tune_metadata"))
        return trainable
