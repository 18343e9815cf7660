"""Search by evolution: its children, its population, and whether it gets anywhere."""

from __future__ import annotations

from math import inf, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tunesmith as tune
from tests.conftest import Run
from tunesmith.objective import parse_objective
from tunesmith.pareto import Merit, hypervolume
from tunesmith.searchers.arrays import generator
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.nsga2 import NSGA2Engine, NSGA2Search, Variation
from tunesmith.space import Space

TREE = {
    "lr": tune.loguniform(1e-4, 1),
    "width": tune.qlograndint(8, 1024, 8),
    "noise": tune.qrandn(0, 1, 0.1),
    "kind": tune.choice([
        {"name": "net", "depth": tune.randint(1, 9), "act": tune.choice(["relu", {"leaky": tune.uniform(0, 1)}])},
        {"name": "tree", "leaves": tune.choice([8, 16, 32, 64])},
        "none",
    ]),
}  # fmt: skip


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), mutation=st.sampled_from([None, 0.0, 1.0]), crossing=st.sampled_from([0.0, 1.0]))
def test_children_are_configurations_of_the_space(seed: int, mutation: float | None, crossing: float) -> None:
    encoding, rng = Encoding(Space(TREE)), generator(seed)
    mother, father = encoding.draw(rng.random((2, encoding.dimensions)))
    child = Variation(crossing, 15.0, mutation, 20.0).child(encoding, mother, father, rng)
    np.testing.assert_array_equal(encoding.canonical(child[None])[0], child)
    again = encoding.encode(encoding.decode(child))
    assert again is not None
    assert encoding.key(again) == encoding.key(child)
    if mutation == 0 and crossing == 0:
        np.testing.assert_array_equal(child, mother)
    if mutation == 1:
        kind = next(j for j, column in enumerate(encoding.columns) if column.path == "kind")
        assert crossing == 1 or child[kind] != mother[kind]


def search(config: Any, objective: Any, seed: int = 1, num_samples: int = 100, **options: Any) -> NSGA2Search:
    made = NSGA2Search(**options)
    made.setup(Space(config), objective, seed, num_samples)
    return made


def test_the_population_has_those_that_keep_constraints_before_those_that_break_them_less_and_no_failures() -> None:
    objective = parse_objective(["loss", "ms"], "min", {"mb": "<= 100"})
    found = search({"x": tune.uniform(0, 1)}, objective, population_size=4)
    engine: NSGA2Engine = found._engine  # type: ignore[assignment]
    told: list[Any] = [(1, 5, 90), (2, 6, 90), (0, 0, 130), (0, 0, 120), None, (5, 1, 100), (0, 0, 110), (9, 9, 50)]
    for number, values in enumerate(told):
        found.ask(number, 1)
        metrics = None if values is None else dict(zip(("loss", "ms", "mb"), values, strict=True))
        found.tell(number, metrics, final=True, failed=values is None)
        if number == 4:
            merits = dict(engine._fold(found._known))
            assert merits == {i: merits[i] for i in (0, 1, 2, 3)}
            assert [merits[i].violation for i in (0, 1, 2, 3)] == pytest.approx([0, 0, 0.3, 0.2])
    assert sorted(index for index, _ in engine._fold(found._known)) == [0, 1, 5, 7]


def test_a_population_that_was_kept_is_the_one_that_is_folded_from_the_beginning() -> None:
    objective = parse_objective(["loss", "ms"], "min")
    one = search({"x": tune.uniform(0, 1)}, objective, population_size=5)
    for number in range(30):
        (asked,) = one.ask(number, 1)
        x = asked.values["x"]
        one.tell(number, {"loss": x, "ms": (1 - x) ** 2}, final=True, failed=False)
        if number == 20:
            one.tell(3, {"loss": -1.0, "ms": -1.0}, final=True, failed=False)  # it was tried again
    kept = one._engine._fold(one._known)  # type: ignore[attr-defined]
    fresh = NSGA2Engine(5, Variation(0.9, 15.0, None, 20.0))
    fresh.check(one._encoding, objective)
    assert fresh._fold(one._known) == kept
    assert (3, Merit(0, (1.0, 1.0))) in kept


