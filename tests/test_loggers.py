"""The loggers in real runs: together, on a full disk, and after a real kill -9."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tests.test_resume import SCRIPT, finish, start, wait_for

CHATTY = SCRIPT.replace("verbose=", "callbacks=[tune.CSVLogger(), tune.JSONLogger()], verbose=")


def train(config: dict[str, Any]) -> None:
    for step in range(3):
        tune.report(loss=config["x"] + step)


def json_history(trial: tune.Trial) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (trial.path / "result.json").read_text().splitlines()]


def csv_history(trial: tune.Trial) -> list[dict[str, str]]:
    with (trial.path / "progress.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def check_files(trial: tune.Trial) -> None:
    """The files say what the record says; but for `done`, which they may not have known."""
    told = [{**result, "done": False} for result in trial.history]
    assert [{**result, "done": False} for result in json_history(trial)] == told
    rows = csv_history(trial)
    assert [float(row["loss"]) for row in rows] == [result["loss"] for result in told]
    assert [int(row["training_iteration"]) for row in rows] == [result["training_iteration"] for result in told]
    assert {row["config/x"] for row in rows} == {repr(trial.config["x"])}
    assert json.loads((trial.path / "params.json").read_text()) == trial.config


def test_several_loggers_write_what_the_results_say(run: Run) -> None:
    results = run(train, num_samples=5, callbacks=[tune.CSVLogger(), tune.JSONLogger()])
    for trial in results:
        check_files(trial)


def test_a_logger_that_raises_is_reported_once_and_the_run_goes_on(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(tune.Callback):
        calls = 0

        def on_events(self, events: Sequence[Any]) -> None:
            Broken.calls += 1
            raise ZeroDivisionError("my own fault")

    results = run(train, num_samples=3, callbacks=[Broken(), tune.JSONLogger()])
    said = capsys.readouterr().err
    assert said.count("The callback Broken raised and is switched off") == 1
    assert said.count("ZeroDivisionError: my own fault") == 1
    assert Broken.calls == 1
    assert [trial.status for trial in results] == ["TERMINATED"] * 3
    for trial in results:
        assert len(json_history(trial)) == 3


def test_a_full_disk_in_a_logger_does_not_end_the_run(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def creator(info: Any) -> str:
        return "t"

    full = tmp_path / "full" / "00001_t" / "result.json"
    full.parent.mkdir(parents=True)
    full.symlink_to("/dev/full")
    loggers = [tune.JSONLogger(flush_s=0), tune.CSVLogger(flush_s=0)]
    results = run(train, num_samples=3, name="full", callbacks=loggers, trial_name_creator=creator)
    said = capsys.readouterr().err
    assert said.count("The callback JSONLogger raised and is switched off") == 1
    assert "No space left on device" in said
    assert [trial.status for trial in results] == ["TERMINATED"] * 3
    assert [len(csv_history(trial)) for trial in results] == [3, 3, 3]
    full.unlink()  # there is room again, and what was missed is made up for
    again = run(
        train, num_samples=4, name="full", callbacks=[tune.JSONLogger()], trial_name_creator=creator, resume=True
    )
    for trial in again:
        assert len(json_history(trial)) == 3


def test_after_a_kill_the_files_tell_the_story_that_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_resume.SCRIPT", CHATTY)
    process = start(tmp_path)
    wait_for((tmp_path / "ready").exists)
    wait_for(lambda: any((tmp_path / "run").glob("*/result.json")))
    process.kill()
    process.communicate()
    results = finish(tmp_path)
    assert [trial.status for trial in results] == ["TERMINATED"] * 6
    for trial in results:
        assert [row["training_iteration"] for row in json_history(trial)] == list(range(1, 13))
        check_files(trial)
