"""Points of a search space that a user names: part of a configuration, or all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.domains import Choice, Domain, Grid
from tunesmith.errors import SpaceError, nearest
from tunesmith.paths import CHOSEN, join
from tunesmith.space import Space


def check_point(space: Space, point: Any, name: str) -> dict[str, Any]:
    """Return a point as values by path. It may be nested as the space is, or name paths, and leave variables open.

    Raises:
        SpaceError: it names what is no variable, a value is outside of its domain, or it is no dict; the message begins
            with `name`.

    >>> from tunesmith.domains import uniform
    >>> check_point(Space({"model": {"lr": uniform(0, 1)}}), {"model": {"lr": 0.5}}, "point")
    {'model/lr': 0.5}
    """
    if not isinstance(point, Mapping):
        raise SpaceError(f"{name} must be a dict of names to values, got {point!r}.")
    values = dict(_flat(space, point, "", name))
    for variable in space.variables:
        path, domain = variable.path, variable.domain
        for given in (path, path + CHOSEN):
            if given in values:
                _check(domain, given, values[given], name)
                if not variable.is_active(values) and variable.condition is not None:
                    choice, index = variable.condition
                    raise SpaceError(
                        f"{name} names {given!r}, which belongs to option {index} of {choice!r}. Name that, too:"
                        f" {{{choice + CHOSEN!r}: {index}}}."
                    )
    return values


def _flat(space: Space, point: Mapping[str, Any], above: str, name: str) -> Iterator[tuple[str, Any]]:
    for key, value in point.items():
        path = next((path for path in (f"{above}{key}", f"{above}{join((key,))}") if path in space.places), None)
        if path is not None:
            yield path, value
            continue
        inner = f"{above}{join((key,))}/"
        if not isinstance(value, Mapping) or not any(place.startswith(inner) for place in space.places):
            known = [variable.path for variable in space.variables]
            raise SpaceError(
                f"{name} names {above + str(key)!r}, which is no variable of the space;"
                f" these are: {', '.join(known) or 'none'}.{nearest(above + str(key), known)}"
            )
        yield from _flat(space, value, inner, name)


def _check(domain: Domain, path: str, value: Any, name: str) -> None:
    if isinstance(domain, Grid):
        raise SpaceError(f"{name} names {path!r}, a grid_search, which goes through all of its values anyway.")
    if path.endswith(CHOSEN):
        count = len(domain.options) if isinstance(domain, Choice) else 0
        if not isinstance(value, int) or not 0 <= value < count:
            raise SpaceError(f"{name}: {path!r} must be the index of an option, from 0 to {count - 1}; got {value!r}.")
    elif not domain.contains(value):
        hint = f" An option that holds domains is named by its index, as {path + CHOSEN!r}." * isinstance(
            domain, Choice
        )
        raise SpaceError(f"{name}: {path!r} is {value!r}, which is outside of {domain}.{hint}")
