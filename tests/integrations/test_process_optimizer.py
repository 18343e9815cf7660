"""ProcessOptimizer, which carries scikit-optimize on."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

import tunesmith as tune
from tests.integrations.histories import history, replay
from tunesmith.integrations.process_optimizer import ProcessOptimizerSearch
from tunesmith.objective import Objective
from tunesmith.space import Space

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        importlib.util.find_spec("ProcessOptimizer") is None, reason="ProcessOptimizer is not installed"
    ),
    pytest.mark.filterwarnings("ignore"),  # its own, when it is imported
]

SPACE = {
    "x": tune.uniform(0, 1),
    "rate": tune.loguniform(1e-4, 1),
    "n": tune.randint(0, 5),
    "kind": tune.choice(["a", "b", {"y": tune.uniform(0, 1)}]),
}


def loss(config: dict[str, Any]) -> float:
    return float((config["x"] - 0.3) ** 2 + (config["rate"] ** 0.25 - 0.5) ** 2 + abs(config["n"] - 3) / 4)


def searcher(**options: Any) -> ProcessOptimizerSearch:
    made = ProcessOptimizerSearch(**options)
    made.setup(Space(SPACE), Objective("loss", "min"), 1, 100)
    return made


@pytest.mark.parametrize("model", ["GP", "ET"])
def test_a_rebuilt_search_gives_the_same_suggestions(model: str) -> None:
    live = searcher(model=model, points_to_evaluate=[{"x": 0.9, "kind": "b"}])
    events = history(live, loss, 16)
    rebuilt = searcher(model=model, points_to_evaluate=[{"x": 0.9, "kind": "b"}])
    replay(rebuilt, events)
    more = live.ask(16, 2)
    assert rebuilt.ask(16, 2) == more
    assert events[0][2].values["x"] == 0.9


def test_it_closes_in_on_the_best() -> None:
    search = searcher()
    for number in range(25):
        (each,) = search.ask(number, 1)
        search.tell(number, {"loss": loss(search._space.build(each.values))}, final=True, failed=False)
    losses = -search._known.scores[:, 0]
    assert np.median(losses[12:]) < np.median(losses[:7]) / 2


def test_what_it_can_not_do_is_refused() -> None:
    with pytest.raises(tune.ArgumentError, match="model must be one of GP"):
        ProcessOptimizerSearch(model="SVM")
    with pytest.raises(tune.ArgumentError, match="acquisition must be one of EI"):
        ProcessOptimizerSearch(acquisition="UCB")
    with pytest.raises(tune.ArgumentError, match="one metric"):
        ProcessOptimizerSearch().setup(Space(SPACE), Objective("a", "min", (Objective("b", "min"),)), 1, 9)
