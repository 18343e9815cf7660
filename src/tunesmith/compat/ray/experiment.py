"""What is to be run, as a spec of 2019."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, Final

from tunesmith.compat.ray.cluster import results_dir
from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.function import name_of
from tunesmith.compat.ray.log import log
from tunesmith.compat.ray.markers import function as literal
from tunesmith.compat.ray.markers import is_marked
from tunesmith.compat.ray.registry import register_trainable
from tunesmith.compat.ray.resources import json_to_resources
from tunesmith.compat.ray.sync import validate_sync_function
from tunesmith.compat.ray.trainable import ExportFormat
from tunesmith.errors import nearest

_GONE: Final = {"repeat": "num_samples", "trial_resources": "resources_per_trial", "custom_loggers": "loggers"}


class DefaultFailures(int):
    """How often a trial is tried again when nobody has said it: only where it has checkpoints."""


MAX_FAILURES: Final = DefaultFailures(3)


class Experiment:
    """A trainable, its search space, and how its trials are run. `spec` is a dict of the arguments.

    Raises:
        DeprecationWarning: an argument has been given another name.
        TuneError: the trainable is none.
    """

    def __init__(  # noqa: PLR0917 - the order of 2019
        self,
        name: str,
        run: Any,
        stop: Mapping[str, float] | None = None,
        config: Mapping[str, Any] | None = None,
        resources_per_trial: Mapping[str, Any] | None = None,
        num_samples: int = 1,
        local_dir: str | None = None,
        upload_dir: str | None = None,
        trial_name_creator: Callable[[Any], str] | None = None,
        loggers: Sequence[Any] | None = None,
        sync_function: Any = None,
        checkpoint_freq: int = 0,
        checkpoint_at_end: bool = False,
        export_formats: Sequence[str] | None = None,
        max_failures: int = MAX_FAILURES,
        restore: str | None = None,
        repeat: Any = None,
        trial_resources: Any = None,
        custom_loggers: Any = None,
        *,
        keep_checkpoints_num: int | None = None,
        checkpoint_score_attr: str | None = None,
    ) -> None:
        for old, value in (
            ("repeat", repeat),
            ("trial_resources", trial_resources),
            ("custom_loggers", custom_loggers),
        ):
            if value is not None:
                raise DeprecationWarning(f"`{old}` is deprecated, use `{_GONE[old]}` instead")
        if sync_function is not None and not upload_dir:
            raise AssertionError("Need `upload_dir` if sync_function given.")
        validate_sync_function(sync_function)
        formats = list(export_formats or ())
        ExportFormat.validate(formats)
        if not is_marked(resources_per_trial):
            json_to_resources(resources_per_trial)
        if stop is not None and not isinstance(stop, Mapping):
            raise TuneError(
                f"stop must be a dict of values at which a trial ends, such as {{'mean_accuracy': 0.9}}, got {stop!r}."
            )
        self.name = name or Experiment._register_if_needed(run)
        self.spec: dict[str, Any] = {
            "run": Experiment._register_if_needed(run),
            "stop": dict(stop or {}),
            "config": dict(config or {}),
            "resources_per_trial": resources_per_trial,
            "num_samples": num_samples,
            "local_dir": os.path.expanduser(local_dir or results_dir()),  # noqa: PTH111 - text as in 2019
            "upload_dir": upload_dir or "",
            "trial_name_creator": trial_name_creator,
            "loggers": loggers,
            "sync_function": sync_function,
            "checkpoint_freq": checkpoint_freq,
            "checkpoint_at_end": checkpoint_at_end,
            "export_formats": formats,
            "max_failures": max_failures,
            "restore": os.path.abspath(os.path.expanduser(restore)) if restore else None,  # noqa: PTH100, PTH111 - as above
            "keep_checkpoints_num": keep_checkpoints_num,
            "checkpoint_score_attr": checkpoint_score_attr,
        }

    @classmethod
    def from_json(cls, name: str, spec: Mapping[str, Any]) -> Experiment:
        """Return the experiment that a dict describes: the arguments by name, ``run`` and, for RLlib, ``env``.

        Raises:
            TuneError: there is no ``run``, or a key is wrong.
        """
        if "run" not in spec:
            raise TuneError(
                "No trainable specified! The spec needs a `run`: a function, a class, or a registered name."
            )
        given = dict(spec)
        if "env" in given:
            given["config"] = {**(given.get("config") or {}), "env": given.pop("env")}
        run = given.pop("run")
        try:
            return cls(name, run, **given)
        except TypeError as error:
            wrong = [key for key in given if key not in _ARGUMENTS]
            hint = f" {wrong[0]!r} is not known.{nearest(wrong[0], _ARGUMENTS)}" if wrong else ""
            raise TuneError(f"Improper argument from JSON: {spec}.{hint}") from error

    @classmethod
    def _register_if_needed(cls, run: Any) -> str:
        """Return the name of what is to be run, registered under it unless it is a name already."""
        if isinstance(run, str):
            return run
        if isinstance(run, FunctionType) and run.__name__ == "<lambda>":
            log("WARNING", "Not auto-registering lambdas - resolving as variant.")
            raise TuneError(
                "A lambda has no name that the run could take. Register it: "
                'tune.register_trainable("my_trainable", lambda config, reporter: ...), and run "my_trainable".'
            )
        if isinstance(run, literal):
            run = run.func
        if not isinstance(run, (type, FunctionType)):
            raise TuneError(
                f"Improper 'run' - not string nor trainable: {run!r}. Register other callables with "
                "tune.register_trainable(name, callable), and run the name."
            )
        name = name_of(run)
        register_trainable(name, run)
        return name


_ARGUMENTS: Final = tuple(
    name for name in Experiment.__init__.__annotations__ if name not in ("return", "name", *_GONE)
)


def convert_to_experiment_list(experiments: Any) -> list[Experiment]:
    """Return experiments as a list: of one, of a list of them, or of a dict of names and specs.

    Raises:
        TuneError: it is none of these.
    """
    if experiments is None:
        return []
    if isinstance(experiments, Experiment):
        return [experiments]
    if isinstance(experiments, dict):
        return [
            spec if isinstance(spec, Experiment) else Experiment.from_json(name, spec)
            for name, spec in experiments.items()
        ]
    if isinstance(experiments, (list, tuple)) and all(isinstance(each, Experiment) for each in experiments):
        return list(experiments)
    raise TuneError(
        f"Invalid argument: {experiments!r}. Give an Experiment, a list of them, or a dict of specs by name."
    )
