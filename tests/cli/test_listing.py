"""``ls``, ``lsx``, ``add-note`` and ``ray``."""

from __future__ import annotations

import csv
from argparse import ArgumentParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith.cli import add_note, ls, lsx, ray
from tunesmith.errors import ArgumentError, StorageError


def call(module: ModuleType, *arguments: str) -> int:
    parser = ArgumentParser()
    module.add_arguments(parser)
    status: int = module.run(parser.parse_args(arguments))
    return status


@pytest.fixture
def folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "120")

    def train(config: dict[str, Any]) -> None:
        for step in range(3):
            if config["x"] == 3:
                raise ValueError("three")
            tune.report(loss=config["x"] + 1 / (step + 1), inner={"a": step})

    run(train, {"x": tune.grid_search([2, 1, 3])}, name="mine", executor="inline")
    return tmp_path / "mine"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_ls_shows_each_trial_with_its_last_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(ls, str(folder)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert cells(lines[1])[:6] == ["trial_name", "trial_id", "status", "last_update_time", "loss", "training_iteration"]
    first = cells(lines[3])
    assert (first[0], first[2], first[4], first[5]) == ("train_0_x=2", "TERMINATED", "2.33333", "3")
    assert cells(lines[5])[2] == "ERROR"
    assert "Empty columns: ['mean_accuracy', 'mean_loss', 'episode_reward_mean']" in lines


def test_ls_sorts_filters_limits_and_chooses_columns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--sort", "loss", "--columns", "trial_name,config/x", "--result-columns", "inner/a"]
    call(ls, str(folder), *arguments, "--filter", "loss < 9")
    lines = capsys.readouterr().out.splitlines()
    assert cells(lines[1]) == ["trial_name", "config/x", "inner/a"]
    assert [cells(line)[1] for line in lines[3:5]] == ["1", "2"]
    call(ls, str(folder), "--sort", "loss", "--desc", "--limit", "1", "--filter", "status == TERMINATED")
    lines = capsys.readouterr().out.splitlines()
    assert [cells(line)[0] for line in lines[3:-2]] == ["train_0_x=2"]


def test_ls_fits_the_terminal_and_says_what_it_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    call(ls, str(folder))
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 40 for line in lines if line.startswith(("|", "+")))
    assert any(line.startswith("Dropped columns: [") for line in lines)


def test_ls_writes_all_columns_to_a_file(folder: Path, tmp_path: Path) -> None:
    call(ls, str(folder), "-o", str(tmp_path / "trials.csv"))
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["config/x"] for row in rows] == ["2", "1", "3"]
    with pytest.raises(ArgumentError, match=r"must be a \.csv file"):
        call(ls, str(folder), "-o", "trials.pkl")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sort", "los"], "There is no column 'los'. Did you mean 'loss'?"),
        (["--columns", "nothing"], "There is no column 'nothing'"),
        (["--filter", "loss<1"], "such as 'mean_loss < 0.5'"),
        (["--filter", "los < 1"], "Did you mean 'loss'?"),
    ],
)
def test_a_column_that_is_not_there_is_told(folder: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(ArgumentError) as error:
        call(ls, str(folder), *arguments)
    assert words in str(error.value)


def test_ls_of_no_experiment_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="There is no experiment"):
        call(ls, str(tmp_path))


def test_lsx_counts_the_trials_of_each_experiment(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.parent / "other").mkdir()
    assert call(lsx, str(folder.parent)) == 0
    lines = capsys.readouterr().out.splitlines()
    header, row = cells(lines[1]), cells(lines[3])
    assert header == ["name", "total_trials", "running_trials", "terminated_trials", "error_trials", "last_updated"]
    assert row[:5] == ["mine", "3", "0", "2", "1"]
    with pytest.raises(StorageError, match="There is no folder"):
        call(lsx, str(folder / "nowhere"))


def test_a_note_is_written_with_the_users_editor(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\necho "$1" >> "$2"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"{editor} hello")
    assert call(add_note, str(folder)) == 0
    assert call(add_note, str(folder)) == 0
    assert (folder / "note.txt").read_text() == "hello\nhello\n"
    out = capsys.readouterr().out
    assert "Added the note" in out
    assert "Updated the note" in out
    monkeypatch.setenv("EDITOR", "/no/editor")
    assert call(add_note, str(folder), "--filename", "b.txt") == 1
    assert "Set EDITOR to one that does" in capsys.readouterr().err
    with pytest.raises(ArgumentError, match="without a folder"):
        call(add_note, str(folder), "--filename", "../x")


def test_ray_hands_over_to_the_launcher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(ray, str(tmp_path / "nowhere.py"), "--its", "own") == 2
    assert "nowhere.py can't be read" in capsys.readouterr().err


def test_the_last_reports_are_enough_to_see_where_trials_are(folder: Path) -> None:
    from tunesmith.cli.reading import read
    from tunesmith.store.reading import EventReader

    _, experiment = read(folder)
    assert [trial.iteration for trial in experiment.trials] == [3, 3, 0]
    with EventReader.open_to_read(folder / "experiment.db") as store:
        told = [type(event).__name__ for _, event in store.read_last()]
    assert told.count("Reported") == 2
