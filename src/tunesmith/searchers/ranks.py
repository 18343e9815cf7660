"""Which of many results are the best, where several things are to be optimised."""

from __future__ import annotations

from tunesmith.searchers.arrays import Array, np

_BELOW = 0.1  # of the range: how far below the worst an area begins


def best_by_rank(scores: Array, count: int) -> Array:
    """Return the indices of the best `count` rows of `scores`, shape (n, m), larger is better, the best first.

    Rows that no other one dominates come first, then those that only the first dominate, and so on. Of the last of
    these fronts that has room, those are taken that stand for the most of it: with two objectives those that together
    dominate the most, one by one; with more, those whose neighbours are the farthest.
    """
    left = np.arange(len(scores))
    found: list[Array] = []
    room = min(count, len(scores))
    while room > 0:
        is_first = is_undominated(scores[left])
        front, left = left[is_first], left[~is_first]
        if len(front) > room:
            front = front[_spread(scores[front], room)]
        found.append(front)
        room -= len(front)
    return np.concatenate(found) if found else np.empty(0, dtype=int)


def shares_of_area(scores: Array, every: Array) -> Array:
    """Return the area that each row of `scores`, shape (n, 2), dominates and no other row does, shape (n,).

    The area is that above a little less than the worst of `every`, in units of the range of each column. It is 0 for
    rows that others dominate; of equal ones one has all.
    """
    points = _unit(scores, every) + _BELOW
    shares: Array = np.zeros(len(points))
    order = np.lexsort((-points[:, 1], -points[:, 0]))
    second = points[order, 1]
    is_step = second > np.concatenate([[-np.inf], np.maximum.accumulate(second)[:-1]])
    stairs = order[is_step]  # down in the first objective, up in the second
    widths = points[stairs, 0] - np.append(points[stairs[1:], 0], 0.0)
    shares[stairs] = widths * np.diff(points[stairs, 1], prepend=0.0)
    return shares


def _unit(values: Array, every: Array) -> Array:
    """Return values in units of the range of all, from 0 where the worst is."""
    with np.errstate(over="ignore"):
        low, high = every.min(axis=0), every.max(axis=0)
        scale = np.where(high > low, high / 2 - low / 2, 1.0)
        found: Array = (values / 2 - low / 2) / scale
    return found


def is_undominated(scores: Array) -> Array:
    """Return which rows no other one dominates, by being as good in everything and better in something: booleans."""
    if scores.shape[1] == 2:
        return _of_pairs(scores)
    is_first = np.zeros(len(scores), dtype=bool)
    # The larger the sum, the more a row is likely to dominate; nothing can be dominated by one with a smaller sum.
    left = np.lexsort((*scores.T, scores.sum(axis=1)))[::-1]
    while len(left):
        best = scores[left[0]]
        equal = (scores[left] == best).all(axis=1)
        is_first[left[equal]] = True
        left = left[(scores[left] > best).any(axis=1)]
    return is_first


def _of_pairs(scores: Array) -> Array:
    order = np.lexsort((-scores[:, 1], -scores[:, 0]))
    first, second = scores[order].T
    highest = np.concatenate([[-np.inf], np.maximum.accumulate(second)[:-1]])
    same = np.concatenate([[False], (first[1:] == first[:-1]) & (second[1:] == second[:-1])])
    is_better = second > highest
    # A row equal to one before it shares its fate.
    start = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
    found = np.empty(len(order), dtype=bool)
    found[order] = is_better[start]
    return found


def _spread(front: Array, count: int) -> Array:
    """Return `count` of a front's rows, by how much of it they stand for."""
    unit = _unit(front, front)
    if front.shape[1] == 2:
        return _greedy_area(unit, count)
    distance = np.zeros(len(unit))
    for column in unit.T:
        order = np.argsort(column, kind="stable")
        gaps = np.diff(column[order])
        distance[order[0]] = distance[order[-1]] = np.inf
        distance[order[1:-1]] += gaps[1:] + gaps[:-1]
    return np.argsort(-distance, kind="stable")[:count]


def _greedy_area(unit: Array, count: int) -> Array:
    """Return the points that add the most to the area that is dominated, down to a little below the worst."""
    points = unit + _BELOW
    gain = points[:, 0] * points[:, 1]
    chosen: list[int] = []
    free = np.ones(len(points), dtype=bool)
    for _ in range(count):
        best = int(np.argmax(np.where(free, gain, -np.inf)))
        chosen.append(best)
        free[best] = False
        # What is left of each box after those of the chosen ones: a front is a staircase, its neighbours bound it.
        gain = _areas_left(points, np.array(chosen))
    return np.array(chosen)


def _areas_left(points: Array, chosen: Array) -> Array:
    order = chosen[np.argsort(points[chosen, 0], kind="stable")]
    first = np.concatenate([[0.0], points[order, 0]])
    second = np.concatenate([points[order, 1], [0.0]])
    at = np.searchsorted(first[1:], points[:, 0], side="left")
    # To the left a chosen neighbour with less of the first and more of the second, to the right the opposite.
    found: Array = np.maximum(points[:, 0] - first[at], 0.0) * np.maximum(points[:, 1] - second[at], 0.0)
    return found
