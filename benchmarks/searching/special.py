"""Noisy and constrained tasks, and such with two objectives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np
from tasks import Array

from searching.bbob import HIGH, LOW, function
from searching.problems import Evaluate, Instance, Outcome, Task, task
from searching.spaces import Config, Number, Space, numbers
from searching.trees import scaled

FAMILY = "noisy, constrained, several objectives"


def special() -> Iterator[Task]:
    for number, d, noise in ((1, 5, 0.1), (8, 5, 0.1), (15, 5, 0.2), (21, 5, 0.2)):
        yield task(f"f{number} with noise, d={d}", FAMILY, partial(noisy, number, d, noise))
    for number, d, count in ((1, 5, 1), (10, 5, 2), (15, 5, 2), (1, 10, 3)):
        yield task(
            f"f{number} with {count} constraints, d={d}", FAMILY, partial(bound, number, d, count), constraints=count
        )
    for name, d in (("spheres", 5), ("convex", 6), ("concave", 6), ("gaps", 6)):
        yield Task(f"two objectives, {name}, d={d}", FAMILY, cache(partial(pair, name, d)))


def noisy(number: int, d: int, noise: float, seed: int) -> tuple[Space, Evaluate, float]:
    """A function whose root, on the scale of medians, has noise that is not the same everywhere."""
    f, median = scaled(number, d, seed)
    names = [f"x{i}" for i in range(d)]

    def evaluate(config: Config, rng: np.random.Generator) -> Outcome:
        value = float(np.sqrt(f(numbers(config, names)[None])[0] / median))
        return Outcome((value + noise * (0.5 + value) * rng.standard_normal(),), (value,))

    return tuple(Number(name, LOW, HIGH) for name in names), evaluate, 0.0


def bound(number: int, d: int, count: int, seed: int) -> tuple[Space, Evaluate, float]:
    """A function with half-spaces to keep to; its optimum lies on the border of all of them.

    Each leaves about a half of the box, and the constraints are known by how much they are broken.
    """
    f, optimum = function(number, d, seed)
    rng = np.random.default_rng([seed, number, d, 2])
    normals = rng.normal(size=(count, d))
    normals *= np.where(normals @ optimum > 0, 1.0, -1.0)[:, None] / np.linalg.norm(normals, axis=1)[:, None]
    names = [f"x{i}" for i in range(d)]

    def evaluate(config: Config, rng: np.random.Generator) -> Outcome:
        x = numbers(config, names)
        value = (float(np.sqrt(f(x[None])[0])),)
        return Outcome(value, value, tuple((normals @ (x - optimum)).tolist()))

    return tuple(Number(name, LOW, HIGH) for name in names), evaluate, 0.0


def front(of: Callable[[Array], Array], at: Array) -> float:
    """The hypervolume below (1, 1) of a front, a curve that falls where it counts."""
    return volume(np.stack([at, of(at)], axis=1))


def volume(points: Array) -> float:
    """The hypervolume between points in two dimensions and (1, 1): what they dominate of the unit square.

    >>> volume(np.array([[0.5, 0.0], [0.0, 0.5], [0.9, 0.9], [2.0, -1.0]]))
    0.75
    """
    points = points[(points < 1).all(axis=1)].clip(0)
    if not len(points):
        return 0.0
    points = points[np.lexsort((points[:, 1], points[:, 0]))]
    heights = np.minimum.accumulate(points[:, 1])
    widths = np.diff(points[:, 0], append=1.0)
    return float(np.sum(widths * (1 - heights)))


def pair(name: str, d: int, seed: int) -> Instance:
    """Two objectives whose front is known: the squared distances to two points, or ZDT 1, 2 and 3, whose front lies
    where all variables but the first have a certain place.

    Source of the latter three: Zitzler, Deb and Thiele, Comparison of Multiobjective Evolutionary Algorithms, 2000.
    """
    rng = np.random.default_rng([seed, d, 3])
    names = [f"x{i}" for i in range(d)]
    at = np.linspace(0, 1, 4001)
    if name == "spheres":
        ends = rng.uniform(0.15, 0.85, (2, d))
        apart = float(np.sum((ends[0] - ends[1]) ** 2))

        def values(x: Array) -> tuple[float, float]:
            far = np.sum((x - ends) ** 2, axis=1) / (1.5 * apart)
            return float(far[0]), float(far[1])

        best = volume(np.stack([at**2, (1 - at) ** 2], axis=1) / 1.5)
    else:
        shape = {
            "convex": lambda f: 1 - np.sqrt(f),
            "concave": lambda f: 1 - f**2,
            "gaps": lambda f: (1 - np.sqrt(f) - f * np.sin(10 * np.pi * f) + 0.8) / 1.8,
        }[name]
        place = rng.uniform(0.1, 0.9, d - 1)

        def values(x: Array) -> tuple[float, float]:
            base = 1 + 2 * float(np.mean(np.abs(x[1:] - place)))
            first = float(x[0])
            return first / 1.1, float(base * shape(first / base) / 1.1)

        best = front(lambda f: shape(1.1 * f) / 1.1, at / 1.1)

    def evaluate(config: Config, rng: np.random.Generator) -> Outcome:
        found = values(numbers(config, names))
        return Outcome(found, found)

    return Instance(tuple(Number(n, 0.0, 1.0) for n in names), evaluate, best, 0.0, goals=2)
