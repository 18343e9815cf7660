"""Recorded experiments once more, under another scheduler."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith.replaying import Unknown


def train(config: dict[str, Any]) -> None:
    """Learn from 1 to `x`, in eight steps, or fail in the third."""
    for step in range(1, 9):
        if step == 3 and config.get("fails"):
            raise ValueError("no more")
        tune.report(loss=config["x"] + 2.0**-step)


class StopWorse(tune.Scheduler):
    """Stops a trial at `step` when it is worse than `limit`."""

    def __init__(self, step: int, limit: float) -> None:
        super().__init__()
        self.step, self.limit = step, limit

    def judge(self, report: Any, view: Any) -> tune.Decision:
        if report.iteration == self.step and report.metrics["loss"] > self.limit:
            return tune.Decision("stop", f"{report.metrics['loss']:g} is above {self.limit:g}")
        return super().judge(report, view)


class PauseOnce(tune.Scheduler):
    needs_objective = False

    def judge(self, report: Any, view: Any) -> tune.Decision:
        if report.iteration == 2 and report.incarnation == 1:
            return tune.Decision("pause", "to let others run")
        return super().judge(report, view)


class Perturb(tune.Scheduler):
    needs_objective = False

    def judge(self, report: Any, view: Any) -> tune.Decision:
        if report.iteration == 2:
            return tune.Change(reason="something else", overrides={"x": 7.0})
        return super().judge(report, view)


@pytest.fixture
def recorded(run: Run) -> tune.Results:
    space = {"x": tune.grid_search([0.0, 1.0, 2.0, 3.0]), "net": {"sizes": (4, 2), "act": tune.choice([max, min])}}
    return run(train, space, executor="inline", name="before")


def test_a_replay_tells_what_would_have_been_saved(recorded: tune.Results) -> None:
    replayed = tune.replay(recorded.path, StopWorse(2, 1.5))
    assert [len(trial.history) for trial in replayed.results] == [8, 8, 2, 2]
    assert (replayed.recorded.reports, replayed.replayed.reports) == (32, 20)
    assert replayed.replayed.training_s < replayed.recorded.training_s
    assert replayed.replayed.time_s == pytest.approx(replayed.replayed.training_s)  # on one worker
    assert (replayed.recorded.best, replayed.recorded.best_trial) == (2.0**-8, 0)
    assert (replayed.replayed.best, replayed.replayed.best_trial) == (2.0**-8, 0)
    assert replayed.unknown == []
    lines = [" ".join(line.split()) for line in str(replayed).splitlines()]
    assert lines[:2] == ["Replayed 4 trials of before on 1 worker:", "recorded StopWorse"]
    assert lines[4:] == [
        "reports 32 20 38% saved",
        "best loss 0.0039062 (trial 0) 0.0039062 (trial 0) the same",
        "The record is long enough for every decision.",
    ]


def test_its_trials_are_those_of_the_record(recorded: tune.Results) -> None:
    results = tune.replay(recorded.path, tune.FIFOScheduler()).results
    assert [trial.config["x"] for trial in results] == [0.0, 1.0, 2.0, 3.0]
    assert [trial.config["net"] for trial in results] == [trial.config["net"] for trial in tune.load(recorded.path)]
    for before, after in zip(recorded, results, strict=True):
        for name in ("loss", "training_iteration", "time_this_iter_s"):
            assert [r[name] for r in after.history] == [r[name] for r in before.history]
    assert results[2].name == recorded[2].name


def test_a_replay_tells_what_would_have_been_lost(run: Run, recorded: tune.Results) -> None:
    class StopFirst(tune.Scheduler):
        def judge(self, report: Any, view: Any) -> tune.Decision:
            return tune.Decision("stop", "it is the first") if report.trial == 0 else super().judge(report, view)

    replayed = tune.replay(recorded.path, StopFirst())
    assert (replayed.replayed.best, replayed.replayed.best_trial) == (0.5, 0)
    assert "0.49609 lost" in str(replayed)


def test_a_record_that_is_too_short_is_told_of_trial_by_trial(run: Run) -> None:
    space = {"x": tune.grid_search([0.0, 1.0, 2.0, 3.0])}
    before = run(train, space, executor="inline", scheduler=StopWorse(2, 1.5))
    replayed = tune.replay(before.path, StopWorse(4, 2.5))
    assert replayed.unknown == [Unknown(2, 2), Unknown(3, 2)]
    assert str(replayed).endswith(
        "The record is too short for 2 trials, which StopWorse would have let go on: 2 after iteration 2, "
        "3 after iteration 2."
    )
    assert tune.replay(before.path, StopWorse(1, 1.5)).unknown == []  # stopped before the record ends


def test_what_the_user_stopped_is_not_unknown_when_it_is_said_again(run: Run) -> None:
    before = run(train, {"x": 1.0}, executor="inline", stop={"training_iteration": 4})
    assert tune.replay(before.path, tune.FIFOScheduler()).unknown == [Unknown(0, 4)]
    assert tune.replay(before.path, tune.FIFOScheduler(), stop={"training_iteration": 4}).unknown == []


def test_a_failure_is_part_of_the_record(run: Run) -> None:
    before = run(train, {"x": 1.0, "fails": tune.grid_search([True, False])}, executor="inline")
    replayed = tune.replay(before.path, StopWorse(9, 0.0))
    assert [len(trial.history) for trial in replayed.results] == [2, 8]
    assert str(replayed.results[0].error) == "ValueError: no more"
    assert replayed.unknown == []


def test_paused_trials_go_on_in_a_replay(recorded: tune.Results) -> None:
    replayed = tune.replay(recorded.path, PauseOnce())
    assert [len(trial.history) for trial in replayed.results] == [8] * 4
    assert replayed.replayed.reports == 32


def test_a_configuration_that_is_changed_in_a_replay_is_unknown_from_there(recorded: tune.Results) -> None:
    replayed = tune.replay(recorded.path, Perturb())
    assert replayed.unknown == [Unknown(trial, 2) for trial in range(4)]


def test_an_experiment_with_changed_configurations_cannot_be_replayed(run: Run) -> None:
    def model(config: dict[str, Any], step: int) -> Any:
        return ({"loss": 1.0}, 1.0) if step < 5 else None

    before = run(model, executor=tune.SimulatedExecutor(), scheduler=Perturb())
    with pytest.raises(tune.ArgumentError, match="can't be replayed: trial 0 changed its configuration"):
        tune.replay(before.path, tune.FIFOScheduler())


def test_as_many_workers_as_in_the_record_or_as_the_user_says(run: Run) -> None:
    def model(config: dict[str, Any], step: int) -> Any:
        return ({"loss": 1.0}, 10.0) if step < 5 else None

    before = run(model, num_samples=6, executor=tune.SimulatedExecutor(workers=3))
    replayed = tune.replay(before.path, tune.FIFOScheduler())
    assert (replayed.workers, replayed.recorded.time_s, replayed.replayed.time_s) == (3, 80.0, 80.0)
    replayed = tune.replay(before.path, tune.FIFOScheduler(), workers=2)
    assert (replayed.workers, replayed.recorded.time_s, replayed.replayed.time_s) == (2, 120.0, 120.0)


def test_the_steps_that_a_retry_repeats_count_once(run: Run) -> None:
    def model(config: dict[str, Any], step: int) -> Any:
        return ({"loss": 1.0 / step}, 10.0) if step < 9 else None

    executor = tune.SimulatedExecutor(failure_rate=0.1, workers=3)
    before = run(model, num_samples=12, executor=executor, max_failures=-1)
    assert sum(trial.failures for trial in before) > 0
    replayed = tune.replay(before.path, tune.FIFOScheduler())
    assert (replayed.recorded.reports, replayed.replayed.reports) == (96, 96)
    assert replayed.unknown == []


def test_a_replay_is_kept_where_the_user_says_and_else_only_as_long_as_it_is_used(
    recorded: tune.Results, tmp_path: Path
) -> None:
    kept = tune.replay(recorded.path, tune.FIFOScheduler(), storage_path=tmp_path / "kept", name="again")
    assert kept.results.path == tmp_path / "kept" / "again"
    replayed = tune.replay(recorded.path, tune.FIFOScheduler())
    path = replayed.results.path
    assert path.exists()
    del replayed
    gc.collect()
    assert not path.parent.exists()


def test_wrong_arguments_are_refused_before_anything_is_run(recorded: tune.Results, tmp_path: Path) -> None:
    with pytest.raises(tune.StorageError):
        tune.replay(tmp_path / "nothing", tune.FIFOScheduler())
    with pytest.raises(tune.ArgumentError, match="workers"):
        tune.replay(recorded.path, tune.FIFOScheduler(), workers=0)
    with pytest.raises(tune.ArgumentError, match="scheduler"):
        tune.replay(recorded.path, "asha")  # type: ignore[arg-type]


def test_another_metric_may_be_what_counts(run: Run) -> None:
    def model(config: dict[str, Any], step: int) -> Any:
        return ({"loss": 1.0 / step, "accuracy": config["x"]}, 1.0) if step < 3 else None

    before = run(model, {"x": tune.grid_search([0.1, 0.9])}, executor=tune.SimulatedExecutor())
    replayed = tune.replay(before.path, tune.FIFOScheduler(), metric="accuracy", mode="max")
    assert (replayed.replayed.best, replayed.replayed.best_trial) == (0.9, 1)
    assert "best accuracy" in str(replayed)
