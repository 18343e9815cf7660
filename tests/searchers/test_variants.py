"""Random and grid search, and their product."""

from __future__ import annotations

import pytest

from tunesmith import domains as d
from tunesmith.errors import ArgumentError
from tunesmith.searchers.variants import VariantSearcher
from tunesmith.space import Space


def searcher(config: dict, num_samples: int, **kwargs: object) -> VariantSearcher:
    made = VariantSearcher(**kwargs)
    made.setup(Space(config), None, 3, num_samples)
    return made


def test_samples_repeat_the_whole_grid_with_fresh_draws() -> None:
    search = searcher({"g": d.grid_search([1, 2]), "x": d.uniform(0, 1)}, 3)
    assert search.total() == 6
    values = search.ask(0, 100)
    assert [v["g"] for v in values] == [1, 2, 1, 2, 1, 2]
    assert len({v["x"] for v in values}) == 6


def test_the_same_question_has_the_same_answer_however_it_is_cut() -> None:
    whole = searcher({"x": d.uniform(0, 1)}, 10).ask(0, 10)
    search = searcher({"x": d.uniform(0, 1)}, 10)
    assert search.ask(5, 5) == whole[5:]
    assert search.ask(0, 5) == whole[:5]


def test_without_end_there_is_no_total_but_a_bare_grid_ends_after_one_pass() -> None:
    search = searcher({"x": d.uniform(0, 1)}, -1)
    assert search.total() is None
    assert len(search.ask(1000, 7)) == 7
    grid = searcher({"g": d.grid_search([1, 2, 3])}, -1)
    assert grid.total() == 3
    assert len(grid.ask(0, 100)) == 3


def test_given_points_come_first_and_are_completed() -> None:
    search = searcher({"x": d.uniform(0, 1), "y": d.uniform(0, 1)}, 2, points_to_evaluate=[{"x": 0.5}])
    first, second = search.ask(0, 2)
    assert first["x"] == 0.5
    assert 0 <= first["y"] <= 1
    assert second["x"] != 0.5


def test_a_point_that_names_no_variable_is_refused() -> None:
    with pytest.raises(ArgumentError, match="'z', which is no variable"):
        searcher({"x": d.uniform(0, 1)}, 2, points_to_evaluate=[{"z": 0.5}])
