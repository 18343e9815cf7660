"""RLlib's names of 2019 (Ray 0.6.5 to 0.8) and what they are called today. It needs no Ray."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from tunesmith.domains import Domain
from tunesmith.errors import ArgumentError, nearest

# The algorithms that RLlib has today, by the module of each.
ALGORITHMS: Final = {
    "APPO": "appo",
    "BC": "bc",
    "CQL": "cql",
    "DQN": "dqn",
    "DreamerV3": "dreamerv3",
    "IMPALA": "impala",
    "IQL": "iql",
    "MARWIL": "marwil",
    "PPO": "ppo",
    "SAC": "sac",
    "TQC": "tqc",
}
# Those that it had in 2019 and has no more, with what comes closest.
_GONE_ALGORITHMS: Final = {
    "A2C": "PPO or IMPALA",
    "A3C": "PPO or IMPALA",
    "PG": "PPO",
    "APEX": "DQN",
    "DDPG": "SAC",
    "APEX_DDPG": "SAC",
    "TD3": "SAC",
    "ES": "PPO",
    "ARS": "PPO",
    "QMIX": "PPO",
    "APEX_QMIX": "PPO",
}

MEAN_STD_FILTER: Final = "MeanStdFilter"  # stands for RLlib's connector of this name
# Settings that have another name and mean the same.
_RENAMED: Final = {
    "num_sgd_iter": "num_epochs",
    "sgd_minibatch_size": "minibatch_size",
    "lambda": "lambda_",
    "num_workers": "num_env_runners",
    "num_envs_per_worker": "num_envs_per_env_runner",
    "num_cpus_per_worker": "num_cpus_per_env_runner",
    "num_gpus_per_worker": "num_gpus_per_env_runner",
    "custom_resources_per_worker": "custom_resources_per_env_runner",
    "num_cpus_for_driver": "num_cpus_for_main_process",
    "sample_batch_size": "rollout_fragment_length",
    "evaluation_num_episodes": "evaluation_duration",
    "timesteps_per_iteration": "min_sample_timesteps_per_iteration",
    "min_iter_time_s": "min_time_s_per_iteration",
    "metrics_smoothing_episodes": "metrics_num_episodes_for_smoothing",
    "ignore_worker_failures": "ignore_env_runner_failures",
    "input": "input_",
    "lr_schedule": "lr",
    "entropy_coeff_schedule": "entropy_coeff",
}
# Settings that say how a process of 2019 worked, not what is learnt: there is nothing left for them to set.
_IDLE: Final = frozenset({
    "simple_optimizer", "straggler_mitigation", "shuffle_sequences", "synchronize_filters", "collect_metrics_timeout",
    "sample_async", "monitor", "tf_session_args", "local_evaluator_tf_session_args", "preprocessor_pref", "use_pytorch",
    "remote_worker_envs", "async_remote_worker_envs", "remote_env_batch_wait_ms", "input_evaluation",
})  # fmt: skip
# Settings that would change what is learnt, and have no counterpart: what to do instead.
_REFUSED: Final = {
    "horizon": "give the environment a limit: env_config={'max_episode_steps': ...} for one of Gymnasium's",
    "soft_horizon": "wrap the environment, so that it begins again by itself",
    "multiagent": "today these are policies, policy_mapping_fn and policies_to_train",
}
_MODEL: Final = frozenset({
    "fcnet_hiddens", "fcnet_activation", "conv_filters", "conv_activation", "free_log_std", "vf_share_layers",
    "use_lstm", "max_seq_len", "lstm_cell_size",
})  # fmt: skip
_MODEL_RENAMED: Final = {"lstm_use_prev_action_reward": ("lstm_use_prev_action", "lstm_use_prev_reward")}

_MUJOCO: Final = (
    "Ant|HalfCheetah|Hopper|HumanoidStandup|Humanoid|InvertedDoublePendulum|InvertedPendulum|Pusher|Reacher|Swimmer"
    "|Walker2d"
)
# Environments whose old versions are gone from Gymnasium, or need packages that nobody has any more.
_ENVIRONMENTS: Final = (
    (re.compile(rf"({_MUJOCO})-v[0-4]"), "v5"),
    (re.compile(r"(CartPole|Pendulum)-v0"), "v1"),
    (re.compile(r"(LunarLander|LunarLanderContinuous)-v[0-2]"), "v3"),
    (re.compile(r"(BipedalWalker|BipedalWalkerHardcore|CarRacing)-v[0-2]"), "v3"),
)


class Translation(msgspec.Struct):
    """A configuration in today's names: `config`; what was `renamed`, as pairs; and what has no effect, `skipped`."""

    config: dict[str, Any]
    renamed: list[tuple[str, str]] = []
    skipped: list[str] = []

    def sentence(self) -> str:
        """Return a line that says what was done, or nothing when nothing was."""
        parts = []
        if self.renamed:
            parts.append("in today's names " + ", ".join(f"{old} is {new}" for old, new in self.renamed))
        if self.skipped:
            parts.append(f"without effect today: {', '.join(self.skipped)}")
        return f"RLlib: {'; '.join(parts)}." if parts else ""


def check_algorithm(name: str) -> None:
    """Refuse a name that RLlib has no algorithm of today.

    Raises:
        ArgumentError: with the nearest right name, or with what has taken its place.
    """
    if name in ALGORITHMS:
        return
    instead = f" It is gone from RLlib; {_GONE_ALGORITHMS[name]} comes closest." if name in _GONE_ALGORITHMS else ""
    by_case = {each.upper(): each for each in ALGORITHMS}
    hint = instead or nearest(by_case.get(name.upper(), name), ALGORITHMS)
    raise ArgumentError(
        f"There is no trainable of the name {name!r}.{hint} A name stands for an algorithm of RLlib: "
        f"{', '.join(ALGORITHMS)}. Anything else is given as a function or a subclass of tunesmith.Trainable."
    )


