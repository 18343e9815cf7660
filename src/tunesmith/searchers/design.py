"""Points that cover the unit cube evenly: the first trials, before a model knows anything."""

from __future__ import annotations

from tunesmith.searchers.arrays import Array, Generator, np

_TRIES = 16


def latin_hypercube(count: int, dimensions: int, rng: Generator) -> Array:
    """Return points of the unit cube, shape (count, dimensions), one in each of `count` slices of every dimension.

    Of several such designs the one whose nearest pair is the farthest apart is taken. Source: McKay, Beckman and
    Conover, A Comparison of Three Methods for Selecting Values of Input Variables, Technometrics 1979; Johnson, Moore
    and Ylvisaker, Minimax and maximin distance designs, 1990.
    """
    designs = [_one(count, dimensions, rng) for _ in range(_TRIES)]
    return max(designs, key=_nearest)


def _one(count: int, dimensions: int, rng: Generator) -> Array:
    slices = np.argsort(rng.random((count, dimensions)), axis=0)
    points: Array = (slices + rng.random((count, dimensions))) / count
    return points


def _nearest(points: Array) -> float:
    if len(points) < 2 or points.shape[1] == 0:
        return 0.0
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    return float(squares[np.triu_indices(len(points), 1)].min())
