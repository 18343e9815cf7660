"""Reading what came of an experiment: afterwards, elsewhere, and while it runs."""

from __future__ import annotations

import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith.cli.main import main
from tunesmith.store.reading import EventReader


def climb(config: dict[str, Any]) -> None:
    """Report the losses that the configuration lists."""
    for loss in config["losses"]:
        tune.report(loss=loss, twice=loss * 2)


SPACE = {"losses": tune.grid_search([[3.0, 1.0, 2.0], [2.5, 2.0, 1.5], [9.0]])}


def test_the_best_may_be_of_the_whole_history_or_of_the_last_result(run: Run) -> None:
    results = run(climb, SPACE)
    assert results.best_trial.number == 0
    assert results.best_result["loss"] == 1.0
    assert results.best_result["training_iteration"] == 2
    assert results.get_best_trial(scope="last").number == 1
    assert results.get_best_trial("twice", "max").number == 2
    best = results[0].best_result()
    assert best is not None
    assert best["loss"] == 1.0
    with pytest.raises(tune.ArgumentError, match="scope"):
        results.get_best_trial(scope="all")  # type: ignore[arg-type]
    with pytest.raises(tune.ArgumentError, match=r"No trial has reported 'los'.*Did you mean 'loss'"):
        results.get_best_trial("los", "min")


def test_results_are_a_sequence_of_trials(run: Run) -> None:
    results = run(climb, SPACE, name="seq")
    assert len(results) == 3
    assert [t.number for t in results] == [0, 1, 2]
    assert results[1] is results.trials[1]
    assert repr(results) == "<Results seq: 3 trials: 3 TERMINATED; best loss 1 by trial 0>"
    assert repr(results[2]).startswith("<Trial 2 climb_2")
    assert (results.metric, results.mode, results.name) == ("loss", "min", "seq")


def test_frames_have_a_row_a_trial_and_a_row_a_result(run: Run) -> None:
    space = {"losses": tune.grid_search([[2.0, 1.0], [3.0]]), "net": {"depth": 2}}
    results = run(climb, space)
    frame = results.dataframe()
    assert len(frame) == 2
    assert list(frame["loss"]) == [1.0, 3.0]
    assert list(frame["config/net/depth"]) == [2, 2]
    assert {"trial", "trial_id", "status", "training_iteration", "time_total_s"} <= set(frame.columns)
    history = results[0].dataframe()
    assert list(history["loss"]) == [2.0, 1.0]


def test_a_frame_without_pandas_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    results = run(climb, SPACE, executor="inline")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(tune.MissingPackageError, match=r'pip install "tunesmith\[dataframe\]"'):
        results.dataframe()


def test_a_past_experiment_opens_from_its_folder_alone(run: Run, tmp_path: Path) -> None:
    before = run(climb, SPACE, name="past")
    histories = [[r["loss"] for r in t.history] for t in before]
    shutil.move(tmp_path / "past", tmp_path / "elsewhere")
    after = tune.load(tmp_path / "elsewhere")
    assert after.best_config == before.best_config
    assert [t.status for t in after] == [t.status for t in before]
    assert [[r["loss"] for r in t.history] for t in after] == histories
    assert after[0].path.is_dir()


class Dangerous:
    loaded = False

    def __reduce__(self) -> Any:
        return Dangerous._load, ()

    @staticmethod
    def _load() -> Dangerous:
        Dangerous.loaded = True
        return Dangerous()

    def __repr__(self) -> str:
        return "Dangerous()"


def test_reading_never_unpickles_anything(run: Run, tmp_path: Path) -> None:
    run(lambda c: 1.0, {"pick": tune.choice([Dangerous()]), "fixed": 3}, name="danger")
    Dangerous.loaded = False
    config = tune.load(tmp_path / "danger")[0].config
    assert not Dangerous.loaded
    assert config == {"pick": "Dangerous()", "fixed": 3}
    assert isinstance(pickle.loads(pickle.dumps(Dangerous())), Dangerous)
    assert Dangerous.loaded


def test_reading_writes_nothing(run: Run, tmp_path: Path) -> None:
    run(climb, SPACE, name="still")
    assert not list((tmp_path / "still").glob("experiment.db-*"))
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "still").rglob("*")}
    results = tune.load(tmp_path / "still")
    assert [len(t.history) for t in results] == [3, 3, 1]
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "still").rglob("*")} == before


def test_a_running_experiment_can_be_read_and_read_again(run: Run, tmp_path: Path) -> None:
    go, reached = tmp_path / "go", threading.Event()

    def train(config: dict[str, Any]) -> None:
        tune.report(loss=2.0)
        while not go.exists():
            pass
        tune.report(loss=1.0)

    class Watch(tune.Callback):
        def on_events(self, events: Any) -> None:
            if any(type(event).__name__ == "Reported" for event in events):
                reached.set()

    thread = threading.Thread(target=run, args=(train,), kwargs={"name": "live", "callbacks": [Watch()]})
    thread.start()
    try:
        assert reached.wait(30)
        results = tune.load(tmp_path / "live")
        assert results[0].status == "RUNNING"
        assert results.best_result["loss"] == 2.0
        assert results.best_result["done"] is False
    finally:
        go.touch()
        thread.join()
    results.refresh()
    assert results[0].status == "TERMINATED"
    assert results.best_result["loss"] == 1.0
    assert results.best_result["done"] is True


