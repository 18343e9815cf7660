"""Stable-Baselines3: a callback that reports from within ``learn``, checkpoints, and its algorithms as trainables."""

from __future__ import annotations

import inspect
import json
import random
from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import Any

from tunesmith.errors import ArgumentError, MissingPackageError, StorageError, nearest
from tunesmith.worker.checkpoint import Checkpoint
from tunesmith.worker.reporting import get_checkpoint, report
from tunesmith.worker.trainable import Trainable

try:
    import stable_baselines3
    from stable_baselines3.common.callbacks import BaseCallback as _BaseCallback
except ImportError as error:
    _missing: ImportError | None = error
    _BaseCallback = object
else:
    _missing = None

_MODEL = "model.zip"
_BUFFER = "replay_buffer.pkl"
_SCALES = "vec_normalize.pkl"
_COUNTS = "counts.json"


class ReportCallback(_BaseCallback):  # type: ignore[misc]  # without the package there is no such class
    """Report to the trial from within ``learn``, and save the model, each time after it has learnt from what it played.

    Args:
        every: environment steps from one report to the next, at least; each comes at the end of a round of playing
            and learning.
        save_every: save with every so many reports; 0 never saves.
        replay_buffer: whether what an off-policy algorithm has stored is saved, too.

    Raises:
        ArgumentError: a number is out of its range.
        MissingPackageError: Stable-Baselines3 is not installed.

    Example::

        def train(config):
            model = PPO("MlpPolicy", "CartPole-v1", learning_rate=config["learning_rate"])
            done = restore(model)
            model.learn(100_000 - done, callback=ReportCallback(), reset_num_timesteps=done == 0)
    """

    def __init__(self, every: int = 2048, *, save_every: int = 1, replay_buffer: bool = True) -> None:
        _check_package()
        super().__init__()
        if every < 1 or save_every < 0:
            raise ArgumentError(
                f"every must be 1 or more and save_every 0 or more; got every={every!r}, save_every={save_every!r}."
            )
        self._every, self._save_every, self._with_buffer = every, save_every, replay_buffer
        self._told = self._reports = 0

    def _on_training_start(self) -> None:
        self._told = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        """Report when the model has learnt from the steps before."""
        if self.model.num_timesteps - self._told >= self._every:
            self._tell()

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        if self.model.num_timesteps > self._told:
            self._tell()

    def _tell(self) -> None:
        self._told = self.model.num_timesteps
        self._reports += 1
        due = self._save_every and self._reports % self._save_every == 0
        report(metrics(self.model), checkpoint=save(self.model, replay_buffer=self._with_buffer) if due else None)


def metrics(model: Any) -> dict[str, float]:
    """Return what a model has come to: the last episodes' means, its counts, and what it has logged of its learning.

    ``episode_reward_mean`` and ``episode_len_mean`` are over the last ``stats_window_size`` episodes, NaN before the
    first one has ended; ``timesteps_total`` counts environment steps. The rest has the names of Stable-Baselines3, such
    as ``train/loss``.
    """
    episodes = list(getattr(model, "ep_info_buffer", None) or ())
    logged = getattr(getattr(model, "_logger", None), "name_to_value", {})
    told = {name: float(value) for name, value in logged.items() if hasattr(type(value), "__float__")}
    ended = int(getattr(model, "_episode_num", 0))  # counted by off-policy algorithms only
    return {
        **told,
        "episode_reward_mean": _mean([episode["r"] for episode in episodes]),
        "episode_len_mean": _mean([episode["l"] for episode in episodes]),
        "timesteps_total": int(model.num_timesteps),
        **({"episodes_total": ended} if ended else {}),
    }


def _mean(values: list[float]) -> float:
    return float(sum(values) / len(values)) if values else nan


