"""Paths of hyperparameters as text: ``model/layers/0``.

A component is a key or a list index; ``~``, ``/`` and ``?`` in keys are written ``~0``, ``~1`` and ``~2``, and an empty
key ``~3``. A path that ends in ``?`` holds the index of the option that was chosen there, for options that can't be
written down by value.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from contextlib import suppress
from typing import Any

CHOSEN = "?"


def join(parts: Iterable[Hashable]) -> str:
    """Return the text of a path.

    >>> join(["model", "a/b", 0])
    'model/a~1b/0'
    """
    return "/".join(str(p).replace("~", "~0").replace("/", "~1").replace("?", "~2") or "~3" for p in parts)


def split(path: str) -> list[str]:
    """Return the components of a path without its ``?`` mark.

    >>> split("model/a~1b/0?")
    ['model', 'a/b', '0']
    """
    parts = path.removesuffix(CHOSEN).split("/")
    if "~" not in path:
        return parts
    return [p.replace("~3", "").replace("~2", "?").replace("~1", "/").replace("~0", "~") for p in parts]


def put(tree: Any, path: str, value: Any) -> None:
    """Set the value at `path` in nested dicts and lists, which are changed; missing dicts are made.

    >>> tree = {"model": {"layers": [1, 2]}}
    >>> put(tree, "model/layers/1", 8)
    >>> tree
    {'model': {'layers': [1, 8]}}
    """
    *parents, last = split(path)
    for part in parents:
        key = _key(tree, part)
        if isinstance(tree, dict) and key not in tree:
            tree[key] = {}
        tree = tree[key]
    tree[_key(tree, last)] = value


def try_put(tree: Any, path: str, value: Any) -> None:
    """Set the value at `path` as `put` does, if that is there: in a search space that was changed it may be gone."""
    with suppress(KeyError, IndexError, TypeError, ValueError):
        put(tree, path, value)


def _key(tree: Any, part: str) -> Any:
    """Return the key or index that the component `part` means in `tree`."""
    if not isinstance(tree, dict):
        return int(part)
    return part if part in tree else next((key for key in tree if str(key) == part), part)