def translate(config: Mapping[str, Any]) -> Translation:
    """Return `config` in today's names. Names that it does not know are passed on as they are.

    Values may be domains of a search space: what is said of them does not depend on their values.

    Raises:
        ArgumentError: a setting of 2019 has no counterpart, and what is learnt would change without it.

    >>> translate({"env": "Humanoid-v1", "num_sgd_iter": 10, "kl_coeff": 1.0}).config
    {'env': 'Humanoid-v5', 'num_epochs': 10, 'kl_coeff': 1.0}
    >>> translate({"num_workers": 8, "straggler_mitigation": True}).sentence()
    "RLlib: in today's names num_workers is num_env_runners; without effect today: straggler_mitigation."
    """
    made = Translation({}, [], [])
    for name, value in sorted(config.items(), key=lambda item: item[0].endswith("_schedule")):
        _translate_one(made, name, value)
    return made


def _translate_one(made: Translation, name: str, value: Any) -> None:
    if name in _REFUSED:
        if not value:  # as it was by default
            return
        raise ArgumentError(f"RLlib has no setting {name!r} any more: {_REFUSED[name]}.")
    if name in _IDLE:
        made.skipped.append(name)
    elif name in _SPECIAL:
        _SPECIAL[name](made, name, value)
    elif name in _RENAMED:
        new = _RENAMED[name]
        if name.endswith("_schedule") and value is None:  # it was the default, and would undo the plain value
            return
        _put(made, new, value, name)
        made.renamed.append((name, new))
    else:
        _put(made, name, value, name)


def _put(made: Translation, name: str, value: Any, given: str) -> None:
    if name in made.config and not given.endswith("_schedule"):
        raise ArgumentError(f"{given!r} and {name!r} are the same setting of RLlib: give one of them.")
    made.config[name] = value


def _environment(made: Translation, name: str, value: Any) -> None:
    new = today(value) if isinstance(value, str) else value
    made.config["env"] = new
    if new != value:
        made.renamed.append((value, new))


def today(env: str) -> str:
    """Return the id that Gymnasium has today for an environment of 2019.

    >>> today("Humanoid-v1"), today("CartPole-v0"), today("MountainCar-v0")
    ('Humanoid-v5', 'CartPole-v1', 'MountainCar-v0')
    """
    for pattern, version in _ENVIRONMENTS:
        if found := pattern.fullmatch(env):
            return f"{found[1]}-{version}"
    return env


def _gpus(made: Translation, name: str, value: Any) -> None:
    """Learn on GPUs: on one in the trial's own process, on several by a learner for each."""
    if isinstance(value, Domain) or not isinstance(value, (int, float)):
        raise ArgumentError(f"num_gpus must be a number for RLlib, got {value!r}. Fix it, or search over num_learners.")
    made.config["num_learners"] = int(value) if value > 1 else 0
    made.config["num_gpus_per_learner"] = min(value, 1)
    made.renamed.append(("num_gpus", "num_learners and num_gpus_per_learner"))


def _model(made: Translation, name: str, value: Any) -> None:
    settings: dict[str, Any] = dict(made.config.get("model_config") or {})
    for key, inner in dict(value or {}).items():
        if key in _MODEL_RENAMED:
            settings.update(dict.fromkeys(_MODEL_RENAMED[key], inner))
        elif key in _MODEL:
            settings[key] = inner
        else:
            raise ArgumentError(
                f"RLlib's model has no setting {key!r} any more.{nearest(key, _MODEL)} For all that it has today give "
                "model_config, with the fields of RLlib's DefaultModelConfig."
            )
    if settings:
        made.config["model_config"] = settings
    made.renamed.append(("model", "model_config"))


def _share_layers(made: Translation, name: str, value: Any) -> None:
    made.config["model_config"] = {**(made.config.get("model_config") or {}), "vf_share_layers": value}
    made.renamed.append((name, "model_config"))


def _callbacks(made: Translation, name: str, value: Any) -> None:
    if isinstance(value, Mapping) and value:
        raise ArgumentError(
            "RLlib's callbacks of 2019 got one argument, info; today's get keywords. Give functions of today by their "
            f"own names, such as {next(iter(value))}=, or a subclass of RLlibCallback as callbacks_class."
        )
    if value:
        made.config["callbacks_class"] = value


def _filter(made: Translation, name: str, value: Any) -> None:
    if value in (None, "NoFilter"):
        return
    if value not in ("MeanStdFilter", "ConcurrentMeanStdFilter"):
        raise ArgumentError(f"observation_filter must be 'NoFilter' or 'MeanStdFilter', got {value!r}.")
    made.config["env_to_module_connector"] = MEAN_STD_FILTER
    made.renamed.append((name, "env_to_module_connector"))


_SPECIAL: Final = {
    "env": _environment,
    "num_gpus": _gpus,
    "model": _model,
    "vf_share_layers": _share_layers,
    "observation_filter": _filter,
    "callbacks": _callbacks,
}


def unknown(names: Iterable[str], known: Iterable[str], algorithm: str) -> str:
    """Return what to say of settings that an algorithm does not have, or nothing when it has all of them."""
    has = sorted(known)
    missing = [name for name in names if name not in has]
    if not missing:
        return ""
    old = {**_RENAMED, **dict.fromkeys(_SPECIAL)}
    hints = [f"{name!r}.{nearest(name, [*has, *old])}" for name in missing]
    return f"{algorithm} of RLlib has no setting {' and no '.join(hints)}"
