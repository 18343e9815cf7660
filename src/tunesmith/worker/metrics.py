"""Makes what users report plain: values that any reader can take, JSON included."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from tunesmith.errors import ArgumentError

_ATOMS = frozenset({float, int, str, bool, type(None)})
_INT_MAX = 2**63 - 1  # what a database and most decoders hold
_DEPTH_MAX = 20
_SUMMED = (("timesteps_this_iter", "timesteps_total"), ("episodes_this_iter", "episodes_total"))
_REPR_MAX = 200
_warned: set[str] = set()  # once a process is enough, whatever the trial


def plain(metrics: Any) -> dict[str, Any]:
    """Return `metrics` as a new dict of plain values: numbers, text, booleans, None, lists and dicts of them.

    Scalars and arrays of NumPy and the like become numbers and lists. Anything else becomes its ``repr``, cut to 200
    characters, with one warning a name on stderr. NaN and infinities stay what they are.

    Raises:
        ArgumentError: `metrics` is no mapping, or a name is no string.
    """
    if type(metrics) is not dict and not isinstance(metrics, Mapping):
        raise ArgumentError(
            f"A report must be a mapping of names to values, got {_shorten(metrics)} ({type(metrics).__name__}). "
            "Report for example {'loss': 0.3} or loss=0.3."
        )
    result: dict[str, Any] = {}
    for name, value in metrics.items():
        if type(name) is not str or not name.isascii():
            if not isinstance(name, str):
                raise ArgumentError(f"The name of a reported value must be a string, got {name!r}. Use str({name!r}).")
            name = _text(name)  # noqa: PLW2901 - the same name, plain
        kind = type(value)
        if kind is float or kind is bool or value is None:
            result[name] = value
        else:
            result[name] = _plain(value, name, 0)
    return result


def as_number(value: Any) -> float | int | None:
    """Return `value` as a number if it is one, a NumPy scalar included, else None."""
    if not hasattr(type(value), "__float__") or getattr(value, "ndim", 0) != 0:
        return None
    number = _plain(value, "", _DEPTH_MAX)
    return number if isinstance(number, (int, float)) else None


def add_up(values: dict[str, Any], totals: dict[str, float | int]) -> None:
    """Keep ``timesteps_total`` and ``episodes_total`` as sums of the ``..._this_iter``, unless a total is given."""
    for step_name, total_name in _SUMMED:
        if total_name in values:
            if isinstance(values[total_name], (int, float)):
                totals[total_name] = values[total_name]
        elif step_name in values and isinstance(values[step_name], (int, float)):
            totals[total_name] = values[total_name] = totals.get(total_name, 0) + values[step_name]


def _plain(value: Any, name: str, depth: int) -> Any:
    kind = type(value)
    if kind is float or kind is bool or value is None:
        return value
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return _text(value)
    if depth < _DEPTH_MAX:
        if isinstance(value, Mapping):
            return {_text(str(k)): _plain(v, name, depth + 1) for k, v in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return _list(value, name, depth)
    return _foreign(value, name, depth)


def _foreign(value: Any, name: str, depth: int) -> Any:
    """Make the value of another library plain, by what such values have in common."""
    try:
        if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 and not isinstance(value, type):
            found = value.item()
        elif hasattr(value, "tolist") and not isinstance(value, type):
            found = value.tolist()
        elif hasattr(type(value), "__float__"):
            return float(value)
        else:
            return _described(value, name)
    except Exception:  # noqa: BLE001 - a strange object must never end a trial that only reports it
        return _described(value, name)
    if type(found) is type(value) or depth > _DEPTH_MAX:
        return _described(value, name)
    return _plain(found, name, depth + 1)


def _list(values: Iterable[Any], name: str, depth: int) -> list[Any]:
    return [value if type(value) is float else _plain(value, name, depth + 1) for value in values]


def _integer(value: int) -> int | float | str:
    number = int(value)
    if -_INT_MAX <= number <= _INT_MAX:
        return number
    try:
        return float(number)
    except OverflowError:
        return str(number)[:_REPR_MAX]


def _text(value: str) -> str:
    text = value if type(value) is str else str.__str__(value)  # an enumeration's own str() is its member's name
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _described(value: Any, name: str) -> str:
    if name not in _warned:
        _warned.add(name)
        kind = type(value).__name__
        print(f"The reported value {name!r} is of type {kind}: its repr is kept instead.", file=sys.stderr)
    return _shorten(value)


def _shorten(value: Any) -> str:
    try:
        return _text(repr(value))[:_REPR_MAX]
    except Exception:  # noqa: BLE001 - as above
        return f"<{type(value).__name__}>"
