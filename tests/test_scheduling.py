"""Whole runs under schedulers that pause, save, clone and change trials, on real workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith.events import Reported
from tunesmith.schedulers.protocol import CONTINUE, View


def climb(config: dict[str, Any]) -> None:
    for step in range(1, 5):
        tune.report(loss=config["x"] / step, step=step)


class Climb(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.done = 0

    def step(self) -> dict[str, Any]:
        self.done += 1
        return {"loss": self.config["x"] / self.done, "step": self.done}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"done": self.done}

    def load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.done = checkpoint["done"]


class PauseOnce(tune.Scheduler):
    """Pause each trial after its second report."""

    def judge(self, report: Reported, view: View) -> tune.Decision:
        is_first = view.trials[report.trial].incarnation == 1
        return tune.Decision("pause", "a rest after 2 reports") if report.iteration == 2 and is_first else CONTINUE


class CloneFirst(tune.Scheduler):
    """Let trial 0 save after its second report, and trial 1 go on from there after its third."""

    def judge(self, report: Reported, view: View) -> tune.Decision:
        if report.trial == 0 and report.iteration == 2:
            return tune.Decision("save", "it is good")
        donor = view.trials[0].checkpoint
        if report.trial == 1 and report.iteration == 3 and donor is not None and view.trials[1].incarnation == 1:
            return tune.Exploit(donor=0, overrides={"x": 4.0, "deep/y": 2}, suffix="@perturbed[x=4.0]", reason="better")
        return CONTINUE


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_a_paused_function_goes_on_where_it_was(run: Run, executor: Any) -> None:
    results = run(climb, {"x": tune.grid_search([1.0, 2.0, 3.0])}, executor=executor, scheduler=PauseOnce())
    assert [[r["step"] for r in t.history] for t in results] == [[1, 2, 3, 4]] * 3
    assert [(d.action, d.reason, d.iteration) for d in results[1].decisions] == [("pause", "a rest after 2 reports", 2)]


def test_a_function_that_cannot_stay_in_memory_starts_again_and_the_user_is_told(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"x": tune.grid_search([1.0, 2.0])}
    results = run(climb, space, executor=tune.LocalExecutor(cpus=1, park=0), scheduler=PauseOnce(), verbose=1)
    assert [[r["step"] for r in t.history] for t in results] == [[1, 2, 3, 4]] * 2
    said = capsys.readouterr().out
    assert said.count("could not keep its state: it will start again from the beginning") == 1
    assert "LocalExecutor(park=...)" in said


@pytest.mark.parametrize("executor", ["inline", "local"])
@pytest.mark.parametrize("reuse", [False, True])
def test_a_clone_goes_on_from_its_donor_and_its_earlier_results_stand(run: Run, executor: Any, reuse: bool) -> None:
    results = run(
        Climb,
        {"x": tune.grid_search([1.0, 8.0]), "deep": {"y": 1}},
        executor=executor,
        reuse_workers=reuse,
        max_concurrent_trials=1,
        scheduler=CloneFirst(),
        stop={"training_iteration": 4},
    )
    clone = results[1]
    assert [r["step"] for r in clone.history] == [1, 2, 3, 3, 4]
    assert [r["training_iteration"] for r in clone.history] == [1, 2, 3, 3, 4]
    assert [r["config"]["x"] for r in clone.history] == [8.0, 8.0, 8.0, 4.0, 4.0]
    assert clone.config == {"x": 4.0, "deep": {"y": 2}}
    assert clone.name.endswith("@perturbed[x=4.0]")
    decided = {d.action: d for d in clone.decisions}["clone"]
    assert (decided.donor, decided.config, decided.reason) == (0, {"x": 4.0, "deep/y": 2}, "better")
    read = tune.load(results.path)[1]
    assert (read.config, read.name, read.history) == (clone.config, clone.name, clone.history)


def test_the_best_configuration_is_that_of_the_moment(run: Run) -> None:
    results = run(
        Climb, {"x": tune.grid_search([1.0, -8.0]), "deep": {"y": 1}}, max_concurrent_trials=1,
        scheduler=CloneFirst(), stop={"training_iteration": 4},
    )  # fmt: skip
    assert results.best_result["loss"] == -8.0
    assert results.best_config == {"x": -8.0, "deep": {"y": 1}}


def test_what_the_run_asked_to_be_saved_is_not_left_behind(run: Run) -> None:
    results = run(Climb, {"x": tune.grid_search([1.0, 2.0])}, executor=tune.LocalExecutor(cpus=1, park=0),
                  scheduler=PauseOnce(), stop={"training_iteration": 4}, checkpoint_at_end=True)  # fmt: skip
    for trial in results:
        assert len(list(Path(trial.path).glob("checkpoint_*"))) == 1


class Grow(tune.Scheduler):
    """Give a trial a second CPU after its first report."""

    def judge(self, report: Reported, view: View) -> tune.Decision:
        if view.trials[report.trial].resources is None:
            return tune.Change(resources=type(view.request)(cpu=2), reason="there is room for 2 CPUs")
        return CONTINUE


class Share(Climb):
    def step(self) -> dict[str, Any]:
        import os

        return {**super().step(), "threads": os.environ["OMP_NUM_THREADS"]}


def test_a_trial_goes_on_with_other_resources(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    results = run(Share, {"x": 1.0}, executor=tune.LocalExecutor(cpus=2), scheduler=Grow(), stop={"step": 3})
    assert [(r["step"], r["threads"]) for r in results[0].history] == [(1, "1"), (2, "2"), (3, "2")]


class Refuse(tune.Scheduler):
    """Start nothing twice."""

    def judge(self, report: Reported, view: View) -> tune.Decision:
        return tune.Decision("pause", "a rest")

    def choose(self, view: View) -> int | None:
        return next(iter(view.pending), None)


def test_a_scheduler_that_forgets_its_trials_does_not_hang_the_run(run: Run) -> None:
    results = run(climb, {"x": tune.grid_search([1.0, 2.0])}, scheduler=Refuse())
    assert [t.status for t in results] == ["TERMINATED"] * 2
    assert "the Refuse does not let it go on" in results[0].reason


def test_without_a_metric_a_scheduler_that_compares_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tune.ArgumentError, match="PauseOnce compares trials and needs to know by what"):
        tune.run(climb, {"x": 1.0}, scheduler=PauseOnce(), storage_path=tmp_path)
    with pytest.raises(tune.ArgumentError, match="metric= without mode="):
        PauseOnce(metric="loss")


class StopPaused(tune.Scheduler):
    """Pause each trial after its first report, and stop those that are paused when all are."""

    def judge(self, report: Reported, view: View) -> tune.Decision:
        return tune.Decision("pause", "a rest")

    def choose(self, view: View) -> int | None:
        return next((trial for trial in view.pending if view.fits(trial)), None)

    def review(self, view: View) -> list[tuple[int, tune.Decision]]:
        if view.running or view.pending or not view.complete:
            return []
        return [(trial, tune.Decision("stop", "enough")) for trial in view.paused]


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_a_trial_that_is_stopped_in_memory_still_saves_itself_at_its_end(run: Run, executor: Any) -> None:
    space = {"x": tune.grid_search([1.0, 2.0, 3.0])}
    results = run(Climb, space, executor=executor, scheduler=StopPaused(), checkpoint_at_end=True)
    assert [(t.status, t.reason) for t in results] == [("TERMINATED", "enough")] * 3
    for trial in results:
        assert trial.checkpoint is not None
        assert Path(trial.checkpoint.path).is_dir()
