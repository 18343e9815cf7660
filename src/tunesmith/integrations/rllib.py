"""RLlib: its algorithms as trainables, by name, by class or by configuration."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from tunesmith.errors import ArgumentError, StorageError
from tunesmith.integrations.rllib_engine import ENGINE, import_ray
from tunesmith.integrations.rllib_names import ALGORITHMS, check_algorithm, translate
from tunesmith.integrations.rllib_resources import needs
from tunesmith.integrations.rllib_results import metrics
from tunesmith.integrations.rllib_settings import configured, default_config, refuse_unknown, sizes_of
from tunesmith.worker.by_value import dumps
from tunesmith.worker.trainable import Trainable

_BESIDE = "tunesmith_rllib.json"  # what RLlib does not keep, beside its own files


class RLlibTrainable(Trainable):
    """An algorithm of RLlib, an iteration a step. `trainable` makes the subclasses that can be run.

    The configuration is RLlib's, in the names of today or of 2019. A trial plays its environment itself, unless it
    says ``num_env_runners=``. A checkpoint is a directory of RLlib's: ``Algorithm.from_checkpoint(path)`` opens it.

    A trial that goes on from another's state, in a population, takes up the weights, the state of the optimiser and
    the counters, and then its own hyperparameters: RLlib's own restoring would bring back the other's learning rate.
    """

    algorithm = ""
    base: bytes | None = None  # a pickled AlgorithmConfig to start from, in place of the algorithm's defaults
    sizes: dict[str, Any] = {"num_env_runners": 0}  # noqa: RUF012 - never written to
    environments: dict[str, Callable[..., Any]] = {}  # noqa: RUF012 - as above

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """Refuse settings that RLlib does not have, and say once what names of 2019 are called today.

        Raises:
            ArgumentError: there is no such setting.
            MissingPackageError: RLlib is not installed.
        """
        made = translate(config)
        refuse_unknown(cls._base(), made.config, cls.algorithm)
        if said := made.sentence():
            print(said, file=sys.stderr)

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> Mapping[str, float]:
        """Return CPUs and GPUs for the trial's process and for all that it starts."""
        return needs({**cls.sizes, **translate(config).config}).total()

    @classmethod
    def _base(cls) -> Any:
        if cls.base is None:
            return default_config(cls.algorithm)
        import pickle

        return pickle.loads(cls.base)

    def setup(self, config: dict[str, Any], **parameters: Any) -> None:
        """Build the algorithm, and a Ray for it where there is none."""
        self.rllib: Any = None
        self._has_joined = False
        self._last: dict[str, float] = {}
        self._kl: dict[str, float] = {}
        self._build(config)

    def _build(self, config: dict[str, Any]) -> None:
        env = config.get("env")
        if isinstance(env, str) and env in self.environments:
            config = {**config, "env": self.environments[env]}
        made = configured(self._base(), config, self.trial_resources, self.algorithm)
        if not self._has_joined:
            ENGINE.join()
            self._has_joined = True
        self.rllib = made.build_algo()

    def step(self) -> dict[str, Any]:
        """Train for an iteration of RLlib's."""
        result = self.rllib.train()
        for module, told in (result.get("learners") or {}).items():
            if isinstance(told, Mapping) and "curr_kl_coeff" in told:
                self._kl[module] = float(told["curr_kl_coeff"])
        return metrics(result, self._last)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write RLlib's checkpoint, and beside it what RLlib does not keep."""
        self.rllib.save_to_path(checkpoint_dir)
        kept = {"last": self._last, "kl": self._kl, "kl_coeff": self._kl_coeff()}
        Path(checkpoint_dir, _BESIDE).write_text(json.dumps(kept), encoding="utf-8")

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Take up the state of a checkpoint, whoever's it was, and keep the hyperparameters of this trial.

        Raises:
            StorageError: there is no checkpoint of RLlib's.
        """
        place = Path(checkpoint_dir)
        if not (place / "rllib_checkpoint.json").exists():
            raise StorageError(f"There is no checkpoint of RLlib's in {place}.")
        group = self.rllib.learner_group
        rates = _each(group, _learning_rates)[0]
        self.rllib.restore_from_path(str(place))
        if not any(isinstance(value, list) for name, value in vars(self.rllib.config).items() if name.endswith("lr")):
            _each(group, partial(_set_learning_rates, rates))  # where it is no schedule, which goes by steps
        kept = json.loads((place / _BESIDE).read_text(encoding="utf-8")) if (place / _BESIDE).exists() else {}
        self._last = kept.get("last", {})
        own = self._kl_coeff()
        self._kl = kept.get("kl", {}) if kept.get("kl_coeff") == own else {}  # else it was explored, and begins anew
        if own is not None:
            _each(group, partial(_set_kl_coefficients, self._kl, own))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Build the algorithm anew within this process, which has imported RLlib and started its Ray already."""
        self._stop()
        self._last, self._kl = {}, {}
        self._build(new_config)
        return True

    def cleanup(self) -> None:
        """End the algorithm's processes, and Ray if it was started for it."""
        self._stop()
        if self._has_joined:
            self._has_joined = False
            ENGINE.leave()

    def _stop(self) -> None:
        algorithm, self.rllib = self.rllib, None
        if algorithm is not None:
            algorithm.stop()
            with suppress(OSError):  # RLlib makes an empty folder for each algorithm
                Path(algorithm.logdir).rmdir()

    def _kl_coeff(self) -> Any:
        return getattr(self.rllib.config, "kl_coeff", None)


