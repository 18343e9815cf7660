"""Which of many trials a model is made of, as its cost grows with the cube of their number."""

from __future__ import annotations

from tunesmith.searchers.arrays import Array, Generator, np

MOST = 500  # rows of a model
_BEST = 0.2
_NEAREST = 0.5


def subset(rows: Array, values: Array, is_category: Array, most: int, rng: Generator) -> Array:
    """Return the places of at most `most` rows, ascending: the best, the nearest to the best one, and some others.

    Args:
        rows: shape (n, dimensions).
        values: shape (n,), larger is better.
        is_category: shape (dimensions,).
        most: how many.
        rng: for the others.
    """
    count = len(rows)
    if count <= most:
        return np.arange(count)
    order = np.argsort(-values, kind="stable")
    chosen = np.zeros(count, dtype=bool)
    chosen[order[: int(_BEST * most)]] = True
    apart = rows - rows[order[0]]
    far = (apart[:, ~is_category] ** 2).sum(axis=1) + (apart[:, is_category] != 0).sum(axis=1)
    far[chosen] = np.inf
    chosen[np.argsort(far, kind="stable")[: int(_NEAREST * most)]] = True
    rest = np.flatnonzero(~chosen)
    chosen[rng.permutation(rest)[: most - int(chosen.sum())]] = True
    return np.flatnonzero(chosen)
