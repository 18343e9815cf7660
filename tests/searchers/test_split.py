"""Which trials are the good ones."""

import numpy as np
import pytest

import tunesmith as tune
from tunesmith.objective import Constraint, Objective
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.known import Known
from tunesmith.searchers.ranks import best_by_rank, shares_of_area
from tunesmith.searchers.split import split
from tunesmith.space import Space


def known(objective: Objective, results: list[dict[str, float] | None]) -> Known:
    made = Known(Encoding(Space({"x": tune.uniform(0, 1)})), objective, None, 0)
    for number, metrics in enumerate(results):
        made.begin(number, np.array([number / 10]), None)
        made.end(number, metrics, failed=metrics is None)
    return made


def test_the_best_come_first_and_the_earliest_of_equals() -> None:
    losses = [3.0, 1.0, 2.0, 1.0, 5.0]
    best, rest = split(known(Objective("loss", "min"), [{"loss": loss} for loss in losses]), 2)
    assert best.tolist() == [1, 3]
    assert rest.tolist() == [0, 2, 4]
    best, _ = split(known(Objective("loss", "min"), [{"loss": loss} for loss in losses]), 1)
    assert best.tolist() == [1]


def test_those_that_break_a_constraint_follow_by_how_much_and_failed_ones_are_never_good() -> None:
    objective = Objective("loss", "min", constraints=(Constraint("mb", "<=", 10), Constraint("s", "<=", 1)))
    results = [
        {"loss": 0.0, "mb": 1e6, "s": 2.0},
        {"loss": 9.0, "mb": 5.0, "s": 0.5},
        None,
        {"loss": 1.0, "mb": 11.0, "s": 1.5},
        {"loss": 7.0, "mb": 5.0, "s": 0.5},
    ]
    assert split(known(objective, results), 4)[0].tolist() == [4, 1, 3, 0]
    assert split(known(objective, results), 5)[0].tolist() == [4, 1, 3, 0]


@pytest.mark.parametrize("results", [[None] * 6, [{"loss": 1.0}] * 6])
def test_where_all_are_the_same_none_is_good(results: list[dict[str, float] | None]) -> None:
    best, rest = split(known(Objective("loss", "min"), results), 2)
    assert len(best) == 0
    assert rest.tolist() == list(range(6))


def brute_fronts(scores: np.ndarray) -> np.ndarray:
    rank, left, front = np.zeros(len(scores), int), set(range(len(scores))), 0
    while left:
        first = {
            i for i in left
            if not any((scores[j] >= scores[i]).all() and (scores[j] > scores[i]).any() for j in left)
        }  # fmt: skip
        for i in first:
            rank[i] = front
        left -= first
        front += 1
    return rank


@pytest.mark.parametrize("objectives", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_ranks_are_those_of_domination(objectives: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(size=(40, objectives)), 1)  # with equals
    rank = brute_fronts(scores)
    for count in (1, 7, 20, 40, 50):
        best = best_by_rank(scores, count)
        assert len(set(best.tolist())) == min(count, 40)
        assert sorted(rank[best]) == sorted(rank)[:count]


def test_of_a_front_those_are_taken_that_dominate_the_most_together() -> None:
    front = np.array([[0.0, 1.0], [0.02, 0.98], [0.5, 0.9], [0.9, 0.5], [0.98, 0.02], [1.0, 0.0]])
    assert best_by_rank(front, 2).tolist() == [2, 3] or best_by_rank(front, 2).tolist() == [3, 2]


def test_of_a_front_of_three_objectives_the_ends_are_kept() -> None:
    front = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0.34, 0.33, 0.33], [0.33, 0.34, 0.33]])
    assert set(best_by_rank(front, 3).tolist()) == {0, 1, 2}


def test_huge_values_are_no_trouble() -> None:
    scores = np.array([[1e300, -1e300], [-1e300, 1e300], [0.0, 0.0], [1e299, 1e299]])
    assert set(best_by_rank(scores, 3).tolist()) == {0, 1, 3}


def test_what_only_one_result_dominates_is_its_share() -> None:
    scores = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [0.4, 0.4], [0.5, 0.5]])
    shares = shares_of_area(scores, scores)
    assert shares[[0, 2]] == pytest.approx(0.1 * (1.1 - 0.6))
    assert sorted(shares[[1, 4]]) == pytest.approx([0.0, 0.5 * 0.5])
    assert shares[3] == 0
    assert np.isfinite(shares_of_area(scores * 1e308, scores * 1e308)).all()
    assert (shares_of_area(np.ones((3, 2)), np.ones((3, 2))) >= 0).all()
