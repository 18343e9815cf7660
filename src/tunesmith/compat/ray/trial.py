"""A trial of a run as scripts of 2019 know it."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith import codec, paths
from tunesmith.compat.ray import naming
from tunesmith.compat.ray.log import log
from tunesmith.compat.ray.markers import split_off
from tunesmith.compat.ray.resources import Resources
from tunesmith.core.experiment import TrialRecord
from tunesmith.space import Space
from tunesmith.trial import Status


class Trial:
    """One trial; what it shows is as of this moment, also while the run goes on."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    TERMINATED = "TERMINATED"
    ERROR = "ERROR"

    def __init__(
        self,
        number: int,
        trainable_name: str,
        *,
        seed: int,
        config: dict[str, Any],
        experiment_tag: str,
        experiment_dir: str,
        spec: Mapping[str, Any],
        resources: Resources,
        space: Space,
    ) -> None:
        self.number = number
        self.trainable_name = trainable_name
        self.trial_id = naming.trial_id(seed, number)
        self.experiment_id = naming.experiment_id(seed, number)
        self.experiment_tag = self.first_tag = experiment_tag
        self.resources = resources
        self.local_dir = experiment_dir
        self.upload_dir = spec["upload_dir"] or None
        self.stopping_criterion = spec["stop"]
        self.checkpoint_freq = spec["checkpoint_freq"]
        self.checkpoint_at_end = spec["checkpoint_at_end"]
        self.max_failures = spec["max_failures"]
        self.export_formats = spec["export_formats"]
        self.loggers = spec["loggers"]
        self.verbose = True
        self.last_result: dict[str, Any] | None = None
        self.error_file: str | None = None
        self.custom_trial_name: str | None = None
        self.folder = ""  # relative to the experiment's
        self.stopped_by_scheduler = False
        self.has_ended = False  # and everybody was told
        self.space = space
        self._path = experiment_dir
        self._config: dict[str, Any] | None = split_off(config)[0]
        self._record: TrialRecord | None = None

    # -- what it is

    def follow(self, record: TrialRecord) -> None:
        """Take note of the record of the trial, which changes as it goes on."""
        self._record = record
        self.folder = record.folder

    def take_config(self) -> None:
        """Take note that the configuration has changed."""
        self._config = None

    def take_tag(self, suffix: str) -> None:
        """Take note that the trial is a clone now; `suffix` says what was changed."""
        self.experiment_tag = self.first_tag + suffix

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, as it is now."""
        if self._config is None and self._record is not None:
            self._config, _ = split_off(configured(self.space, self._record.values, self._record.overrides))
        return self._config or {}

    @property
    def status(self) -> str:
        """PENDING, RUNNING, PAUSED, TERMINATED or ERROR."""
        return Status.PENDING.value if self._record is None else self._record.status.public

    @property
    def num_failures(self) -> int:
        """How often it has failed."""
        return 0 if self._record is None else self._record.failures

    @property
    def logdir(self) -> str | None:
        """The trial's folder; None before it has started."""
        if self._record is None or self._record.incarnation == 0:
            return None
        return str(Path(self._path, self._record.folder))

    @property
    def error_message(self) -> str:
        """Why it failed; empty unless it did."""
        failure = self._record.failure if self._record else None
        return failure.message if failure and self.status == Trial.ERROR else ""

    @property
    def checkpoint_path(self) -> str | None:
        """The directory of its last checkpoint, or None."""
        kept = self._record.checkpoint if self._record else None
        return None if kept is None else str(Path(self._path, kept.path))

    # -- what scripts ask

    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self.checkpoint_path is not None

    def is_finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status in (Trial.TERMINATED, Trial.ERROR)

    def should_stop(self, result: Mapping[str, Any]) -> bool:
        """Whether it has to end after `result`."""
        if result.get("done"):
            return True
        return any(result[name] >= limit for name, limit in self.stopping_criterion.items())

    def update_resources(self, cpu: float, gpu: float, **others: Any) -> None:
        """Show other resources; what the run reserves for the trial stays, and a log line says so.

        Raises:
            ValueError: the trial runs.
        """
        if self.status == Trial.RUNNING:
            raise ValueError("Cannot update resources while Trial is running.")
        self.resources = Resources(cpu, gpu, **others)
        if self._record is not None:
            log("WARNING", f"update_resources: what is reserved for {self} stays as it was when the trial was made.")

    def progress_string(self) -> str:
        """Return how far it is."""
        result = self.last_result
        if result is None or self.status == Trial.PENDING:
            return self._status_string()
        here = result.get("hostname") == _hostname()
        place = f"pid={result.get('pid')}" if here else f"{result.get('hostname')} pid={result.get('pid')}"
        parts = [
            self._status_string(),
            f"[{self.resources.summary_string()}]",
            f"[{place}]",
            f"{int(result.get('time_total_s', 0))} s",
            f"{result['training_iteration']} iter",
        ]
        if result.get("timesteps_total") is not None:
            parts.append(f"{result['timesteps_total']} ts")
        for name, unit in (("episode_reward_mean", "rew"), ("mean_loss", "loss"), ("mean_accuracy", "acc")):
            if result.get(name) is not None:
                parts.append(f"{_short(result[name])} {unit}")
        return ", ".join(parts)

    def _status_string(self) -> str:
        if not self.num_failures:
            return self.status
        what = "failure" if self.num_failures == 1 else "failures"
        return f"{self.status}, {self.num_failures} {what}: {self.error_file}"

    def __str__(self) -> str:
        if self.custom_trial_name is not None:
            return self.custom_trial_name
        env = self.config.get("env")
        parts = [self.trainable_name, env if isinstance(env, str) else None, self.experiment_tag]
        return "_".join(part for part in parts if part is not None).replace("/", "_")

    __repr__ = __str__


def configured(space: Space, values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration from what is recorded of it."""
    config = space.build({path: codec.from_plain(value, pickle.loads) for path, value in values.items()})
    for path, value in overrides.items():
        paths.put(config, path, codec.from_plain(value, pickle.loads))
    return config


def date(timestamp: float) -> str:
    """Return a moment as results have it, in local time."""
    return time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(timestamp))


def _hostname() -> str:
    return os.uname().nodename


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else str(value)
