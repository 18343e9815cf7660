from __future__ import annotations

import random
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunesmith as tune
from tunesmith.errors import ArgumentError
from tunesmith.paths import put
from tunesmith.schedulers.explore import Explorer


def outcomes(mutation: Any, value: Any, times: int = 400, **options: Any) -> Counter[Any]:
    explorer = Explorer({"x": mutation}, **options)
    return Counter(explorer.explore({"x": value}, Random(i)).new["x"] for i in range(times))


def moved(mutation: Any, value: Any, **options: Any) -> set[Any]:
    return set(outcomes(mutation, value, resample_probability=0, **options))


def test_a_value_of_a_list_moves_to_a_neighbour_and_stays_at_the_ends() -> None:
    assert moved([1, 2, 4, 8], 2) == {1, 4}
    assert moved([1, 2, 4, 8], 8) == {4, 8}
    assert moved(tune.choice(["a", "b", "c"]), "b") == {"a", "c"}


def test_a_value_that_is_not_in_its_list_is_drawn_from_it() -> None:
    assert moved([1, 2, 4], 3) == {1, 2, 4}


def test_the_values_of_a_list_keep_their_own_type() -> None:
    explorer = Explorer({"factor_2": [1, 2]})
    found = {type(explorer.explore({"factor_2": 1.0}, Random(i)).new["factor_2"]) for i in range(20)}
    assert found == {int}


def test_one_value_in_four_is_drawn_anew() -> None:
    found = outcomes(lambda: "new", 10.0, times=2000)
    assert set(found) == {"new", 12.0, 8.0}
    assert 400 < found["new"] < 600
    assert 650 < found[12.0] < 850


@pytest.mark.parametrize(
    ("mutation", "value", "expected"),
    [
        (lambda: 0.5, 10, {8, 12}),
        (lambda: 0.5, 1.0, {0.8, 1.2}),
        (lambda: 0.5, 0.0, {0.0}),
        (lambda: 0.5, 1, {0, 2}),
        (tune.uniform(0, 1), 0.9, {0.72, 1.0}),
        (tune.loguniform(0.1, 1), 0.1, {0.1, 0.12000000000000001}),
        (tune.quniform(0, 1, 0.25), 0.5, {0.25, 0.75}),
        (tune.quniform(0.1, 0.9, 0.25), 0.75, {0.5, 0.75}),
        (tune.randint(1, 4), 3, {2, 3}),
        (tune.qrandint(0, 100, 32), 64, {32, 96}),
        (tune.qrandint(0, 100, 32), 96, {64, 96}),
        (tune.randn(0, 1), 1.0, {0.8, 1.2}),
    ],
)
def test_a_number_is_multiplied_within_its_range(mutation: Any, value: Any, expected: set[Any]) -> None:
    found = moved(mutation, value)
    assert sorted(found) == pytest.approx(sorted(expected))
    assert {type(x) for x in found} == {type(value)}


def test_whole_numbers_lose_their_decimals_by_the_rules_of_2019() -> None:
    assert moved(lambda: 0, 9, truncates=True) == {7, 10}
    assert moved(lambda: 0, 1, truncates=True) == {0, 1}


def test_what_is_no_number_is_drawn_from_its_domain() -> None:
    assert moved(tune.randint(3, 5), "auto") == {3, 4}
    assert moved(lambda: True, False) == {True}


def test_a_mutated_value_that_was_not_there_is_drawn() -> None:
    explored = Explorer({"opt": {"lr": [0.5]}}).explore({"x": 1}, Random(0))
    assert explored.new == {"x": 1, "opt": {"lr": 0.5}}
    assert explored.overrides == {"opt/lr": 0.5}


def test_other_factors_may_be_given() -> None:
    assert moved(lambda: 0, 10.0, factors=(2, 0.5)) == {20.0, 5.0}


def test_nested_hyperparameters_change_and_only_these_are_overridden_and_named() -> None:
    explorer = Explorer({"opt": {"lr": lambda: 1.0}, "layers": [8]}, resample_probability=0)
    config = {"opt": {"lr": 11.97176005813976, "name": "sgd"}, "layers": 8, "data": object()}
    explored = explorer.explore(config, Random(5))
    assert explored.overrides == {"opt/lr": explored.new["opt"]["lr"], "layers": 8}
    assert explored.old["opt"]["lr"] == 11.97176005813976
    assert explored.suffix() in {"@perturbed[layers=8,lr=14.366]", "@perturbed[layers=8,lr=9.5774]"}
    assert explored.new["data"] is config["data"]


