"""Continuous and mixed tasks: functions of BBOB, and the same with whole numbers and categories."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product

import numpy as np
from tasks import Array

from searching.bbob import HIGH, LOW, NUMBERS, function
from searching.problems import Evaluate, Task, plain, task
from searching.spaces import Category, Config, Number, Parameter, Space, numbers

DIMENSIONS = (2, 5, 10, 20)
CONTINUOUS, MIXED = "continuous", "mixed"


def continuous() -> Iterator[Task]:
    for number, d in product(NUMBERS, DIMENSIONS):
        evaluations = 200 if d == 20 else 100
        yield task(f"f{number}, d={d}", CONTINUOUS, partial(box, number, d), evaluations)


def box(number: int, d: int, seed: int) -> tuple[Space, Evaluate, float]:
    """A function in [-5, 5]^d."""
    f, _ = function(number, d, seed)
    names = [f"x{i}" for i in range(d)]
    return tuple(Number(name, LOW, HIGH) for name in names), plain(lambda c: f(numbers(c, names)[None])[0]), 0.0


LEVELS = (2, 4, 8, 16, 0)  # as in the suite bbob-mixint: a fifth of the variables with each; 0 is continuous
WHOLE = (1, 8, 15, 21)  # functions of it
CATEGORIES = (5, 4, 3, 2)  # so many options have the categories of the other mixed tasks


def mixed() -> Iterator[Task]:
    for number, d in product(WHOLE, (5, 10)):
        yield task(f"f{number} with whole numbers, d={d}", MIXED, partial(lattice, number, d))
    for number, d in product(WHOLE, (6, 10)):
        yield task(f"f{number} with categories, d={d}", MIXED, partial(categories, number, d))


def levels(count: int, at: float) -> Array:
    """So many evenly spaced values in [-5, 5], moved so that one of them is `at`."""
    width = (HIGH - LOW) / count
    return LOW + width * (np.arange(count) + ((at - LOW) / width) % 1)


def lattice(number: int, d: int, seed: int) -> tuple[Space, Evaluate, float]:
    """A function whose variables are whole numbers but for a fifth of them; its optimum can be had."""
    f, optimum = function(number, d, seed)
    grids = [levels(LEVELS[i % 5], optimum[i]) if LEVELS[i % 5] else None for i in range(d)]
    space = tuple(
        Number(f"x{i}", LOW, HIGH) if grid is None else Number(f"x{i}", 0, len(grid) - 1, is_whole=True)
        for i, grid in enumerate(grids)
    )

    def value(config: Config) -> float:
        x = [config[f"x{i}"] if grid is None else grid[config[f"x{i}"]] for i, grid in enumerate(grids)]
        return float(f(np.array([x]))[0])

    return space, plain(value), 0.0


def categories(number: int, d: int, seed: int) -> tuple[Space, Evaluate, float]:
    """A function of some numbers, one of them logarithmic and one whole, and of categories.

    An option stands for a place on the axis, in no order; the categories are turned with the rest of the function, so
    that they matter together.
    """
    f, optimum = function(number, d, seed)
    rng = np.random.default_rng([seed, number, d, 1])
    count = d // 2 - 1 if d < 10 else 4
    tables, parameters = [], list[Parameter]()
    for i, size in enumerate(CATEGORIES[:count]):
        tables.append(dict(zip((f"c{j}" for j in range(size)), rng.permutation(levels(size, optimum[i])), strict=True)))
        parameters.append(Category(f"x{i}", tuple(tables[-1])))
    parameters += [Number(f"x{count}", 1e-5, 1.0, is_log=True), Number(f"x{count + 1}", 0, 40, is_whole=True)]
    parameters += [Number(f"x{i}", LOW, HIGH) for i in range(count + 2, d)]

    def value(config: Config) -> float:
        x = [table[config[f"x{i}"]] for i, table in enumerate(tables)]
        x += [LOW + (HIGH - LOW) * (np.log10(config[f"x{count}"]) + 5) / 5]
        x += [levels(41, optimum[count + 1])[config[f"x{count + 1}"]]]
        x += [config[f"x{i}"] for i in range(count + 2, d)]
        return float(f(np.array([x]))[0])

    return tuple(parameters), plain(value), 0.0
