"""RLlib's algorithms by their names, in scripts of 2019: today's RLlib runs them, in the workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.machinery import PathFinder
from typing import Any, Final

from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.log import log
from tunesmith.errors import ArgumentError, MissingPackageError
from tunesmith.integrations.rllib import RLlibTrainable, trainable
from tunesmith.integrations.rllib_names import translate
from tunesmith.integrations.rllib_resources import needs

_PACKAGES: Final = ("ray", "torch", "gymnasium")


class Agent(RLlibTrainable):
    """An algorithm in a script of 2019. In the driver ``ray`` is this layer, so that RLlib is asked in workers only."""

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """Say once what the names of 2019 are called today.

        Raises:
            TuneError: a setting has no counterpart today, or RLlib is not installed.
        """
        try:
            said = translate(config).sentence()
        except ArgumentError as error:
            raise TuneError(str(error)) from error
        lacking = [name for name in _PACKAGES if PathFinder.find_spec(name) is None]
        if lacking:
            raise TuneError(
                f"{cls.algorithm} is an algorithm of RLlib, which needs {' and '.join(lacking)}: pip install"
                f' "tunesmith[rllib]". Or register your own trainable by that name: tune.register_trainable('
                f"{cls.algorithm!r}, cls)."
            )
        if said:
            log("INFO", said)

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> Mapping[str, float]:
        """Return what the trial's own process takes, and beside it what its workers take."""
        found = needs({**cls.sizes, **translate(config).config})
        return {"cpu": found.own, "gpu": found.gpu, "extra_cpu": found.others}

    @classmethod
    def resource_help(cls, config: dict[str, Any]) -> str:
        """Return how to ask for less."""
        return "The config of RLlib says it: num_workers is how many CPUs beside one, num_gpus how many GPUs."


def agent(name: str, environments: Mapping[str, Callable[..., Any]]) -> type[Agent]:
    """Return the algorithm `name` as a trainable. `environments` are those that the script has registered.

    Raises:
        TuneError: RLlib has no such algorithm any more, or its extra is not installed.
    """
    try:
        made = trainable(name, environments)
    except (ArgumentError, MissingPackageError) as error:
        raise TuneError(str(error)) from error
    members = {"algorithm": name, "environments": made.environments, "__module__": __name__}
    return type(name, (Agent,), members)
