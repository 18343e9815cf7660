"""A search space: a configuration with domains in it, how it is drawn from, and how a configuration is built."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Hashable, Iterator, Mapping
from math import prod
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import msgspec

from tunesmith import codec
from tunesmith.dependencies import resolve
from tunesmith.domains import Choice, Domain, Grid, Integer, SampleFrom
from tunesmith.errors import SpaceError
from tunesmith.paths import CHOSEN, join, put, try_put
from tunesmith.streams import stream

_SCALARS = (str, int, float, bool, bytes, complex, type(None))
_SHARED = (FunctionType, BuiltinFunctionType, ModuleType, type)


class Variable(msgspec.Struct, frozen=True):
    """A place in a configuration that is drawn.

    `condition` is the path of the choice and the index of the option that this variable belongs to, or None when it
    is always active. The options' own conditions follow by their paths.
    """

    path: str
    domain: Domain
    condition: tuple[str, int] | None = None

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Return whether the option that it belongs to, if any, is the one that `values` chose."""
        return self.condition is None or values.get(self.condition[0] + CHOSEN) == self.condition[1]


class _Values(dict[str, Any]):
    """The values of a trial as they are drawn, and those that were `given` beforehand."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__()
        self.given = given


class Space:
    """A search space.

    `config` is what the user wrote: nested dicts, lists and tuples, with domains anywhere; everything else is a
    constant. ``{"grid_search": [...]}`` is another way to write `grid_search`.

    What is drawn for a trial is a mapping of paths to values (`sample`), from which the configuration is built
    (`build`). An option that holds domains, or that can't be written down by value, is kept by its index, at the
    path with a ``?`` behind it. A searcher may give values at other paths too: they are put in.

    >>> from tunesmith.domains import choice, uniform
    >>> space = Space({"model": choice([{"kind": "linear"}, {"kind": "rbf", "gamma": uniform(0, 1)}]), "seed": 1})
    >>> space.build({"model?": 1, "model/gamma": 0.5})
    {'model': {'kind': 'rbf', 'gamma': 0.5}, 'seed': 1}
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        if not isinstance(config, Mapping):
            raise SpaceError(f"The search space must be a dict of names to values and domains, got {config!r}.")
        self.template: dict[str, Any] = _normalise(config, ())
        self.variables: list[Variable] = sorted(_variables(self.template, (), None), key=lambda v: v.path)
        self.grids: list[Variable] = [v for v in self.variables if isinstance(v.domain, Grid)]
        for variable in self.grids:
            if variable.condition is not None:
                raise SpaceError(
                    f"The grid_search at {variable.path!r} lies within an option of another choice or grid, so the "
                    "grid would have no fixed size. Use choice there, or move the grid out."
                )
        self._drawn = [
            v for v in self.variables if v.condition is None and not isinstance(v.domain, (Grid, SampleFrom))
        ]
        self.places = {path for v in self.variables for path in (v.path, v.path + CHOSEN)}
        self._functions = {v.path for v in self.variables if isinstance(v.domain, SampleFrom)}
        self._has_branches = any(v.condition is not None for v in self.variables)

    @property
    def grid_size(self) -> int:
        """The number of combinations of all grids; 1 without any."""
        return prod(len(v.domain.values) for v in self.grids if isinstance(v.domain, Grid))

    @property
    def is_random(self) -> bool:
        """Whether two trials at the same grid point may differ."""
        return len(self.variables) > len(self.grids)

    def size(self) -> int | None:
        """Return the number of different configurations, or None when there is no end of them."""
        total = 1
        for variable in self.variables:
            domain = variable.domain
            if variable.condition is not None or isinstance(domain, SampleFrom):
                return None
            if isinstance(domain, Grid):
                total *= len(domain.values)
            elif isinstance(domain, Choice):
                total *= len(domain.options)
            elif isinstance(domain, Integer):
                total *= domain.high // domain.q + (-domain.low) // domain.q + 1
            else:
                return None
        return total

    def refuse_grid(self, searcher: str) -> None:
        """Raise SpaceError if there is a grid: for searchers that model the space."""
        if self.grids:
            raise SpaceError(
                f"{searcher} chooses values itself and can't go through a grid: the grid_search at "
                f"{self.grids[0].path!r}. Use choice there, or search with the VariantSearcher."
            )

    def sample(
        self, seed: int, number: int, grid_index: int = 0, given: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return values for trial `number`, at point `grid_index` of the grid: a pure function of the arguments.

        The first grid by path varies fastest. Functions of `sample_from` are called here and nowhere else. What is
        `given`, by path, is neither drawn nor computed, and functions see it; that it lies in the space is not checked,
        and it may be at other paths too, as far as a configuration has a place there.

        Raises:
            SpaceError: it has none.
        """
        rng = stream(seed, "suggest", number)
        values = _Values(given or {})
        for variable in self.grids:
            options = variable.domain.values  # type: ignore[attr-defined]  # a Grid
            grid_index, index = divmod(grid_index, len(options))
            self._put_option(values, variable.path, options, index, rng)
        for variable in self._drawn:
            self._put(values, variable.path, variable.domain, rng)
        others = {path: value for path, value in values.given.items() if path not in self.places}
        values.update(others)
        values.update({path: value for path, value in values.given.items() if path in self._functions})
        if self._functions:
            resolve(self.template, values, lambda path: stream(seed, "sample_from", number, path))
        if others:
            self._check_room(values, others)
        return dict(values)

    def _check_room(self, values: Mapping[str, Any], others: Mapping[str, Any]) -> None:
        built = _build(self.template, "", values)
        for path, value in others.items():
            try:
                put(built, path, value)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise SpaceError(f"A value was given for {path!r}, where the search space has no place.") from error

    def _put(self, values: _Values, path: str, domain: Domain, rng: Any) -> None:
        if type(domain) is Choice:
            self._put_option(values, path, domain.options, int(rng.random() * len(domain.options)), rng)
        else:
            drawn = domain.sample(rng)  # in any case, so that what is not given is the same as ever
            values[path] = values.given.get(path, drawn)

    def _put_option(self, values: _Values, path: str, options: tuple[Any, ...], index: int, rng: Any) -> None:
        if path in values.given:
            values[path] = values.given[path]
            return
        index = values.given.get(path + CHOSEN, index)
        option = options[index]
        if not self.is_by_index(option):
            values[path] = option
            return
        values[path + CHOSEN] = index
        for variable in sorted(_variables(option, (), None), key=lambda v: v.path):
            if variable.condition is None and not isinstance(variable.domain, SampleFrom):
                below = f"{path}/{variable.path}" if variable.path else path
                self._put(values, below, variable.domain, rng)

    @staticmethod
    def is_by_index(option: Any) -> bool:
        """Return whether an option is kept by its index, as it holds domains or can't be written down by value."""
        return type(option) not in _SCALARS and not _is_writable(option)

    def check_constants(self) -> None:
        """Raise SpaceError, naming the place, if something in the space can't be copied for each trial."""
        _check_constants(self.template, "")

    def build(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration that is the trial's own: a deep copy with the values put in.

        Functions, classes and modules are shared; numbers and texts too. Values that the space has no variable for are
        put in as `put_others` does it.

        Raises:
            SpaceError: a constant can't be copied, or a value is missing.
        """
        built: dict[str, Any] = _build(self.template, "", values)
        self.put_others(built, values)
        return built

    def put_others(self, config: dict[str, Any], values: Mapping[str, Any]) -> None:
        """Put those of the values into `config` that the space has no variable for, where there is a place for them."""
        for path, value in values.items():
            if path not in self.places and not path.endswith(CHOSEN):
                try_put(config, path, copy.deepcopy(value))

    def describe(self) -> dict[str, Any]:
        """Return the space in plain JSON values, for people and for `fingerprint`."""
        described: dict[str, Any] = _describe(self.template)
        return described

    def fingerprint(self) -> str:
        """Return a hash that is the same for the same space in every process."""
        text = json.dumps(self.describe(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _normalise(node: Any, path: tuple[Hashable, ...]) -> Any:
    """Turn mappings into dicts and grid literals into grids, in options too."""
    if isinstance(node, Mapping) and type(node).__module__ in ("builtins", "collections", "types"):
        if len(node) == 1 and "grid_search" in node:
            values = node["grid_search"]
            if not isinstance(values, (list, tuple)):
                raise SpaceError(f"grid_search at {join(path)!r} expects a list of values, got {values!r}.")
            return _normalise(Grid(tuple(values)), path)
        names = [str(key) for key in node]
        if len(set(names)) < len(names):
            raise SpaceError(f"Two keys at {join(path) or 'the top'!r} are written the same: {list(node)}.")
        return {key: _normalise(child, (*path, key)) for key, child in node.items()}
    if type(node) in (list, tuple):
        return type(node)(_normalise(child, (*path, i)) for i, child in enumerate(node))
    if isinstance(node, Choice):
        return Choice(tuple(_normalise(option, path) for option in node.options))
    if isinstance(node, Grid):
        return Grid(tuple(_normalise(option, path) for option in node.values))
    return node


def _children(node: Any) -> Iterator[tuple[Hashable, Any]]:
    if type(node) is dict:
        yield from node.items()
    elif type(node) in (list, tuple):
        yield from enumerate(node)


def _variables(node: Any, path: tuple[Hashable, ...], condition: tuple[str, int] | None) -> Iterator[Variable]:
    if isinstance(node, Domain):
        text = join(path)
        yield Variable(text, node, condition)
        options = node.options if isinstance(node, Choice) else node.values if isinstance(node, Grid) else ()
        for index, option in enumerate(options):
            yield from _variables(option, path, (text, index))
    else:
        for key, child in _children(node):
            yield from _variables(child, (*path, key), condition)


def _is_writable(value: Any) -> bool:
    """Whether a value goes to disk and comes back as itself, without a pickle."""
    if type(value) in _SCALARS:
        return not isinstance(value, complex)
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(_is_writable, value.values()))
    return type(value) in (list, tuple) and all(map(_is_writable, value))


def _build(node: Any, path: str, values: Mapping[str, Any]) -> Any:
    kind = type(node)
    if kind is dict:
        prefix = f"{path}/" if path else ""
        return {
            key: child if type(child) in _SCALARS else _build(child, prefix + join((key,)), values)
            for key, child in node.items()
        }
    if kind is list or kind is tuple:
        return kind(_build(child, f"{path}/{i}" if path else str(i), values) for i, child in enumerate(node))
    if kind in _SCALARS or isinstance(node, _SHARED):
        return node
    if isinstance(node, Domain):
        return _build_variable(node, path, values)
    return _copied(node, path)


def _copied(value: Any, path: str) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception as error:
        raise SpaceError(
            f"The value at {path!r}, a {type(value).__qualname__}, can't be copied for each trial: {error}. "
            "Create it inside the trainable, or pass it with tune.with_parameters."
        ) from error


def _check_constants(node: Any, path: str) -> None:
    if isinstance(node, (Choice, Grid)):
        for option in node.options if isinstance(node, Choice) else node.values:
            _check_constants(option, path)
    elif type(node) in (dict, list, tuple):
        for key, child in _children(node):
            _check_constants(child, f"{path}/{join((key,))}" if path else join((key,)))
    elif not isinstance(node, (Domain, *_SCALARS, *_SHARED)):
        _copied(node, path)


def _build_variable(domain: Domain, path: str, values: Mapping[str, Any]) -> Any:
    index = values.get(path + CHOSEN)
    if index is not None and isinstance(domain, (Choice, Grid)):
        options = domain.options if isinstance(domain, Choice) else domain.values
        return _build(options[index], path, values)
    try:
        value = values[path]
    except KeyError:
        raise SpaceError(f"The configuration has no value for {path!r}.") from None
    return value if type(value) in _SCALARS else copy.deepcopy(value)


def _describe(node: Any) -> Any:
    if isinstance(node, (Choice, Grid)):
        options = node.options if isinstance(node, Choice) else node.values
        return {type(node).__name__.lower(): [_describe(option) for option in options]}
    if isinstance(node, SampleFrom):
        return f"sample_from({getattr(node.function, '__qualname__', type(node.function).__qualname__)})"
    if isinstance(node, Domain):
        return repr(node)
    if type(node) is dict:
        return {str(key): _describe(child) for key, child in node.items()}
    if type(node) in (list, tuple):
        return [_describe(child) for child in node]
    return codec.to_plain(node)
