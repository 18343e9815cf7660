"""Nevergrad's optimizers."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import numpy as np
import pytest

import tunesmith as tune
from tests.conftest import Run
from tests.integrations.histories import history, replay
from tunesmith.integrations.nevergrad import OPTIMIZERS, NevergradSearch
from tunesmith.objective import Objective
from tunesmith.searchers.protocol import Observation, Past
from tunesmith.space import Space

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(importlib.util.find_spec("nevergrad") is None, reason="nevergrad is not installed"),
    pytest.mark.filterwarnings("ignore"),  # its own, when it is imported
]

SPACE = {
    "x": tune.uniform(-10, 10),
    "rate": tune.loguniform(1e-5, 1e-1),
    "layers": tune.randint(1, 5),
    "kind": tune.choice(["a", "b", {"c": tune.choice(["u", "v", "w"]), "d": tune.uniform(0, 1)}]),
}


def loss(config: dict[str, Any]) -> float:
    inner = config["kind"]["d"] if isinstance(config["kind"], dict) else 0.5
    return float((config["x"] - 2) ** 2 + config["layers"] + inner)


def searcher(config: dict[str, Any] = SPACE, **options: Any) -> NevergradSearch:
    made = NevergradSearch(**options)
    made.setup(Space(config), Objective("loss", "min"), 1, 100)
    return made


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_rebuilt_optimizer_asks_for_the_same(optimizer: str) -> None:
    live = searcher(optimizer=optimizer)
    events = history(live, loss, 40)
    rebuilt = searcher(optimizer=optimizer)
    replay(rebuilt, events)
    assert rebuilt.ask(40, 3) == live.ask(40, 3)


def test_asking_twice_changes_nothing() -> None:
    search = searcher(optimizer="TwoPointsDE")
    history(search, loss, 12)
    first, again = (search._engine.propose(search._known, 12, np.random.default_rng(5)).rows for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_it_finds_better_values_than_random_search(run: Run) -> None:
    arguments: dict[str, Any] = {"num_samples": 80, "executor": "inline", "max_concurrent_trials": 1}
    found = [t.last_result["loss"] for t in run(loss, SPACE, search_alg=NevergradSearch(), **arguments)]
    random = [t.last_result["loss"] for t in run(loss, SPACE, **arguments)]
    assert np.median(found[40:]) < np.median(random) / 2


def test_a_resumed_run_suggests_what_the_whole_one_would_have(run: Run) -> None:
    def go(name: str, samples: int, resume: Any = False) -> list[Any]:
        results = run(
            loss, SPACE, num_samples=samples, search_alg=NevergradSearch(optimizer="DE"), executor="inline",
            max_concurrent_trials=1, name=name, resume=resume,
        )  # fmt: skip
        return [trial.config for trial in results]

    whole = go("whole", 25)
    go("parts", 15)
    assert go("parts", 25, "extend") == whole


def test_points_and_an_older_experiment_come_first() -> None:
    search = searcher({"x": tune.uniform(0, 1)}, points_to_evaluate=[{"x": 0.25}], optimizer="CMA")
    search.learn(Past(tuple(Observation({"x": i / 10}, abs(i / 10 - 0.3)) for i in range(11)), best=1))
    first = [each.values["x"] for each in search.ask(0, 4)]
    assert first[:2] == [0.25, 0.0]
    assert len({json.dumps(x) for x in first}) == 4


def test_what_it_can_not_do_is_refused() -> None:
    with pytest.raises(tune.ArgumentError, match="TwoPointsDE"):
        NevergradSearch(optimizer="NGOpt")
    with pytest.raises(tune.ArgumentError, match="one metric"):
        NevergradSearch().setup(Space(SPACE), Objective("a", "min", (Objective("b", "min"),)), 1, 9)
    with pytest.raises(tune.SpaceError, match="grid"):
        searcher({"x": tune.grid_search([1, 2])})
