"""Where a model may look for the most promising configuration: everywhere, or near to what is known."""

from __future__ import annotations

from math import ceil
from typing import Protocol

from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.gp_moves import Moves

_LONGEST, _FIRST, _SHORTEST = 1.6, 0.8, 2.0**-7
_SUCCESSES = 3
_COLUMNS = 20  # that a candidate in a box differs in from its centre, on average


class Region(Protocol):
    """A part of the space."""

    def draw(self, count: int, rng: Generator) -> Array:
        """Draw rows in it."""
        ...

    def bounds(self, rows: Array) -> tuple[Array, Array]:
        """Return the lower and upper ends for what is near each row: both of shape (k, dimensions)."""
        ...


class Everywhere:
    """The whole space."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves

    def draw(self, count: int, rng: Generator) -> Array:
        """Draw rows from the space's distribution."""
        return self._moves.random(count, rng)

    def bounds(self, rows: Array) -> tuple[Array, Array]:
        """Return zeros and ones."""
        return np.zeros(rows.shape), np.ones(rows.shape)


class Box:
    """What differs from a row by so much in each column; categories and coarse columns are free.

    Args:
        moves: of the encoding.
        centre: shape (dimensions,).
        sides: shape (dimensions,), of the box.

    Source: Eriksson et al., Scalable Global Optimization via Local Bayesian Optimization, 2019 (TuRBO).
    """

    def __init__(self, moves: Moves, centre: Array, sides: Array) -> None:
        self._moves, self._centre = moves, centre
        self._low = np.where(moves.is_smooth, np.maximum(centre - sides / 2, 0.0), 0.0)
        self._high = np.where(moves.is_smooth, np.minimum(centre + sides / 2, 1.0), 1.0)

    def draw(self, count: int, rng: Generator) -> Array:
        """Draw rows that differ from the centre in some columns."""
        free = self._moves.random(count, rng)
        shape = free.shape
        inside = np.where(self._moves.is_smooth, self._low + rng.random(shape) * (self._high - self._low), free)
        changed = rng.random(shape) < min(1.0, _COLUMNS / max(shape[1], 1))
        changed[np.arange(count), rng.integers(0, shape[1], count)] = True
        return self._moves.encoding.canonical(np.where(changed, inside, self._centre))

    def bounds(self, rows: Array) -> tuple[Array, Array]:
        """Return the box's ends."""
        return np.broadcast_to(self._low, rows.shape), np.broadcast_to(self._high, rows.shape)


def length(values: Array, dimensions: int) -> float:
    """Return how large a box should be after these values, larger is better, in their order: from 2^-7 to 1.6.

    It doubles after three values in a row that are the best so far, and halves after as many others as there are
    dimensions; when it would be too small, it starts again at 0.8. Source: as `Box`.
    """
    size, best = _FIRST, -np.inf
    failures = max(4, ceil(dimensions))
    good = bad = 0
    for value in values:
        if value > best + 1e-3 * abs(best) or best == -np.inf:
            best, good, bad = max(best, value), good + 1, 0
        else:
            good, bad = 0, bad + 1
        if good == _SUCCESSES:
            size, good = min(2 * size, _LONGEST), 0
        elif bad == failures:
            size, bad = size / 2, 0
            if size < _SHORTEST:
                size = _FIRST
    return size
