"""The marks of 2019 in a search space, and the space that they make."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from math import exp, log
from types import FunctionType
from typing import Any, Final

from tunesmith.compat.ray.errors import RecursiveDependencyError, TuneError
from tunesmith.dependencies import Spec, UnresolvedError
from tunesmith.domains import Domain, Grid, SampleFrom
from tunesmith.errors import SpaceError
from tunesmith.space import Space

RESOLVED: Final = ("resources_per_trial", "stop")  # parts of a spec, beside the configuration, that may have marks
ASIDE: Final = "|spec"  # where they are kept in the search space: behind all names, so that grids vary them last


def split_off(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a configuration as its trial knows it, and the other parts of the spec that were resolved with it."""
    own = dict(config)
    return own, own.pop(ASIDE, {})


class sample_from:  # noqa: N801 - its name in 2019
    """A value that a function of the spec computes: ``sample_from(lambda spec: spec.config.width * 2)``."""

    def __init__(self, func: Callable[[Any], Any]) -> None:
        self.func = func

    def __repr__(self) -> str:
        return f"tune.sample_from({self.func})"


class function:  # noqa: N801 - as above
    """Marks a function that is meant as a value, not as a way to make one."""

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.func(*args, **kwargs)

    def __repr__(self) -> str:
        return f"tune.function({self.func})"


def grid_search(values: Sequence[Any]) -> dict[str, Any]:
    """Mark values that are all to be tried."""
    return {"grid_search": values}


def uniform(low: float, high: float) -> sample_from:
    """Draw a number between the two, all equally likely."""
    return sample_from(lambda spec: _numpy().uniform(low, high))


def loguniform(min_bound: float, max_bound: float, base: float = 10) -> sample_from:
    """Draw a number whose logarithm is anywhere between those of the two, all equally likely."""
    return sample_from(lambda spec: exp(_numpy().uniform(log(min_bound), log(max_bound))))


def choice(*args: Any, **kwargs: Any) -> sample_from:
    """Draw one of the values, as ``numpy.random.choice`` does."""
    return sample_from(lambda spec: _numpy().choice(*args, **kwargs))


def randint(*args: Any, **kwargs: Any) -> sample_from:
    """Draw a whole number, as ``numpy.random.randint`` does."""
    return sample_from(lambda spec: _numpy().randint(*args, **kwargs))


def randn(*args: Any, **kwargs: Any) -> sample_from:
    """Draw from the standard normal distribution, as ``numpy.random.randn`` does."""
    return sample_from(lambda spec: _numpy().randn(*args, **kwargs))


def _numpy() -> Any:
    try:
        import numpy as np
    except ImportError as error:
        raise TuneError("This way to draw a value needs NumPy: pip install numpy.") from error
    return np.random


class Guard:
    """The spec as a function of `sample_from` sees it: ``spec.config.x``, and ``spec["config"]["x"]``."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._parts = parts

    def __getattr__(self, name: str) -> Any:
        try:
            return self._parts[name]
        except KeyError:
            raise AttributeError(f"The spec has no {name!r}; it has: {', '.join(sorted(self._parts))}.") from None

    def __getitem__(self, name: str) -> Any:
        return self._parts[name]


class Marked:
    """A search space in the language of 2019, turned into Tunesmith's.

    Args:
        config: the configuration with marks in it.
        rest: the other parts of the spec, which functions may look at.
        whole: `config` is ``{"spec": ...}``, a spec as a whole, and functions look at that.

    Raises:
        TuneError: a grid is no list.
        DeprecationWarning: a function stands in the spec without a mark.
    """

    def __init__(self, config: Mapping[str, Any], rest: Mapping[str, Any], *, whole: bool = False) -> None:
        self._rest = rest
        self._whole = whole
        self.template: dict[str, Any] = self._turn(dict(config), () if whole else ("config",))
        self.space = Space(self.template)

    def _turn(self, node: Any, path: tuple[Any, ...]) -> Any:
        if isinstance(node, dict):
            if len(node) == 1 and "grid_search" in node:
                return self._grid(node["grid_search"], path)
            if len(node) == 1 and "eval" in node:
                return self._evaluated(str(node["eval"]), path)
            return {key: self._turn(value, (*path, key)) for key, value in node.items()}
        if type(node) in (list, tuple):
            return type(node)(self._turn(value, (*path, i)) for i, value in enumerate(node))
        if isinstance(node, sample_from):
            return self._sampled(node.func, node.func, path)
        if isinstance(node, function):
            return node.func
        if isinstance(node, FunctionType):
            raise DeprecationWarning(
                "Function values are ambiguous in Tune configuations. Either wrap the function with "
                f"`tune.function(func)` to specify a function literal, or `tune.sample_from(func)` to tell Tune to "
                f"sample values from the function during variant generation: {node} at {_text(path)}"
            )
        return node

    def _grid(self, values: Any, path: tuple[Any, ...]) -> Grid:
        if not isinstance(values, list):
            raise TuneError(f"Grid search expected list of values, got: {values} (at {_text(path)}).")
        return Grid(tuple(self._turn(value, path) for value in values))

    def _evaluated(self, text: str, path: tuple[Any, ...]) -> SampleFrom:
        def evaluate(spec: Any) -> Any:
            return eval(text, {"np": _lazy_numpy(), "random": random}, {"spec": spec})

        return self._sampled(evaluate, text, path)

    def _sampled(self, function: Callable[..., Any], shown: Any, path: tuple[Any, ...]) -> SampleFrom:
        rest, whole = self._rest, self._whole
        path = path[1:] if whole else path

        def draw(spec: Spec) -> Any:
            guard = spec.config["spec"] if whole else Guard({**rest, "config": spec.config})
            try:
                value = function(guard)
            except UnresolvedError:
                raise
            except Exception as error:
                raise SpaceError(
                    f"Failed to evaluate expression: {path}: {shown}. If you meant to pass this as a function literal, "
                    f"use tune.function() to escape it. It raised {type(error).__name__}: {error}"
                ) from error
            return _plain(value)

        return SampleFrom(draw)

    def sample(self, seed: int, number: int, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the values of a trial; those that are `given` already, by path, are among them.

        Raises:
            RecursiveDependencyError: functions depend on each other in a circle.
            ValueError: a function raised.
        """
        try:
            return self.space.sample(seed, number, number % self.space.grid_size, given)
        except SpaceError as error:
            if "in a circle" in str(error):
                name = str(error).rpartition(": ")[2].split(" -> ")[0]
                raise RecursiveDependencyError(f"`{name}` recursively depends on {error}") from error
            raise


def _plain(value: Any) -> Any:
    """Return a value of NumPy's as Python's own, as far as it is one number or text."""
    if type(value).__module__ == "numpy" and not getattr(value, "shape", None) and hasattr(value, "item"):
        return value.item()
    return value


def _lazy_numpy() -> Any:
    try:
        import numpy as np
    except ImportError:
        return None
    return np


def _text(path: tuple[Any, ...]) -> str:
    return "/".join(map(str, path))


def is_marked(node: Any) -> bool:
    """Whether something in it is to be resolved."""
    if isinstance(node, dict):
        return (len(node) == 1 and bool(node.keys() & {"grid_search", "eval"})) or any(map(is_marked, node.values()))
    if type(node) in (list, tuple):
        return any(map(is_marked, node))
    return isinstance(node, (sample_from, Domain))