def told(results: tune.Results) -> Any:
    return [(t.status, t.failures, t.config, t.history) for t in results], results._best, results.best_result


def test_a_run_returns_what_its_record_tells(run: Run, tmp_path: Path) -> None:
    """It follows its own events, and a reader those on disk."""

    def train(config: dict[str, Any]) -> None:
        first = not Path(tmp_path, f"tried-{config['x']}").exists()
        Path(tmp_path, f"tried-{config['x']}").touch()
        for step in range(3):
            tune.report(loss=-100.0 if first and step == 1 else config["x"] - step)
        if first:
            raise RuntimeError("the best one was taken back")

    arguments: dict[str, Any] = {"name": "e", "executor": "inline", "max_failures": 1, "retry_pause_s": 0, "seed": 1}
    results = run(train, num_samples=5, **arguments)
    assert results.best_result["loss"] > -100
    assert told(results) == told(tune.load(results.path))
    again = run(train, num_samples=6, resume=True, mode="max", accept_changes=["mode"], **arguments)
    assert again.best_result["training_iteration"] == 1
    assert told(again) == told(tune.load(again.path))
    assert told(again.refresh()) == told(tune.load(again.path))


def test_the_histories_of_many_trials_are_found_in_one_search(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    results = run(climb, SPACE)
    searched = []
    read_trial = EventReader.read_trial

    def noting(self: EventReader, trial: int) -> Any:
        searched.append(trial)
        return read_trial(self, trial)

    alone = [tune.load(results.path)[number].history for number in range(len(results))]
    monkeypatch.setattr(EventReader, "read_trial", noting)
    loaded = tune.load(results.path)
    assert [loaded[number % len(results)].decisions is not None for number in range(6)]
    assert [trial.history for trial in loaded] == alone
    assert len(searched) == 3


def test_a_database_of_a_newer_version_is_refused(run: Run, tmp_path: Path) -> None:
    run(climb, SPACE, name="future")
    with sqlite3.connect(tmp_path / "future" / "experiment.db") as db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(tune.StorageError, match=r"newer tunesmith \(schema 99.*pip install --upgrade"):
        tune.load(tmp_path / "future")


def test_results_of_100_000_reports_are_there_at_once_and_hold_no_history(run: Run) -> None:
    def train(config: dict[str, Any]) -> None:
        for i in range(5000):
            tune.report(loss=float(i))

    results = run(train, num_samples=2)
    assert results.best_result["training_iteration"] == 1
    assert len(results[1].history) == 5000


SCRIPT = """
import sys, tunesmith as tune
class Thing:
    def __repr__(self): return "Thing()"
def train(config): return {"loss": 1.0}
tune.run(train, {"t": Thing()}, metric="loss", mode="min", verbose=0, storage_path=sys.argv[1], name="main")
"""


def test_an_experiment_of_a_script_opens_in_another_program(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    subprocess.run([sys.executable, tmp_path / "script.py", tmp_path], check=True, timeout=60)
    assert tune.load(tmp_path / "main").best_config == {"t": "Thing()"}


def bowl(config: dict[str, Any]) -> dict[str, float]:
    if config["lr"] > 0.9:
        raise ValueError("boom")
    return {"loss": (config["lr"] - 0.3) ** 2, "width": config["width"]}


def test_the_importance_of_hyperparameters_is_read_from_any_experiment(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"lr": tune.uniform(0, 1), "width": tune.randint(1, 9), "kind": tune.choice(["a", "b"])}
    results = run(bowl, space, num_samples=60, executor="inline", name="bowl")
    found = results.importance()
    assert next(iter(found)) == "lr"
    assert found["lr"] > 0.9
    assert tune.importance(tmp_path / "bowl") == found
    assert tune.importance(results, "width", "max")["width"] > 0.6  # where lr is too large, there is none
    curve = results.marginal("lr")
    assert abs(curve.values[curve.means.index(min(curve.means))] - 0.3) < 0.15
    with pytest.raises(tune.ArgumentError, match="Did you mean 'lr'"):
        results.marginal("lrr")
    with pytest.raises(tune.ArgumentError, match="top must be"):
        results.importance(top=1)
    assert main(["importance", str(tmp_path / "bowl")]) == 0
    assert capsys.readouterr().out.startswith("lr ")
    assert main(["importance", str(tmp_path / "bowl"), "--marginal", "kind"]) == 0
    assert "spread" in capsys.readouterr().out


def test_few_trials_can_not_tell_what_matters(run: Run) -> None:
    results = run(bowl, {"lr": 0.1, "width": 1}, executor="inline")
    with pytest.raises(tune.ArgumentError, match="10 at least"):
        results.importance()
