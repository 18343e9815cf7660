"""Ax and BoTorch. A suggestion of theirs takes seconds, so there are few."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

import tunesmith as tune
from tests.integrations.histories import history, replay
from tunesmith.integrations.ax import AxSearch
from tunesmith.objective import Objective
from tunesmith.space import Space

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(importlib.util.find_spec("ax") is None, reason="Ax is not installed"),
    pytest.mark.filterwarnings("ignore"),  # its own, when it is imported
]

PLANE = {"x": tune.uniform(0, 1), "rate": tune.loguniform(1e-4, 1)}
MIXED = {"x": tune.uniform(0, 1), "n": tune.randint(0, 5), "kind": tune.choice(["a", "b", {"y": tune.uniform(0, 1)}])}


def plane(config: dict[str, Any]) -> float:
    return float((config["x"] - 0.3) ** 2 + (config["rate"] ** 0.25 - 0.5) ** 2)


def mixed(config: dict[str, Any]) -> float:
    return float((config["x"] - 0.3) ** 2 + abs(config["n"] - 3) + (config["kind"] != "b"))


def searcher(config: dict[str, Any], **options: Any) -> AxSearch:
    made = AxSearch(**options)
    made.setup(Space(config), Objective("loss", "min"), 1, 100)
    return made


@pytest.mark.timeout(400)
def test_it_closes_in_on_the_best_of_a_bowl_and_its_state_is_rebuilt() -> None:
    live = searcher(PLANE)
    events = history(live, plane, 12)
    rebuilt = searcher(PLANE)
    replay(rebuilt, events)
    (one,), (other,) = live.ask(12, 1), rebuilt.ask(12, 1)
    assert one == other
    assert plane(one.values) < 0.02


@pytest.mark.timeout(400)
def test_whole_numbers_and_choices_within_choices_are_searched() -> None:
    search = searcher(MIXED, points_to_evaluate=[{"x": 0.5, "n": 2, "kind": "b"}])
    events = history(search, mixed, 9, at_once=3)
    found = [given for what, _, given in events if what == "remind"]
    assert search._space.build(found[0].values) == {"x": 0.5, "n": 2, "kind": "b"}
    assert len({json.dumps(each.values) for each in found}) == 9
    assert [("kind/y" in each.values) == (each.values.get("kind?") == 2) for each in found] == [True] * 9


def test_where_nothing_has_a_result_it_draws() -> None:
    search = searcher(PLANE, n_initial_points=2)
    for number in range(3):
        (each,) = search.ask(number, 1)
        assert set(each.values) == set(PLANE)
        search.tell(number, None, final=True, failed=True)


def test_several_objectives_are_refused() -> None:
    with pytest.raises(tune.ArgumentError, match="one metric"):
        AxSearch().setup(Space(PLANE), Objective("a", "min", (Objective("b", "min"),)), 1, 9)
