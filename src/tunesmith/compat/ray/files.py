"""The files of 2019 beside those of the loggers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tunesmith import events as e
from tunesmith.callbacks.protocol import Callback
from tunesmith.compat.ray.loggers import in_json
from tunesmith.compat.ray.roster import Listener
from tunesmith.compat.ray.trial import Trial
from tunesmith.core.experiment import Experiment

_EVERY_S: Final = 10.0


class TrialPapers(Listener):
    """Writes ``error_<date>.txt`` of each failure, and gives checkpoints their names of 2019, without zeros in front.

    The name is a link to the directory: ``checkpoint_5`` to ``checkpoint_000005``.
    """

    def on_trial_failure(self, trial: Trial, text: str) -> None:
        """Write the story of a failure."""
        if trial.logdir is not None:
            folder = Path(trial.logdir)
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"error_{time.strftime('%Y-%m-%d_%H-%M-%S')}.txt"
            with path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
            trial.error_file = str(path)

    def on_trial_checkpoint(self, trial: Trial, path: Path, iteration: int) -> None:
        """Link to a checkpoint, instead of an older one of the same iteration."""
        link = path.with_name(f"checkpoint_{iteration}")
        if link.name != path.name:
            with suppress(OSError):  # it is for convenience: the checkpoint is there without it
                link.unlink(missing_ok=True)
                link.symlink_to(path.name, target_is_directory=True)


class StateFile(Callback):
    """Writes ``experiment_state-<date>.json``, for people and their tools: every ten seconds at most, and at the end.

    Nothing reads it to go on from; that is in ``experiment.db``.
    """

    def __init__(self, trials: Sequence[Trial], clock: Callable[[], float] = time.monotonic) -> None:
        self._trials = trials
        self._clock = clock
        self._path = Path()
        self._begun = 0.0
        self._last = 0.0

    def on_start(self, path: Path, experiment: Experiment, total: int | None) -> None:
        """Choose the file's name."""
        self._begun, self._last = time.time(), self._clock()
        self._path = path / f"experiment_state-{time.strftime('%Y-%m-%d_%H-%M-%S', time.localtime(self._begun))}.json"

    def on_events(self, events: Sequence[e.Event]) -> None:
        """Write it when that is due."""
        if self._clock() - self._last > _EVERY_S:
            self._write()

    def on_end(self) -> None:
        """Write it."""
        self._write()

    def _write(self) -> None:
        self._last = self._clock()
        now = time.time()
        state = {
            "checkpoints": [_described(trial) for trial in self._trials],
            "runner_data": {"_start_time": self._begun},
            "stats": {"start_time": self._begun, "timestamp": now},
            "timestamp": now,
        }
        aside = self._path.with_suffix(".tmp")
        aside.write_text(json.dumps(state, indent=2, default=in_json, skipkeys=True), encoding="utf-8")
        aside.replace(self._path)


def _described(trial: Trial) -> dict[str, Any]:
    return {
        "trainable_name": trial.trainable_name,
        "trial_id": trial.trial_id,
        "trial_name": str(trial),
        "experiment_tag": trial.experiment_tag,
        "status": trial.status,
        "config": trial.config,
        "local_dir": trial.local_dir,
        "logdir": trial.logdir,
        "resources": trial.resources._asdict(),
        "stopping_criterion": trial.stopping_criterion,
        "checkpoint_freq": trial.checkpoint_freq,
        "checkpoint_at_end": trial.checkpoint_at_end,
        "max_failures": trial.max_failures,
        "num_failures": trial.num_failures,
        "error_file": trial.error_file,
        "last_result": trial.last_result,
        "last_update_time": (trial.last_result or {}).get("timestamp"),
        "_checkpoint": trial.checkpoint_path,
    }
