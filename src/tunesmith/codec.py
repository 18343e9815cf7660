"""Turns any value into plain JSON values and back, so that what is on disk can be read by everyone and for ever.

JSON's own types pass unchanged. Others become an object whose only keys start with ``$``::

    (1, 2)          {"$tuple": [1, 2]}
    nan             {"$float": "nan"}
    b"ab"           {"$bytes": "YWI="}
    {3: "a"}        {"$map": [[3, "a"]]}
    {1, 2}          {"$set": [1, 2]}
    any object      {"$object": "its repr", "$pickle": "..."}

Reading never unpickles: without an unpickler an object comes back as the text of its repr, which can be written again
as what it was.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from math import isfinite
from typing import Any

Pickler = Callable[[Any], bytes]
Unpickler = Callable[[bytes], Any]

_REPR_LENGTH = 200
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PLAIN = (str, int, bool, type(None))


class Kept(str):
    """An object that was read without being unpickled: the text of its repr. `to_plain` writes it as it was."""

    plain: dict[str, str]

    def __new__(cls, plain: dict[str, str]) -> Kept:
        """Take what was read."""
        self = super().__new__(cls, plain["$object"])
        self.plain = plain
        return self


def keep(pickled: bytes) -> Any:
    """Stand in as the unpickler of `from_plain` where objects are to be `Kept`; never called."""
    raise NotImplementedError


def to_plain(value: Any, pickler: Pickler | None = None) -> Any:
    """Return `value` in plain JSON values. Without `pickler`, of an object only its repr is kept.

    >>> to_plain({"sizes": (64, 32)})
    {'sizes': {'$tuple': [64, 32]}}
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is float:
        return value if isfinite(value) else {"$float": str(value)}
    if kind is list:
        return [to_plain(v, pickler) for v in value]
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: to_plain(v, pickler) for key, v in value.items()}
        return {"$map": [[to_plain(k, pickler), to_plain(v, pickler)] for k, v in value.items()]}
    if kind is tuple:
        return {"$tuple": [to_plain(v, pickler) for v in value]}
    if kind is bytes:
        return {"$bytes": b64encode(value).decode()}
    if kind in (set, frozenset):
        items = sorted(value, key=repr)
        return {"$set" if kind is set else "$frozenset": [to_plain(v, pickler) for v in items]}
    if kind.__module__ == "numpy" and hasattr(value, "item") and not getattr(value, "shape", None):
        return to_plain(value.item(), pickler)
    return _object(value, pickler)


def _object(value: Any, pickler: Pickler | None) -> dict[str, str]:
    if isinstance(value, Kept):
        return value.plain
    plain = {"$object": _short_repr(value)}
    if pickler is not None:
        plain["$pickle"] = b64encode(pickler(value)).decode()
    return plain


def _short_repr(value: Any) -> str:
    try:
        text = getattr(value, "__qualname__", None) or repr(value)
    except Exception:  # noqa: BLE001 - a user's __repr__; its fault must not lose the trial
        text = f"<{type(value).__qualname__}>"
    text = _ADDRESS.sub("", text)  # else it would differ in every process
    return text if len(text) <= _REPR_LENGTH else f"{text[: _REPR_LENGTH - 3]}..."


def from_plain(plain: Any, unpickler: Unpickler | None = None) -> Any:
    """Return the value that `to_plain` was given; an object only with `unpickler`, else the text of its repr.

    >>> from_plain({"sizes": {"$tuple": [64, 32]}})
    {'sizes': (64, 32)}
    """
    kind = type(plain)
    if kind is list:
        return [from_plain(v, unpickler) for v in plain]
    if kind is not dict:
        return plain
    for tag in plain:
        if not tag.startswith("$"):
            break
        if tag == "$object":
            if unpickler is keep:
                return Kept(plain)
            pickled = plain.get("$pickle")
            return plain[tag] if unpickler is None or pickled is None else unpickler(b64decode(pickled))
        return _UNTAG[tag](plain[tag], unpickler)
    return {key: from_plain(v, unpickler) for key, v in plain.items()}


_UNTAG: dict[str, Callable[[Any, Unpickler | None], Any]] = {
    "$float": lambda text, _: float(text),
    "$tuple": lambda items, u: tuple(from_plain(v, u) for v in items),
    "$set": lambda items, u: {from_plain(v, u) for v in items},
    "$frozenset": lambda items, u: frozenset(from_plain(v, u) for v in items),
    "$map": lambda pairs, u: {from_plain(k, u): from_plain(v, u) for k, v in pairs},
    "$bytes": lambda text, _: b64decode(text),
}
