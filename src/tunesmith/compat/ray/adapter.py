"""Puts a class of 2019 into a run: a trainable of Tunesmith that holds an object of the class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.loggers import NoopLogger
from tunesmith.compat.ray.markers import split_off
from tunesmith.compat.ray.trainable import Trainable
from tunesmith.worker.session import StopTrial
from tunesmith.worker.trainable import Trainable as Step

# What the run measures by itself. The rest of a result is reported.
_MEASURED = frozenset({"time_total_s", "time_since_restore", "iterations_since_restore", "pid", "hostname", "node_ip"})


class Adapter(Step):
    """Does a step of a run by `_train`. The class is `wrapped`, which subclasses made by `wrap_class` have."""

    wrapped: type[Trainable]
    restore_from: str | None = None
    export_formats: Sequence[str] = ()
    _has_failed = False

    def setup(self, config: dict[str, Any], **parameters: Any) -> None:
        """Make the object, by its own constructor."""
        folder = self.logdir
        config, _ = split_off(config)
        with self._named("_setup"):
            self.inner = self.wrapped(config=config, logger_creator=lambda config: NoopLogger(config, folder, None))
        self._logs = self.wrapped._log_result is not Trainable._log_result
        if self.restore_from is not None:
            with self._named("_restore"):
                self.inner.restore(self.restore_from)
        self._before = self.inner._iteration, self.inner._time_total

    def step(self) -> dict[str, Any]:
        """Call `_train`."""
        inner = self.inner
        with self._named("_train"):
            result = inner._advance()
        if self._logs:
            full = dict(result)
            inner._complete(full)
            with self._named("_log_result"):
                inner._log_result(full)
        result = {name: value for name, value in result.items() if value is not None}
        if result["training_iteration"] == self.iteration + 1:  # as the run counts
            del result["training_iteration"]
        if self.restore_from is not None:
            result.setdefault("time_total_s", inner._time_total)
        if not result["done"]:
            del result["done"]
        return result

    def cleanup(self) -> None:
        """Export the model, unless something has failed, and let the object go."""
        inner = getattr(self, "inner", None)
        if inner is None:
            return
        if self.export_formats and not self._has_failed:
            with self._named("_export_model"):
                inner.export_model(self.export_formats)
        with self._named("_stop"):
            inner.stop()

    @contextmanager
    def _named(self, method: str) -> Iterator[None]:
        """Say which method it was that raised."""
        try:
            yield
        except (StopTrial, AssertionError, NotImplementedError):
            raise
        except Exception as error:
            self._has_failed = True
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise TuneError(f"{self.wrapped.__name__}.{method} raised {text}") from error


def _save_checkpoint(self: Adapter, checkpoint_dir: str) -> str:
    with self._named("_save"):
        return self.inner._write(checkpoint_dir)


def _load_checkpoint(self: Adapter, checkpoint: str) -> None:
    with self._named("_restore"):
        self.inner.restore(checkpoint)


def _reset_config(self: Adapter, new_config: dict[str, Any]) -> bool:
    with self._named("reset_config"):
        return bool(self.inner.reset_config(split_off(new_config)[0]))


def wrap_class(cls: type[Trainable], restore: str | None = None, export: Sequence[str] = ()) -> type[Adapter]:
    """Return a trainable for a run.

    What the class does not define, the trainable does not define either, so that the run knows what it can do.
    `restore` is the checkpoint that each trial begins with.
    """
    methods: dict[str, Callable[..., Any]] = {}
    if cls._save is not Trainable._save:
        methods["save_checkpoint"] = _save_checkpoint
    methods["load_checkpoint"] = _load_checkpoint
    if cls.reset_config is not Trainable.reset_config:
        methods["reset_config"] = _reset_config
    path = str(Path(restore).expanduser().absolute()) if restore is not None else None
    settings = {"wrapped": cls, "__wrapped__": cls, "restore_from": path, "export_formats": tuple(export)}
    return type(cls.__name__, (Adapter,), {**settings, **methods, "__module__": cls.__module__})
