"""Exploration: a configuration becomes another one nearby, by a change of some of its hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from random import Random
from typing import Any, Final, TypeAlias

import msgspec

from tunesmith.domains import Choice, Domain, Grid, Integer, SampleFrom
from tunesmith.errors import ArgumentError
from tunesmith.naming import short_key, short_value
from tunesmith.paths import join

Keys: TypeAlias = tuple[Hashable, ...]  # the way to a value in nested dicts and lists

_MISSING: Final = object()


class Explored(msgspec.Struct, frozen=True):
    """A configuration `old` and what became of it.

    `overrides` are the values, by path, that make `new` of `old`; those at the paths `mutated` are named in the
    trial's name, and are there even if they stayed what they were.
    """

    old: dict[str, Any]
    new: dict[str, Any]
    overrides: dict[str, Any]
    mutated: tuple[str, ...]

    def suffix(self) -> str:
        """Return what is added to the trial's name, such as ``@perturbed[factor_1=4.8,factor_2=1]``."""
        pairs = (f"{short_key(path)}={short_value(self.overrides[path])}" for path in sorted(self.mutated))
        return f"@perturbed[{','.join(pairs)}]"

    def tell(self) -> str:
        """Return the new values in words, such as ``lr becomes 0.12``."""
        pairs = (f"{short_key(path)} becomes {short_value(self.overrides[path])}" for path in sorted(self.overrides))
        return ", ".join(pairs) or "nothing is changed"


class Explorer:
    """Perturbs configurations.

    Args:
        mutations: what may be changed and how, by name, in nested dicts: a list, a domain, or a function without
            arguments that returns a value.
        resample_probability: how often a value is drawn anew rather than moved, from 0 to 1.
        factors: by one of these a number is multiplied.
        custom: a function of the new configuration that returns the one to be used. It may change and add values;
            what it removes stays.
        truncates: whether the decimals of a product are cut off where a whole number was before. Otherwise it is
            rounded, and moves by at least 1.

    Raises:
        ArgumentError: an argument is not of this kind, or is out of its range.

    >>> explorer = Explorer({"batch": [16, 32, 64]}, resample_probability=0.0)
    >>> explorer.explore({"batch": 32, "lr": 0.1}, Random(1)).new
    {'batch': 16, 'lr': 0.1}
    """

    def __init__(
        self,
        mutations: Mapping[str, Any] | None,
        *,
        resample_probability: float = 0.25,
        factors: tuple[float, ...] = (1.2, 0.8),
        custom: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        truncates: bool = False,
    ) -> None:
        if not isinstance(mutations, (Mapping, type(None))):
            raise ArgumentError(f"hyperparam_mutations must be a dict of names to what they may become: {mutations!r}.")
        if not isinstance(resample_probability, (int, float)) or not 0 <= resample_probability <= 1:
            raise ArgumentError(f"resample_probability must be a number from 0 to 1, got {resample_probability!r}.")
        if custom is not None and not callable(custom):
            raise ArgumentError(f"custom_explore_fn must be a function of a configuration, got {custom!r}.")
        self.mutations: dict[Keys, Any] = dict(_flat_mutations(mutations or {}, ()))
        self._probability, self._factors = resample_probability, _checked_factors(factors)
        self._custom, self._truncates = custom, truncates

    def explore(self, config: dict[str, Any], rng: Random) -> Explored:
        """Return what becomes of `config`, which is the caller's to give away.

        Raises:
            ArgumentError: one of the user's functions raised, or did not return a configuration.
        """
        moved = {keys: self._perturb(keys, _get(config, keys), rng) for keys in self.mutations}
        return self.put(config, moved)

    def put(self, config: dict[str, Any], values: Mapping[Keys, Any]) -> Explored:
        """Put `values` into `config`, let the user's function have the last word, and say what has changed.

        Raises:
            ArgumentError: as `explore`.
        """
        old = _copied(config)
        new = config
        for keys, value in values.items():
            _set(new, keys, value)
        if self._custom is not None:
            new = self._customise(self._custom, new)
        overrides = {join(keys): found for keys in values if (found := _get(new, keys)) is not _MISSING}
        mutated = tuple(overrides)
        changes = {path: value for path, value in difference(old, new).items() if path not in overrides}
        return Explored(old, new, overrides | changes, mutated or tuple(changes))

    def _customise(self, custom: Callable[[dict[str, Any]], dict[str, Any]], config: dict[str, Any]) -> dict[str, Any]:
        found = _call("custom_explore_fn", custom, config)
        if not isinstance(found, dict):
            raise ArgumentError(f"custom_explore_fn must return the configuration, a dict; it returned {found!r}.")
        return found

    def _perturb(self, keys: Keys, value: Any, rng: Random) -> Any:
        mutation = self.mutations[keys]
        resamples = rng.random() < self._probability
        if isinstance(mutation, tuple):
            return self._neighbour(mutation, value, rng, resamples=resamples)
        if resamples or isinstance(value, bool) or not isinstance(value, (int, float)):
            return _resampled(keys, mutation, rng)
        return self._scaled(mutation, value, rng)

    def _neighbour(self, options: tuple[Any, ...], value: Any, rng: Random, *, resamples: bool) -> Any:
        if resamples or value not in options:
            return rng.choice(options)
        index = options.index(value) + rng.choice((-1, 1))
        return options[min(max(index, 0), len(options) - 1)]

    def _scaled(self, mutation: Any, value: float, rng: Random) -> float:
        moved = value * rng.choice(self._factors)
        is_whole = isinstance(value, int) or isinstance(mutation, Integer)
        if is_whole and self._truncates:
            moved = int(moved)
        step = getattr(mutation, "q", None) or (1 if is_whole else 0)
        if step and not self._truncates:
            moved = _on_grid(value, moved, step)
        moved = _within(mutation, moved, step)
        return int(moved) if is_whole else float(moved)


def difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the values, by path, that `new` has and `old` has not.

    >>> difference({"net": {"depth": 2, "width": 8}}, {"net": {"depth": 3, "width": 8}})
    {'net/depth': 3}
    """
    return {join(keys): value for keys, value in _changes(old, new, ())}


def _checked_factors(factors: Any) -> tuple[float, ...]:
    found = tuple(factors) if isinstance(factors, (tuple, list)) else ()
    if not found or not all(isinstance(factor, (int, float)) and 0 < factor < float("inf") for factor in found):
        raise ArgumentError(f"perturbation_factors must be numbers above 0, such as (1.2, 0.8), got {factors!r}.")
    return found


def _flat_mutations(node: Mapping[Any, Any], keys: Keys) -> Iterator[tuple[Keys, Any]]:
    """Yield each mutation with the way to it; what has options as a tuple of them."""
    for key, mutation in node.items():
        way = (*keys, key)
        if isinstance(mutation, Mapping):
            yield from _flat_mutations(mutation, way)
        elif isinstance(mutation, (list, tuple, Choice, Grid)):
            yield way, _options(mutation, way)
        elif (isinstance(mutation, Domain) and not isinstance(mutation, SampleFrom)) or callable(mutation):
            yield way, mutation
        else:
            raise ArgumentError(
                f"hyperparam_mutations has {mutation!r} at {join(way)!r}. Give a list of values, a domain such as"
                " tune.uniform(0, 1), or a function without arguments that returns a value."
            )


def _options(mutation: Any, keys: Keys) -> tuple[Any, ...]:
    options = {Choice: "options", Grid: "values"}.get(type(mutation))
    found = tuple(getattr(mutation, options) if options else mutation)
    if not found:
        raise ArgumentError(f"hyperparam_mutations has no values to choose from at {join(keys)!r}.")
    return found


def _resampled(keys: Keys, mutation: Any, rng: Random) -> Any:
    if isinstance(mutation, Domain):
        return mutation.sample(rng)
    return _call(f"the function at {join(keys)!r} in hyperparam_mutations", mutation)


def _call(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a user's function; say which one it was if it raises."""
    try:
        return function(*arguments)
    except Exception as error:
        raise ArgumentError(f"{what} raised {type(error).__name__}: {error}") from error


def _on_grid(value: float, moved: float, step: float) -> float:
    """Return the multiple of `step` next to `moved`, another one than `value` if `moved` is another value."""
    nearest = _clean(round(moved / step) * step)
    if nearest != value or moved == value:
        return nearest
    return _clean(value + (step if moved > value else -step))


def _within(mutation: Any, value: float, step: float) -> float:
    """Return `value`, or the bound of a domain that it passed; with a `step`, the last multiple that is inside."""
    low, high = getattr(mutation, "low", value), getattr(mutation, "high", value)
    if low <= value <= high:
        return value
    bound: float = low if value < low else high
    if not step:
        return bound
    nearest = _clean(round(bound / step) * step)
    return nearest if low <= nearest <= high else _clean(nearest + (step if nearest < low else -step))


def _clean(value: float) -> float:
    """Remove the noise of binary fractions."""
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _copied(node: Any) -> Any:
    """Copy what holds the values, not the values: a user's function may change a configuration in place."""
    if type(node) is dict:
        return {key: _copied(child) for key, child in node.items()}
    return [_copied(child) for child in node] if type(node) is list else node


def _get(node: Any, keys: Keys) -> Any:
    for key in keys:
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return node


def _set(node: Any, keys: Keys, value: Any) -> None:
    try:
        for key in keys[:-1]:
            if isinstance(node, dict):
                node.setdefault(key, {})
            node = node[key]
        node[keys[-1]] = value
    except (IndexError, TypeError) as error:
        raise ArgumentError(
            f"hyperparam_mutations has {join(keys)!r}, but the configuration has no place for it: {error}."
        ) from error


def _changes(old: Any, new: Any, keys: Keys) -> Iterator[tuple[Keys, Any]]:
    """Yield each value of `new` that `old` does not have."""
    if isinstance(old, dict) and isinstance(new, dict) and (new or not old):
        for key, child in new.items():
            yield from _changes(
                old.get(key, {} if isinstance(child, dict) and child else _MISSING), child, (*keys, key)
            )
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _changes(before, after, (*keys, i))
    elif _differs(old, new):
        yield keys, new


def _differs(old: Any, new: Any) -> bool:
    if old is new:
        return False
    try:
        return type(old) is not type(new) or bool(old != new)
    except Exception:  # noqa: BLE001 - values of any type, which may refuse to be compared, as arrays do
        return True
