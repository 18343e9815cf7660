"""Runs that optimise several metrics at once, and runs with constraints, from the arguments to the results."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith import events as e
from tunesmith.cli.main import main
from tunesmith.definition import read_created
from tunesmith.store.database import DATABASE
from tunesmith.store.reading import EventReader

X = {"x": tune.grid_search([0.0, 0.25, 0.5, 0.75, 1.0])}
TWO: dict[str, Any] = {"metric": ["loss", "size"], "mode": ["min", "max"]}


@pytest.fixture
def run(run: Run) -> Run:
    return partial(run, executor="inline")


def trade(config: dict[str, Any]) -> None:
    """A loss that is least at 0.25, and a size that grows: what lies below 0.25 is good for nothing."""
    for step in range(3):
        tune.report(loss=abs(config["x"] - 0.25) + 1 / (step + 1), size=config["x"], mb=100 * config["x"])


def fragile(config: dict[str, Any]) -> None:
    trade(config)
    if config["x"] == 1.0:
        raise ValueError("boom")
    if config["x"] == 0.75:
        tune.report(loss=float("nan"), size=9.0)


def test_the_front_is_of_the_trials_that_nobody_beats_in_everything(run: Run, tmp_path: Path) -> None:
    results = run(trade, X, **TWO, name="two")
    assert [trial.config["x"] for trial in results.pareto_front] == [0.25, 0.5, 0.75, 1.0]
    assert results.dataframe()["front"].tolist() == [1, 0, 0, 0, 0]
    assert "4 in the front" in repr(results)
    again = tune.load(tmp_path / "two")
    assert [trial.number for trial in again.pareto_front] == [1, 2, 3, 4]
    third = 1 / 3
    assert again.hypervolume({"loss": 1 + third, "size": 0.0}) == pytest.approx(
        0.25 * 1 + 0.25 * 0.75 + 0.25 * 0.5 + 0.25 * 0.25
    )
    assert again.hypervolume([third, 0]) == 0
    assert again.hypervolume() > 0
    with pytest.raises(tune.ArgumentError, match="a number for each metric of loss, size"):
        again.hypervolume([1.0])
    with pytest.raises(tune.ArgumentError, match="a number for each metric"):
        again.hypervolume({"loss": 1.0, "sise": 0})
    with pytest.raises(tune.ArgumentError, match="a number for each metric"):
        again.hypervolume(3)  # type: ignore[arg-type]


def test_no_trial_is_the_best_by_several_metrics_and_the_error_says_what_to_ask_for(run: Run) -> None:
    results = run(trade, X, **TWO)
    with pytest.raises(tune.ArgumentError, match=r"pareto_front.*get_best_trial\('size'\)"):
        _ = results.best_config
    assert results.get_best_trial("size").config == {"x": 1.0}
    assert results.get_best_trial("loss").config == {"x": 0.25}
    assert results.get_best_trial("size", "min").config == {"x": 0.0}


def test_failures_and_nan_are_not_in_the_front(run: Run) -> None:
    results = run(fragile, X, **TWO)
    assert results.errors[0].config == {"x": 1.0}
    assert [trial.config["x"] for trial in results.pareto_front] == [0.25, 0.5]


def test_what_breaks_a_constraint_never_wins(run: Run) -> None:
    results = run(trade, X, constraints={"mb": "<= 20"})
    assert results.best_config == {"x": 0.0}
    assert [trial.is_feasible for trial in results] == [True, False, False, False, False]
    assert results.dataframe()["feasible"].tolist() == [True, False, False, False, False]
    two = run(trade, X, **TWO, constraints={"mb": "<= 60", "size": ">= 0.5"})
    assert [trial.config["x"] for trial in two.pareto_front] == [0.5]
    assert two.get_best_trial("size").config == {"x": 0.5}


def test_when_no_trial_is_feasible_the_error_names_the_nearest(run: Run) -> None:
    results = run(trade, X, constraints={"mb": "<= -50"})
    with pytest.raises(tune.TunesmithError, match=r"within the constraints mb <= -50: the nearest is trial 0, with mb"):
        _ = results.best_trial
    assert run(trade, X, **TWO, constraints={"mb": "<= -50"}).pareto_front == []


def test_every_metric_has_to_be_in_every_report(run: Run) -> None:
    results = run(trade, {"x": 0.0}, metric=["loss", "sise"], mode="min")
    assert "Did you mean 'size'?" in str(results[0].error)
    results = run(trade, {"x": 0.0}, constraints={"bm": "<= 3"})
    assert "constraints= needs it" in str(results[0].error)


@pytest.mark.parametrize(("given", "said"), [
    ({"metric": ["a", "b"], "mode": ["min"]}, "give one mode, or one for each"),
    ({"metric": ["a", "a"], "mode": "min"}, "names a metric twice"),
    ({"metric": ["a", ""], "mode": "min"}, "name of a reported value"),
    ({"metric": [], "mode": "min"}, "go together"),
    ({"metric": ["a", "b"], "mode": None}, "without mode="),
    ({"constraints": {"mb": "< 3"}}, "'<=' or '>=' with a number"),
    ({"constraints": {"mb": "<= many"}}, "'<=' or '>=' with a number"),
    ({"constraints": {"mb": 3}}, "'<=' or '>=' with a number"),
    ({"constraints": ["mb <= 3"]}, "must be a dict"),
    ({"metric": None, "mode": None, "constraints": {"mb": "<= 3"}}, "without metric="),
    ({**TWO, "keep_best_checkpoints_num": 1}, "checkpoint_score_attr='min-loss'"),
    ({**TWO, "scheduler": tune.PASHAScheduler()}, r"PASHAScheduler\(metric='loss', mode='min', ...\)"),
    ({**TWO, "scheduler": tune.PopulationBasedTraining(hyperparam_mutations={"x": [1]})}, "compares trials by one"),
])  # fmt: skip
def test_what_makes_no_objective_is_refused_with_what_to_write(run: Run, given: dict[str, Any], said: str) -> None:
    with pytest.raises(tune.ArgumentError, match=said):
        run(trade, {"x": 0.0}, **given)


@pytest.mark.parametrize("scheduler", [
    tune.ASHAScheduler(max_t=3, reduction_factor=3),
    tune.ASHAScheduler(max_t=3, reduction_factor=3, variant="promotion"),
    tune.HyperBandScheduler(max_t=3),
    tune.MedianStoppingRule("training_iteration", grace_period=1, min_samples_required=2),
    tune.PASHAScheduler(metric="loss", mode="min", max_t=3),
])  # fmt: skip
def test_schedulers_stop_trials_by_their_fronts_and_keep_a_good_one(run: Run, scheduler: tune.Scheduler) -> None:
    space = {"x": tune.grid_search([0.5, 0.25, 0.24, 0.23, 0.0, 0.1, 0.2, 0.75])}
    results = run(trade, space, **TWO, scheduler=scheduler, executor="inline")
    trained = {trial.config["x"]: len(trial.history) for trial in results}
    assert sum(trained.values()) < 3 * len(trained)
    assert max(trained[x] for x in (0.25, 0.5, 0.75)) == 3


def test_a_stop_by_fronts_says_how_many_are_better(run: Run) -> None:
    space = {"x": tune.grid_search([0.5, 0.75, 0.25, 0.1])}
    results = run(trade, space, **TWO, scheduler=tune.ASHAScheduler(max_t=3, reduction_factor=3), executor="inline")
    said = "stopped at rung 1: with loss 1.15, size 0.1 it is in front 2, and 3 of the 4 trials there are better"
    assert results[3].reason == said


def test_a_run_of_several_metrics_is_recognised_when_it_goes_on(run: Run, tmp_path: Path) -> None:
    run(trade, X, **TWO, constraints={"mb": "<= 60"}, name="kept")
    again = run(trade, X, **TWO, constraints={"mb": "<= 60"}, name="kept", resume=True)
    assert len(again.pareto_front) == 2
    with pytest.raises(tune.ArgumentError, match=r"constraints changed from \{'mb': '<= 60'\} to None"):
        run(trade, X, **TWO, name="kept", resume=True)
    with pytest.raises(tune.ArgumentError, match=r"metric changed from \['loss', 'size'\] to 'loss'"):
        run(trade, X, metric="loss", mode="min", constraints={"mb": "<= 60"}, name="kept", resume=True)
    single = run(trade, X, metric="size", mode="max", name="kept", resume=True, accept_changes=True)
    assert single.best_config == {"x": 1.0}
    with EventReader.open_to_read(tmp_path / "kept" / DATABASE) as store:
        created = read_created(store)
        assert len(list(store.read_kind(e.Redefined))) == 1
    assert created is not None
    assert created.settings["others"] == []


def test_what_was_recorded_of_one_metric_is_as_it_was_before(run: Run, tmp_path: Path) -> None:
    run(trade, X, name="one")
    with EventReader.open_to_read(tmp_path / "one" / DATABASE) as store:
        created = read_created(store)
    assert created is not None
    assert not {"others", "constraints"} & set(created.settings)


def test_a_warm_start_brings_all_metrics_along_the_front_first(run: Run, tmp_path: Path) -> None:
    run(trade, X, **TWO, constraints={"mb": "<= 80"}, name="first")
    space = {"x": tune.uniform(0, 1)}
    results = run(
        trade, space, **TWO, constraints={"mb": "<= 80"}, num_samples=3,
        warm_start=tune.WarmStart(tmp_path / "first", best=2),
    )  # fmt: skip
    assert sorted(trial.config["x"] for trial in results[:2]) == [0.25, 0.75]  # type: ignore[index]  # a list's slice


def test_replaying_a_run_of_several_metrics_compares_effort_and_names_no_best(run: Run, tmp_path: Path) -> None:
    run(trade, X, **TWO, name="old")
    text = str(tune.replay(tmp_path / "old", tune.ASHAScheduler(max_t=3, reduction_factor=3)))
    assert "reports" in text
    assert "best" not in text


def test_the_command_line_lists_all_metrics_and_what_has_a_bound(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run(trade, X, **TWO, constraints={"mb": "<= 60"}, name="listed")
    assert main(["ls", str(tmp_path / "listed"), "--columns", "trial_name,loss,size,mb"]) == 0
    assert main(["ls", str(tmp_path / "listed")]) == 0
    by_name, by_default = capsys.readouterr().out.split("trial_name")[1:]
    for said in (by_name, by_default):
        assert all(name in said for name in ("loss", "size", "mb"))
    assert main(["lsx", str(tmp_path), "--columns", "name,metric"]) == 0
    assert "loss, size" in capsys.readouterr().out
