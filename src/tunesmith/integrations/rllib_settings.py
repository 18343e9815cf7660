"""Builds RLlib's own configuration from a dict of settings, and refuses those that it does not have."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from tunesmith.errors import ArgumentError
from tunesmith.integrations.rllib_engine import missing
from tunesmith.integrations.rllib_names import ALGORITHMS, MEAN_STD_FILTER, translate, unknown
from tunesmith.integrations.rllib_resources import SIZES, fitted

# The methods by which RLlib's configurations are made: a setting is an argument of one of them.
_METHODS = (
    "environment", "env_runners", "learners", "training", "rl_module", "evaluation", "callbacks", "multi_agent",
    "offline_data", "reporting", "checkpointing", "debugging", "fault_tolerance", "framework", "api_stack", "resources",
    "python_environment", "experimental",
)  # fmt: skip


def default_config(algorithm: str) -> Any:
    """Return RLlib's defaults for an algorithm, an ``AlgorithmConfig``, but for sampling in the trial's own process.

    Raises:
        MissingPackageError: RLlib or what it needs is not installed.
    """
    from importlib import import_module

    try:
        module = import_module(f"ray.rllib.algorithms.{ALGORITHMS[algorithm]}")
    except ImportError as error:
        raise missing(error) from error
    config = getattr(module, f"{algorithm}Config")()
    # RLlib throws away what an env runner has sampled if that took longer than a minute, and where there are fewer of
    # them than a script was written for it does.
    return config.env_runners(num_env_runners=0, sample_timeout_s=3600.0)


def configured(base: Any, settings: Mapping[str, Any], granted: Mapping[str, float], algorithm: str) -> Any:
    """Return a copy of `base` with `settings`, which are those of 2019 or of today, and as many processes as fit.

    A function as ``env`` makes environments from an ``env_config``. Without a ``seed`` one is drawn from Python's
    generator, which is seeded in each trial.

    Raises:
        ArgumentError: RLlib has no such setting.
    """
    named = translate(settings).config
    refuse_unknown(base, named, algorithm)
    config = base.copy(copy_frozen=False)
    if isinstance(named.get("env"), FunctionType):
        named["env"] = _registered(named["env"])
    if named.get("env_to_module_connector") == MEAN_STD_FILTER:
        named["env_to_module_connector"] = _mean_std_filter
    if config.seed is None:
        named.setdefault("seed", random.getrandbits(31))
    _apply(config, named)
    sizes = {name: getattr(config, name, None) for name in SIZES}
    _apply(config, fitted(sizes, granted))
    return config


def refuse_unknown(base: Any, named: Mapping[str, Any], algorithm: str) -> None:
    """Raise for settings, in today's names, that the algorithm of `base` does not have.

    Raises:
        ArgumentError: with the nearest right name.
    """
    said = unknown(named, _homes(type(base)), algorithm)
    if said:
        raise ArgumentError(f"{said} What it has are the arguments of its AlgorithmConfig's methods.")


def sizes_of(config: Any) -> dict[str, Any]:
    """Return what an ``AlgorithmConfig`` says of processes and what they need."""
    return {name: getattr(config, name, None) for name in SIZES}


def _apply(config: Any, named: Mapping[str, Any]) -> None:
    homes = _homes(type(config))
    grouped: dict[str, dict[str, Any]] = {}
    for name, value in named.items():
        grouped.setdefault(homes[name], {})[name] = value
    for method, arguments in grouped.items():
        getattr(config, method)(**arguments)


def _homes(cls: type) -> dict[str, str]:
    """Return the method of an ``AlgorithmConfig`` that takes a setting, by the setting."""
    found: dict[str, str] = {}
    for method in _METHODS:
        for owner in cls.__mro__:
            own = vars(owner).get(method)
            if own is None:
                continue
            for parameter in inspect.signature(own).parameters.values():
                if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) and parameter.name != "self":
                    found.setdefault(parameter.name, method)
    return found


def _registered(make: Callable[..., Any]) -> str:
    """Tell RLlib a function that makes environments, and return the name that it got."""
    from ray.tune.registry import register_env

    name = f"tunesmith_{make.__name__.strip('<>')}"
    register_env(name, make)
    return name


def _mean_std_filter(*_: Any, **__: Any) -> Any:
    from ray.rllib.connectors.env_to_module import MeanStdFilter

    return MeanStdFilter()
