"""Gives each trial its loggers of 2019, and passes results on to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tunesmith import events as e
from tunesmith.callbacks.protocol import Callback
from tunesmith.callbacks.tensorboard import TensorBoardLogger
from tunesmith.compat.ray.log import log
from tunesmith.compat.ray.loggers import DEFAULT_LOGGERS, Logger, TFLogger, UnifiedLogger
from tunesmith.compat.ray.roster import Listener
from tunesmith.compat.ray.sync import get_syncer
from tunesmith.compat.ray.trial import Trial
from tunesmith.errors import MissingPackageError

_NO_CURVES: Final = frozenset({"pid", "timestamp", "time_total_s"})


class Curves(TensorBoardLogger):
    """Draws the curves that Tune drew in 2019."""

    def _curves(self, report: e.Reported) -> dict[str, Any]:
        return {name: value for name, value in report.result().items() if name not in _NO_CURVES}


class TrialLogs(Listener):
    """Makes a trial's loggers when it starts, and copies its folder where that is wanted.

    Args:
        loggers: the classes; None: those of 2019's default.
        upload_dir: where folders are copied to; empty: nowhere.
        sync_function: how, by a template or a function.
    """

    def __init__(self, loggers: Sequence[type[Logger]] | None, upload_dir: str, sync_function: Any) -> None:
        self._classes = DEFAULT_LOGGERS if loggers is None else tuple(loggers)
        if upload_dir:
            get_syncer("", upload_dir, sync_function)  # so that what is wrong is told before anything runs
        self._upload_dir = upload_dir
        self._sync_function = sync_function
        self._logs: dict[int, UnifiedLogger] = {}

    def curves(self) -> list[Callback]:
        """Return what writes curves for TensorBoard, if that is wanted and can be."""
        if TFLogger not in self._classes:
            return []
        try:
            return [Curves(prefix="ray/tune/")]
        except MissingPackageError as error:
            log("WARNING", f"Could not instantiate TFLogger - skipping. {error}")
            return []

    def on_trial_start(self, trial: Trial) -> None:
        """Make the loggers of a trial that starts."""
        folder = trial.logdir
        if trial.number in self._logs or folder is None:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        remote = f"{self._upload_dir.rstrip('/')}/{Path(folder).name}" if self._upload_dir else None
        self._logs[trial.number] = UnifiedLogger(trial.config, folder, remote, self._classes, self._sync_function)

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> None:
        """Pass a result on."""
        if trial.number in self._logs:
            self._logs[trial.number].on_result(result)

    def on_trial_config(self, trial: Trial) -> None:
        """Pass a new configuration on."""
        if trial.number in self._logs:
            self._logs[trial.number].update_config(trial.config)

    def on_trial_end(self, trial: Trial) -> None:
        """Close the loggers of a trial that has ended."""
        logs = self._logs.pop(trial.number, None)
        if logs is not None:
            logs.close()
