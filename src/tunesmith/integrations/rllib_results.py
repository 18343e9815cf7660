"""RLlib's results as flat metrics: in the names of 2019, and in today's. It needs no Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isnan, nan
from typing import Any, Final

# The names of 2019, and where their values are in a result of today.
_OF_2019: Final = {
    "episode_reward_mean": "env_runners/episode_return_mean",
    "episode_reward_min": "env_runners/episode_return_min",
    "episode_reward_max": "env_runners/episode_return_max",
    "episode_len_mean": "env_runners/episode_len_mean",
    "episodes_this_iter": "env_runners/num_episodes",
    "episodes_total": "env_runners/num_episodes_lifetime",
    "timesteps_this_iter": "env_runners/num_env_steps_sampled",
    "timesteps_total": "num_env_steps_sampled_lifetime",
}
_COUNTS: Final = frozenset({"episodes_this_iter", "episodes_total", "timesteps_this_iter", "timesteps_total"})
# Values of episodes. In an iteration in which none has ended they are those of the last one in which some did.
_OF_EPISODES: Final = tuple(path for name, path in _OF_2019.items() if name not in _COUNTS)
# What a run counts and measures by itself, and what is no metric.
_LEFT_OUT: Final = frozenset({
    "config", "done", "training_iteration", "trial_id", "date", "timestamp", "time_this_iter_s", "time_total_s", "pid",
    "hostname", "node_ip", "time_since_restore", "iterations_since_restore", "timers", "perf", "fault_tolerance",
    "env_runner_group", "num_training_step_calls_per_iteration", "info", "experiment_id",
})  # fmt: skip
# What there is once more: all agents and all modules together, where there is only one of each.
_TWICE: Final = frozenset({"default_agent", "__all_modules__"})
_INNER: Final = ("timer", "throughput", "connector", "env_to_module_sum", "weights_seq_no", "time_between_sampling")


def metrics(result: Mapping[str, Any], last: dict[str, float]) -> dict[str, float | int]:
    """Return the numbers of a result, by paths such as ``env_runners/episode_return_mean`` and by the names of 2019.

    `last` are the values of episodes that were told last; it is brought up to date. Before the first episode has ended
    the returns and lengths are NaN.

    >>> flat = metrics({"env_runners": {"episode_return_mean": 9.5}, "num_env_steps_sampled_lifetime": 20.0}, {})
    >>> flat["episode_reward_mean"], flat["env_runners/episode_return_mean"], flat["timesteps_total"]
    (9.5, 9.5, 20)
    """
    found = dict(_numbers(result, ""))
    if "env_runners" in result:
        for path in _OF_EPISODES:
            value = found.get(path, nan)
            if isnan(value):
                value = found[path] = last.get(path, nan)
            last[path] = value
    for name, path in _OF_2019.items():
        if path in found:
            value = found[path]
            found[name] = int(value) if name in _COUNTS and not isnan(value) else value
    return {name: value for name, value in found.items() if not isnan(value) or name in _NAN_ALLOWED}


_NAN_ALLOWED: Final = frozenset(_OF_EPISODES) | frozenset(_OF_2019)


def _numbers(part: Mapping[str, Any], path: str) -> Iterator[tuple[str, float | int]]:
    for name, value in part.items():
        if name in _LEFT_OUT or name in _TWICE or (path and any(inner in name for inner in _INNER)):
            continue
        if path.startswith("env_runners/") and name == "default_policy":
            continue  # as those
        here = f"{path}/{name}" if path else str(name)
        if isinstance(value, Mapping):
            yield from _numbers(value, here)
        elif isinstance(value, int):
            if not isinstance(value, bool):
                yield here, value
        elif hasattr(type(value), "__float__") and not getattr(value, "ndim", 0):
            yield here, float(value)  # text, lists and arrays are nothing that a run could compare
