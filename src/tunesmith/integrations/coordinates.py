"""A column of an encoding as other libraries have it: a number from 0 to 1, a step, or an option."""

from __future__ import annotations

from typing import Any, Literal

from tunesmith.searchers.arrays import np
from tunesmith.searchers.columns import FINE, Column


def kind_of(column: Column) -> Literal["option", "step", "share"]:
    """Return whether it holds options without order, steps from 0 to ``levels - 1``, or shares from 0 to 1."""
    if column.is_category:
        return "option"
    return "step" if 0 < column.levels <= FINE else "share"


def to_place(column: Column, value: Any) -> float:
    """Return the place of a library's value: the number of an option or of a step, or a share."""
    return float(column.grid()[int(value)]) if kind_of(column) == "step" else float(value)


def from_place(column: Column, place: float) -> float | int:
    """Return a library's value for a place."""
    kind = kind_of(column)
    if kind == "share":
        return float(place)
    return int(place) if kind == "option" else int(np.abs(column.grid() - place).argmin())
