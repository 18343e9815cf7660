"""What matters, on functions of which it is known."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

import tunesmith as tune
from tunesmith.searchers.marginals import Marginal, importances, marginal
from tunesmith.space import Space

BOX = {name: tune.uniform(-1, 1) for name in "abcd"}


def drawn(config: dict[str, Any], function: Callable[[Any], float], count: int, seed: int) -> tuple[Any, ...]:
    space = Space(config)
    trials = [space.sample(seed, number) for number in range(count)]
    results = [function(space.build(values)) for values in trials]
    return space.describe(), trials, sorted(range(count), key=results.__getitem__), results


def shares(
    config: dict[str, Any], function: Callable[[Any], float], count: int = 400, seed: int = 1
) -> dict[str, float]:
    description, trials, order, _ = drawn(config, function, count, seed)
    return importances(description, trials, order, 0.2)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_weighs_more_matters_more_and_what_does_nothing_not_at_all(seed: int) -> None:
    found = shares(BOX, lambda c: 100 * c["a"] ** 2 + 20 * c["b"] ** 2, seed=seed)
    assert list(found)[:2] == ["a", "b"]
    assert found["a"] > 2 * found["b"] > 0
    assert found["c"] + found["d"] < 0.05
    assert sum(found.values()) == pytest.approx(1)


def test_equal_parts_matter_equally() -> None:
    found = shares(BOX, lambda c: c["a"] ** 2 + c["b"] ** 2 + c["c"] ** 2 + c["d"] ** 2, count=1500)
    assert all(0.15 < share < 0.35 for share in found.values())


def test_where_chance_decides_nothing_matters() -> None:
    rng = Random(1)
    found = [shares(BOX, lambda c: rng.random(), seed=seed) for seed in range(5)]
    assert sum(any(each.values()) for each in found) <= 2


def test_of_the_logarithm_of_a_number_the_middle_is_found() -> None:
    found = shares({"lr": tune.loguniform(1e-6, 1), "x": tune.uniform(0, 1)}, lambda c: abs(c["lr"] - 1e-3))
    assert found["lr"] > 0.95


def test_choices_and_whole_numbers_matter_too() -> None:
    space = {"kind": tune.choice(["a", "b", "c"]), "n": tune.randint(1, 9), "x": tune.uniform(0, 1)}
    found = shares(space, lambda c: {"a": 0, "b": 4, "c": 8}[c["kind"]] + c["n"])
    assert found["kind"] > found["n"] > 0
    assert found["x"] < 0.05


def test_what_is_active_in_some_trials_only_is_judged_among_these() -> None:
    tree = {
        "model": tune.choice([{"p": tune.uniform(0, 1)}, {"q": tune.uniform(0, 1), "r": tune.uniform(0, 1)}]),
        "x": tune.uniform(0, 1),
    }
    both = shares(tree, lambda c: abs(c["model"].get("p", c["model"].get("q")) - 0.3))
    assert both["model/p"] > 0.3
    assert both["model/q"] > 0.3
    assert both["model"] + both["x"] + both["model/r"] < 0.05
    one = shares(tree, lambda c: abs(c["model"]["p"] - 0.3) if "p" in c["model"] else 1.0)
    assert one["model/p"] > 0.4
    assert one["model"] > 0.3
    assert one["model/q"] == one["model/r"] == 0


def curve(config: dict[str, Any], function: Callable[[Any], float], path: str) -> Marginal:
    description, trials, order, results = drawn(config, function, 400, 1)
    found = marginal(description, trials, order, 0.2, path, [None if y > 50 else y for y in results])
    assert found is not None
    return found


def test_a_curve_follows_the_mean_of_the_metric() -> None:
    found = curve(BOX, lambda c: (c["a"] - 0.5) ** 2 + 0.1 * c["b"], "a")
    least = found.values[found.means.index(min(found.means))]
    assert abs(least - 0.5) < 0.15
    assert found.values == sorted(found.values)
    at = dict(zip(found.values, found.means, strict=True))
    assert at[min(at)] == pytest.approx(2.25, abs=0.5)
    assert max(found.shares) > 0.5
    assert min(found.shares) < 0.01


def test_a_curve_of_a_choice_has_a_point_for_each_option_and_leaves_out_what_has_no_result() -> None:
    space = {"kind": tune.choice(["b", "a", {"deep": tune.uniform(0, 1)}]), "x": tune.uniform(0, 1)}

    def value(c: Any) -> float:
        return {"a": 1.0, "b": 99.0}.get(c["kind"], 3.0) if isinstance(c["kind"], str) else 3.0

    found = curve(space, value, "kind")
    assert found.values == ["a", "option 2"]
    assert found.means == [1.0, 3.0]
    assert found.spreads == [0.0, 0.0]
    assert sum(found.counts) < 400


def test_there_is_no_curve_of_what_no_trial_has() -> None:
    description, trials, order, results = drawn(BOX, lambda c: c["a"], 20, 1)
    assert marginal(description, trials, order, 0.2, "nothing", results) is None


def test_a_text_that_looks_like_a_domain_and_values_of_another_space_do_no_harm() -> None:
    space = {"a": tune.choice(["Float(low=0)", "b"]), "x": tune.uniform(0, 1), "z": tune.randn(0, 1)}
    description, trials, order, _ = drawn(space, lambda c: c["z"] ** 2, 100, 1)
    trials[3]["x"], trials[4]["x"], trials[5]["gone"] = 7.0, "text", 1
    found = importances(description, trials, order, 0.2)
    assert found["z"] > 0.8
