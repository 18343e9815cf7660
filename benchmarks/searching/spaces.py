"""Search spaces in words of no library, and how a task is disguised: the same for ours and for peers.

A configuration is a dict of the parameters that are active, by name; a name occurs once in a space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Config: TypeAlias = "dict[str, Any]"


class Number(NamedTuple):
    """A real or whole number from `low` to `high`, both included."""

    name: str
    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False

    def at(self, share: float) -> float | int:
        """The value so far up, of 0 to 1; of whole numbers each has its share."""
        margin = 0.5 if self.is_whole else 0.0
        low, high = self.low - margin, self.high + margin
        value = low * (high / low) ** share if self.is_log else low + share * (high - low)
        if self.is_whole:
            return int(min(max(round(value), self.low), self.high))
        return float(min(max(value, self.low), self.high))

    def share(self, value: float) -> float:
        """How far up a value is, of 0 to 1."""
        if self.is_log:
            return float(np.log(value / self.low) / np.log(self.high / self.low))
        return (value - self.low) / (self.high - self.low)

    def flipped(self, value: float) -> float | int:
        """The value as far from the other end."""
        if self.is_log:
            return float(min(max(self.low * self.high / value, self.low), self.high))
        return self.low + self.high - value


class Category(NamedTuple):
    """One of `options`; the parameters in `branches` are active where theirs is chosen."""

    name: str
    options: tuple[str, ...]
    branches: Mapping[str, tuple[Number | Category, ...]] = {}


Parameter: TypeAlias = "Number | Category"
Space: TypeAlias = "tuple[Parameter, ...]"


def everything(space: Space) -> Iterator[Parameter]:
    """All parameters, active or not."""
    for parameter in space:
        yield parameter
        if isinstance(parameter, Category):
            for branch in parameter.branches.values():
                yield from everything(branch)


def active(space: Space, config: Config) -> Iterator[Parameter]:
    """The parameters that count in a configuration."""
    for parameter in space:
        yield parameter
        if isinstance(parameter, Category):
            yield from active(parameter.branches.get(config[parameter.name], ()), config)


def draw(space: Space, rng: np.random.Generator) -> Config:
    """A random configuration."""
    config: Config = {}
    for parameter in space:
        if isinstance(parameter, Number):
            config[parameter.name] = parameter.at(rng.random())
        else:
            chosen = parameter.options[rng.integers(len(parameter.options))]
            config[parameter.name] = chosen
            config.update(draw(parameter.branches.get(chosen, ()), rng))
    return config


class Disguise:
    """A space whose parameters have other names and another order, run the other way, and whose options are renamed.

    So nothing can be tuned to a task's names, to the order of its parameters or to where its optimum lies.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 0xD15])
        self._codes = self._rng.permutation(10_000).tolist()
        self._names: dict[str, str] = {}  # what a parameter was called, by its new name
        self._options: dict[str, dict[str, str]] = {}  # the same of options, by the parameter's new name
        self._flipped: dict[str, Number] = {}
        self.space = self._hidden(space)

    def _hidden(self, space: Space) -> Space:
        return tuple(self._other(space[i]) for i in self._rng.permutation(len(space)))

    def _other(self, parameter: Parameter) -> Parameter:
        name = f"p{self._codes.pop():04d}"
        self._names[name] = parameter.name
        if isinstance(parameter, Number):
            # On a logarithmic scale whole numbers do not lie symmetrically.
            if self._rng.random() < 0.5 and not (parameter.is_log and parameter.is_whole):
                self._flipped[name] = parameter
            return parameter._replace(name=name)
        order = self._rng.permutation(len(parameter.options))
        renamed = {parameter.options[i]: f"o{self._codes.pop():04d}" for i in order}
        self._options[name] = {new: old for old, new in renamed.items()}
        branches = {renamed[option]: self._hidden(branch) for option, branch in parameter.branches.items()}
        return Category(name, tuple(renamed.values()), branches)

    def reveal(self, config: Mapping[str, Any]) -> Config:
        """The configuration in the task's own terms."""
        found: Config = {}
        for name, value in config.items():
            original = self._names[name]
            if name in self._flipped:
                found[original] = self._flipped[name].flipped(value)
            else:
                found[original] = self._options[name][value] if name in self._options else value
        return found


def numbers(config: Config, names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Some of the values as an array."""
    return np.array([config[name] for name in names], float)