def test_a_replayed_search_goes_on_as_the_first_one_did() -> None:
    objective = parse_objective(["loss", "ms"], "min")
    one, other = search(TREE, objective, num_samples=40), search(TREE, objective, num_samples=40)
    for number in range(20):
        (asked,) = one.ask(number, 1)
        other.remind(number, asked.values, asked.memo)
        for each in (one, other):
            each.tell(number, {"loss": asked.values["lr"], "ms": asked.values["width"]}, final=True, failed=False)
    assert one.ask(20, 3) == other.ask(20, 3)


def test_it_finds_more_of_a_front_than_chance_does() -> None:
    """ZDT1 in six dimensions: the volume below (1.1, 11) is 11.77 at most."""
    config = {f"x{i}": tune.uniform(0, 1) for i in range(6)}

    def zdt1(values: dict[str, float]) -> tuple[float, float]:
        rest = 1 + 9 * sum(values[f"x{i}"] for i in range(1, 6)) / 5
        return values["x0"], rest * (1 - sqrt(values["x0"] / rest))

    found = search(config, parse_objective(["a", "b"], "min"), num_samples=200)
    points = []
    for number in range(200):
        (asked,) = found.ask(number, 1)
        a, b = zdt1(asked.values)  # type: ignore[arg-type]
        points.append((-a, -b))
        found.tell(number, {"a": a, "b": b}, final=True, failed=False)
    drawn = [zdt1(Space(config).sample(1, number)) for number in range(200)]
    reference = (-1.1, -11.0)
    by_chance = hypervolume([(-a, -b) for a, b in drawn], reference)
    assert 11.77 - hypervolume(points, reference) < 0.5 * (11.77 - by_chance)


def test_one_metric_is_enough_and_several_workers_never_wait(run: Run) -> None:
    def train(config: dict[str, Any]) -> dict[str, float]:
        return {"loss": (config["x"] - 0.3) ** 2}

    results = run(train, num_samples=30, search_alg="nsga2", reuse_workers=True)
    assert len(results) == 30
    assert results.best_result["loss"] < 0.01


@pytest.mark.parametrize(("options", "said"), [
    ({"population_size": 3}, "population_size"),
    ({"crossover_probability": 2}, "crossover_probability"),
    ({"mutation_probability": -0.1}, "mutation_probability"),
    ({"mutation_eta": inf}, "mutation_eta"),
])  # fmt: skip
def test_numbers_out_of_their_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(tune.ArgumentError, match=said):
        NSGA2Search(**options)


def test_rewards_of_one_metric_are_refused_where_there_are_several() -> None:
    from tunesmith.searchers.modelled import ModelSearcher

    made = ModelSearcher(
        NSGA2Engine(None, Variation(1, 1, 1, 1)), points_to_evaluate=[{"x": 0.5}], evaluated_rewards=[1.0]
    )
    with pytest.raises(tune.ArgumentError, match="evaluated_rewards are values of one metric"):
        made.setup(Space({"x": tune.uniform(0, 1)}), parse_objective(["a", "b"], "min"), 1, 10)


def test_an_older_experiment_is_known_by_all_of_its_metrics() -> None:
    from tunesmith.searchers.protocol import Observation, Past

    made = search({"x": tune.uniform(0, 1)}, parse_objective(["a", "b"], ["min", "max"], {"c": "<= 1"}))
    made.learn(Past((Observation({"x": 0.5}, 1.0, {"a": 1.0, "b": 2.0, "c": 3.0}),), best=1))
    assert made._known.scores.tolist() == [[-1.0, 2.0]]
    assert made._known.violations.tolist() == [[2.0]]