def save(model: Any, folder: str = "state", *, replay_buffer: bool = True) -> Checkpoint:
    """Write a model to `folder`, with all that it needs to go on, and return that as a checkpoint to report.

    These are the parameters and the optimisers' state, the counts, the last episodes, the scales of a ``VecNormalize``
    and, if `replay_buffer`, what an off-policy algorithm has stored. ``PPO.load(folder + "/model.zip")`` opens it, too.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    model.save(place / _MODEL)
    if replay_buffer and getattr(model, "replay_buffer", None) is not None:
        model.save_replay_buffer(place / _BUFFER)
    scales = model.get_vec_normalize_env()
    if scales is not None:
        scales.save(str(place / _SCALES))
    counts = {
        "timesteps": int(model.num_timesteps),
        "episodes": int(getattr(model, "_episode_num", 0)),
        "updates": int(getattr(model, "_n_updates", 0)),
        "last": [[float(each["r"]), int(each["l"]), float(each["t"])] for each in model.ep_info_buffer or ()],
    }
    (place / _COUNTS).write_text(json.dumps(counts), encoding="utf-8")
    return Checkpoint.from_directory(place)


def restore(model: Any, source: Checkpoint | str | None = None) -> int:
    """Put the state of a checkpoint into a model, and return how many environment steps it has made.

    `source` is the trial's own checkpoint by default. Where there is none the model stays as it is, and 0 is returned.
    The model keeps the hyperparameters that it was made with, its learning rate included.

    Raises:
        StorageError: the checkpoint was not written by `save`, or is of another model.
        MissingPackageError: Stable-Baselines3 is not installed.
    """
    _check_package()
    from stable_baselines3.common.save_util import load_from_zip_file

    checkpoint = get_checkpoint() if source is None else source
    if checkpoint is None:
        return 0
    place = Path(checkpoint.path if isinstance(checkpoint, Checkpoint) else checkpoint)
    rates = _learning_rates(model)
    try:
        counts = json.loads((place / _COUNTS).read_text(encoding="utf-8"))
        model.set_parameters(str(place / _MODEL), exact_match=True)
        _, _, variables = load_from_zip_file(place / _MODEL, load_data=False, device=model.device)
        for name, value in (variables or {}).items():  # such as SAC's entropy coefficient
            _at(model, name).data = value.data
        if (place / _BUFFER).exists():
            model.load_replay_buffer(place / _BUFFER)
        _put_scales(model, place / _SCALES)
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        raise StorageError(f"{place} can't be put into this model: {error}") from error
    for group, rate in zip(_groups(model), rates, strict=True):
        group["lr"] = rate
    model.num_timesteps = counts["timesteps"]
    model._episode_num, model._n_updates = counts["episodes"], counts["updates"]
    _fill_window(model, [{"r": r, "l": length, "t": t} for r, length, t in counts["last"]])
    return int(counts["timesteps"])


def _fill_window(model: Any, episodes: list[dict[str, float]]) -> None:
    from collections import deque

    model.ep_info_buffer = deque(episodes, maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)  # `learn` makes both where one is missing


def _put_scales(model: Any, path: Path) -> None:
    """Take the running means and variances over into the model's own environment."""
    own = model.get_vec_normalize_env()
    if own is None or not path.exists():
        return
    from stable_baselines3.common.vec_env import VecNormalize

    kept = VecNormalize.load(str(path), own.venv)
    own.obs_rms, own.ret_rms = kept.obs_rms, kept.ret_rms


def _at(model: Any, name: str) -> Any:
    for part in name.split("."):
        model = getattr(model, part)
    return model


def _groups(model: Any) -> list[dict[str, Any]]:
    """Return the parameter groups of all optimisers of a model, in the order of its parameters' names."""
    found = []
    for name in sorted(model.get_parameters()):
        part = _at(model, name)
        if hasattr(part, "param_groups"):
            found += part.param_groups
    return found


def _learning_rates(model: Any) -> list[float]:
    return [group["lr"] for group in _groups(model)]


class _Enough(Exception):  # noqa: N818 - it is no error
    """Leaves ``learn`` between two rounds of playing and learning."""


