"""Optuna's samplers."""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunesmith as tune
from tests.conftest import Run
from tests.integrations.histories import history, replay
from tunesmith.integrations.optuna import OptunaSearch
from tunesmith.objective import Constraint, Objective
from tunesmith.searchers.protocol import Observation, Past
from tunesmith.space import Space

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="Optuna is not installed"),
]

LOSS = Objective("loss", "min")
SPACE = {
    "x": tune.uniform(-10, 10),
    "rate": tune.loguniform(1e-5, 1e-1),
    "layers": tune.randint(1, 5),
    "kind": tune.choice(["a", "b", {"c": tune.uniform(0, 1)}]),
    "bell": tune.randn(0, 1),
}
PLANE = {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}


def loss(config: dict[str, Any]) -> float:
    inner = config["kind"]["c"] if isinstance(config["kind"], dict) else 0.5
    return (config["x"] - 2) ** 2 + config["layers"] + inner + abs(config["bell"])


def searcher(config: dict[str, Any], objective: Objective = LOSS, seed: int = 1, **options: Any) -> OptunaSearch:
    made = OptunaSearch(**options)
    made.setup(Space(config), objective, seed, -1)
    return made


@pytest.mark.parametrize(("sampler", "config"), [
    ("tpe", SPACE), ("random", SPACE), ("cmaes", PLANE), ("nsgaii", SPACE), ("qmc", PLANE), ("gp", PLANE),
])  # fmt: skip
def test_a_rebuilt_study_gives_the_same_suggestions(sampler: str, config: dict[str, Any]) -> None:
    def plane(values: dict[str, Any]) -> float:
        return loss(values) if config is SPACE else (values["x"] - 0.3) ** 2 + values["y"]

    if sampler == "gp":
        pytest.importorskip("torch")
    count = 16 if sampler == "gp" else 80
    live = searcher(config, sampler=sampler)
    events = history(live, plane, count)
    rebuilt = searcher(config, sampler=sampler)
    replay(rebuilt, events)
    assert rebuilt.ask(count, 3) == live.ask(count, 3)


def test_a_suggestion_that_has_been_before_is_replaced_and_the_study_rebuilt_all_the_same() -> None:
    config = {"n": tune.randint(0, 4), "k": tune.choice(["a", "b", "c"])}

    def some(values: dict[str, Any]) -> float:
        return float(values["n"]) + (values["k"] == "a")

    live = searcher(config)
    events = history(live, some, 8)
    rebuilt = searcher(config)
    replay(rebuilt, events)
    more = live.ask(8, 10)
    assert rebuilt.ask(8, 10) == more
    assert (
        len({json.dumps(e.values) for what, _, e in events if what == "remind"} | {json.dumps(e.values) for e in more})
        == 12
    )


def test_asking_twice_changes_nothing() -> None:
    search = searcher(PLANE)
    history(search, lambda values: values["x"], 12)
    rng = np.random.default_rng(1)
    first = search._engine.propose(search._known, 12, np.random.default_rng(5))
    search._engine.propose(search._known, 12, rng)
    again = search._engine.propose(search._known, 12, np.random.default_rng(5))
    np.testing.assert_array_equal(first.rows, again.rows)
    assert first.memos == again.memos


def test_it_finds_better_values_than_random_search(run: Run) -> None:
    arguments: dict[str, Any] = {"num_samples": 60, "executor": "inline", "max_concurrent_trials": 1}
    found = [t.last_result["loss"] for t in run(loss, SPACE, search_alg=OptunaSearch(), **arguments)]
    random = [t.last_result["loss"] for t in run(loss, SPACE, **arguments)]
    assert np.median(found[30:]) < np.median(random) / 2


def test_a_resumed_run_suggests_what_the_whole_one_would_have(run: Run) -> None:
    def go(name: str, samples: int, resume: Any = False) -> list[Any]:
        results = run(
            loss, SPACE, num_samples=samples, search_alg=OptunaSearch(), executor="inline", max_concurrent_trials=1,
            name=name, resume=resume,
        )  # fmt: skip
        return [trial.config for trial in results]

    go("parts", 15)
    assert go("parts", 25, "extend") == go("whole", 25)


def test_samplers_are_made_by_whatever_makes_them() -> None:
    from optuna.samplers import TPESampler

    make = functools.partial(TPESampler, multivariate=True, group=True, n_startup_trials=5)
    live = searcher(SPACE, sampler=make)
    events = history(live, loss, 24)
    rebuilt = searcher(SPACE, sampler=make)
    replay(rebuilt, events)
    assert rebuilt.ask(24, 2) == live.ask(24, 2)


def test_several_objectives_and_constraints_reach_the_sampler() -> None:
    objective = Objective("a", "min", (Objective("b", "max"),), (Constraint("mb", "<=", 5.0),))
    search = searcher(PLANE, objective, sampler="nsgaii")
    for number in range(120):
        (each,) = search.ask(number, 1)
        x, y = each.values["x"], each.values["y"]
        search.tell(number, {"a": x, "b": x - y, "mb": 10 * x}, final=True, failed=False)
    feasible = search._known.feasible
    assert feasible[60:].mean() > feasible[:50].mean()
    assert search._known.rows[60:, 1].mean() < search._known.rows[:50, 1].mean()


def test_points_and_an_older_experiment_come_first() -> None:
    search = searcher(PLANE, points_to_evaluate=[{"x": 0.25}])
    points = [{"x": i / 40, "y": 0.5} for i in range(40)]
    search.learn(Past(tuple(Observation(point, abs(point["x"] - 0.3)) for point in points), best=1))
    first = [each.values for each in search.ask(0, 12)]
    assert first[0]["x"] == 0.25
    assert first[1] == points[0]
    assert np.mean([abs(values["x"] - 0.3) for values in first[2:]]) < 0.15


def test_where_trials_fail_is_left_alone() -> None:
    search = searcher({"x": tune.uniform(-1, 1)})
    found = []
    for number in range(50):
        (each,) = search.ask(number, 1)
        found.append(each.values["x"])
        metrics = None if found[-1] < -0.5 else {"loss": found[-1] ** 2}
        search.tell(number, metrics, final=True, failed=metrics is None)
    assert sum(x < -0.5 for x in found[20:]) < 8


@pytest.mark.parametrize(("sampler", "words"), [("tpa", "tpe"), (7, "a name or what makes")])
def test_other_samplers_are_refused(sampler: Any, words: str) -> None:
    with pytest.raises(tune.ArgumentError, match=words):
        OptunaSearch(sampler=sampler)


def test_an_instance_is_refused_with_what_to_give() -> None:
    from optuna.samplers import RandomSampler

    with pytest.raises(tune.ArgumentError, match="give its class"):
        OptunaSearch(sampler=RandomSampler(seed=1))


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    search = OptunaSearch(PLANE, "loss", "min")
    for _ in range(15):
        asked = search.ask()
        search.tell(asked.number, {"loss": asked.config["x"]})
    assert capfd.readouterr() == ("", "")
