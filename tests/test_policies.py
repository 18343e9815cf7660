"""Population based training from end to end: its files, and a life that is lived again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run


class Walk(tune.Trainable):
    """Comes nearer to 0 by a share of the way that is its hyperparameter."""

    def setup(self, config: dict[str, Any]) -> None:
        self.at = 1.0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        self.at *= 1 - self.config["rate"]
        return {"loss": self.at, "rate": self.config["rate"]}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"at": self.at}

    def load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.at = checkpoint["at"]


def pbt(**how: Any) -> tune.PopulationBasedTraining:
    return tune.PopulationBasedTraining(
        "training_iteration", perturbation_interval=2, hyperparam_mutations={"rate": tune.uniform(0.01, 0.3)}, **how
    )


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_a_population_gets_better_and_one_of_its_lives_can_be_lived_again(run: Run, executor: Any) -> None:
    space = {"rate": tune.grid_search([0.01, 0.05, 0.1, 0.2])}
    results = run(Walk, space, scheduler=pbt(), executor=executor, stop={"training_iteration": 12})
    assert not results.errors
    cloned = [t for t in results if any(d.action == "clone" for d in t.decisions)]
    assert cloned
    assert all(t.last_result["training_iteration"] == 12 for t in results)
    assert max(t.last_result["loss"] for t in results) < (1 - 0.01) ** 12  # nobody stayed with the slowest rate
    assert Path(results.path, "pbt_global.txt").exists()

    policy = results.path / f"pbt_policy_{cloned[0].number}.txt"
    again = run(
        Walk, {"rate": 0.5}, scheduler=tune.PopulationBasedTrainingReplay(policy), stop={"training_iteration": 12},
        executor=executor, name="again",
    )  # fmt: skip
    assert not again.errors
    rates = {r["rate"] for r in again[0].history}
    assert cloned[0].config["rate"] in rates
    assert 0.5 not in rates


def test_a_function_that_reports_checkpoints_is_a_population_too(run: Run, tmp_path: Path) -> None:
    def walk(config: dict[str, Any]) -> None:
        checkpoint, at, done = tune.get_checkpoint(), 1.0, 0
        if checkpoint is not None:
            at, done = map(float, Path(checkpoint.path, "at").read_text().split())
        folder = Path(tune.get_context().trial_dir, "state")
        folder.mkdir(exist_ok=True)
        for step in range(int(done), 8):
            at *= 1 - config["rate"]
            (folder / "at").write_text(f"{at} {step + 1}")
            tune.report(loss=at, checkpoint=tune.Checkpoint.from_directory(folder))

    space = {"rate": tune.grid_search([0.01, 0.05, 0.1, 0.2])}
    results = run(walk, space, scheduler=pbt(), executor="inline")
    assert not results.errors
    assert [t.last_result["training_iteration"] for t in results] == [8] * 4
    assert any(d.action == "clone" for t in results for d in t.decisions)


def test_a_function_without_checkpoints_goes_on_and_is_never_cloned_from_nothing(run: Run) -> None:
    def walk(config: dict[str, Any]) -> None:
        for step in range(1, 7):
            tune.report(loss=(1 - config["rate"]) ** step)

    results = run(walk, {"rate": tune.grid_search([0.01, 0.1, 0.2])}, scheduler=pbt(), executor="inline")
    assert not results.errors
    assert [len(t.history) for t in results] == [6] * 3
    assert not any(d.action == "clone" for t in results for d in t.decisions)


def test_a_policy_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(tune.StorageError, match=r"pbt_policy_7\.txt can't be read"):
        tune.run(Walk, {}, scheduler=tune.PopulationBasedTrainingReplay(tmp_path / "pbt_policy_7.txt"))


def test_a_policy_is_for_one_trial() -> None:
    line = ["t1", "t0", 2, 2, {"rate": 0.1}, {"rate": 0.2}]
    with pytest.raises(tune.ArgumentError, match="replays one trial; num_samples is 3"):
        tune.run(Walk, {}, scheduler=tune.PopulationBasedTrainingReplay([line]), num_samples=3)


def test_free_cpus_go_to_those_that_run(run: Run) -> None:
    scheduler = tune.ResourceChangingScheduler(tune.FIFOScheduler(), tune.DistributeResources())
    results = run(
        Walk, {"rate": 0.1}, scheduler=scheduler, executor=tune.LocalExecutor(cpus=3), stop={"training_iteration": 4}
    )
    assert [d.reason for d in results[0].decisions if d.action == "change"] == [
        "goes on with 3 CPUs, 0 GPUs instead of 1 CPUs, 0 GPUs"
    ]
    assert len(results[0].history) == 4


def test_pb2_chooses_within_its_bounds(run: Run) -> None:
    scheduler = tune.PB2("training_iteration", perturbation_interval=2, hyperparam_bounds={"rate": [0.01, 0.3]})
    results = run(
        Walk, {"rate": tune.uniform(0.01, 0.3)}, num_samples=4, scheduler=scheduler, executor="inline",
        stop={"training_iteration": 10},
    )  # fmt: skip
    assert not results.errors
    assert all(0.01 <= r["rate"] <= 0.3 for t in results for r in t.history)
    assert any(d.action == "clone" for t in results for d in t.decisions)
