"""Search spaces that change: what is told of it, and what becomes of the values of before."""

from __future__ import annotations

from typing import Any

from tunesmith import domains as d
from tunesmith.evolution import fitting, refit, space_changes
from tunesmith.space import Space

BRANCHES = [{"kind": "a", "v": d.uniform(1, 2)}, {"kind": "b", "w": d.uniform(3, 4)}]


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return space_changes(Space(before).describe(), Space(after).describe())


def test_the_same_space_has_no_changes() -> None:
    space = {"a": {"b": [1, d.uniform(0, 1)]}, "c": d.choice(BRANCHES), "d": d.grid_search([1, (2, 3)])}
    assert changes(space, dict(space)) == []


def test_each_path_that_differs_is_told_with_what_it_was_and_is() -> None:
    before = {"net": {"width": 8, "lr": d.uniform(0, 1)}, "old": "text", "list": [1, 2]}
    after = {"net": {"width": 9, "lr": d.uniform(0, 2)}, "list": [1, 3], "opt": d.choice(["x", "y"])}
    assert changes(before, after) == [
        "list changed from [1, 2] to [1, 3]",
        "net/lr changed from Float(low=0, high=1, log=False, q=None, base=10)"
        " to Float(low=0, high=2, log=False, q=None, base=10)",
        "net/width changed from 8 to 9",
        "old was removed ('text')",
        "opt was added ({'choice': ['x', 'y']})",
    ]


def fitted(before: dict[str, Any], after: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    return refit(Space(after), Space(before).describe(), values, 1, 7)


def test_values_stay_and_new_variables_are_drawn_from_the_trial_s_own_stream() -> None:
    after = {"x": d.uniform(5, 6), "y": d.uniform(0, 1)}
    values = fitted({"x": d.uniform(0, 1)}, after, {"x": 0.5})
    assert values == {"x": 0.5, "y": Space(after).sample(1, 7)["y"]}


def test_an_option_is_found_again_where_it_is_now_with_what_was_drawn_in_it() -> None:
    before = {"net": d.choice(BRANCHES)}
    after = {"net": d.choice([{"kind": "new", "n": d.uniform(0, 1)}, *reversed(BRANCHES)])}
    assert fitted(before, after, {"net?": 0, "net/v": 1.5}) == {"net?": 2, "net/v": 1.5}


def test_an_option_that_is_gone_is_drawn_anew_with_all_that_belongs_to_it() -> None:
    values = fitted({"net": d.choice(BRANCHES)}, {"net": d.choice(BRANCHES[1:])}, {"net?": 0, "net/v": 1.5})
    assert values["net?"] == 0
    assert set(values) == {"net?", "net/w"}
    assert 3 <= values["net/w"] <= 4


def test_an_option_within_an_option_is_found_again() -> None:
    def space(*options: Any) -> dict[str, Any]:
        return {"net": d.choice([{"head": d.choice(options), "k": d.uniform(0, 1)}])}

    values = {"net?": 0, "net/head?": 1, "net/head/w": 3.5, "net/k": 0.5}
    assert fitted(space(*BRANCHES), space(*BRANCHES), values) == values
    assert fitted(space(*BRANCHES), space(*reversed(BRANCHES)), values) == values | {"net/head?": 0}


def test_an_option_in_which_a_range_has_changed_is_the_same_option() -> None:
    after = {"net": d.choice([{"kind": "b", "w": d.uniform(8, 9)}, {"kind": "a", "v": d.uniform(8, 9)}])}
    assert fitted({"net": d.choice(BRANCHES)}, after, {"net?": 0, "net/v": 1.5}) == {"net?": 1, "net/v": 1.5}


def test_values_are_kept_where_the_variable_has_become_something_else() -> None:
    assert fitted({"x": d.uniform(0, 1)}, {"x": 3}, {"x": 0.5}) == {"x": 0.5}
    assert fitted({"x": d.choice(["p", "q"])}, {"x": d.choice(["r"])}, {"x": "q"}) == {"x": "q"}
    assert fitted({"x": d.choice(["p"])}, {"x": d.choice(BRANCHES)}, {"x": "p"}) == {"x": "p"}
    assert fitted({"g": d.grid_search([1, 2])}, {"g": d.grid_search([3, 4])}, {"g": 1}) == {"g": 1}


def test_what_is_computed_is_kept_or_follows_what_is_kept() -> None:
    after = {"x": d.uniform(5, 6), "y": d.sample_from(lambda spec: spec.config.x * 2)}
    assert fitted({"x": d.uniform(0, 1)}, after, {"x": 0.5}) == {"x": 0.5, "y": 1.0}
    assert fitted(after, after, {"x": 0.5, "y": 9}) == {"x": 0.5, "y": 9}


def test_what_fits_another_space_is_what_lies_in_it() -> None:
    before = {"x": d.uniform(0, 9), "c": d.choice(["p", "q"]), "net": d.choice(BRANCHES), "g": d.grid_search([1, 2])}
    described = Space(before).describe()
    values = {"x": 3.0, "c": "p", "net?": 1, "net/w": 3.5, "g": 1}
    assert fitting(Space(before), described, values) == {"x": 3.0, "c": "p", "net?": 1, "net/w": 3.5}
    assert fitting(Space({"x": d.uniform(0, 5), "y": d.randn()}), described, values) == {"x": 3.0}
    assert fitting(Space({"x": d.uniform(0, 2)}), described, values) is None
    assert fitting(Space({"c": d.choice(["q"])}), described, values) is None
    assert fitting(Space({"y": d.randn(), "x": 3}), described, values) is None
    narrow = d.choice([{"kind": "b", "w": d.uniform(3, 3.2)}])
    assert fitting(Space({"net": narrow}), described, values) is None
