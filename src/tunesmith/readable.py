"""A configuration as far as it can be shown without the space's own objects: from its description and the values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith import codec
from tunesmith.paths import CHOSEN, join, put, try_put


def readable_config(
    description: Any, values: Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the configuration that `values`, with `overrides` put in by path, stand for.

    `description` is what `Space.describe` wrote. Objects appear as the text of their repr.

    >>> readable_config({"lr": "Float(...)", "net": {"depth": 2}}, {"lr": 0.1})
    {'lr': 0.1, 'net': {'depth': 2}}
    """
    left = dict(values)
    built: dict[str, Any] = _fill(description, "", left)
    for path, value in left.items():
        if not path.endswith(CHOSEN):  # of a search space of before
            try_put(built, path, codec.from_plain(value))
    for path, value in (overrides or {}).items():
        put(built, path, codec.from_plain(value))
    return built


def _fill(node: Any, path: str, values: dict[str, Any]) -> Any:
    if path in values:
        return codec.from_plain(values.pop(path))
    index = values.get(path + CHOSEN)
    if index is not None and isinstance(node, dict):
        options = node.get("choice") or node.get("grid")
        if isinstance(options, list):
            return _fill_inside(options[index], path, values)
    return _fill_inside(node, path, values)


def _fill_inside(node: Any, path: str, values: dict[str, Any]) -> Any:
    if isinstance(node, dict):
        if any(key.startswith("$") for key in node):
            return codec.from_plain(node)
        return {
            key: _fill(child, f"{path}/{join((key,))}" if path else join((key,)), values) for key, child in node.items()
        }
    if isinstance(node, list):
        return [_fill(child, f"{path}/{i}" if path else str(i), values) for i, child in enumerate(node)]
    return node
