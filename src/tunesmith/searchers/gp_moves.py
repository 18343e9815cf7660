"""Configurations beside a given one: what a search for the most promising looks at."""

from __future__ import annotations

from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.encoding import Encoding

# From so many levels on, a column is climbed as if it had no steps, and then snapped.
_SMOOTH = 9
_SPREADS = np.array([0.2, 0.05, 0.01])


class Moves:
    """Draws neighbours of rows of an encoding.

    Attributes:
        is_category: shape (dimensions,): the columns without an order.
        is_smooth: shape (dimensions,): the columns that can be climbed by a gradient.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        columns = encoding.columns
        self.is_category: Array = np.array([column.is_category for column in columns], dtype=bool)
        self.is_smooth: Array = np.array([not c.is_category and not 0 < c.levels < _SMOOTH for c in columns], bool)
        self._grids = [c.grid() if c.is_coarse and not c.is_category else None for c in columns]

    def random(self, count: int, rng: Generator) -> Array:
        """Draw rows from the space's own distribution."""
        return self.encoding.draw(rng.random((count, self.encoding.dimensions)))

    def around(self, rows: Array, each: int, rng: Generator, most: int = 3) -> Array:
        """Return `each` neighbours of every row, changed in one to `most` of its active columns.

        Numbers move by a normal step of 0.2, 0.05 or 0.01 of the range, or by a step or two of their grid; categories
        take another option. Variables that become active are drawn.
        """
        found = np.repeat(rows, each, axis=0)
        active = self.encoding.active(found)
        order = np.argsort(np.where(active, rng.random(found.shape), 2.0), axis=1)
        changed = np.zeros(found.shape, dtype=bool)
        counts = rng.integers(1, most + 1, len(found))
        np.put_along_axis(changed, order, np.arange(found.shape[1]) < counts[:, None], axis=1)
        changed &= active
        steps = rng.standard_normal(found.shape) * _SPREADS[rng.integers(0, len(_SPREADS), len(found))][:, None]
        shares = rng.random(found.shape)
        for j, column in enumerate(self.encoding.columns):
            here, grid = changed[:, j], self._grids[j]
            if column.is_category:
                found[here, j] = self._other(found[here, j], column.levels, shares[here, j])
            elif grid is None:
                found[here, j] += steps[here, j]
            else:
                found[here, j] = _step(found[here, j], grid, steps[here, j], shares[here, j])
            if column.parent is not None:
                born = (found[:, column.parent] == column.code) & ~active[:, j]
                found[born, j] = column.draw(shares[born, j])
        return self.encoding.canonical(found)

    @staticmethod
    def _other(codes: Array, levels: int, shares: Array) -> Array:
        further: Array = np.floor(shares * (levels - 1)) + 1
        return (codes + further) % levels


def _step(places: Array, grid: Array, steps: Array, shares: Array) -> Array:
    """Go one or two levels up or down, or as far as `steps` says where that is farther."""
    middles = (grid[1:] + grid[:-1]) / 2
    at = np.searchsorted(middles, places)
    small = np.where(shares < 0.5, 1, -1) * np.where((shares * 4) % 2 < 1.4, 1, 2)
    large = np.searchsorted(middles, places + steps) - at
    found: Array = grid[np.clip(at + np.where(np.abs(large) > 2, large, small), 0, len(grid) - 1)]
    return found
