"""An experiment that goes on as more than it was: longer, larger, with another space, or what has failed once more."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith import events as e
from tunesmith.clock import uptime
from tunesmith.store.reading import EventReader


class Steps(tune.Trainable):
    """Counts its steps and keeps the count in its checkpoints; it ends by a limit only."""

    def setup(self, config: dict[str, Any]) -> None:
        self.at = 0

    def step(self) -> dict[str, Any]:
        self.at += 1
        return {"loss": self.config["x"] / self.at}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "at").write_text(str(self.at))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        self.at = int(Path(checkpoint_dir, "at").read_text())


def iterations(results: tune.Results) -> list[list[int]]:
    return [[result["training_iteration"] for result in trial.history] for trial in results]


def recorded(results: tune.Results, kind: type[e.Event]) -> list[Any]:
    with EventReader.open_to_read(results.path / "experiment.db") as store:
        return [event for _, event in store.read_kind(kind)]


# -- more trials


def test_a_larger_num_samples_repeats_the_grid_as_it_would_have_been(run: Run) -> None:
    space = {"g": tune.grid_search([1, 2, 3]), "x": tune.uniform(0, 1)}
    straight = run(tune_me, space, name="straight", num_samples=3)
    run(tune_me, space, name="grown", num_samples=1)
    grown = run(tune_me, space, name="grown", num_samples=3, resume=True)
    assert [t.config for t in grown] == [t.config for t in straight]
    assert [t.config["g"] for t in grown] == [1, 2, 3] * 3


def test_a_smaller_num_samples_adds_none(run: Run) -> None:
    first = run(tune_me, name="e", num_samples=4)
    again = run(tune_me, name="e", num_samples=2, resume=True)
    assert [t.trial_id for t in again] == [t.trial_id for t in first]


def tune_me(config: dict[str, Any]) -> float:
    return float(config["x"])


def test_a_search_that_had_ended_is_asked_again(run: Run) -> None:
    class Ends(tune.VariantSearcher):
        last = 2

        def total(self) -> None:
            return None

        def ask(self, first: int, count: int) -> list[dict[str, Any]]:
            return super().ask(first, max(0, min(count, self.last - first)))

    longer = Ends()
    assert len(run(tune_me, name="e", search_alg=Ends(), num_samples=9)) == 2
    longer.last = 5
    assert len(run(tune_me, name="e", search_alg=longer, num_samples=9, resume=True)) == 5


def test_a_searcher_that_failed_goes_on_when_it_is_mended(run: Run) -> None:
    class Mended(tune.VariantSearcher):
        broken = True

        def ask(self, first: int, count: int) -> list[dict[str, Any]]:
            if first + count > 2 and self.broken:
                raise RuntimeError("no idea")
            return super().ask(first, count)

    run(tune_me, name="e", search_alg=Mended(), num_samples=2)
    failed = run(tune_me, name="e", search_alg=Mended(), num_samples=4, resume=True)
    assert "no idea" in failed.stop_reason
    mended = Mended()
    mended.broken = False
    results = run(tune_me, name="e", search_alg=mended, num_samples=4, resume=True)
    assert len(results) == 4
    assert results.stop_reason == ""


# -- longer trials


SCHEDULERS: dict[str, Callable[[int], tune.Scheduler]] = {
    "asha": lambda n: tune.ASHAScheduler(max_t=n, grace_period=1, reduction_factor=2),
    "promotion": lambda n: tune.ASHAScheduler(max_t=n, grace_period=1, reduction_factor=2, variant="promotion"),
    "hyperband": lambda n: tune.HyperBandScheduler(max_t=n, reduction_factor=2),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_with_a_longer_max_t_those_go_on_that_had_reached_the_old_one(run: Run, name: str) -> None:
    make, arguments = SCHEDULERS[name], {"name": "e", "num_samples": 8, "checkpoint_at_end": True}
    first = run(Steps, scheduler=make(4), max_concurrent_trials=1, **arguments)
    reached = {t.number for t in first if t.last_result and t.last_result["training_iteration"] == 4}
    assert 0 < len(reached) < 8
    longer = run(Steps, scheduler=make(16), resume="extend", max_concurrent_trials=1, **arguments)
    assert {event.trial for event in recorded(longer, e.Reopened)} == reached
    for trial, counts in zip(longer, iterations(longer), strict=True):
        assert trial.status == "TERMINATED"
        assert counts == list(range(1, len(counts) + 1))
        assert (len(counts) > 4) == (trial.number in reached)
        assert [r["loss"] for r in trial.history] == [trial.config["x"] / n for n in counts]
    assert max(map(len, iterations(longer))) == 16


def test_a_longer_stop_criterion_lets_all_go_on_from_their_checkpoints(run: Run) -> None:
    arguments: dict[str, Any] = {"name": "e", "num_samples": 3, "checkpoint_freq": 2}
    run(Steps, stop={"training_iteration": 3}, **arguments)
    plain = run(Steps, stop={"training_iteration": 6}, resume=True, **arguments)
    assert iterations(plain) == [[1, 2, 3]] * 3
    longer = run(Steps, stop={"training_iteration": 6}, resume="extend", **arguments)
    assert iterations(longer) == [[1, 2, 3, 4, 5, 6]] * 3
    assert longer[0].history[2]["iterations_since_restore"] == 1  # the third is done again
    assert [d.by for d in longer[0].decisions] == ["stopper", "user", "stopper"]
    again = run(Steps, stop={"training_iteration": 6}, resume="extend", **arguments)
    assert len(recorded(again, e.Reopened)) == 3


def test_loggers_and_callbacks_follow_a_trial_that_goes_on_after_its_end(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    class Told(tune.TrialCallback):
        def on_trial_result(self, trial: Any, result: dict[str, Any]) -> None:
            told.append((trial.number, result["training_iteration"]))

        def on_trial_complete(self, trial: Any) -> None:
            told.append((trial.number, "complete"))

    told: list[tuple[int, Any]] = []
    for limit, resume in ((2, False), (4, "extend")):
        stop = {"training_iteration": limit}
        callbacks = [tune.CSVLogger(), tune.JSONLogger(), Told()]
        results = run(
            Steps, {"x": 6.0}, stop=stop, resume=resume, name="e", checkpoint_at_end=True, callbacks=callbacks
        )
    folder = results[0].path
    rows = [json.loads(line) for line in (folder / "result.json").read_text().splitlines()]
    assert [row["loss"] for row in rows] == [6.0, 3.0, 2.0, 1.5]
    assert len((folder / "progress.csv").read_text().splitlines()) == 5
    assert told == [(0, 1), (0, 2), (0, "complete"), (0, 3), (0, 4), (0, "complete")]
    assert "switched off" not in capsys.readouterr().err


def test_a_trial_without_a_checkpoint_is_not_extended_and_that_is_said(run: Run) -> None:
    run(Steps, stop={"training_iteration": 3}, name="e", num_samples=2)
    with pytest.warns(UserWarning, match=r"2 trials .*no checkpoint.*0, 1.*checkpoint_at_end"):
        results = run(Steps, stop={"training_iteration": 6}, name="e", num_samples=2, resume="extend")
    assert iterations(results) == [[1, 2, 3]] * 2


def test_with_population_based_training_a_longer_stop_lets_the_population_go_on(run: Run) -> None:
    def scheduler() -> tune.Scheduler:
        return tune.PopulationBasedTraining(
            perturbation_interval=2, hyperparam_mutations={"x": tune.uniform(0, 1)}, time_attr="training_iteration"
        )

    arguments: dict[str, Any] = {"name": "e", "num_samples": 4, "checkpoint_at_end": True}
    before = recorded(run(Steps, scheduler=scheduler(), stop={"training_iteration": 4}, **arguments), e.Cloned)
    longer = run(Steps, scheduler=scheduler(), stop={"training_iteration": 8}, resume="extend", **arguments)
    assert [t.status for t in longer] == ["TERMINATED"] * 4
    assert all(counts[-1] in (8, 9) for counts in iterations(longer))  # a report may cross a pause
    assert len(recorded(longer, e.Cloned)) > len(before)


def test_what_a_time_budget_has_ended_goes_on_with_a_larger_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hurry(tune.Callback):
        """Lets an hour pass with the first report."""

        passed = 0.0

        def on_events(self, events: Any) -> None:
            if any(isinstance(event, e.Reported) for event in events):
                self.passed = 3600.0

    hurry = Hurry()
    monkeypatch.setattr("tunesmith.assembly.uptime", lambda: uptime() + hurry.passed)
    arguments: dict[str, Any] = {"name": "e", "num_samples": 1, "checkpoint_at_end": True}
    first = run(Steps, time_budget_s=3600, callbacks=[hurry], **arguments)
    assert "time budget" in first.stop_reason
    (before,) = iterations(first)
    longer = run(Steps, stop={"training_iteration": len(before) + 3}, time_budget_s=7200, resume="extend", **arguments)
    assert iterations(longer) == [[*range(1, len(before) + 4)]]
    assert longer.stop_reason == ""


# -- what has failed


class Fails(Steps):
    """Fails at its fourth step unless the place has been mended."""

    def step(self) -> dict[str, Any]:
        if self.at == 3 and self.config["x"] > 0.3 and not Path(self.config["place"], "mended").exists():
            raise RuntimeError("not yet")
        return super().step()


@pytest.mark.parametrize(("wish", "restored"), [("errored", 2), ("restart_errored", 4)])
def test_only_what_has_failed_is_tried_again(run: Run, tmp_path: Path, wish: str, restored: int) -> None:
    space = {"x": tune.grid_search([0.2, 0.4]), "place": str(tmp_path)}
    arguments: dict[str, Any] = {"name": "e", "checkpoint_freq": 2, "stop": {"training_iteration": 4}}
    first = run(Fails, space, **arguments)
    assert [t.status for t in first] == ["TERMINATED", "ERROR"]
    assert [t.status for t in run(Fails, space, resume=True, **arguments)] == ["TERMINATED", "ERROR"]
    (tmp_path / "mended").touch()
    results = run(Fails, space, resume=wish, **arguments)
    assert [t.status for t in results] == ["TERMINATED"] * 2
    assert iterations(results) == [[1, 2, 3, 4]] * 2
    assert results[1].failures == 0
    assert results[1].error is None
    assert results[1].history[-1]["iterations_since_restore"] == restored
    assert len(recorded(results, e.Placed)) == 3


def test_failures_are_counted_anew(run: Run, tmp_path: Path) -> None:
    space = {"x": 0.9, "place": str(tmp_path)}
    arguments: dict[str, Any] = {"name": "e", "stop": {"training_iteration": 4}, "max_failures": 1}
    assert run(Fails, space, **arguments)[0].failures == 2
    again = run(Fails, space, resume="errored", **arguments)
    assert (again[0].status, again[0].failures) == ("ERROR", 2)
    assert again[0].error is not None
    assert len(recorded(again, e.Failed)) == 4


def test_another_max_failures_holds_for_what_fails_from_then_on(run: Run, tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> None:
        tune.report(loss=1.0)
        if not (tmp_path / "mended").exists():
            raise RuntimeError("not yet")

    arguments: dict[str, Any] = {"name": "e", "retry_pause_s": 0, "executor": "inline"}
    first = run(train, num_samples=1, **arguments)
    assert [(t.status, t.failures) for t in first] == [("ERROR", 1)]
    patient = run(train, num_samples=2, resume=True, max_failures=2, **arguments)
    assert [(t.status, t.failures) for t in patient] == [("ERROR", 1), ("ERROR", 3)]  # what had ended stays
    strict = run(train, num_samples=3, resume=True, **arguments)
    assert [(t.status, t.failures) for t in strict] == [("ERROR", 1), ("ERROR", 3), ("ERROR", 1)]
    assert [opened.policy.max_failures for opened in recorded(strict, e.SessionOpened)] == [0, 2, 0]
    read_anew = tune.load(strict.path)  # each failure by the rule of its own session
    assert [(t.status, t.failures) for t in read_anew] == [(t.status, t.failures) for t in strict]
    (tmp_path / "mended").touch()
    assert [t.status for t in run(train, num_samples=3, resume="errored", **arguments)] == ["TERMINATED"] * 3


def test_a_trial_that_waits_for_its_next_try_has_as_many_as_the_session_that_resumes_it_says(run: Run) -> None:
    class Leave(tune.Callback):
        def on_events(self, events: Any) -> None:
            if any(isinstance(event, e.Failed) for event in events):
                os.kill(os.getpid(), signal.SIGINT)

    def train(config: dict[str, Any]) -> None:
        tune.report(loss=1.0)
        raise RuntimeError("never")

    first = run(train, name="e", retry_pause_s=1, max_failures=5, callbacks=[Leave()])
    assert [(t.status, t.failures) for t in first] == [("PENDING", 1)]
    resumed = run(train, name="e", retry_pause_s=0, max_failures=1, resume=True)
    assert [(t.status, t.failures) for t in resumed] == [("ERROR", 2)]


# -- changes


def test_another_trainable_is_refused_unless_it_is_accepted(run: Run) -> None:
    def train(config: dict[str, Any]) -> float:
        return float(config["x"])

    one = train

    def train(config: dict[str, Any]) -> float:  # type: ignore[no-redef]
        return float(config["x"]) + 1

    run(one, name="e")
    with pytest.raises(tune.ArgumentError, match=r"(?s)code of .*train has changed.*accept_changes=\['trainable'\]"):
        run(train, name="e", resume=True, num_samples=2)
    grown = run(train, name="e", resume=True, num_samples=2, accept_changes=["trainable"])
    values = [trial.last_result["loss"] - trial.config["x"] for trial in grown if trial.last_result]
    assert values == pytest.approx([0, 1])
    run(train, name="e", resume=True, num_samples=2)  # is what it is now
    with pytest.raises(tune.ArgumentError, match=r"code of .*train has changed"):
        run(one, name="e", resume=True, num_samples=2)


def test_every_change_is_shown_by_the_argument_that_made_it(run: Run) -> None:
    run(tune_me, {"x": tune.uniform(0, 1), "old": 3}, name="e")
    with pytest.raises(tune.ArgumentError) as error:
        run(Steps, {"x": 0.5, "new": tune.randint(0, 9)}, name="e", resume=True, mode="max", stop={"loss": 9},
            scheduler=tune.ASHAScheduler())  # fmt: skip
    text = str(error.value)
    assert "trainable=: the trainable was tune_me, and is Steps" in text
    assert "config=: new was added (Integer(low=0, high=8" in text
    assert "config=: old was removed (3)" in text
    assert "config=: x changed from Float(low=0, high=1, log=False, q=None, base=10) to 0.5" in text
    assert "mode=: mode changed from 'min' to 'max'" in text
    assert "scheduler=: the scheduler was FIFOScheduler, and is ASHAScheduler" in text


def test_what_is_accepted_has_a_name(run: Run) -> None:
    with pytest.raises(tune.ArgumentError, match=r"accept_changes must be one of .*'trainable'"):
        run(tune_me, name="e", accept_changes=["trainble"])
    with pytest.raises(tune.ArgumentError, match=r"accept_changes must be True, False or names"):
        run(tune_me, name="e", accept_changes=3)


def test_another_direction_gives_another_best(run: Run) -> None:
    first = run(tune_me, name="e", num_samples=3)
    other = run(tune_me, name="e", num_samples=3, mode="max", resume=True, accept_changes=True)
    assert other.best_config["x"] == max(t.config["x"] for t in first)
    assert tune.load(other.path).mode == "max"


def test_in_a_changed_space_old_trials_keep_their_values_and_new_ones_are_drawn_from_it(
    run: Run, tmp_path: Path
) -> None:
    a_or_b = tune.choice([{"kind": "a", "v": tune.uniform(1, 2)}, {"kind": "b", "w": tune.uniform(5, 6)}])
    space = {"x": tune.uniform(0, 1), "model": a_or_b, "kept": tune.choice(["p", "q"])}
    arguments: dict[str, Any] = {"name": "e", "stop": {"training_iteration": 4}, "checkpoint_at_end": True}
    space |= {"place": str(tmp_path), "gone": tune.uniform(0, 1)}
    first = run(Fails, space, num_samples=8, **arguments)
    before = [t.config for t in first]
    failed = [t.number for t in first.errors]
    assert 0 < len(failed) < 8
    (tmp_path / "mended").touch()
    model = tune.choice([{"kind": "c"}, {"kind": "b", "w": tune.uniform(5, 6)}])  # a is gone, b is where it was
    changed = {"x": tune.uniform(2, 3), "place": str(tmp_path), "model": model, "new": tune.uniform(7, 8), "extra": 1}
    changed["kept"] = tune.choice(["r", "s"])
    grown = run(Fails, changed, num_samples=10, resume="errored", accept_changes=True, **arguments)
    assert grown.errors == []
    for trial in list(grown)[:8]:
        if trial.number in failed:
            assert trial.config["x"] == before[trial.number]["x"]
            assert trial.config["kept"] == before[trial.number]["kept"]
            assert trial.config["gone"] == before[trial.number]["gone"]
            assert 7 <= trial.config["new"] <= 8
            assert trial.config["extra"] == 1
            if before[trial.number]["model"]["kind"] == "b":
                assert trial.config["model"] == before[trial.number]["model"]
            else:
                assert trial.config["model"]["kind"] in "bc"
        else:
            assert trial.config == before[trial.number]
    for trial in list(grown)[8:]:
        assert 2 <= trial.config["x"] <= 3
        assert set(trial.config) == {"x", "place", "model", "new", "extra", "kept"}
        assert trial.config["kept"] in "rs"
    assert [t.config for t in tune.load(grown.path)] == [t.config for t in grown]
    again = run(Fails, changed, num_samples=11, resume=True, **arguments)
    assert [t.config for t in again][:10] == [t.config for t in grown]


# -- another machine, another place


def test_with_fewer_and_with_more_workers_it_goes_on(run: Run) -> None:
    for count, cpus in ((2, 4), (4, 1), (8, 3)):
        executor = tune.LocalExecutor(cpus=cpus)
        results = run(tune_me, name="e", executor=executor, num_samples=count, resume="auto")
        assert [t.status for t in results] == ["TERMINATED"] * count


def test_a_machine_that_is_too_small_for_a_trial_that_waits_ends_none(run: Run) -> None:
    class LeaveAtOnce(tune.Callback):
        def on_events(self, events: Any) -> None:
            if any(isinstance(event, e.Placed) for event in events):
                os.kill(os.getpid(), signal.SIGINT)

    trainable = tune.with_resources(tune_me, lambda config: {"cpu": config["cpus"]})
    arguments: dict[str, Any] = {"config": {"x": 1, "cpus": tune.grid_search([1, 3])}, "name": "e", "num_samples": 2}
    left = run(trainable, executor=tune.LocalExecutor(cpus=3), callbacks=[LeaveAtOnce()], **arguments)
    assert "PENDING" in [t.status for t in left]
    with pytest.raises(tune.ResourceError, match=r"Trial 1 waits and can't go on here: .*3"):
        run(trainable, executor=tune.LocalExecutor(cpus=2), resume=True, **arguments)
    results = run(trainable, executor=tune.LocalExecutor(cpus=4), resume=True, **arguments)
    assert [len(t.history) for t in results] == [1] * 4


def test_an_experiment_has_no_absolute_path_inside(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "a place to look for"
    arguments: dict[str, Any] = {"num_samples": 4, "checkpoint_freq": 1, "stop": {"training_iteration": 4}}

    def scheduler() -> tune.Scheduler:
        return tune.PopulationBasedTraining(perturbation_interval=1, hyperparam_mutations={"x": tune.uniform(0, 1)})

    results = run(Steps, name="e", storage_path=place, scheduler=scheduler(), reuse_workers=True, **arguments)
    found = [path for path in results.path.rglob("*") if path.is_symlink() or names(path, str(place))]
    assert found == []

    moved = tmp_path / "elsewhere" / "by another name"
    moved.parent.mkdir()
    shutil.move(results.path, moved)
    loaded = tune.load(moved)
    assert loaded.name == "by another name"
    assert all(t.checkpoint is not None and Path(t.checkpoint.path).is_relative_to(moved) for t in loaded)
    copy = shutil.copytree(moved, tmp_path / "elsewhere" / "copy")
    arguments |= {"storage_path": moved.parent, "stop": {"training_iteration": 6}, "resume": "extend"}
    for folder in (copy, moved):
        grown = run(Steps, name=folder.name, scheduler=scheduler(), **arguments)
        assert grown.path == folder
        assert [t.last_result and t.last_result["training_iteration"] for t in grown] == [6] * 4
    assert not place.joinpath("e").exists()


def names(path: Path, text: str) -> bool:
    return path.is_file() and text.encode() in path.read_bytes()


# -- a warm start


def test_a_warm_start_tries_the_best_of_an_older_experiment_first_and_needs_it_no_more(
    run: Run, tmp_path: Path
) -> None:
    space = {"x": tune.uniform(0, 1), "old": tune.uniform(0, 1), "g": tune.choice([1, 2])}
    old = run(tune_me, space, name="old", num_samples=20)
    new_space = {"x": tune.uniform(0.2, 1), "g": tune.choice([1, 2]), "new": tune.uniform(5, 6)}
    warm = run(tune_me, new_space, name="new", num_samples=3, warm_start=tune.WarmStart(old.path, best=4), seed=8)
    inside = sorted((t.config["x"], t.config["g"]) for t in old if t.config["x"] >= 0.2)
    assert [(t.config["x"], t.config["g"]) for t in warm] == inside[:3]
    assert all(5 <= t.config["new"] <= 6 and "old" not in t.config for t in warm)
    shutil.rmtree(old.path)
    grown = run(tune_me, new_space, name="new", num_samples=6, warm_start=old.path, resume=True)
    assert [(t.config["x"], t.config["g"]) for t in grown][:4] == inside[:4]
    assert grown[4].config["x"] not in [x for x, _ in inside]
    assert grown.best_config["x"] == inside[0][0]


def test_a_warm_start_takes_options_by_what_they_are(run: Run) -> None:
    deep, wide = {"kind": "deep", "n": tune.uniform(1, 2)}, {"kind": "wide", "w": tune.uniform(3, 4)}
    old = run(tune_me, {"x": tune.uniform(0, 1), "net": tune.choice([deep, wide])}, num_samples=12)
    turned = {"x": tune.uniform(0, 1), "net": tune.choice([{"kind": "new"}, wide, deep])}
    warm = run(tune_me, turned, num_samples=12, warm_start=tune.WarmStart(old, best=12))
    assert [t.config for t in warm] == sorted((t.config for t in old), key=lambda config: config["x"])


def test_what_can_t_be_a_warm_start_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(tune.ArgumentError, match="needs an experiment's folder or its Results, got 3"):
        run(tune_me, warm_start=3)
    with pytest.raises(tune.ArgumentError, match=r"best=.* must be a whole number"):
        tune.WarmStart(tmp_path, best=-1)
    with pytest.raises(tune.StorageError, match="There is no experiment"):
        run(tune_me, name="e", warm_start=tmp_path / "nowhere")
    assert not (tmp_path / "e").exists()
    old = run(tune_me, name="old")
    with pytest.raises(tune.ArgumentError, match="what is good: give metric="):
        run(tune_me, metric=None, mode=None, warm_start=old)


def test_given_points_are_completed_from_the_space(run: Run) -> None:
    space = {"lr": tune.uniform(0, 1), "net": {"width": tune.randint(1, 9)}, "x": 1, "g": tune.grid_search([1, 2])}
    searcher = tune.VariantSearcher(points_to_evaluate=[{"lr": 0.25}, {"net": {"width": 3}}])
    results = run(tune_me, space, search_alg=searcher, num_samples=2)
    assert [t.config["g"] for t in results] == [1, 2, 1, 2]
    assert results[0].config["lr"] == 0.25
    assert results[1].config["net"]["width"] == 3
