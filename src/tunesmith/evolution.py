"""What happens to the trials of an experiment, and is told of it, when its search space is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.domains import Grid, SampleFrom
from tunesmith.paths import CHOSEN, join, split
from tunesmith.space import Space

_BRANCHES = ({"choice"}, {"grid"})  # how `Space.describe` writes down what has options

_DRAWN = re.compile(r"(Float|Integer|Normal|sample_from)\(.*\)")  # a domain, and no text of the user's


def space_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return a line for each path at which two descriptions of spaces differ (see `Space.describe`).

    >>> space_changes({"lr": 0.1, "depth": 2}, {"lr": "Float(...)", "width": 8})
    ['depth was removed (2)', 'lr changed from 0.1 to Float(...)', 'width was added (8)']
    """
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    lines = []
    for path in sorted({*old, *new}):
        if path not in new:
            lines.append(f"{path} was removed ({_shown(old[path])})")
        elif path not in old:
            lines.append(f"{path} was added ({_shown(new[path])})")
        elif old[path] != new[path]:
            lines.append(f"{path} changed from {_shown(old[path])} to {_shown(new[path])}")
    return lines


def refit(space: Space, before: Mapping[str, Any], values: Mapping[str, Any], seed: int, number: int) -> dict[str, Any]:
    """Return what the values of trial `number`, which belong to the space that `before` describes, become in `space`.

    A trial keeps its values, those too that have no place in `space` any more. What `space` has besides is drawn from
    the trial's own stream. An option that is kept by its index is found again by what is constant in it; where it is
    gone, the choice is drawn anew, with all that belongs to it.
    """
    after = space.describe()
    kept: dict[str, Any] = {}
    gone: list[str] = []
    for path, value in sorted(values.items(), key=lambda item: item[0].removesuffix(CHOSEN)):
        if any(path.startswith(f"{choice}/") for choice in gone):
            continue
        if not path.endswith(CHOSEN):
            kept[path] = value
            continue
        index = _found_again(_options(before, path, values), value, _options(after, path, kept))
        if index is not None:
            kept[path] = index
        else:
            gone.append(path.removesuffix(CHOSEN))
    placed = {path: value for path, value in kept.items() if path in space.places}
    return kept | space.sample(seed, number, number % space.grid_size, placed)


def fitting(space: Space, before: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return those of the values, which belong to the space that `before` describes, that `space` has a place for.

    Grids are left out, as they go through all of their values anyway, and so are functions, which compute theirs.
    None: there is nothing in common, or a value is outside.
    """
    after = space.describe()
    kept: dict[str, Any] = {}
    for variable in space.variables:
        path, domain = variable.path, variable.domain
        if isinstance(domain, (Grid, SampleFrom)) or not variable.is_active(kept):
            continue
        if path in values:
            if not domain.contains(values[path]):
                return None
            kept[path] = values[path]
        elif (index := values.get(path + CHOSEN)) is not None:
            now = _found_again(_options(before, path, values), index, _options(after, path, kept))
            if now is None:
                return None
            kept[path + CHOSEN] = now
    return kept or None


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node and not _is_branch(node):
        for key, child in node.items():
            yield from _leaves(child, f"{path}/{join((key,))}" if path else join((key,)))
    elif path:
        yield path, node


def _shown(node: Any) -> str:
    text = node if isinstance(node, str) and _is_drawn(node) else repr(node)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _found_again(old: list[Any] | None, index: int, new: list[Any] | None) -> int | None:
    """Return where the option that was at `index` is now; one in which only domains have changed is the same."""
    if old is None or new is None:
        return None
    if old[index] in new:
        return new.index(old[index])
    return next((i for i, option in enumerate(new) if _is_alike(old[index], option)), None)


def _is_alike(old: Any, new: Any) -> bool:
    one, other = dict(_leaves(old, "option")), dict(_leaves(new, "option"))
    return one.keys() == other.keys() and all(
        one[path] == other[path] or (_is_drawn(one[path]) and _is_drawn(other[path])) for path in one
    )


def _is_drawn(node: Any) -> bool:
    return _DRAWN.fullmatch(node) is not None if isinstance(node, str) else _is_branch(node)


def _is_branch(node: Any) -> bool:
    return isinstance(node, Mapping) and set(node) in _BRANCHES


def _options(node: Any, path: str, values: Mapping[str, Any]) -> list[Any] | None:
    """Return the options at `path` in a description; the way leads through the options that `values` chose."""
    here = ""
    for part in [*split(path), None]:
        while part is not None and _is_branch(node):
            index = values.get(here + CHOSEN)
            if index is None:
                return None
            node = next(iter(node.values()))[index]
        if part is None:
            break
        here = f"{here}/{join((part,))}" if here else join((part,))
        try:
            node = node[int(part)] if isinstance(node, list) else node[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    if _is_branch(node):
        found: list[Any] = next(iter(node.values()))
        return found
    return None