class _Pause(_BaseCallback):  # type: ignore[misc]  # as above
    """Raises `_Enough` after so many environment steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def _on_training_start(self) -> None:
        self._begun = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps - self._begun >= self._steps:
            raise _Enough

    def _on_step(self) -> bool:
        return True


class SB3Trainable(Trainable):
    """An algorithm of Stable-Baselines3 as a class with steps. `trainable` makes the subclasses that can be run."""

    algorithm: Any = None
    total_timesteps = 1_000_000
    timesteps_per_step = 2048
    _OWN = ("env", "env_kwargs", "n_envs", "policy")

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """Refuse settings that the algorithm does not have.

        Raises:
            ArgumentError: with the nearest right name; or there is no ``env``.
        """
        known = [*inspect.signature(cls._algorithm()).parameters, *cls._OWN]
        for name in config:
            if name not in known:
                raise ArgumentError(
                    f"{cls.__name__} of Stable-Baselines3 has no setting {name!r}.{nearest(name, known)} It has:"
                    f" {', '.join(sorted(set(known)))}."
                )
        if "env" not in config:
            raise ArgumentError("The configuration needs an 'env': a name that Gymnasium knows, or a function.")

    @classmethod
    def _algorithm(cls) -> Any:
        return getattr(stable_baselines3, cls.algorithm) if isinstance(cls.algorithm, str) else cls.algorithm

    def setup(self, config: dict[str, Any], **parameters: Any) -> None:
        """Make the environments and the model."""
        from stable_baselines3.common.env_util import make_vec_env

        self.check_config(config)
        settings = dict(config)
        seed = settings.pop("seed", None)
        seed = random.getrandbits(31) if seed is None else seed  # Python's generator is seeded in each trial
        env, kwargs = settings.pop("env"), settings.pop("env_kwargs", None)
        envs = make_vec_env(env, settings.pop("n_envs", 1), seed=seed, env_kwargs=kwargs)
        self.model = self._algorithm()(settings.pop("policy", "MlpPolicy"), envs, seed=seed, **settings)

    def step(self) -> dict[str, Any]:
        """Play and learn for so many steps."""
        left = self.total_timesteps - self.model.num_timesteps
        try:
            self.model.learn(max(left, 0), callback=_Pause(self.timesteps_per_step), reset_num_timesteps=False)
        except _Enough:
            pass
        done = self.model.num_timesteps >= self.total_timesteps
        return {**metrics(self.model), **({"done": True} if done else {})}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the model and all that it needs to go on."""
        save(self.model, checkpoint_dir)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Take up a model's state, whoever's it was, and keep the hyperparameters of this trial."""
        restore(self.model, checkpoint_dir)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Make environments and model anew, in this process."""
        self.model.get_env().close()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Close the environments."""
        model = getattr(self, "model", None)
        if model is not None:
            model.get_env().close()


def trainable(
    algorithm: Any, *, total_timesteps: int = 1_000_000, timesteps_per_step: int = 2048
) -> type[SB3Trainable]:
    """Return an algorithm of Stable-Baselines3 as a trainable.

    A trial's configuration has the arguments of the algorithm's class, beside ``env`` (a name or a function),
    ``env_kwargs``, ``n_envs`` (1) and ``policy`` (``"MlpPolicy"``).

    Args:
        algorithm: the name of one, such as ``"PPO"``, or its class, such as one of sb3-contrib.
        total_timesteps: environment steps after which a trial is done, and over which schedules run: those of learning
            rates, and of how much an algorithm explores.
        timesteps_per_step: environment steps in a step of the trial, at least; it ends with a round of playing and
            learning.

    Raises:
        ArgumentError: there is no such algorithm, or a number is below 1.
        MissingPackageError: Stable-Baselines3 is not installed.

    Example::

        tune.run(trainable("PPO"), {"env": "CartPole-v1", "learning_rate": tune.loguniform(1e-5, 1e-2)}, ...)
    """
    _check_package()
    if min(total_timesteps, timesteps_per_step) < 1:
        raise ArgumentError(
            "total_timesteps and timesteps_per_step must be 1 or more; got "
            f"{total_timesteps!r} and {timesteps_per_step!r}."
        )
    if isinstance(algorithm, str):
        known = [name for name in stable_baselines3.__all__ if hasattr(getattr(stable_baselines3, name), "learn")]
        if algorithm not in known:
            raise ArgumentError(
                f"Stable-Baselines3 has no algorithm {algorithm!r}.{nearest(algorithm, known)} It has: "
                f"{', '.join(known)}; others are given as their class."
            )
    elif not (isinstance(algorithm, type) and callable(getattr(algorithm, "learn", None))):
        raise ArgumentError(
            f"algorithm must be a name such as 'PPO', or a class of Stable-Baselines3; got {algorithm!r}."
        )
    name = algorithm if isinstance(algorithm, str) else algorithm.__name__
    members: Mapping[str, Any] = {
        "algorithm": algorithm,
        "total_timesteps": total_timesteps,
        "timesteps_per_step": timesteps_per_step,
        "__module__": __name__,
    }
    return type(name, (SB3Trainable,), dict(members))


def _check_package() -> None:
    if _missing is not None:
        raise MissingPackageError(
            f'This needs Stable-Baselines3: pip install "tunesmith[sb3]" ({_missing}).'
        ) from _missing
