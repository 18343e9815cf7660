"""Search by CMA-ES: generations from tags, restarts, and states that are rebuilt exactly."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunesmith as tune
from tunesmith.objective import Constraint, Objective
from tunesmith.searchers.protocol import Observation, Past
from tunesmith.space import Space

LOSS = Objective("loss", "min")
PLANE = {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}
MIXED = {
    "x": tune.uniform(0, 1),
    "rate": tune.loguniform(1e-4, 1),
    "layers": tune.randint(1, 9),
    "width": tune.choice([16, 32, 64, 128]),
    "kind": tune.choice(["a", "b", "c"]),
}


def searcher(config: dict[str, Any], num_samples: int = -1, seed: int = 1, **options: Any) -> tune.CMAESSearch:
    made = tune.CMAESSearch(**options)
    made.setup(Space(config), LOSS, seed, num_samples)
    return made


def finish(search: Any, number: int, loss: float | None) -> None:
    metrics = None if loss is None else {"loss": loss}
    search.tell(number, metrics, final=True, failed=loss is None)


def bowl(values: dict[str, Any]) -> float:
    return float((values["x"] - 0.3) ** 2 + (values["y"] - 0.8) ** 2)


def mixed(values: dict[str, Any]) -> float:
    rate = abs(np.log10(values["rate"]) + 2)
    return float((values["x"] - 0.3) ** 2 + rate + abs(values["layers"] - 6) + abs(values["width"] - 64) / 32
                 + 2 * (values["kind"] != "b"))  # fmt: skip


def search_alone(search: Any, loss: Callable[[dict[str, Any]], float], count: int, first: int = 0) -> list[float]:
    found = []
    for number in range(first, first + count):
        (each,) = search.ask(number, 1)
        found.append(loss(each.values))
        finish(search, number, found[-1])
    return found


def test_it_closes_in_on_the_best_of_a_bowl_as_the_package_itself_does() -> None:
    from cmaes import CMA

    ours = min(search_alone(searcher(PLANE), bowl, 150))
    alone, theirs = CMA(np.full(2, 0.5), 1 / 6, bounds=np.array([[0.0, 1.0]] * 2), seed=1), []
    while len(theirs) < 150:
        points = [alone.ask() for _ in range(alone.population_size)]
        solutions = [(point, bowl({"x": point[0], "y": point[1]})) for point in points]
        theirs += [value for _, value in solutions]
        alone.tell(solutions)
    assert ours < 1e-4
    assert ours < 100 * min(theirs)


def test_it_is_the_packages_own_update_that_moves_the_distribution() -> None:
    from cmaes import CMA

    search = searcher(PLANE, population=6)
    told = []
    for number in range(6):
        (each,) = search.ask(number, 1)
        told.append((np.array([each.values["x"], each.values["y"]]), bowl(each.values)))
        finish(search, number, told[-1][1])
    alone = CMA(np.full(2, 0.5), 1 / 6, bounds=np.array([[0.0, 1.0]] * 2), population_size=6)
    alone.tell(told)
    search.ask(6, 1)
    np.testing.assert_allclose(search._engine._history._model._model.mean, alone.mean, atol=1e-12)


def test_whole_numbers_and_choices_are_searched_beside_real_ones() -> None:
    found = search_alone(searcher(MIXED), mixed, 150)
    random = [mixed(Space(MIXED).sample(1, number)) for number in range(150)]
    assert np.median(found[100:]) < np.median(random) / 2
    assert min(found) < min(random)


@pytest.mark.parametrize("config", [
    {"kind": tune.choice(["a", "b", "c", "d"]), "other": tune.choice(["u", "v", "w"])},
    {"n": tune.randint(0, 5), "m": tune.randint(0, 4)},
    {"only": tune.uniform(0, 1)},
    {"q": tune.quniform(0, 1, 0.25), "many": tune.randint(0, 100_000), "bell": tune.randn(0, 1)},
    {f"x{i}": tune.uniform(0, 1) for i in range(70)},
    {"constant": 1},
])  # fmt: skip
def test_spaces_of_one_kind_are_searched_without_a_configuration_twice(config: dict[str, Any]) -> None:
    search = searcher(config)
    found = []
    for number in range(40):
        for each in search.ask(number, 1):
            found.append(json.dumps(each.values))
            finish(search, number, float(sum(map(ord, found[-1])) % 97))
    size = search._encoding.size
    assert len(set(found)) == len(found) == (40 if size is None else min(40, size))


@pytest.mark.parametrize("config", [PLANE, MIXED])
def test_a_rebuilt_state_gives_the_same_suggestions(config: dict[str, Any]) -> None:
    """Sixteen at a time, of which those end first that are last in line; some fail."""
    loss = bowl if config is PLANE else mixed
    live, history = searcher(config), []
    for first in range(0, 96, 16):
        asked = live.ask(first, 16)
        history += [("remind", first + i, each) for i, each in enumerate(asked)]
        for i in range(15, 2 * (first % 3), -1):
            value = None if i % 7 == 3 else loss(asked[i].values)
            history.append(("tell", first + i, value))
            finish(live, first + i, value)
    rebuilt = searcher(config)
    for what, number, given in history:
        if what == "tell":
            finish(rebuilt, number, given)
        else:
            rebuilt.remind(number, json.loads(json.dumps(given.values)), json.loads(json.dumps(given.memo)))
    assert rebuilt.ask(96, 5) == live.ask(96, 5)
    assert live._engine._history.generation > 1


def test_a_result_that_is_told_anew_counts_as_if_it_had_always_been_so() -> None:
    def after(first: float, second: float | None) -> Any:
        search = searcher(PLANE, population=4)
        asked = search.ask(0, 4)
        for number, each in enumerate(asked):
            finish(search, number, first if number == 0 else bowl(each.values))
        search.ask(4, 1)
        if second is not None:
            finish(search, 0, second)
        return search.ask(5, 1)

    assert after(9.0, 0.0) == after(0.0, None) != after(9.0, None)


def test_nobody_waits_for_a_generation_and_late_results_do_not_move_it() -> None:
    search = searcher(PLANE, population=4)
    search.ask(0, 10)
    history = search._engine._history
    for number in range(5):
        finish(search, number, float(number))
    (each,) = search.ask(10, 1)
    assert each.memo["cmaes"]["generation"] == 1
    mean = history._model._model.mean.copy()
    for number in range(5, 10):
        finish(search, number, -100.0)
    (each,) = search.ask(11, 1)
    assert each.memo["cmaes"]["generation"] == 1
    np.testing.assert_array_equal(history._model._model.mean, mean)
    assert search._known.count == 10


def test_generations_are_half_of_what_is_under_way_where_that_is_more() -> None:
    search = searcher(PLANE)
    assert search.ask(0, 64)[-1].memo["cmaes"]["population"] == 32
    for number in range(31):
        finish(search, number, 1.0)
    assert search.ask(64, 1)[0].memo["cmaes"]["generation"] == 0
    finish(search, 31, 0.0)
    tag = search.ask(65, 1)[0].memo["cmaes"]
    assert (tag["generation"], tag["population"]) == (1, 32)


def test_failures_and_broken_constraints_are_the_worst_of_their_generation() -> None:
    made = tune.CMAESSearch(population=8)
    made.setup(Space(PLANE), Objective("loss", "min", constraints=(Constraint("mb", "<=", 10.0),)), 1, -1)
    for number in range(160):
        (each,) = made.ask(number, 1)
        x, y = each.values["x"], each.values["y"]
        if y > 0.7:
            made.tell(number, None, final=True, failed=True)
        else:
            metrics = {"loss": x + (1 - y), "mb": 10.0 if x > 0.2 else 11.0}
            made.tell(number, metrics, final=True, failed=False)
    good = made._known.scores[made._known.feasible, 0]
    assert -0.6 < good.max() < -0.5
    assert made._known.feasible[-40:].mean() > made._known.feasible[:40].mean()


@pytest.mark.parametrize("loss", [lambda _: 1.0, lambda _: 1e300, lambda _: None, lambda _: float("nan")])
def test_results_that_say_nothing_are_survived(loss: Callable[[Any], Any]) -> None:
    search = searcher(MIXED)
    for number in range(60):
        search.ask(number, 1)
        finish(search, number, loss(number))
    assert search._known.count == 60


def test_values_of_any_size_are_ordered() -> None:
    search = searcher(PLANE)
    search_alone(search, lambda values: 1e300 * (bowl(values) - 0.5), 60)
    search_alone(search, lambda values: -1e300 * (1 - bowl(values)), 60, first=60)
    assert np.median([bowl(each.values) for each in search.ask(120, 9)]) < 0.01


def test_it_begins_where_an_older_experiment_was_good() -> None:
    search = searcher(PLANE)
    rng = np.random.default_rng(1)
    points = [{"x": float(x), "y": float(y)} for x, y in rng.random((100, 2))]
    search.learn(Past(tuple(Observation(point, bowl(point)) for point in points), best=1))
    first = [bowl(each.values) for each in search.ask(0, 30)]
    assert np.median(first) < 0.05
    fresh = [bowl(each.values) for each in searcher(PLANE).ask(0, 30)]
    assert np.median(first) < np.median(fresh) / 2


def test_a_mixed_space_begins_warm_too() -> None:
    search = searcher(MIXED)
    points = [Space(MIXED).sample(5, number) for number in range(200)]
    search.learn(Past(tuple(Observation(point, mixed(point)) for point in points), best=0))
    kinds = [each.values["kind"] for each in search.ask(0, 30)]
    assert kinds.count("b") > 15


def test_it_begins_at_the_best_of_a_few_known_points() -> None:
    search = searcher(PLANE, points_to_evaluate=[{"x": 0.9, "y": 0.1}, {"x": 0.1, "y": 0.9}], evaluated_rewards=[1, 2])
    found = [each.values for each in search.ask(0, 30)]
    assert np.mean([each["x"] for each in found]) > 0.7
    assert np.mean([each["y"] for each in found]) < 0.3


@pytest.mark.parametrize(("restarts", "populations"), [("ipop", [6, 12, 24]), ("bipop", [6, 12, None])])
def test_a_distribution_that_has_shrunk_to_a_point_is_followed_by_others(restarts: Any, populations: Any) -> None:
    search, tags = searcher({"x": tune.uniform(0, 1)}, population=6, restarts=restarts), {}
    for number in range(1500):
        (each,) = search.ask(number, 1)
        tag = each.memo["cmaes"]
        tags.setdefault(tag["run"], tag)
        finish(search, number, abs(each.values["x"] - 0.3))
        if len(tags) == 3:
            break
    assert [tag["population"] for tag in tags.values()][:2] == populations[:2]
    assert tags[2]["large"] == (restarts == "ipop")
    assert populations[2] in (None, tags[2]["population"])
    assert 6 <= tags[2]["population"] <= 24


def test_without_restarts_random_search_follows() -> None:
    search = searcher({"x": tune.uniform(0, 1)}, population=6, restarts=None)
    search_alone(search, lambda values: abs(values["x"] - 0.3), 600)
    (each,) = search.ask(600, 1)
    assert each.memo is None


def test_noise_may_slow_the_learning_down() -> None:
    rng = np.random.default_rng(3)
    search = searcher(PLANE, noisy=True)
    found = search_alone(search, lambda values: bowl(values) + 0.01 * rng.standard_normal(), 200)
    assert np.mean(found[150:]) < np.mean(found[:50])


@pytest.mark.parametrize(("config", "words"), [
    ({"k": tune.choice([{"a": tune.uniform(0, 1)}, "b"])}, r"'k/a'.*Use TPESearch or GPSearch"),
    ({"k": tune.choice([f"{i}" for i in range(2000)])}, "2000 options"),
    ({"k": tune.grid_search([1, 2])}, "can't go through a grid"),
])  # fmt: skip
def test_spaces_that_are_not_for_it_are_refused_with_what_is(config: dict[str, Any], words: str) -> None:
    with pytest.raises(tune.SpaceError, match=words):
        searcher(config)


def test_several_objectives_are_refused() -> None:
    with pytest.raises(tune.ArgumentError, match="one metric"):
        tune.CMAESSearch().setup(Space(PLANE), Objective("loss", "min", others=(Objective("ms", "min"),)), 1, 10)


@pytest.mark.parametrize("options", [{"population": 3}, {"sigma": 0}, {"sigma": 1.5}, {"restarts": "often"}])
def test_arguments_have_ranges(options: dict[str, Any]) -> None:
    with pytest.raises(tune.ArgumentError, match=next(iter(options))):
        tune.CMAESSearch(**options)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(tune.MissingPackageError, match=r"tunesmith\[cmaes\]"):
        tune.CMAESSearch()


def test_a_resumed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    def run(name: str, samples: int, resume: bool | str = False) -> list[dict[str, Any]]:
        results = tune.run(
            lambda config: {"loss": mixed(config)}, MIXED, metric="loss", mode="min", num_samples=samples,
            search_alg="cmaes", seed=5, name=name, storage_path=tmp_path, executor="inline", verbose=0, resume=resume,
            max_concurrent_trials=1,
        )  # fmt: skip
        return [trial.config for trial in results]

    run("cut", 30)
    assert run("cut", 40, resume="extend") == run("whole", 40)
