"""Numbers and configurations as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith import codec
from tunesmith.naming import short_key
from tunesmith.paths import CHOSEN


def number(value: Any, digits: int = 5) -> str:
    """Return a value in few characters."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(codec.from_plain(value))
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Return a time span: ``0.4 s``, ``37 s``, ``12 min 5 s``, ``3 h 20 min``.

    >>> duration(725)
    '12 min 5 s'
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def parameter(path: str, value: Any) -> str:
    """Return a hyperparameter's value; an option that is known by its index as such."""
    return f"option {value}" if path.endswith(CHOSEN) else number(value)


def configuration(values: Mapping[str, Any]) -> str:
    """Return hyperparameters on one line.

    >>> configuration({"lr": 0.0123456, "net/width": 64})
    'lr=0.012346, width=64'
    """
    return ", ".join(f"{short_key(path)}={parameter(path, values[path])}" for path in sorted(values))


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "trial"), counted(2, "trial")
    ('1 trial', '2 trials')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
