"""HyperOpt's search."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith.integrations.hyperopt import HyperOptSearch

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(importlib.util.find_spec("hyperopt") is None, reason="HyperOpt is not installed"),
]

SPACE = {
    "x": tune.uniform(-10, 10),
    "rate": tune.loguniform(1e-5, 1e-1),
    "layers": tune.randint(1, 5),
    "kind": tune.choice(["a", "b", {"c": 1}]),
    "twice": tune.sample_from(lambda spec: spec.config.layers * 2),
    "constant": 3,
}


def loss(config: dict[str, Any]) -> float:
    assert config["constant"] == 3
    return (config["x"] - 2) ** 2 + config["layers"] + (config["kind"] != "b")


def test_it_finds_better_values_than_it_began_with(run: Run) -> None:
    results = run(loss, SPACE, num_samples=60, search_alg=HyperOptSearch(), executor="inline")
    values = [trial.last_result["loss"] for trial in results]
    assert min(values[20:]) < min(values[:20])
    assert sum(values[40:]) < sum(values[:20])
    config = results.best_config
    assert config["twice"] == config["layers"] * 2
    assert {type(config[name]) for name in ("x", "rate")} == {float}
    assert type(config["layers"]) is int


def test_the_same_seed_makes_the_same_suggestions(run: Run) -> None:
    first, second = (
        [t.config["x"] for t in run(loss, SPACE, num_samples=30, search_alg=HyperOptSearch(), executor="inline")]
        for _ in range(2)
    )
    assert first == second


def test_a_resumed_run_suggests_what_the_whole_one_would_have(run: Run) -> None:
    arguments: dict[str, Any] = {"executor": "inline", "max_concurrent_trials": 1}
    whole = run(loss, SPACE, num_samples=30, search_alg=HyperOptSearch(n_initial_points=5), **arguments)
    run(loss, SPACE, num_samples=20, search_alg=HyperOptSearch(n_initial_points=5), name="parts", **arguments)
    resumed = run(
        loss,
        SPACE,
        num_samples=30,
        search_alg=HyperOptSearch(n_initial_points=5),
        name="parts",
        resume=True,
        **arguments,
    )
    assert [t.config for t in resumed] == [t.config for t in whole]


def test_its_own_expressions_are_put_into_the_configuration(run: Run) -> None:
    from hyperopt import hp

    space = {"net": hp.choice("net", [{"kind": "flat"}, {"kind": "deep", "depth": hp.randint("depth", 3)}])}

    def train(config: dict[str, Any]) -> float:
        assert config["net"]["width"] == 8
        return float(config["net"].get("depth", 9))

    points = [{"net": 1, "depth": 2}, {"net": 0}]
    results = run(
        train, {"net": {"width": 8}}, num_samples=30, search_alg=HyperOptSearch(space, points), executor="inline"
    )
    assert results[0].config == {"net": {"width": 8, "kind": "deep", "depth": 2}}
    assert results[1].config == {"net": {"width": 8, "kind": "flat"}}
    assert results.best_result["loss"] == 0.0


def test_choices_within_choices_are_searched_in_our_own_words(run: Run) -> None:
    space = {
        "net": tune.choice([
            "flat",
            {"depth": tune.randint(1, 9), "head": tune.choice([{"y": tune.uniform(0, 1)}, {"fixed": 1}])},
        ]),
    }  # fmt: skip

    def train(config: dict[str, Any]) -> float:
        net = config["net"]
        return 9.0 if net == "flat" else abs(net["depth"] - 5) + net["head"].get("y", 1.0)

    points = [{"net?": 1, "net/depth": 7, "net/head?": 1}, {"net?": 0}]
    results = run(train, space, num_samples=60, search_alg=HyperOptSearch(points_to_evaluate=points), executor="inline")
    assert [trial.config for trial in list(results)[:2]] == [
        {"net": {"depth": 7, "head": {"fixed": 1}}},
        {"net": "flat"},
    ]
    assert results.best_result["loss"] < 1


@pytest.mark.parametrize("seed", range(4))
def test_what_an_option_of_a_point_needs_is_drawn(run: Run, seed: int) -> None:
    space = {
        "net": tune.choice(["flat", {"y": tune.uniform(0, 1), "in": tune.choice(["a", {"z": tune.uniform(0, 1)}])}])
    }
    search = HyperOptSearch(points_to_evaluate=[{"net?": 1, "net/in?": 1}, {"net?": 0}])
    results = run(lambda config: 1.0, space, num_samples=2, search_alg=search, executor="inline", seed=seed)
    assert set(results[0].config["net"]) == {"y", "in"}
    assert 0 <= results[0].config["net"]["in"]["z"] <= 1
    assert results[1].config == {"net": "flat"}


def test_trials_that_failed_or_have_no_finite_value_do_not_count(run: Run) -> None:
    def train(config: dict[str, Any]) -> float:
        if config["x"] < 0:
            raise ValueError("negative")
        return float("nan") if config["x"] > 5 else config["x"]

    results = run(train, {"x": tune.uniform(-10, 10)}, num_samples=30, search_alg=HyperOptSearch(), executor="inline")
    assert len(results) == 30
    assert results.errors


@pytest.mark.parametrize(
    ("search", "space", "words"),
    [
        ({}, {"x": tune.grid_search([1, 2])}, "can't go through a grid"),
        ({}, {"x": tune.choice([{"y": tune.lograndint(1, 9)}])}, "'x/y'.*in HyperOpt's own words"),
        ({"points_to_evaluate": [{"k": 2}]}, {"k": tune.choice(["a", "b"])}, "from 0 to 1; got 2"),
        ({"points_to_evaluate": [{"k": "a"}]}, {"k": tune.choice(["a", "b"])}, "by its index"),
        (
            {"points_to_evaluate": [{"k?": 3}]},
            {"k": tune.choice(["a", {"y": tune.uniform(0, 1)}])},
            "from 0 to 1; got 3",
        ),
        ({}, {"x": tune.lograndint(1, 100)}, "in HyperOpt's own words"),
        ({"points_to_evaluate": [{"z": 1}]}, {"x": tune.uniform(0, 1)}, "points_to_evaluate names 'z'"),
    ],
)
def test_what_it_can_not_search_is_refused(run: Run, search: dict[str, Any], space: Any, words: str) -> None:
    with pytest.raises(tune.ArgumentError, match=words):
        run(loss, space, search_alg=HyperOptSearch(**search))


@pytest.mark.parametrize("arguments", [{"n_initial_points": 0}, {"gamma": 0}, {"gamma": 1}])
def test_its_numbers_have_ranges(arguments: dict[str, Any]) -> None:
    with pytest.raises(tune.ArgumentError):
        HyperOptSearch(**arguments)


def test_without_an_objective_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(tune.ArgumentError, match="give metric= and mode="):
        tune.run(loss, SPACE, search_alg=HyperOptSearch(), storage_path=tmp_path, verbose=0)
