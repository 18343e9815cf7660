"""Trainables and environments by the names that they were registered under."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.trainable import Trainable
from tunesmith.errors import nearest

# The names that RLlib had in 2019.
_RLLIB = (
    "PPO", "ES", "DQN", "APEX", "A2C", "A3C", "IMPALA", "APPO", "ARS", "PG", "DDPG", "APEX_DDPG", "TD3", "SAC",
    "MARWIL", "QMIX", "APEX_QMIX",
)  # fmt: skip

TRAINABLES: dict[str, Callable[..., Any]] = {}
ENVIRONMENTS: dict[str, Callable[..., Any]] = {}


def register_trainable(name: str, trainable: Any) -> None:
    """Register a function of ``(config, reporter)`` or a subclass of `Trainable`. A later one takes an earlier's place.

    Raises:
        TypeError: it is neither.
    """
    validate_trainable(trainable, name)
    TRAINABLES[str(name)] = trainable


def validate_trainable(trainable: Any, name: str = "") -> None:
    """Raise TypeError if it is neither a function nor a subclass of `Trainable`."""
    if isinstance(trainable, type):
        if not issubclass(trainable, Trainable):
            raise TypeError(f"Second argument must be convertable to Trainable: {trainable!r}, registered as {name!r}.")
    elif isinstance(trainable, Trainable) or not callable(trainable):
        raise TypeError(
            f"Second argument must be a function of (config, reporter) or a subclass of Trainable, got {trainable!r}."
        )


def register_env(name: str, env_creator: Any) -> None:
    """Register a function that makes an environment, for RLlib.

    Raises:
        TypeError: it is no function.
    """
    if not isinstance(env_creator, FunctionType):
        raise TypeError(f"Second argument must be a function, got {env_creator!r}.")
    ENVIRONMENTS[str(name)] = env_creator


def get_trainable_cls(name: str) -> Callable[..., Any]:
    """Return what was registered under `name`, or else the algorithm of RLlib that has this name.

    Raises:
        TuneError: there is none; the message has the nearest name.
    """
    if name in TRAINABLES:
        return TRAINABLES[name]
    algorithms = _algorithms()
    if name in _RLLIB or name in algorithms:
        from tunesmith.compat.ray.rllib import agent

        return agent(name, ENVIRONMENTS)
    known = ", ".join(sorted(TRAINABLES)) or "none"
    raise TuneError(
        f"Unknown trainable: {name}.{nearest(name, [*TRAINABLES, *algorithms])} Registered are: {known}; beside them"
        f" there are RLlib's: {', '.join(algorithms)}."
    )


def _algorithms() -> list[str]:
    """Return the names that RLlib has today; none where the integrations are left out of an installation."""
    try:
        from tunesmith.integrations.rllib_names import ALGORITHMS
    except ModuleNotFoundError:
        return []
    return list(ALGORITHMS)
