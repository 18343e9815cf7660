"""Tables: chosen columns of rows, filtered, sorted, and fitted to the terminal."""

from __future__ import annotations

import csv
import operator
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from tunesmith.errors import ArgumentError, nearest

Row = dict[str, Any]

_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}
_WIDEST: Final = 40  # characters of a cell; longer ones are cut


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return the names of all columns, in the order of their coming."""
    return list(dict.fromkeys(name for row in rows for name in row))


def pick(names: str | None, known: Sequence[str], default: Sequence[str]) -> list[str]:
    """Return the columns that a text such as ``"status,mean_loss"`` names.

    Raises:
        ArgumentError: there is no such column.
    """
    if names is None:
        return [name for name in default if name in known]
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        _check(name, known)
    return wanted


def filtered(rows: Sequence[Row], condition: str | None) -> list[Row]:
    """Return the rows for which a condition such as ``"mean_loss < 0.5"`` is true.

    Raises:
        ArgumentError: it is no condition, or names no column.
    """
    if condition is None:
        return list(rows)
    parts = condition.split(None, 2)
    if len(parts) != 3 or parts[1] not in _OPERATORS:
        raise ArgumentError(
            f"The filter must be a column, one of {' '.join(_OPERATORS)}, and a value, with spaces between them, such "
            f"as 'mean_loss < 0.5'; got {condition!r}."
        )
    name, sign, text = parts
    _check(name, columns_of(rows))
    number = _number(text)
    test = _OPERATORS[sign]
    found = []
    for row in rows:
        value = row.get(name)
        is_number = isinstance(value, (int, float))
        if value is not None and is_number == (number is not None) and test(value, text if number is None else number):
            found.append(row)
    return found


def sorted_by(rows: Sequence[Row], names: str | None, *, descending: bool) -> list[Row]:
    """Return the rows in the order of columns such as ``"status,mean_loss"``; those without a value are last.

    Raises:
        ArgumentError: there is no such column.
    """
    ordered = list(rows)
    for name in reversed(pick(names, columns_of(rows), ())):
        there = [row for row in ordered if row.get(name) is not None]
        there.sort(key=lambda row: _comparable(row[name]), reverse=descending)
        ordered = there + [row for row in ordered if row.get(name) is None]
    return ordered


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write all columns of the rows to a CSV file.

    Raises:
        ArgumentError: it is to be another kind of file.
    """
    if path.suffix != ".csv":
        raise ArgumentError(f"The output must be a .csv file; got {str(path)!r}.")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns_of(rows))
        writer.writeheader()
        writer.writerows(rows)


def show(rows: Sequence[Row], columns: Sequence[str], width: int, out: TextIO) -> None:
    """Print the columns that have something in them, as many as fit into `width` characters; name the others."""
    filled = [name for name in columns if any(row.get(name) is not None for row in rows)]
    cells = [[_text(row.get(name)) for row in rows] for name in filled]
    widths = [max(map(len, [name, *column])) for name, column in zip(filled, cells, strict=True)]
    shown, used = 0, 1
    while shown < len(filled) and used + widths[shown] + 3 <= width:
        used += widths[shown] + 3
        shown += 1
    shown = shown or min(1, len(filled))
    for line in _lines(filled[:shown], cells[:shown], widths[:shown]):
        print(line, file=out)
    if filled[shown:]:
        print(f"Dropped columns: {filled[shown:]}", file=out)
        print("Please increase your terminal size to view remaining columns.", file=out)
    if empty := [name for name in columns if name not in filled]:
        print(f"Empty columns: {empty}", file=out)


def _lines(names: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    yield rule
    yield _line(names, widths)
    yield rule
    for row in zip(*cells, strict=True):
        yield _line(row, widths)
    yield rule


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "|" + "|".join(f" {cell:<{width}} " for cell, width in zip(cells, widths, strict=True)) + "|"


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value).replace("\n", " ")
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


def _comparable(value: Any) -> tuple[int, Any]:
    return (0, value) if isinstance(value, (int, float)) else (1, str(value))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _check(name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise ArgumentError(f"There is no column {name!r}.{nearest(name, known)} There are: {', '.join(known)}.")
