"""Resolves the functions of `sample_from`, in whatever order they depend on one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from random import Random
from typing import Any

from tunesmith.domains import Choice, Domain, Grid, SampleFrom
from tunesmith.errors import SpaceError
from tunesmith.paths import CHOSEN, join


class UnresolvedError(Exception):
    """A function looked at a value that is not computed yet: it is called again later, so it must let this pass."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Spec:
    """What a function of `sample_from` gets: `config`, resolved as far as it goes, and `rng`, the trial's stream."""

    def __init__(self, config: Any, rng: Random) -> None:
        self.config = config
        self.rng = rng


class View:
    """A part of the configuration under way: items by ``[]``, and by attribute where the key is a name. Read only."""

    __slots__ = ("_node", "_path", "_values")

    def __init__(self, node: Any, path: str, values: MutableMapping[str, Any]) -> None:
        self._node, self._path, self._values = node, path, values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not isinstance(self._node, dict):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"The configuration has no {join((name,))!r} at {self._path or 'the top'!r}."
            ) from None

    def __getitem__(self, key: Any) -> Any:
        child = self._node[key]
        if isinstance(self._node, (list, tuple)):
            key = range(len(self._node))[key]
        part = join((key,))
        return _look(child, f"{self._path}/{part}" if self._path else part, self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._node if isinstance(self._node, dict) else any(key == value for value in self)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._node) if isinstance(self._node, dict) else (self[i] for i in range(len(self._node)))

    def __len__(self) -> int:
        return len(self._node)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the item, or `default` when there is none."""
        return self[key] if key in self._node else default

    def keys(self) -> Any:
        """Return the keys of a dict."""
        return self._node.keys()

    def items(self) -> list[tuple[Any, Any]]:
        """Return the keys and values of a dict."""
        return [(key, self[key]) for key in self._node]

    def __repr__(self) -> str:
        return f"{self._node!r}"


def _look(node: Any, path: str, values: MutableMapping[str, Any]) -> Any:
    """Return what stands at `path`: a value, or a view of a part that may hold values."""
    if isinstance(node, Domain):
        if path in values:
            return values[path]
        index = values.get(path + CHOSEN)
        if index is not None and isinstance(node, (Choice, Grid)):
            return _look((node.options if isinstance(node, Choice) else node.values)[index], path, values)
        raise UnresolvedError(path)
    if type(node) in (dict, list, tuple):
        return View(node, path, values)
    return node


def resolve(template: Any, values: MutableMapping[str, Any], rng: Callable[[str], Random]) -> None:
    """Compute every active `sample_from` and put what it returned into `values`.

    A function may return a domain, which is then drawn from. `rng` gives the random stream of a path.

    Raises:
        SpaceError: a function raised, or functions depend on each other in a circle.
    """
    functions = dict(_active(template, "", values))
    view = View(template, "", values)

    def compute(path: str, waiting: tuple[str, ...]) -> None:
        if path in waiting:
            circle = " -> ".join([*waiting[waiting.index(path) :], path])
            raise SpaceError(f"The functions of sample_from depend on each other in a circle: {circle}.")
        while path not in values:
            try:
                value = functions[path].function(Spec(view, stream := rng(path)))
            except UnresolvedError as missing:
                compute(missing.path, (*waiting, path))
                continue
            except SpaceError:
                raise
            except Exception as error:
                raise SpaceError(
                    f"The function of sample_from at {path!r} raised {type(error).__name__}: {error}"
                ) from error
            values[path] = _settled(value, stream)

    for path in functions:
        compute(path, ())


def _settled(value: Any, rng: Random) -> Any:
    if isinstance(value, Domain):
        return value.sample(rng)
    if isinstance(value, View):
        return _copied(value)
    return value


def _copied(value: Any) -> Any:
    if not isinstance(value, View):
        return value
    if isinstance(value._node, dict):
        return {key: _copied(child) for key, child in value.items()}
    return [_copied(child) for child in value]


def _active(node: Any, path: str, values: MutableMapping[str, Any]) -> Iterator[tuple[str, SampleFrom]]:
    """Yield the functions to compute, those of chosen branches included."""
    if isinstance(node, SampleFrom):
        yield path, node
    elif isinstance(node, (Choice, Grid)):
        index = values.get(path + CHOSEN)
        if index is not None:
            yield from _active((node.options if isinstance(node, Choice) else node.values)[index], path, values)
    elif type(node) in (dict, list, tuple):
        for key, child in node.items() if type(node) is dict else enumerate(node):
            part = join((key,))
            yield from _active(child, f"{path}/{part}" if path else part, values)
