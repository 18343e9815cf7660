"""What a class trainable may say of a run before it begins, and what it learns of its own share."""

from __future__ import annotations

from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run


class Asking(tune.Trainable):
    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        if "forbidden" in config:
            raise tune.ArgumentError("forbidden is not allowed")

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> dict[str, float]:
        return {"cpu": config["size"]}

    def step(self) -> dict[str, Any]:
        return {"loss": 1.0, "granted": self.trial_resources["cpu"], "done": True}


def test_a_trial_gets_what_its_class_asks_for_by_its_configuration(run: Run) -> None:
    trials = run(Asking, {"size": tune.grid_search([0.5, 1])}, executor="inline")
    assert [trial.last_result["granted"] for trial in trials] == [0.5, 1]


def test_what_the_run_says_comes_first(run: Run) -> None:
    (trial,) = run(Asking, {"size": 2}, executor="inline", resources_per_trial={"cpu": 0.5})
    assert trial.last_result["granted"] == 0.5
    (trial,) = run(tune.with_resources(Asking, {"cpu": 0.25}), {"size": 2}, executor="inline", name="other")
    assert trial.last_result["granted"] == 0.25


def test_a_configuration_that_can_not_be_right_is_refused_before_anything_is_started(run: Run, tmp_path: Any) -> None:
    with pytest.raises(tune.ArgumentError, match="forbidden is not allowed"):
        run(Asking, {"size": 1, "forbidden": tune.uniform(0, 1)})
    assert not list(tmp_path.iterdir())


def test_outside_a_run_nothing_is_granted() -> None:
    assert Asking({"size": 1}).trial_resources == {}
