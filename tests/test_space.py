"""A space draws values and builds configurations from them."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith import codec
from tunesmith import domains as d
from tunesmith.errors import SpaceError
from tunesmith.space import Space


def drawn(config: dict[str, Any], number: int = 0, grid: int = 0) -> dict[str, Any]:
    space = Space(config)
    return space.build(space.sample(0, number, grid))


def test_domains_are_found_at_any_depth_and_constants_stay() -> None:
    space = Space({"a": {"b": [1, d.uniform(0, 1), (d.randint(0, 3), "x")]}, "c": None, 3: d.choice(["p", "q"])})
    assert [v.path for v in space.variables] == ["3", "a/b/1", "a/b/2/0"]
    config = space.build(space.sample(0, 0))
    assert config["a"]["b"][0] == 1
    assert type(config["a"]["b"][2]) is tuple
    assert config["a"]["b"][2][1] == "x"
    assert config[3] in ("p", "q")


def test_suggestions_are_a_function_of_seed_and_number() -> None:
    space = Space({"x": d.uniform(0, 1), "y": d.randn()})
    assert space.sample(1, 5) == space.sample(1, 5)
    assert space.sample(1, 5) != space.sample(1, 6)
    assert space.sample(1, 5) != space.sample(2, 5)


def test_the_first_grid_by_path_varies_fastest() -> None:
    space = Space({"b": d.grid_search([1, 2]), "a": {"grid_search": ["x", "y", "z"]}})
    assert space.grid_size == 6
    points = [space.sample(0, i, i) for i in range(6)]
    assert [(p["a"], p["b"]) for p in points] == [("x", 1), ("y", 1), ("z", 1), ("x", 2), ("y", 2), ("z", 2)]


def test_a_branch_is_drawn_from_only_when_it_is_chosen() -> None:
    svm = {"kind": "svm", "kernel": d.choice([{"name": "linear"}, {"name": "rbf", "gamma": d.loguniform(1e-3, 1)}])}
    space = Space({"model": d.choice(["none", svm, {"kind": "tree", "depth": d.randint(1, 9)}])})
    seen = set()
    for number in range(200):
        values = space.sample(0, number)
        model = space.build(values)["model"]
        kind = model if isinstance(model, str) else model["kind"]
        seen.add(kind + str(sorted(model["kernel"])) if kind == "svm" else kind)
        assert ("model/depth" in values) == (kind == "tree")
    assert seen == {"none", "tree", "svm['gamma', 'name']", "svm['name']"}


def test_an_option_may_be_a_domain_and_conditions_say_what_depends_on_what() -> None:
    space = Space({"dropout": d.choice([0, d.uniform(0.1, 0.5)])})
    assert [(v.path, v.condition) for v in space.variables] == [("dropout", None), ("dropout", ("dropout", 1))]
    seen = {type(space.build(space.sample(0, i))["dropout"]) for i in range(50)}
    assert seen == {int, float}


def test_functions_see_the_configuration_in_any_order_of_definition() -> None:
    config = drawn(
        {
            "z": d.sample_from(lambda spec: spec.config.y * 2),
            "y": d.sample_from(lambda spec: spec.config["net"].x + 1),
            "net": {"x": d.randint(5, 6), "layers": [1, d.randint(7, 8)]},
            "w": d.sample_from(lambda spec: spec.config.net.layers[-1] + len(spec.config.net.layers)),
            "g": d.sample_from(lambda spec: spec.config.get("missing", "default")),
        }
    )
    assert (config["y"], config["z"], config["w"], config["g"]) == (6, 12, 9, "default")


def test_a_function_may_return_a_domain_and_has_a_stream_of_its_own() -> None:
    space = Space({"n": d.randint(5, 9), "m": d.sample_from(lambda spec: d.randint(0, spec.config.n))})
    assert all(0 <= space.sample(0, i)["m"] < space.sample(0, i)["n"] for i in range(30))
    space = Space({"r": d.sample_from(lambda spec: spec.rng.random())})
    assert space.sample(0, 1) == space.sample(0, 1) != space.sample(0, 2)


def test_a_true_cycle_is_named() -> None:
    cycle = {
        "a": d.sample_from(lambda spec: spec.config.b),
        "b": d.sample_from(lambda spec: spec.config.c),
        "c": d.sample_from(lambda spec: spec.config.a),
    }
    with pytest.raises(SpaceError, match="a -> b -> c -> a"):
        drawn(cycle)


def test_a_function_that_raises_is_named_with_its_place() -> None:
    with pytest.raises(SpaceError, match=r"'a/b' raised ZeroDivisionError"):
        drawn({"a": {"b": d.sample_from(lambda spec: 1 / 0)}})


def test_a_grid_in_a_branch_is_refused() -> None:
    with pytest.raises(SpaceError, match="move the grid out"):
        Space({"m": d.choice([{"x": d.grid_search([1, 2])}])})


def test_a_searcher_with_a_model_refuses_a_grid() -> None:
    with pytest.raises(SpaceError, match="TPE chooses values itself"):
        Space({"m": d.grid_search([1, 2])}).refuse_grid("TPE")


def test_a_space_that_is_no_dict_is_refused() -> None:
    with pytest.raises(SpaceError, match="must be a dict"):
        Space([1])  # type: ignore[arg-type]  # that is the test


def test_each_configuration_is_a_deep_copy_of_its_own() -> None:
    args = argparse.Namespace(items=[1])
    space = Space({"args": args, "list": [1, {"a": 2}], "option": d.choice([[1, 2]]), "f": len})
    one, two = (space.build(space.sample(0, i)) for i in range(2))
    one["args"].items.append(2)
    one["list"][1]["a"] = 3
    one["option"].append(9)
    one.pop("f")
    assert two["args"].items == [1] == args.items
    assert two["list"] == [1, {"a": 2}]
    assert two["option"] == [1, 2]
    assert two["f"] is len


def test_what_cant_be_copied_is_named_before_anything_starts() -> None:
    import threading

    space = Space({"deep": [threading.Lock()]})
    with pytest.raises(SpaceError, match="'deep/0', a lock"):
        space.check_constants()


def test_objects_are_chosen_by_index_so_that_they_never_go_to_disk() -> None:
    space = Space({"x": d.choice([object, argparse.Namespace(a=1)])})
    values = space.sample(0, 3)
    assert set(values) == {"x?"}
    assert space.build(values)["x"] in (object, argparse.Namespace(a=1))


def test_the_fingerprint_is_the_same_in_another_process_and_tells_spaces_apart() -> None:
    code = (
        "from tunesmith.space import Space; from tunesmith import domains as d; import argparse; "
        "print(Space({'x': d.uniform(0, 1), 'f': d.sample_from(lambda s: 1), 'o': object()}).fingerprint())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": s}, capture_output=True, text=True, check=True
        ).stdout
        for s in "12"
    }
    assert len(printed) == 1
    assert Space({"x": d.uniform(0, 1)}).fingerprint() != Space({"x": d.uniform(0, 2)}).fingerprint()


def test_sizes_are_counted_where_there_is_an_end() -> None:
    assert Space({"a": d.choice([1, 2]), "b": d.randint(0, 3), "c": d.grid_search([1, 2])}).size() == 12
    assert Space({"b": d.qrandint(-5, 10, 5)}).size() == 4
    assert Space({"a": d.uniform(0, 1)}).size() is None


leaf = st.one_of(
    st.integers(-5, 5), st.text(max_size=3), st.none(), st.just(d.uniform(0, 1)), st.just(d.randint(0, 4)),
    st.just(d.choice(["a", (1, 2), {"k": d.randn()}])), st.just(d.sample_from(lambda spec: len(spec.config))),
    st.just(d.grid_search([1, 2.5])),
)  # fmt: skip
trees = st.dictionaries(
    st.text(max_size=3),
    st.recursive(leaf, lambda t: st.lists(t, max_size=3) | st.dictionaries(st.text(max_size=3), t, max_size=3)),
    max_size=4,
)


@given(trees, st.integers(0, 50))
def test_values_survive_the_disk_and_build_the_same_configuration(config: dict[str, Any], number: int) -> None:
    space = Space(config)
    values = space.sample(1, number, number % space.grid_size)
    stored = json.loads(json.dumps({path: codec.to_plain(v) for path, v in values.items()}))
    restored = {path: codec.from_plain(v) for path, v in stored.items()}
    assert space.build(restored) == space.build(values)
    assert not any(isinstance(v, d.Domain) for v in values.values())


def test_what_is_chosen_already_is_not_drawn_and_is_seen_by_functions() -> None:
    twice = d.sample_from(lambda spec: spec.config.a * 2)
    space = Space({"a": d.uniform(0, 1), "b": twice, "c": d.choice([1, {"d": 2}])})
    values = space.sample(1, 0, given={"a": 5.0, "c?": 1, "e/f": 7})
    assert space.build(values) == {"a": 5.0, "b": 10.0, "c": {"d": 2}, "e": {"f": 7}}


def test_a_value_that_has_no_place_is_refused_where_it_is_given_and_left_out_where_it_is_of_before() -> None:
    space = Space({"net": 5, "a": d.uniform(0, 1)})
    with pytest.raises(SpaceError, match="'net/lr', where the search space has no place"):
        space.sample(1, 0, given={"net/lr": 0.1})
    assert space.build({"a": 0.5, "net/lr": 0.1, "model?": 1}) == {"net": 5, "a": 0.5}
