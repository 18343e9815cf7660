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


SPACE = {
    "x": d.uniform(0, 1),
    "n": d.randint(1, 5),
    "g": d.grid_search([1, 2]),
    "net": d.choice([{"kind": "a"}, {"kind": "b", "w": d.uniform(3, 4)}]),
    "kind": d.choice(["p", "q"]),
}


@pytest.mark.parametrize(
    ("point", "words"),
    [
        (3, r"points_to_evaluate\[0\] must be a dict"),
        ({"x": 2}, r"'x' is 2, which is outside of Float\(low=0, high=1"),
        ({"n": 1.5}, r"'n' is 1.5, which is outside of Integer"),
        ({"n": 5}, r"'n' is 5, which is outside of Integer\(low=1, high=4"),
        ({"kind": "r"}, r"'kind' is 'r', which is outside of Choice"),
        ({"g": 1}, r"'g', a grid_search, which goes through all"),
        ({"net": {"w": 3.5}}, r"'net' is .*named by its index, as 'net\?'"),
        ({"net?": 2}, r"must be the index of an option, from 0 to 1; got 2"),
        ({"net/w": 3.5}, r"belongs to option 1 of 'net'. Name that, too: \{'net\?': 1\}"),
        ({"net?": 0, "net/w": 3.5}, r"belongs to option 1 of 'net'"),
        ({"y": {"z": 1}}, r"'y', which is no variable of the space; these are: g, kind, n"),
    ],
)
def test_a_point_outside_of_the_space_is_refused(point: object, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        searcher(SPACE, 2, points_to_evaluate=[point])


def test_a_point_may_choose_a_branch_and_leave_the_rest_open() -> None:
    given = [{"net?": 1, "net/w": 3.5, "kind": "q"}, {"net?": 1}, {"net?": 0}]
    first, second, third = searcher(SPACE, 9, points_to_evaluate=given).ask(0, 3)
    assert (first["net?"], first["net/w"], first["kind"]) == (1, 3.5, "q")
    assert (second["net?"], 3 <= second["net/w"] <= 4) == (1, True)
    assert third["net"] == {"kind": "a"}


def test_what_a_point_leaves_open_is_what_it_would_have_been_without_it() -> None:
    (free,) = searcher(SPACE, 1).ask(0, 1)
    (given,) = searcher(SPACE, 1, points_to_evaluate=[{"x": 0.5}]).ask(0, 1)
    assert given == free | {"x": 0.5}


def test_what_is_computed_follows_what_is_given() -> None:
    space = {"x": d.uniform(0, 1), "y": d.sample_from(lambda spec: spec.config.x * 2)}
    (given,) = searcher(space, 1, points_to_evaluate=[{"x": 0.5}]).ask(0, 1)
    assert given == {"x": 0.5, "y": 1.0}