def trainable(algorithm: Any, environments: Mapping[str, Callable[..., Any]] | None = None) -> type[RLlibTrainable]:
    """Return an algorithm of RLlib as a trainable.

    Args:
        algorithm: its name, such as ``"PPO"``; its class; or an ``AlgorithmConfig``, over which each trial's settings
            go. ``tune.run("PPO", ...)`` is the same as ``tune.run(trainable("PPO"), ...)``.
        environments: functions that make environments from an ``env_config``, by the names that ``env`` may have,
            beside those that Gymnasium knows.

    Raises:
        ArgumentError: there is no such algorithm; the message has the nearest one.
        MissingPackageError: a class or a configuration is given, and RLlib is not installed.

    >>> trainable("PPO").__name__
    'PPO'
    """
    members: dict[str, Any] = {"environments": dict(environments or {})}
    if isinstance(algorithm, str):
        check_algorithm(algorithm)
        name = algorithm
    else:
        name, config = _described(algorithm)
        if config is not None:
            members |= {"base": dumps(config), "sizes": sizes_of(config)}
    return type(name, (RLlibTrainable,), {**members, "algorithm": name, "__module__": __name__})


def _described(given: Any) -> tuple[str, Any]:
    """Return the name of what is given as a class or a configuration, and the configuration to start from, if any."""
    import_ray()
    from ray.rllib.algorithms.algorithm import Algorithm
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

    if isinstance(given, type) and issubclass(given, Algorithm):
        cls: Any = given
        name = cls.__name__
        if name in ALGORITHMS and type(cls.get_default_config()) is type(default_config(name)):
            return name, None
        given = cls.get_default_config().env_runners(num_env_runners=0)
    if isinstance(given, AlgorithmConfig):
        return given.algo_class.__name__, given.copy(copy_frozen=False)
    raise ArgumentError(
        "An algorithm of RLlib is given by its name, such as 'PPO', its class or an AlgorithmConfig; got "
        f"{given!r:.200}."
    )


# -- what is done in each learner, which may be another process


def _each(group: Any, do: Callable[[Any], Any]) -> list[Any]:
    """Call `do` with each learner and return what came of it.

    Raises:
        BaseException: what it raised there.
    """
    return [done.get() for done in group.foreach_learner(do)]


def _learning_rates(learner: Any) -> list[list[float]]:
    """Return the learning rates of all optimisers, by parameter groups, in the order of the optimisers."""
    return [[group["lr"] for group in optimizer.param_groups] for _, optimizer in _optimizers(learner)]


def _set_learning_rates(rates: list[list[float]], learner: Any) -> None:
    for own, (_, optimizer) in zip(rates, _optimizers(learner), strict=True):
        for rate, group in zip(own, optimizer.param_groups, strict=True):
            group["lr"] = rate


def _optimizers(learner: Any) -> list[tuple[str, Any]]:
    return [pair for module in sorted(learner.module.keys()) for pair in learner.get_optimizers_for_module(module)]


def _set_kl_coefficients(coefficients: dict[str, float], initial: float, learner: Any) -> None:
    """Go on with PPO's coefficients of the KL term where they had got to; RLlib's checkpoints do not have them."""
    current = getattr(learner, "curr_kl_coeffs_per_module", None)
    if current is None:
        return
    for module in learner.module.keys():  # noqa: SIM118 - it is no dict
        current[module].fill_(coefficients.get(module, initial))
