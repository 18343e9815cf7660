"""A population of two, of which the worse one gets nowhere unless it goes on from the state of the better one."""

from __future__ import annotations

from typing import Any

import tunesmith as tune


class Population(tune.Trainable):
    """Its value grows by its rate."""

    def setup(self, config: dict[str, Any]) -> None:
        self.value = 0.0

    def step(self) -> dict[str, Any]:
        self.value += self.config["rate"]
        return {"value": self.value}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"value": self.value}

    def load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.value = checkpoint["value"]


def exploiting(storage: tune.RemoteStorage, **more: Any) -> tune.Results:
    return tune.run(
        Population, {"rate": tune.grid_search([0.01, 1.0])}, metric="value", mode="max", stop={"training_iteration": 6},
        scheduler=tune.PopulationBasedTraining(
            "training_iteration", perturbation_interval=2, hyperparam_mutations={"rate": [0.01, 1.0]}, synch=True,
            quantile_fraction=0.5,
        ),
        storage_path=storage, verbose=0, seed=1, **more,
    )  # fmt: skip


def check_that_one_was_exploited(results: tune.Results) -> None:
    assert [trial.status for trial in results] == ["TERMINATED"] * 2
    assert results[0].last_result is not None
    assert results[0].last_result["value"] > 2, "it went on from the better one's state"
