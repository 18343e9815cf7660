"""How many processes of RLlib a trial starts, and what they need. It needs no Ray."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import Any, NamedTuple

_SLACK = 1e-9

# Where the sizes are kept, in today's names, and what they are unless something is said.
SIZES = {
    "num_env_runners": 0.0,
    "num_cpus_per_env_runner": 1.0,
    "num_gpus_per_env_runner": 0.0,
    "evaluation_num_env_runners": 0.0,
    "num_learners": 0.0,
    "num_cpus_per_learner": 1.0,
    "num_gpus_per_learner": 0.0,
    "num_cpus_for_main_process": 1.0,
}


class Needs(NamedTuple):
    """CPUs of the trial's own process, CPUs of the processes that it starts, and the GPUs of all of them."""

    own: float
    others: float
    gpu: float

    def total(self) -> dict[str, float]:
        """Return it as a request."""
        return {"cpu": self.own + self.others, "gpu": self.gpu}


def needs(config: Mapping[str, Any]) -> Needs:
    """Return what a trial of this configuration, in today's names, needs.

    Learners of their own take their GPUs, or else a CPU each. What is not a number counts as if nothing were said.

    >>> needs({"num_env_runners": 8, "num_learners": 2, "num_gpus_per_learner": 1})
    Needs(own=1.0, others=8.0, gpu=2.0)
    """
    size = sizes(config)
    runners = size["num_env_runners"] + size["evaluation_num_env_runners"]
    cpus_a_learner = 0.0 if size["num_gpus_per_learner"] else size["num_cpus_per_learner"]
    others = runners * size["num_cpus_per_env_runner"] + size["num_learners"] * cpus_a_learner
    gpu = runners * size["num_gpus_per_env_runner"] + max(1.0, size["num_learners"]) * size["num_gpus_per_learner"]
    return Needs(size["num_cpus_for_main_process"], others, gpu)


def sizes(config: Mapping[str, Any]) -> dict[str, float]:
    """Return the sizes that a configuration has, with those that nothing was said of."""
    found = {name: config.get(name) for name in SIZES}
    return {name: float(v) if isinstance(v, (int, float)) else SIZES[name] for name, v in found.items()}


def fitted(config: Mapping[str, Any], granted: Mapping[str, float]) -> dict[str, Any]:
    """Return the sizes to be changed so that a trial starts no more processes than it was granted CPUs and GPUs for.

    Env runners give way first: without any, the trial's own process plays the environment. Outside a run nothing is
    granted and nothing changes.

    >>> fitted({"num_env_runners": 8, "num_learners": 8, "num_gpus_per_learner": 1}, {"cpu": 2, "gpu": 0})
    {'num_learners': 0, 'num_gpus_per_learner': 0, 'num_env_runners': 1}
    """
    changed: dict[str, Any] = {}
    if not granted:
        return changed
    size, gpus = sizes(config), granted.get("gpu", 0.0)
    if needs(size).gpu > gpus + _SLACK:
        changed["num_learners"] = floor(gpus + _SLACK) if gpus >= 2 else 0
        changed["num_gpus_per_learner"] = 1 if gpus >= 1 else gpus or 0
        if size["num_gpus_per_env_runner"]:
            changed["num_gpus_per_env_runner"] = 0
    asked = needs({**size, **changed})
    over = asked.own + asked.others - granted.get("cpu", 0.0)
    each = size["num_cpus_per_env_runner"]
    if over > _SLACK and each > 0:
        left = (size["num_env_runners"] * each - over + _SLACK) / each
        changed["num_env_runners"] = max(0, floor(left))
    return {name: value for name, value in changed.items() if value != size[name]}
