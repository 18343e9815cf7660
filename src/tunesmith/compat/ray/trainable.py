"""The class API of 2019. It knows nothing of a run: `tunesmith.compat.ray.adapter` puts it into one."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.result import DEFAULT_RESULTS_DIR, RESULT_DUPLICATE, add_loss
from tunesmith.worker.process import Host

_SIDECAR: Final = ".tune_metadata"
_COUNTED: Final = ("timesteps", "episodes")


class ExportFormat:
    """What a model can be exported as."""

    CHECKPOINT = "checkpoint"
    MODEL = "model"

    @staticmethod
    def validate(export_formats: Sequence[str]) -> None:
        """Make the names plain, in place.

        Raises:
            TuneError: there is no such format.
        """
        for i, name in enumerate(export_formats):
            plain = name.strip().lower()
            if plain not in (ExportFormat.CHECKPOINT, ExportFormat.MODEL):
                raise TuneError(f"Unsupported export format: {plain}. There are 'checkpoint' and 'model'.")
            export_formats[i] = plain  # type: ignore[index]  # a list, as its users write


class Trainable:
    """Subclass it and define `_setup`, `_train`, `_save` and `_restore`. It also works on its own.

    ``self.config`` is there before `_setup` is called, which gets a copy of its own.

    >>> class Count(Trainable):
    ...     def _setup(self, config):
    ...         self.x = config["start"]
    ...     def _train(self):
    ...         self.x += 1
    ...         return {"episode_reward_mean": self.x}
    >>> Count(config={"start": 1}, logger_creator=lambda config: None).train()["episode_reward_mean"]
    2
    """

    def __init__(
        self, config: Mapping[str, Any] | None = None, logger_creator: Callable[[dict[str, Any]], Any] | None = None
    ) -> None:
        self._experiment_id = uuid.uuid4().hex
        self.config: dict[str, Any] = config or {}  # type: ignore[assignment]  # a dict, as its users write
        self._result_logger = self._make_logger() if logger_creator is None else logger_creator(self.config)
        logdir = getattr(self._result_logger, "logdir", None)
        self.logdir = self._logdir = logdir if logdir is not None else tempfile.mkdtemp(prefix="ray_")
        self._iteration = 0
        self._time_total = 0.0
        self._totals: dict[str, Any] = {}
        self._start_since_restore()
        self._setup(copy.deepcopy(self.config))
        host = Host()
        self._local_ip, self._hostname = host.node_ip, host.hostname

    def _make_logger(self) -> Any:
        from tunesmith.compat.ray.loggers import UnifiedLogger

        os.makedirs(DEFAULT_RESULTS_DIR, exist_ok=True)  # noqa: PTH103 - text as in 2019
        name = datetime.now().astimezone().strftime(f"{type(self).__name__}_%Y-%m-%d_%H-%M-%S")
        return UnifiedLogger(self.config, tempfile.mkdtemp(prefix=name, dir=DEFAULT_RESULTS_DIR), None)

    def _start_since_restore(self) -> None:
        self._time_since_restore = 0.0
        self._timesteps_since_restore = 0
        self._iterations_since_restore = 0

    # -- what its author defines

    def _setup(self, config: dict[str, Any]) -> None:
        """Build what is trained."""

    def _train(self) -> dict[str, Any]:
        """Train for a while and return the metrics."""
        raise NotImplementedError(f"{type(self).__name__} must define _train(), which returns a dict of metrics.")

    def _save(self, checkpoint_dir: str) -> str | dict[str, Any]:
        """Write the state into the directory and return the path of a file there; or return a dict."""
        raise NotImplementedError(f"{type(self).__name__} does not define _save(), so it can't be checkpointed.")

    def _restore(self, checkpoint: Any) -> None:
        """Restore what `_save` returned."""
        raise NotImplementedError(f"{type(self).__name__} does not define _restore(), so it can't be restored.")

    def _stop(self) -> None:
        """Release what `_setup` acquired."""

    def _log_result(self, result: dict[str, Any]) -> None:
        """Log a result, in the process of the trial."""
        if self._result_logger is not None:
            self._result_logger.on_result(result)

    def _export_model(self, export_formats: list[str], export_dir: str) -> dict[str, str]:
        """Write the model and return the paths, by format."""
        return {}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up a new configuration in place and return True; or return False to be made anew (the default)."""
        return False

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> Any:
        """Return what a trial asks for unless ``resources_per_trial`` says otherwise; None: one CPU."""
        return None

    @classmethod
    def resource_help(cls, config: dict[str, Any]) -> str:
        """Return how to ask for less."""
        return ""

    # -- what its users call

    def train(self) -> dict[str, Any]:
        """Train for a while; return the result, with all that is counted and measured."""
        result = self._advance()
        if RESULT_DUPLICATE not in result:
            self._complete(result)
            self._log_result(result)
        return result

    def _advance(self) -> dict[str, Any]:
        """Call `_train`, count, and return the metrics with what is filled in unless they say it themselves."""
        begun = time.time()
        given = self._train()
        if not isinstance(given, dict):
            raise AssertionError(  # noqa: TRY004 - as in 2019
                f"{type(self).__name__}._train() needs to return a dict of metrics, but it returned {given!r:.200}."
            )
        if RESULT_DUPLICATE in given:
            return given
        result = dict(given)
        self._iteration += 1
        self._iterations_since_restore += 1
        spent = result.get("time_this_iter_s")
        if spent is None:
            spent = result["time_this_iter_s"] = time.time() - begun
        self._time_total += spent
        self._time_since_restore += spent
        result.setdefault("done", False)
        for what in _COUNTED:
            step = result.get(f"{what}_this_iter")
            if step is not None:
                self._totals[what] = (self._totals.get(what) or 0) + step
            if result.get(f"{what}_total") is None:
                result[f"{what}_total"] = self._totals.get(what)
        self._timesteps_since_restore += result.get("timesteps_this_iter") or 0
        result["timesteps_since_restore"] = self._timesteps_since_restore
        result.setdefault("training_iteration", self._iteration)
        add_loss(result)
        return result

    def _complete(self, result: dict[str, Any]) -> None:
        now = datetime.now().astimezone()
        result.update(
            experiment_id=self._experiment_id,
            date=now.strftime("%Y-%m-%d_%H-%M-%S"),
            timestamp=int(now.timestamp()),
            time_total_s=self._time_total,
            pid=os.getpid(),
            hostname=self._hostname,
            node_ip=self._local_ip,
            config=self.config,
            time_since_restore=self._time_since_restore,
            iterations_since_restore=self._iterations_since_restore,
        )

    def save(self, checkpoint_dir: str | None = None) -> str:
        """Save the state to ``checkpoint_<iteration>`` below `checkpoint_dir`, by default `logdir`; return its path.

        Raises:
            ValueError: `_save` returned what is no checkpoint.
        """
        folder = os.path.join(checkpoint_dir or self.logdir, f"checkpoint_{self._iteration}")  # noqa: PTH118 - text
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - as above
        return self._write(folder)

    def _write(self, folder: str) -> str:
        """Let `_save` write into `folder`, add what has to be remembered, and return the checkpoint's path."""
        saved = self._save(folder)
        name = f"{type(self).__name__}._save()"
        if isinstance(saved, str):
            path = saved
            inside = os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)
            if not inside or not os.path.exists(path):  # noqa: PTH110 - text
                raise ValueError(
                    f"The returned checkpoint path must be within the given checkpoint dir {folder}: {name} returned "
                    f"{saved}. Write a file below the directory and return its path."
                )
        elif isinstance(saved, dict):
            path = os.path.join(folder, "checkpoint")  # noqa: PTH118 - text
            Path(path).write_bytes(pickle.dumps(saved))
        else:
            raise ValueError(  # noqa: TRY004 - as in 2019
                f"`_save` must return a dict or string type: {name} returned {saved!r} ({type(saved).__name__}). "
                "Return the path of the file that it wrote, or the state as a dict."
            )
        Path(path + _SIDECAR).write_bytes(
            pickle.dumps(
                {
                    "experiment_id": self._experiment_id,
                    "iteration": self._iteration,
                    "timesteps_total": self._totals.get("timesteps"),
                    "time_total": self._time_total,
                    "episodes_total": self._totals.get("episodes"),
                    "saved_as_dict": isinstance(saved, dict),
                }
            )
        )
        return path

    def restore(self, checkpoint_path: str) -> None:
        """Go on from the checkpoint that `save` has written."""
        told = pickle.loads(Path(checkpoint_path + _SIDECAR).read_bytes())
        self._experiment_id, self._iteration = told["experiment_id"], told["iteration"]
        self._time_total = told["time_total"]
        self._totals = {what: told[f"{what}_total"] for what in _COUNTED}
        if told["saved_as_dict"]:
            self._restore(pickle.loads(Path(checkpoint_path).read_bytes()))
        else:
            self._restore(checkpoint_path)
        self._start_since_restore()

    def save_to_object(self) -> bytes:
        """Save the state and return it, all files of the checkpoint's directory, as bytes."""
        with tempfile.TemporaryDirectory(prefix="save_to_object", dir=self.logdir) as folder:
            path = Path(self.save(folder))
            root = Path(folder)
            files = {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}
            return pickle.dumps({"checkpoint_name": str(path.relative_to(root)), "data": files})

    def restore_from_object(self, obj: bytes) -> None:
        """Go on from what `save_to_object` returned."""
        packed = pickle.loads(obj)
        folder = tempfile.mkdtemp(prefix="restore_from_object", dir=self.logdir)
        try:
            for name, data in packed["data"].items():
                file = Path(folder, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            self.restore(os.path.join(folder, packed["checkpoint_name"]))  # noqa: PTH118 - text
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def export_model(self, export_formats: Sequence[str] | str, export_dir: str | None = None) -> dict[str, str]:
        """Export the model to `export_dir`, by default `logdir`, and return the paths, by format."""
        formats = [export_formats] if isinstance(export_formats, str) else list(export_formats)
        ExportFormat.validate(formats)
        return self._export_model(formats, export_dir or self.logdir)

    def stop(self) -> None:
        """Close the log and release what was acquired."""
        if self._result_logger is not None:
            self._result_logger.close()
        self._stop()