def test_a_custom_function_has_the_last_word_and_what_it_changes_is_overridden() -> None:
    def custom(config: dict[str, Any]) -> dict[str, Any]:
        config["batch"] = 32
        config["net"]["width"][1] = 5
        config["fresh"] = {"a": 1}
        return config

    explorer = Explorer({"lr": [0.1]}, custom=custom)
    explored = explorer.explore({"lr": 0.1, "batch": 16, "net": {"width": [1, 2], "depth": 3}}, Random(0))
    assert explored.overrides == {"lr": 0.1, "batch": 32, "net/width/1": 5, "fresh/a": 1}
    assert explored.suffix() == "@perturbed[lr=0.1]"
    alone = Explorer(None, custom=custom).explore({"batch": 16, "net": {"width": [1, 2]}}, Random(0))
    assert alone.suffix() == "@perturbed[batch=32,a=1,width_1=5]"


@given(st.recursive(st.integers(0, 3), lambda inner: st.dictionaries(st.text("ab/~?1", max_size=3), inner, max_size=3)))
def test_the_overrides_make_the_new_configuration_of_the_old(tree: Any) -> None:
    config = {"tree": tree, "x": 1}
    explorer = Explorer({"x": [2, 3]}, custom=lambda found: {**found, "tree": {"b": [tree], "c": tree}})
    explored = explorer.explore(config, Random(0))
    rebuilt = explored.old
    for path, value in explored.overrides.items():
        put(rebuilt, path, value)
    kept = {key: value for key, value in tree.items() if key not in ("b", "c")} if isinstance(tree, dict) else {}
    assert rebuilt["tree"] == {**explored.new["tree"], **kept, "c": rebuilt["tree"]["c"]}
    assert rebuilt["x"] == explored.new["x"]


def test_values_that_can_not_be_compared_count_as_changed() -> None:
    import numpy as np

    explorer = Explorer(None, custom=lambda config: {**config, "a": np.ones(2)})
    assert list(explorer.explore({"a": np.zeros(2), "b": 1}, Random(0)).overrides) == ["a"]


def fail(*_: Any) -> Any:
    raise ValueError("no luck")


@pytest.mark.parametrize(
    ("mutations", "custom", "message"),
    [
        ({"a": {"b": fail}}, None, "the function at 'a/b' in hyperparam_mutations raised ValueError: no luck"),
        (None, fail, "custom_explore_fn raised ValueError: no luck"),
        (None, lambda config: None, "must return the configuration, a dict; it returned None"),
        ({"x": {"b": [1]}}, None, "has 'x/b', but the configuration has no place for it"),
    ],
)
def test_a_function_that_fails_is_named(mutations: Any, custom: Any, message: str) -> None:
    explorer = Explorer(mutations, custom=custom, resample_probability=1)
    with pytest.raises(ArgumentError, match=message):
        explorer.explore({"a": {"b": 1}, "x": 5}, Random(0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"x": 5},), "has 5 at 'x'. Give a list"),
        (({"a": {"x": []}},), "no values to choose from at 'a/x'"),
        (({"x": tune.sample_from(lambda spec: 1)},), "Give a list of values, a domain"),
        (([1, 2],), "must be a dict"),
    ],
)
def test_mutations_that_are_none_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Explorer(*arguments)


@pytest.mark.parametrize(
    "options",
    [{"resample_probability": 1.5}, {"factors": ()}, {"factors": (0, 1)}, {"factors": 1.2}, {"custom": 5}],
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=r"resample_probability|perturbation_factors|custom_explore_fn"):
        Explorer({"x": [1]}, **options)


def test_the_same_stream_gives_the_same_change() -> None:
    explorer = Explorer({"x": tune.uniform(0, 1), "y": [1, 2, 3]})
    seeds = random.Random(0).choices(range(1000), k=20)
    first, again = ([explorer.explore({"x": 0.5, "y": 2}, Random(i)).new for i in seeds] for _ in range(2))
    assert first == again
