"""Whole runs whose checkpoints and record are elsewhere, over fsspec's own file systems."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tests.remote.population import check_that_one_was_exploited, exploiting
from tunesmith.cli.main import main

SPACE = {"x": tune.grid_search([1.0, 2.0])}


def train(config: dict[str, Any]) -> None:
    """Count to `steps`, saving each; fail once at `fails`."""
    checkpoint = tune.get_checkpoint()
    begun = int(Path(checkpoint.path, "step").read_text()) if checkpoint else 0
    for step in range(begun, config.get("steps", 3)):
        if step == config.get("fails") and not begun:
            raise RuntimeError("once")
        print("step", step, flush=True)
        Path("made").mkdir(exist_ok=True)
        Path("made/step").write_text(str(step + 1))
        tune.report(loss=config["x"], begun=begun, checkpoint=tune.Checkpoint.from_directory("made"))


@pytest.fixture
def there(tmp_path: Path) -> str:
    return f"file://{tmp_path}/there"


def machine(tmp_path: Path, url: str, name: str, **more: Any) -> tune.RemoteStorage:
    return tune.RemoteStorage(url, local=tmp_path / name, copy_every_s=0.1, **more)


def test_a_run_is_there_and_can_be_read_listed_replayed_and_learnt_from(
    run: Run, tmp_path: Path, there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = run(train, SPACE, storage_path=machine(tmp_path, there, "one"), name="e", keep_checkpoints_num=1, verbose=1)
    told = capsys.readouterr().out
    assert told.count(f"{there}/e (on this machine: {tmp_path}/one/e)") == 2
    results = tune.load(f"{there}/e")
    assert results.best_config == ours.best_config == {"x": 1.0}
    assert [trial.status for trial in results] == ["TERMINATED"] * 2
    for found in (results, ours):
        checkpoint = found.best_trial.checkpoint
        assert checkpoint is not None
        assert checkpoint.to_directory().startswith("/")
        with checkpoint.as_directory() as folder:
            assert Path(folder, "step").read_text() == "3"
    saved = sorted(path.parent.name for path in (tmp_path / "there").glob("e/*/checkpoint*/step"))
    assert [name.partition("-")[0] for name in saved] == ["checkpoint_000003"] * 2  # retention reaches there
    assert (
        sorted(path.read_text() for path in (tmp_path / "there").glob("e/*/stdout")) == ["step 0\nstep 1\nstep 2\n"] * 2
    )

    assert main(["ls", f"{there}/e", "--columns", "trial_name,status"]) == 0
    assert capsys.readouterr().out.count("TERMINATED") == 2
    assert main(["lsx", there, "--columns", "name,total_trials,path"]) == 0
    assert "| file:///" in capsys.readouterr().out
    assert main(["recover", f"{there}/e"]) == 1
    assert "copy the experiment's folder" in capsys.readouterr().err
    assert len(tune.replay(f"{there}/e", tune.FIFOScheduler()).results) == 2
    warm = run(
        lambda config: {"loss": config["x"]}, {"x": tune.uniform(0, 3)}, executor="inline", warm_start=f"{there}/e"
    )
    assert warm[0].config == {"x": 1.0}


def test_another_machine_resumes_by_the_url_and_the_name_alone(run: Run, tmp_path: Path, there: str) -> None:
    run(train, SPACE, storage_path=machine(tmp_path, there, "one"), name="e", stop={"training_iteration": 2})
    with pytest.raises(tune.ExperimentExistsError, match=rf"exists already at {there}/e"):
        run(train, SPACE, storage_path=machine(tmp_path, there, "two"), name="e")
    results = run(train, SPACE, storage_path=machine(tmp_path, there, "two"), name="e", resume="extend")
    assert [trial.last_result["begun"] for trial in results if trial.last_result] == [2, 2]
    assert [len(trial.history) for trial in results] == [3, 3]
    with pytest.raises(tune.StorageError, match="There is nothing to resume"):
        run(train, SPACE, storage_path=machine(tmp_path, there, "two"), name="f", resume=True)


def test_a_failed_trial_is_tried_again_from_what_was_sent(run: Run, tmp_path: Path, there: str) -> None:
    config = {"x": 1.0, "fails": 2}
    results = run(train, config, storage_path=machine(tmp_path, there, "one"), name="e", max_failures=1)
    assert results[0].last_result is not None
    assert results[0].last_result["begun"] == 2
    assert not list((tmp_path / "one").rglob(".fetched"))


def test_a_damaged_checkpoint_goes_back_to_the_one_before(run: Run, tmp_path: Path, there: str) -> None:
    place = tmp_path / "there/e"

    def break_one(config: dict[str, Any]) -> None:
        if not Path("broken").exists():
            train({"x": 1.0, "steps": 3})
            Path("broken").touch()
            newest = min(place.glob("*/checkpoint_000003-*/step"))
            newest.write_text("9")
            raise RuntimeError("once")
        train({"x": 1.0, "steps": 4})

    results = run(break_one, {}, storage_path=machine(tmp_path, there, "one"), name="e", max_failures=1)
    assert results[0].last_result is not None
    assert results[0].last_result["begun"] == 2
    assert any("damaged" in decision.reason for decision in results[0].decisions)


@pytest.mark.parametrize("executor", ["inline", "local"])
def test_a_population_exploits_what_others_have_sent(tmp_path: Path, there: str, executor: str) -> None:
    check_that_one_was_exploited(exploiting(machine(tmp_path, there, "one"), name="e", executor=executor))


def test_memory_is_for_one_process(tmp_path: Path) -> None:
    storage = tune.RemoteStorage("memory://runs", local=tmp_path)
    assert len(exploiting(storage, name="e", executor="inline")) == 2
    with pytest.raises(tune.ArgumentError, match="executor='inline'"):
        exploiting(storage)


def test_what_is_wrong_with_the_place_is_told_before_the_first_trial(run: Run, tmp_path: Path, there: str) -> None:
    begun = tmp_path / "begun"

    def note(config: dict[str, Any]) -> dict[str, Any]:
        begun.touch()
        return {"loss": 1}

    (tmp_path / "there").write_text("a file")
    with pytest.raises(tune.StorageError, match=r"\.probe-.* can't be written"):
        run(note, {}, storage_path=machine(tmp_path, there, "one"))
    with pytest.raises(tune.MissingPackageError, match=r"tunesmith\[gs\]"):
        run(note, {}, storage_path="gs://bucket/runs")
    with pytest.raises(tune.ArgumentError, match="no protocol 'carrier-pigeon'"):
        run(note, {}, storage_path="carrier-pigeon://roof")
    with pytest.raises(tune.ArgumentError, match="storage_options= is for a URL"):
        run(note, {}, storage_options={"key": "x"})
    with pytest.raises(tune.ArgumentError, match="Give it as a text"):
        run(note, {}, storage_path=Path("s3://bucket/runs"))
    assert not begun.exists()
    assert not (tmp_path / "one").exists()


def works_below(folder: Path) -> bool:
    """Whether a process is at work in a folder, or in one below it."""
    for process in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if folder in process.readlink().parents:
                return True
    return False


def test_a_driver_that_was_killed_is_resumed_elsewhere_with_nothing_lost_or_doubled(tmp_path: Path, there: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"""
import os, sys, time
from pathlib import Path
import tunesmith as tune
def train(config):
    checkpoint = tune.get_checkpoint()
    for step in range(int(Path(checkpoint.path, "step").read_text()) if checkpoint else 0, 60):
        Path("made").mkdir(exist_ok=True)
        Path("made/step").write_text(str(step + 1))
        tune.report(loss=step, checkpoint=tune.Checkpoint.from_directory("made"))
        while step > 40 and Path(sys.argv[1], "hold").exists():
            time.sleep(0.01)
