"""Numbers, time spans and configurations as people read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import floor, inf, log10
from typing import Any

from tunesmith import codec
from tunesmith.naming import short_key
from tunesmith.paths import CHOSEN, split

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONGEST_VALUE = 60  # characters of a value in a configuration
_LONGEST_FIXED = 9  # characters of a number without an exponent
_LEAST_FIXED = 1e-4  # what is smaller has an exponent


def clean(text: str) -> str:
    r"""Return `text` as one line that can't move a terminal's cursor.

    >>> clean("two\nlines")
    'two lines'
    """
    return _CONTROL.sub(" ", text)


def first_line(message: str) -> str:
    """Return the first line of a message that says anything.

    >>> first_line("")
    'no message'
    """
    return clean(next((line for line in message.splitlines() if line.strip()), "no message"))


def cropped(text: str, length: int) -> str:
    """Return `text`, or its beginning and an ellipsis.

    >>> cropped("gradient", 5)
    'grad…'
    """
    return text if len(text) <= length else f"{text[: length - 1]}…"


def number(value: Any, digits: int = 5) -> str:
    """Return a value, a recorded one, in few characters and on one line.

    >>> number(0.5), number(1e-9), number(True), number(12)
    ('0.5', '1e-09', 'True', '12')
    """
    if type(value) is float:
        return f"{value:.{digits}g}"
    if type(value) is int:
        return str(value) if abs(value) < 10**12 else _scientific(value, digits)
    return clean(str(codec.from_plain(value)))


def _scientific(value: int, digits: int) -> str:
    try:
        return f"{value:.{digits}g}"
    except OverflowError:
        return f"{'-' if value < 0 else ''}10^{int(value.bit_length() * log10(2))}"


def column(values: Sequence[Any], digits: int = 5) -> list[str]:
    """Return the values of a column: numbers that are alike get the same number of decimals, None becomes empty.

    >>> column([0.5, 0.0123456, None])
    ['0.500000', '0.012346', '']
    """
    decimals = _decimals([v for v in values if type(v) is float], digits)
    texts = []
    for value in values:
        if value is None:
            texts.append("")
        elif decimals is not None and type(value) in (float, int) and (not value or _LEAST_FIXED <= abs(value) < inf):
            texts.append(f"{value:.{decimals}f}")
        else:
            texts.append(number(value, digits))
    return texts


def _decimals(values: Iterable[float], digits: int) -> int | None:
    """Return how many decimals show all values well, or None if no one number does; tiny ones do not count."""
    sizes = [abs(value) for value in values if _LEAST_FIXED <= abs(value) < inf]
    if not sizes:
        return None
    least, most = floor(log10(min(sizes))), floor(log10(max(sizes)))
    decimals = max(min(digits - 1 - least, _LONGEST_FIXED - 1 - max(most + 1, 1)), 0)
    return decimals if most < 6 and decimals + least >= 2 else None


def duration(seconds: float) -> str:
    """Return a time span: ``0.4 s``, ``37 s``, ``12 min 5 s``, ``3 h 20 min``, ``2 d 4 h``.

    >>> duration(725)
    '12 min 5 s'
    """
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = whole // 60
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def short_duration(seconds: float) -> str:
    """Return a time span in at most six characters, for a column.

    >>> short_duration(7.25), short_duration(725), short_duration(12_000), short_duration(200_000)
    ('7.2 s', '12m05s', '3h20m', '2d7h')
    """
    whole = round(seconds)
    if whole < 60:
        return duration(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    minutes = whole // 60
    if minutes < 24 * 60:
        return f"{minutes // 60}h{minutes % 60:02d}m"
    return f"{minutes // 1440}d{minutes % 1440 // 60}h"


def labels(paths: Iterable[str]) -> dict[str, str]:
    """Return the shortest names that tell hyperparameters apart, by path.

    >>> labels(["actor/lr", "critic/lr", "width"])
    {'actor/lr': 'actor/lr', 'critic/lr': 'critic/lr', 'width': 'width'}
    """
    names = {path: short_key(path) for path in paths}
    shared: dict[str, list[str]] = {}
    for path, name in names.items():
        shared.setdefault(name, []).append(path)
    for same in shared.values():
        if len(same) > 1:
            names.update({path: "/".join(split(path)) for path in same})
    return {path: clean(name) for path, name in names.items()}


def parameter(path: str, value: Any, digits: int = 5) -> str:
    """Return a hyperparameter's value; an option that is known by its index as such."""
    return f"option {value}" if path.endswith(CHOSEN) else number(value, digits)


def configuration(values: Mapping[str, Any]) -> str:
    """Return hyperparameters on one line.

    >>> configuration({"lr": 0.0123456, "net/width": 64})
    'lr=0.012346, width=64'
    """
    names = labels(sorted(values))
    return ", ".join(f"{name}={cropped(parameter(path, values[path]), _LONGEST_VALUE)}" for path, name in names.items())


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "trial"), counted(2000, "trial")
    ('1 trial', '2,000 trials')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
