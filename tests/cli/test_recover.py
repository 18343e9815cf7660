"""``tunesmith recover`` from the outside."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith.cli.main import COMMANDS, main


def test_the_command_that_the_error_names_recovers_the_experiment(run: Run, tmp_path: Path) -> None:
    first = run(lambda config: config["x"], name="my run", num_samples=3)
    path = first.path / "experiment.db"
    content = bytearray(path.read_bytes())
    content[: 2048 * 2] = bytes(2048 * 2)
    path.write_bytes(content)
    for call in (lambda: tune.load(first.path), lambda: run(lambda c: 1.0, name="my run", resume=True)):
        with pytest.raises(tune.ExperimentDamagedError) as caught:
            call()
    (command,) = re.findall(r"python (-m tunesmith recover '.*')$", str(caught.value))
    done = subprocess.run(
        f"{sys.executable} {command}", shell=True, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "3 trials, 3 reports" in done.stdout
    assert 'name="my run", resume=True' in done.stdout
    assert (first.path / "damaged-1" / "experiment.db").read_bytes() == content
    again = run(lambda config: config["x"], name="my run", num_samples=3, resume=True)
    assert [trial.config for trial in again] == [trial.config for trial in first]


def test_an_error_is_a_line_and_a_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recover", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("tunesmith recover: There is no experiment at")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_what_it_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert (COMMANDS[name].__doc__ or "").strip().split("\n")[0] in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert COMMANDS[name].HELP in capsys.readouterr().out
