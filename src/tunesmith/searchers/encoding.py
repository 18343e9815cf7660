"""Search spaces as points of the unit cube: once for all searchers that compute with numbers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from math import prod
from typing import Any

from tunesmith.domains import Choice
from tunesmith.searchers.arrays import Array, np
from tunesmith.searchers.columns import Category, Column, column_of
from tunesmith.space import Space


class Encoding:
    """A search space as a table of columns: a configuration is a row of numbers.

    Constants, variables of a single value and functions (`sample_from`, which are computed from the rest) have no
    column. A variable within an option of a choice is active where the option is chosen; elsewhere its column holds its
    neutral value, so that rows are equal when they mean the same.

    Args:
        space: without grids.

    Attributes:
        columns: in an order in which a choice stands before what belongs to its options.

    >>> from tunesmith.domains import choice, loguniform
    >>> encoding = Encoding(Space({"lr": loguniform(1e-4, 1), "kind": choice(["a", "b"])}))
    >>> [float(x) for x in encoding.encode({"lr": 0.01, "kind": "b"})]
    [0.5, 1.0]
    >>> encoding.decode(encoding.encode({"lr": 0.01, "kind": "b"}))
    {'lr': 0.01, 'kind': 'b'}
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.columns: tuple[Column, ...] = tuple(_columns(space))
        self.neutral: Array = np.array([column.neutral for column in self.columns], dtype=float)
        self.size: int | None = _size(self.columns)
        self._alike = _alike(self.columns)

    @property
    def dimensions(self) -> int:
        """How many columns there are."""
        return len(self.columns)

    @property
    def is_conditional(self) -> bool:
        """Whether some variables are active in some configurations only."""
        return any(column.parent is not None for column in self.columns)

    def encode(self, values: Mapping[str, Any], *, partly: bool = False) -> Array | None:
        """Return the row, shape (dimensions,), of values by path; None if one that is active is missing or outside.

        With `partly`, what is missing or outside is neutral.
        """
        row = self.neutral.copy()
        for j, column in enumerate(self.columns):
            if column.parent is not None and row[column.parent] != column.code:
                continue
            place = column.place(values)
            if place is not None:
                row[j] = place
            elif not partly:
                return None
        found: Array = self.canonical(row[None])[0]
        return found

    def decode(self, row: Array) -> dict[str, Any]:
        """Return the values, by path, of the variables that are active in a row."""
        values: dict[str, Any] = {}
        places = row.tolist()
        for place, column in zip(places, self.columns, strict=True):
            if column.parent is None or places[column.parent] == column.code:
                column.put(place, values)
        return values

    def canonical(self, rows: Array) -> Array:
        """Return rows, shape (n, dimensions), with each number at a place that has a value, or neutral."""
        found = np.array(rows, dtype=float)
        for where, column in self._alike:
            found[:, where] = column.snap(found[:, where])
        for j, column in enumerate(self.columns):
            if column.parent is not None:
                found[:, j] = np.where(found[:, column.parent] == column.code, found[:, j], column.neutral)
        return found

    def active(self, rows: Array) -> Array:
        """Return which variables are active in each row: booleans of shape (n, dimensions)."""
        found = np.ones(rows.shape, dtype=bool)
        for j, column in enumerate(self.columns):
            if column.parent is not None:
                found[:, j] = found[:, column.parent] & (rows[:, column.parent] == column.code)
        return found

    def draw(self, shares: Array) -> Array:
        """Turn points of the unit cube, shape (n, dimensions), into rows as the space's own distribution has them."""
        columns = [column.draw(shares[:, j]) for j, column in enumerate(self.columns)]
        return self.canonical(np.column_stack(columns) if columns else np.empty((len(shares), 0)))

    def all_rows(self) -> Array:
        """Return every canonical row, shape (size, dimensions), of a space that has a size."""
        rows = self.neutral[None]
        for j, column in enumerate(self.columns):
            active = self.active(rows)[:, j]
            grid = column.grid()
            expanded = np.repeat(rows[active], len(grid), axis=0)
            expanded[:, j] = np.tile(grid, int(active.sum()))
            rows = np.concatenate([rows[~active], expanded])
        return self.canonical(rows)

    def key(self, row: Array) -> bytes:
        """Return what is equal for rows that mean the same; of a canonical row."""
        return np.round(row, 12).tobytes()


def _columns(space: Space) -> list[Column]:
    # By path, the shortest first, so that a choice comes before its options' variables, and itself before what is one.
    found: list[Column] = []
    where: dict[tuple[str, int], tuple[int | None, int] | None] = {}  # by option: the column and the code to look for
    for variable in sorted(space.variables, key=lambda v: len(v.path)):
        above = (None, 0) if variable.condition is None else where.get(variable.condition)
        if above is None:
            continue  # within a function's or a grid's option
        parent, code = above
        column = column_of(space, variable, parent, code)
        if isinstance(variable.domain, Choice):
            for index in range(len(variable.domain.options)):
                here = column.code_of(index) if isinstance(column, Category) and column.levels > 1 else None
                where[variable.path, index] = above if here is None else (len(found), here)
        if column is not None and column.levels != 1:
            found.append(column)
    return found


def _alike(columns: Sequence[Column]) -> list[tuple[slice | list[int], Column]]:
    """Return where columns that are snapped by the same formula are, and one column that snaps all of them at once."""
    kinds: dict[Hashable, list[int]] = {}
    for j, column in enumerate(columns):
        kinds.setdefault(column.kind(), []).append(j)
    found: list[tuple[slice | list[int], Column]] = []
    for where in kinds.values():
        joined = copy(columns[where[0]])
        for name in joined.numbers:
            values = [getattr(columns[j], name) for j in where]
            setattr(joined, name, None if values[0] is None else np.array(values, dtype=float))
        found.append((slice(None) if len(where) == len(columns) else where, joined))
    return found


def _size(columns: Sequence[Column]) -> int | None:
    """Return how many different rows there are; None for no end of them."""
    if any(column.levels == 0 for column in columns):
        return None
    below: dict[tuple[int | None, int], list[int]] = {}
    for j, column in enumerate(columns):
        below.setdefault((column.parent, column.code), []).append(j)

    def count(parent: int | None, code: int) -> int:
        return prod(options(j) for j in below.get((parent, code), ()))

    def options(j: int) -> int:
        column = columns[j]
        inner = [code for parent, code in below if parent == j]
        return column.levels - len(inner) + sum(count(j, code) for code in inner)

    return count(None, 0)
