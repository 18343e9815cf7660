"""What a task is, and how its values are put on a scale where 0 is the best and 1 what random search has at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from searching.spaces import Config, Space, draw

SAMPLE = 1000  # random configurations, whose median is 1 on the scale
NOTHING = float("nan")  # the value of a configuration that crashes


class Outcome(NamedTuple):
    """What a configuration gives, to be minimised: as a side sees it, and without noise, which is what counts.

    `violations` are above 0 where a constraint is broken. A crash is NaN.
    """

    seen: tuple[float, ...]
    actual: tuple[float, ...]
    violations: tuple[float, ...] = ()


Evaluate: TypeAlias = Callable[[Config, np.random.Generator], Outcome]


class Instance(NamedTuple):
    """A task as it is under a seed.

    `best` and `median` are the loss that is 0 and 1 on the scale. With two objectives the scale is already that of the
    values, and `best` is the largest hypervolume below (1, 1) that can be had.
    """

    space: Space
    evaluate: Evaluate
    best: float
    median: float
    goals: int = 1
    constraints: int = 0


class Task(NamedTuple):
    """A task: `make` gives what it is under a seed: an `Instance`, or a `Ladder` where there are several fidelities."""

    name: str
    family: str
    make: Callable[[int], Any]
    evaluations: int = 100


def plain(function: Callable[[Config], float]) -> Evaluate:
    """An evaluation without noise."""

    def evaluate(config: Config, rng: np.random.Generator) -> Outcome:
        value = (float(function(config)),)
        return Outcome(value, value)

    return evaluate


def middle(space: Space, evaluate: Evaluate) -> float:
    """The median loss of random configurations, of those that are feasible; a crash is worse than any."""
    rng = np.random.default_rng(0)
    outcomes = [evaluate(draw(space, rng), rng) for _ in range(SAMPLE)]
    values = [o.actual[0] for o in outcomes if not any(violation > 0 for violation in o.violations)]
    return float(np.median(np.nan_to_num(values, nan=np.inf)))


def task(
    name: str, family: str, make: Callable[[int], tuple[Space, Evaluate, float]], evaluations: int = 100, **also: int
) -> Task:
    """A task of one objective whose median is measured, once a seed."""

    @cache
    def instance(seed: int) -> Instance:
        space, evaluate, best = make(seed)
        return Instance(space, evaluate, best, middle(space, evaluate), **also)

    return Task(name, family, instance, evaluations)
