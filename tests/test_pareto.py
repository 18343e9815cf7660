"""Fronts, crowding and hypervolumes, against the definitions themselves."""

from __future__ import annotations

from itertools import product
from math import inf
from random import Random

import pytest

from tunesmith.pareto import Merit, best_first, crowding, dominates, front, hypervolume, ranks, standings, worst


def merits(count: int, goals: int, seed: int) -> list[Merit]:
    rng = Random(seed)
    return [
        Merit(rng.choice([0, 0, 0, 1, 2, inf]), tuple(rng.randrange(6) for _ in range(goals))) for _ in range(count)
    ]


def beats(one: Merit, other: Merit) -> bool:
    if one.is_feasible and other.is_feasible:
        return dominates(one.scores, other.scores)
    return one.violation < other.violation


def peeled(found: list[Merit]) -> list[int]:
    """Take off, again and again, whom nobody that is left dominates."""
    left, result, rank = set(range(len(found))), [0] * len(found), 0
    while left:
        best = {i for i in left if not any(beats(found[j], found[i]) for j in left)}
        for i in best:
            result[i] = rank
        left, rank = left - best, rank + 1
    return result


@pytest.mark.parametrize("goals", [1, 2, 3, 4])
def test_ranks_are_those_of_peeling_front_after_front(goals: int) -> None:
    for count in range(30):
        found = merits(count, goals, seed=count)
        assert ranks(found) == peeled(found)


@pytest.mark.parametrize("goals", [1, 2, 3, 4, 5])
def test_the_hypervolume_is_the_number_of_dominated_unit_boxes(goals: int) -> None:
    for count in range(10):
        points = [merit.scores for merit in merits(count, goals, seed=count)]
        boxes = product(range(6), repeat=goals)
        counted = sum(any(all(p > c for p, c in zip(point, box, strict=True)) for point in points) for box in boxes)
        assert hypervolume(points, (0,) * goals) == counted


def test_the_front_has_each_point_once_and_none_that_another_dominates() -> None:
    assert front([(1, 2), (2, 1), (1, 2), (0, 0), (1, 1)]) == [(2, 1), (1, 2)]


def test_within_a_front_the_lonelier_one_is_first_and_a_double_last() -> None:
    found = [Merit(0, (0.0, 4.0)), Merit(0, (1.0, 3.0)), Merit(0, (1.5, 2.5)), Merit(0, (1.5, 2.5)), Merit(0, (4, 0))]
    assert best_first(found) == [0, 4, 2, 1, 3]
    assert crowding([]) == []


def test_what_breaks_a_constraint_comes_after_all_that_keeps_it_and_a_failure_last() -> None:
    found = [Merit(inf, (9, 9)), Merit(2, (8, 8)), Merit(1, (7, 7)), Merit(0, (1, 1)), Merit(0, (2, 2))]
    assert best_first(found) == [4, 3, 2, 1, 0]
    assert [rank for rank, _ in standings(found)] == [4, 3, 2, 1, 0]


def test_points_that_are_not_beyond_the_reference_add_nothing() -> None:
    assert hypervolume([(1, 5), (5, 0), (3, 3)], (1, 0)) == 6.0
    assert hypervolume([], (0, 0)) == 0.0
    assert worst([(1.0, 2.0), (1.0, 4.0)]) == (0.9, 1.8)