storage = tune.RemoteStorage({there!r}, local=sys.argv[1], copy_every_s=0.02)
results = tune.run(train, {{}}, metric="loss", mode="min", num_samples=2, storage_path=storage, name="e", verbose=0,
                   resume="auto", keep_checkpoints_num=1, executor=tune.LocalExecutor(cpus=2))
print([[row["training_iteration"] for row in trial.history] for trial in results] == [list(range(1, 61))] * 2)
""")
    one = tmp_path / "one"
    one.mkdir()
    (one / "hold").touch()
    process = subprocess.Popen([sys.executable, script, one])

    def is_copied() -> bool:
        if not (tmp_path / "there/e/experiment.db").exists():
            return False
        trials = tune.load(f"{there}/e").trials
        return len(trials) == 2 and all((t.last_result or {}).get("training_iteration", 0) >= 20 for t in trials)

    while not is_copied():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while works_below(one):  # its workers die of it, and what one has sent at last nobody would look for so soon
        time.sleep(0.01)
    done = subprocess.run([sys.executable, script, tmp_path / "two"], capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr
    whole = sorted((tmp_path / "there/e").glob("*/checkpoint_*"))
    assert [path.name.partition("-")[0].partition(".")[0] for path in whole] == ["checkpoint_000060"] * 2


def test_ctrl_c_leaves_a_copy_that_has_all(tmp_path: Path, there: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"""
import sys, time
import tunesmith as tune
def train(config):
    for step in range(10_000):
        tune.report(loss=step)
        time.sleep(0.01)
storage = tune.RemoteStorage({there!r}, local=sys.argv[1], copy_every_s=3600)
tune.run(train, {{}}, metric="loss", mode="min", storage_path=storage, name="e", verbose=1)
""")
    process = subprocess.Popen([sys.executable, script, tmp_path / "one"], stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "there/e/experiment.db").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert "resume=True" in told
    (trial,) = tune.load(f"{there}/e")
    assert trial.status == "PAUSED"
    (session,) = (tmp_path / "there/e/sessions").iterdir()
    assert '"closed":true' in session.read_text()


def test_a_worker_of_a_run_on_a_disk_imports_nothing_for_urls(run: Run) -> None:
    def look(config: dict[str, Any]) -> dict[str, Any]:
        found = [name for name in sys.modules if name.startswith(("fsspec", "tunesmith.remote"))]
        return {"loss": 1, "found": found}

    assert run(look, {})[0].last_result["found"] == []  # type: ignore[index]  # there is one
