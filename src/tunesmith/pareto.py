"""Which of several results are best when there is more than one thing to be good at."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple

Scores = tuple[float, ...]


class Merit(NamedTuple):
    """How good a result is: by how much it breaks the constraints, 0 or more, and its scores, larger is better.

    ``violation=inf`` is for a result of which nothing is to be had: it failed, or a metric is not finite.
    """

    violation: float
    scores: Scores

    @property
    def is_feasible(self) -> bool:
        """Whether it breaks nothing."""
        return self.violation == 0


def dominates(one: Scores, other: Scores) -> bool:
    """Return whether `one` is as good as `other` in everything, and better in something.

    >>> dominates((2, 1), (1, 1)), dominates((2, 1), (1, 2))
    (True, False)
    """
    better = False
    for a, b in zip(one, other, strict=True):
        if a < b:
            return False
        better = better or a > b
    return better


def ranks(merits: Sequence[Merit]) -> list[int]:
    """Return each one's rank: 0 for the front, whom nobody dominates, 1 for those whom only the front does, and so on.

    Those that break constraints come after all that don't, and of them those first that break them less.

    O(n log n) for one or two scores, O(n^2) at worst for more. Source: Deb et al., A Fast and Elitist Multiobjective
    Genetic Algorithm: NSGA-II, IEEE TEC 6(2), 2002, section VI for constraints; Zhang et al., An Efficient Approach to
    Nondominated Sorting, IEEE TEC 19(2), 2015, for the search of each one's front.

    >>> ranks([Merit(0, (1, 3)), Merit(0, (3, 1)), Merit(0, (1, 1)), Merit(5, (9, 9))])
    [0, 0, 1, 2]
    """
    found = [0] * len(merits)
    feasible = [i for i, merit in enumerate(merits) if merit.is_feasible]
    fronts = _ranked([merits[i].scores for i in feasible])
    for i, rank in zip(feasible, fronts, strict=True):
        found[i] = rank
    after = max(fronts, default=-1) + 1
    broken = sorted({merit.violation for merit in merits} - {0})
    for i, merit in enumerate(merits):
        if not merit.is_feasible:
            found[i] = after + bisect_left(broken, merit.violation)
    return found


def _ranked(points: Sequence[Scores]) -> list[int]:
    """Return the ranks of points: in falling order, each has the first front in which nobody dominates it."""
    found = [0] * len(points)
    two = bool(points) and len(points[0]) == 2
    fronts: list[list[Scores]] = []
    lasts: list[float] = []  # of two scores: minus the best second one in each front, which rises from front to front
    order = sorted(range(len(points)), key=points.__getitem__, reverse=True)
    for place, i in enumerate(order):
        point = points[i]
        if place and point == points[order[place - 1]]:
            found[i] = found[order[place - 1]]
        elif two:
            found[i] = rank = bisect_right(lasts, -point[1])
            lasts[rank : rank + 1] = [-point[1]]
        else:
            found[i] = rank = _first_open(fronts, point)
            if rank == len(fronts):
                fronts.append([])
            fronts[rank].append(point)
    return found


def _first_open(fronts: Sequence[Sequence[Scores]], point: Scores) -> int:
    """Return the first front of which nobody dominates the point; whom one front lets in, the next ones do."""
    low, high = 0, len(fronts)
    while low < high:
        middle = (low + high) // 2
        if any(dominates(other, point) for other in reversed(fronts[middle])):
            low = middle + 1
        else:
            high = middle
    return low


def crowding(points: Sequence[Scores]) -> list[float]:
    """Return each point's distance to its neighbours within a front: the larger the lonelier, and inf at the ends.

    Of points that are equal, one has the distance and the others have 0. Source: Deb et al., 2002, section III-B.

    >>> crowding([(0, 4), (1, 2), (4, 0)])
    [inf, 2.0, inf]
    """
    found = [0.0] * len(points)
    first: dict[Scores, int] = {}
    for i, point in enumerate(points):
        first.setdefault(point, i)
    distinct = list(first.values())
    for goal in range(len(points[0]) if points else 0):
        distinct.sort(key=lambda i: points[i][goal])
        low, high = points[distinct[0]][goal], points[distinct[-1]][goal]
        found[distinct[0]] = found[distinct[-1]] = inf
        if high > low:
            for before, here, after in zip(distinct, distinct[1:], distinct[2:], strict=False):
                found[here] += (points[after][goal] - points[before][goal]) / (high - low)
    return found


def standings(merits: Sequence[Merit]) -> list[tuple[int, float]]:
    """Return for each one its rank and minus its crowding distance in its front: the less the better.

    >>> standings([Merit(0, (0, 4)), Merit(0, (1, 2)), Merit(0, (4, 0)), Merit(inf, (0, 0))])
    [(0, -inf), (0, -2.0), (0, -inf), (1, -inf)]
    """
    found = [(rank, 0.0) for rank in ranks(merits)]
    fronts: dict[int, list[int]] = {}
    for i, (rank, _) in enumerate(found):
        fronts.setdefault(rank, []).append(i)
    for rank, members in fronts.items():
        distances = crowding([merits[i].scores for i in members])
        for i, distance in zip(members, distances, strict=True):
            found[i] = rank, -distance
    return found


def best_first(merits: Sequence[Merit]) -> list[int]:
    """Return the indices in the order of their standings; of equals, the first one first."""
    found = standings(merits)
    return sorted(range(len(found)), key=found.__getitem__)


def front(points: Iterable[Scores]) -> list[Scores]:
    """Return the different points that nobody dominates, in falling order."""
    different = sorted(set(points), reverse=True)
    return [point for point, rank in zip(different, _ranked(different), strict=True) if rank == 0]


def hypervolume(points: Iterable[Scores], reference: Scores) -> float:
    """Return the volume of what the points dominate above `reference`, exactly; larger is better.

    O(n log n) for two scores, O(n^2) for three; for more it grows fast with the size of the front. Source: While,
    Bradstreet and Barone, A Fast Way of Calculating Exact Hypervolumes, IEEE TEC 16(1), 2012.

    >>> hypervolume([(2, 1), (1, 2)], (0, 0))
    3.0
    """
    above = [tuple(a - b for a, b in zip(point, reference, strict=True)) for point in points]
    return _volume(front(point for point in above if min(point) > 0))


def _volume(points: list[Scores]) -> float:
    """Return the volume over the origin of points that don't dominate each other, in falling order."""
    if not points:
        return 0.0
    match len(points[0]):
        case 1:
            return float(points[0][0])
        case 2:
            heights = [0.0, *(point[1] for point in points)]
            return sum(p[0] * (p[1] - below) for p, below in zip(points, heights, strict=False))
        case 3:
            return _volume_of_three(points)
    total = 0.0
    for i, point in enumerate(points):
        # What this one adds to those after it: its own box, without what they cover of that.
        shadows = front(tuple(map(min, point, other)) for other in points[i + 1 :])
        box = 1.0
        for side in point:
            box *= side
        total += box - _volume(shadows)
    return total


