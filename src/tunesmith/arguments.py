"""Checks what a user passes to `tunesmith.run` before anything is started."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from math import isfinite
from typing import Any

from msgspec import structs

from tunesmith.callbacks.pbt_policies import read_policy
from tunesmith.callbacks.protocol import Callback
from tunesmith.core.retention import Keep
from tunesmith.errors import ArgumentError, UnknownArgumentError, nearest
from tunesmith.executors.protocol import Executor
from tunesmith.objective import Objective, parse_objective
from tunesmith.resources import Resources
from tunesmith.retrying import FailurePolicy, type_name
from tunesmith.schedulers.pbt import PopulationBasedTraining
from tunesmith.schedulers.pbt_replay import PopulationBasedTrainingReplay
from tunesmith.schedulers.protocol import Scheduler
from tunesmith.searchers.names import by_name
from tunesmith.searchers.protocol import Searcher
from tunesmith.worker.trainable import Trainable, own_request

_RLLIB = "ray.rllib."


def refuse_unknown(unknown: Iterable[str], function: Any) -> None:
    """Raise for arguments that `function` does not have, naming the nearest right one."""
    names = [p.name for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    for name in unknown:
        raise UnknownArgumentError(f"run() has no argument {name!r}.{nearest(name, names)} It has: {', '.join(names)}.")


def check_objective(metric: Any, mode: Any, constraints: Any = None) -> Objective | None:
    """Return the objective, or None when no metric is named; without a mode, smaller is better is not assumed."""
    if metric is None:
        for name, value in (("mode", mode), ("constraints", constraints)):
            if value:
                raise ArgumentError(f"{name}={value!r} is given without metric=. Name the reported value to optimise.")
        return None
    return parse_objective(metric, mode, constraints)


def check_count(name: str, value: Any, *, least: int, none: str | None = None, infinite: bool = False) -> int | None:
    """Return `value` if it is a whole number of at least `least` (or -1 when `infinite`, or None when `none`)."""
    if value is None and none is not None:
        return None
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and (value >= least or (infinite and value == -1)):
        return int(value)
    allowed = f"a whole number, {least} or more"
    allowed += ", or -1 for no limit" if infinite else ""
    allowed += f", or None for {none}" if none else ""
    raise ArgumentError(f"{name} must be {allowed}; got {value!r}.")


def check_seconds(name: str, value: float | timedelta | None) -> float | None:
    """Return a positive number of seconds, or None."""
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not isfinite(seconds) or seconds <= 0:
        raise ArgumentError(f"{name} must be a positive number of seconds or a timedelta; got {value!r}.")
    return float(seconds)


def check_policy(max_failures: Any, retry_on: Any, retry_pause_s: Any) -> FailurePolicy:
    """Return what becomes of trials that fail."""
    forgiven = check_count("max_failures", max_failures, least=0, infinite=True) or 0
    pause_s = 0.0 if retry_pause_s == 0 else check_seconds("retry_pause_s", retry_pause_s)
    if pause_s is None:
        raise ArgumentError("retry_pause_s must be a number of seconds; 0 tries again at once. Got None.")
    if retry_on is None:
        return FailurePolicy(forgiven, None, pause_s)
    if forgiven == 0:
        raise ArgumentError(
            f"retry_on={retry_on!r} says which failures are tried again, and max_failures=0 that none is. "
            "Give max_failures=, too."
        )
    given = [retry_on] if isinstance(retry_on, (str, type)) else retry_on
    names = [_failure_name(each) for each in given] if isinstance(given, Iterable) else []
    if not names or None in names:
        raise ArgumentError(
            f"retry_on must have types of exceptions, their names, or kinds of failures such as 'memory'; got "
            f"{retry_on!r}."
        )
    return FailurePolicy(forgiven, tuple(name for name in names if name), pause_s)


def _failure_name(given: Any) -> str | None:
    if isinstance(given, type) and issubclass(given, BaseException):
        return type_name(given)
    return given if isinstance(given, str) and given else None


def check_one_of(name: str, value: Any, allowed: Sequence[Any]) -> Any:
    """Return `value` if it is one of `allowed`."""
    for candidate in allowed:
        if value is candidate or (type(value) is type(candidate) and value == candidate):
            return value
    shown = ", ".join(map(repr, allowed))
    hint = nearest(value, [a for a in allowed if isinstance(a, str)]) if isinstance(value, str) else ""
    raise ArgumentError(f"{name} must be one of {shown}; got {value!r}.{hint}")


def check_changes(accepted: Any, known: Sequence[str]) -> frozenset[str]:
    """Return the names of what may have changed: all that are `known` for True, none for False."""
    if isinstance(accepted, bool):
        return frozenset(known if accepted else ())
    names = [accepted] if isinstance(accepted, str) else accepted
    if not isinstance(names, Iterable) or isinstance(names, Mapping):
        raise ArgumentError(f"accept_changes must be True, False or names of arguments; got {accepted!r}.")
    found = list(names)
    for name in found:
        check_one_of("accept_changes", name, known)
    return frozenset(found)


def check_callbacks(callbacks: Sequence[Callback] | None) -> list[Callback]:
    """Return the callbacks as a list of instances."""
    found = list(callbacks or ())
    for callback in found:
        if not isinstance(callback, Callback):
            hint = " Pass an instance, not the class." if isinstance(callback, type) else ""
            raise ArgumentError(f"callbacks must be instances of tunesmith.Callback; got {callback!r}.{hint}")
    return found


def check_name(name: Any) -> str | None:
    """Return the experiment's name if it can be a folder's name."""
    if name is None:
        return None
    if not isinstance(name, str) or not name.strip() or name in (".", "..") or set(name) & set('/\\\0:*?"<>|\n'):
        raise ArgumentError(
            f'name must be usable as the name of a folder, without / \\ : * ? " < > | and line breaks; got {name!r}.'
        )
    return name


def check_seed(seed: Any) -> int | None:
    """Return the seed, or None to draw one."""
    if seed is None or (isinstance(seed, int) and not isinstance(seed, bool)):
        return seed
    raise ArgumentError(f"seed must be a whole number or None; got {seed!r}.")


def check_trainable(trainable: Any) -> Any:
    """Return what is to be run: for a name, or what is RLlib's, the trainable that its integration makes of it.

    The integration is found by its name, as it may be taken away.
    """
    kind = trainable if isinstance(trainable, type) else type(trainable)
    if not isinstance(trainable, str) and not any(f"{cls.__module__}.".startswith(_RLLIB) for cls in kind.__mro__):
        return trainable
    try:
        integration = import_module("tunesmith.integrations.rllib")
    except ModuleNotFoundError as error:
        raise ArgumentError(
            f"The trainable {trainable!r} is to be run by RLlib, and this copy of Tunesmith is without it ({error})."
        ) from error
    return integration.trainable(trainable)


def check_config(trainable: Any, config: Any) -> None:
    """Let a class trainable look at the search space, unless `config` is none at all, which `Space` tells."""
    if isinstance(trainable, type) and issubclass(trainable, Trainable) and isinstance(config, (Mapping, type(None))):
        trainable.check_config(dict(config or {}))


def check_resources(
    per_trial: Mapping[str, float] | None,
    requested: Mapping[str, float] | Callable[..., Any] | None,
    trainable: Any = None,
) -> Resources | Callable[[dict[str, Any]], Resources]:
    """Return what each trial asks for, or a function of the configuration that says it.

    Where nobody says it, it is what the `trainable` says, if it is a class that does.
    """
    if requested is None and per_trial is None:
        requested = own_request(trainable)
    if requested is not None and per_trial is not None:
        raise ArgumentError(
            "Both resources_per_trial= and tune.with_resources say what a trial needs. Use one of them."
        )
    if callable(requested):
        return lambda config: Resources.parse(requested(config))
    return Resources.parse(per_trial if requested is None else requested)


def check_confirm(best: Any, repeats: Any, objective: Objective | None, scheduler: Any) -> tuple[int, int]:
    """Return how many configurations are confirmed, and how many times each."""
    found = check_count("confirm", best, least=0) or 0
    times = check_count("confirm_repeats", repeats, least=1) or 1
    if found and objective is None:
        raise ArgumentError(f"confirm={best!r} needs to know what is best: give metric= and mode=.")
    if found and isinstance(scheduler, PopulationBasedTraining):
        raise ArgumentError(
            f"confirm={best!r} runs configurations again, and {type(scheduler).__name__} changes them while they run."
            " Replay the best trial with PopulationBasedTrainingReplay."
        )
    return found, times


def check_plugin(name: str, plugin: Any, methods: Sequence[str]) -> Any:
    """Return `plugin` if it is an object with these methods."""
    missing = [method for method in methods if not callable(getattr(plugin, method, None))]
    if missing or isinstance(plugin, type):
        hint = " Pass an instance, not the class." if isinstance(plugin, type) else ""
        lacks = "" if isinstance(plugin, type) else f", which has no {missing[0]}()"
        raise ArgumentError(f"{name} must be an object of that kind; got {plugin!r}{lacks}.{hint}")
    return plugin


def check_searcher(search_alg: Any) -> Searcher:
    """Return the searcher that is meant: it, the one of this name, or the default."""
    if search_alg is None or isinstance(search_alg, str):
        return by_name("random" if search_alg is None else search_alg)
    searcher: Searcher = check_plugin("search_alg", search_alg, ("setup", "total", "ask", "tell"))
    return searcher


def check_scheduler(scheduler: Any, num_samples: int) -> Scheduler:
    """Return `scheduler` if it is one; a policy that it replays is read from its file."""
    if isinstance(scheduler, PopulationBasedTrainingReplay):
        if num_samples != 1:
            raise ArgumentError(f"PopulationBasedTrainingReplay replays one trial; num_samples is {num_samples}.")
        if scheduler.is_file:
            scheduler.take(read_policy(scheduler.policy))  # type: ignore[arg-type]  # a file's name, by `is_file`
    if isinstance(scheduler, Scheduler):
        return scheduler
    hint = " Pass an instance, not the class." if isinstance(scheduler, type) else ""
    raise ArgumentError(f"scheduler must be an instance of a tunesmith.Scheduler; got {scheduler!r}.{hint}")


def check_path(name: str, value: Any) -> str | os.PathLike[str] | None:
    """Return `value` if it can name a folder, or None."""
    if value is None or (isinstance(value, (str, os.PathLike)) and str(value)):
        return value
    raise ArgumentError(f"{name} must be the path of a folder, a text or a Path; got {value!r}.")


def check_storage(path: Any, options: Any, executor: Any) -> Any:
    """Return the path of a folder, the place elsewhere that a URL names, or None."""
    text = str(path) if isinstance(path, (str, os.PathLike)) else ""
    if isinstance(path, os.PathLike) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise ArgumentError(f"storage_path: a Path takes a slash out of a URL, as in {text!r:.60}. Give it as a text.")
    if path is None or (text and "://" not in text and "::" not in text):
        if options:
            raise ArgumentError("storage_options= is for a URL as storage_path=, such as 's3://bucket/runs'.")
        return check_path("storage_path", path)
    from tunesmith.remote.storage import RemoteStorage

    if not isinstance(path, RemoteStorage):
        check_path("storage_path", path)
        path = RemoteStorage(text, dict(options or {}))
    elif options:
        path = structs.replace(path, options={**path.options, **options})
    if path.protocol == "memory" and executor != "inline" and type(executor).__name__ != "InlineExecutor":
        raise ArgumentError("memory:// is in the memory of one process: use it with executor='inline'.")
    return path


def check_function(name: str, value: Any) -> Any:
    """Return `value` if it can be called, or None."""
    if value is None or callable(value):
        return value
    raise ArgumentError(f"{name} must be a function; got {value!r}.")


def check_executor(executor: Any) -> Executor:
    """Return the executor that a name stands for, or the object itself."""
    if isinstance(executor, str):
        check_one_of("executor", executor, ("local", "inline", "ray"))
        if executor == "ray":
            from tunesmith.executors.ray_executor import RayExecutor

            return RayExecutor()
        if executor == "inline":
            from tunesmith.executors.inline import InlineExecutor

            return InlineExecutor()
        from tunesmith.executors.local import LocalExecutor

        return LocalExecutor()
    found: Executor = check_plugin("executor", executor, ("open", "obey", "poll", "wake", "close"))
    return found


def check_saving(trainable: Any, checkpoint_freq: Any, *, checkpoint_at_end: Any) -> None:
    """Refuse to save function trainables from outside: nothing but the function itself knows its state."""
    if (checkpoint_freq or checkpoint_at_end) and not isinstance(trainable, type):
        name = "checkpoint_freq" if checkpoint_freq else "checkpoint_at_end"
        raise ArgumentError(
            f"{name} is for subclasses of tunesmith.Trainable. A function saves its own state: "
            "tune.report(..., checkpoint=tune.Checkpoint.from_directory(folder))."
        )


def check_keeping(last: Any, best: Any, score: Any, quota: Any, objective: Objective | None) -> Keep:
    """Return which checkpoints are kept. The best ones are compared by `score`, or else by the run's `objective`."""
    best = check_count("keep_best_checkpoints_num", best, least=1, none="no such rule")
    if score is not None:
        direction, _, name = score.partition("-") if isinstance(score, str) else ("", "", "")
        if direction not in ("min", "max") or not name:
            raise ArgumentError(
                "checkpoint_score_attr must be 'min-' or 'max-' and the name of a reported value, such as 'min-loss'; "
                f"got {score!r}."
            )
        if best is None:
            raise ArgumentError(
                f"checkpoint_score_attr={score!r} is for keep_best_checkpoints_num=, which is not given."
            )
        objective = Objective(name, direction)  # type: ignore[arg-type]  # one of the two, by the check above
    elif best is not None and objective is None:
        raise ArgumentError(
            "keep_best_checkpoints_num needs to know what is best: give metric= and mode=, or checkpoint_score_attr=, "
            "such as 'min-loss'."
        )
    elif best is not None and objective is not None and objective.others:
        raise ArgumentError(
            f"keep_best_checkpoints_num compares by one value, and this run has several metrics: say by which, such as"
            f" checkpoint_score_attr='{objective.mode}-{objective.metric}'."
        )
    return Keep(
        check_count("keep_checkpoints_num", last, least=1, none="all of them"),
        best,
        None if best is None else objective,
        check_count("checkpoint_quota_bytes", quota, least=1, none="no limit"),
    )
