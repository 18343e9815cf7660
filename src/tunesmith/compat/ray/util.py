"""Small things that scripts of 2019 took from ``ray.tune.util``."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tunesmith.compat.ray.errors import TuneError

_PREFIX = "ray.tune.PinnedObject:"


def pin_in_object_store(obj: Any) -> str:
    """Keep an object and return an id, by which `get_pinned_object` finds it, in trials too."""
    from tunesmith.compat.ray.pins import keep

    return _PREFIX + keep(obj)


def get_pinned_object(pinned_id: str) -> Any:
    """Return the object of an id.

    Raises:
        TuneError: there is none.
    """
    from tunesmith.compat.ray.pins import find

    if not pinned_id.startswith(_PREFIX):
        raise TuneError(f"{pinned_id!r} is no id that pin_in_object_store has returned.")
    return find(pinned_id.removeprefix(_PREFIX))


def merge_dicts(d1: Mapping[str, Any], d2: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first dict with the second one merged in, at all depths.

    >>> merge_dicts({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    merged = copy.deepcopy(dict(d1))
    return deep_update(merged, d2, new_keys_allowed=True, whitelist=[])


def deep_update(
    original: dict[str, Any],
    new_dict: Mapping[str, Any],
    new_keys_allowed: bool,
    whitelist: list[str],
) -> dict[str, Any]:
    """Merge a dict into another one, which is changed, and return that.

    Raises:
        KeyError: there is a key that the first one does not have, where that is not allowed.
    """
    for key, value in new_dict.items():
        if key not in original and not new_keys_allowed:
            raise KeyError(f"Unknown config parameter `{key}`. It has: {', '.join(map(str, original))}.")
        if isinstance(original.get(key), dict) and isinstance(value, Mapping):
            deep_update(original[key], value, new_keys_allowed or key in whitelist, whitelist)
        else:
            original[key] = value
    return original


def flatten_dict(dt: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested dicts as one, with keys joined by colons.

    >>> flatten_dict({"a": {"b": 1}, "c": 2})
    {'a:b': 1, 'c': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in dt.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}:{inner}": found for inner, found in flatten_dict(value).items()})
        else:
            flat[key] = value
    return flat