def _volume_of_three(points: list[Scores]) -> float:
    """Cut the volume in slices along the first score, of which each is an area that grows by one point."""
    total, area = 0.0, 0.0
    stairs: list[tuple[float, float]] = []  # rising in the first number, falling in the second
    for i, (depth, width, height) in enumerate(points):
        area += _add_stair(stairs, width, height)
        after = points[i + 1][0] if i + 1 < len(points) else 0.0
        total += area * (depth - after)
    return total


def _add_stair(stairs: list[tuple[float, float]], width: float, height: float) -> float:
    """Add a corner to the area under the stairs and return by how much that grows."""
    at = bisect_left(stairs, (width, height))
    if at < len(stairs) and stairs[at][1] >= height:
        return 0.0
    grown, right = 0.0, width
    low = stairs[at][1] if at < len(stairs) else 0.0
    while at > 0 and stairs[at - 1][1] <= height:
        at -= 1
        left, top = stairs.pop(at)
        grown += (right - left) * (height - low)
        right, low = left, top
    left = stairs[at - 1][0] if at else 0.0
    grown += (right - left) * (height - low)
    insort(stairs, (width, height))
    return grown


def worst(points: Sequence[Scores]) -> Scores:
    """Return a point below all of them: the worst score in everything, and a tenth of the range beyond.

    Where all are the same in something, a tenth of the score, or of 1 for 0.

    >>> worst([(0.0, 10.0), (5.0, 10.0)])
    (-0.5, 9.0)
    """
    found = []
    for scores in zip(*points, strict=True):
        low, high = min(scores), max(scores)
        found.append(low - 0.1 * ((high - low) or abs(low) or 1.0))
    return tuple(found)
