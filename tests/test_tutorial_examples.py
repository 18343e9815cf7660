"""The tutorial's examples run, quickly and, where that takes seconds only, in full."""

from __future__ import annotations

import csv
import gzip
import os
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

TUTORIAL = Path(__file__).parent.parent / "examples" / "tutorial"


def run(home: Path, *command: str, **environ: str) -> str:
    script = [sys.executable, str(TUTORIAL / command[0]), *command[1:]]
    done = subprocess.run(
        script, env={**os.environ, "HOME": str(home), **environ}, cwd=home, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "switched off" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["async_hyperband.py", "hyperband.py", "logging_example.py"])
def test_smoke_tests_end_after_a_step(tmp_path: Path, name: str) -> None:
    said = run(tmp_path, name, "--smoke-test")
    assert re.search(r"Trials: +\d+ done", said)
    assert "0:   1 steps" in said or "0_123: 1 rows" in said


def test_every_result_is_printed_and_written(tmp_path: Path) -> None:
    said = run(tmp_path, "logging_example.py")
    assert said.count("TestLogger {") == 2 * 999
    for path in tmp_path.glob("tunesmith/*/*_123/progress.csv"):
        with path.open() as file:
            assert len(list(csv.DictReader(file))) == 999
    assert len(list(tmp_path.glob("tunesmith/*/*_123/result.json"))) == 2


def steps(said: str) -> list[int]:
    """How far each trial has come, in the order of numbers."""
    return [int(number) for number in re.findall(r"^trial +\d+: +(\d+) steps", said, re.MULTILINE)]


def test_asynchronous_hyperband_stops_trials_at_the_tutorials_rungs(tmp_path: Path) -> None:
    said = run(tmp_path, "async_hyperband.py")
    assert "num_stopped=30" in said
    assert len(steps(said)) == 30
    assert {100} < set(steps(said)) <= {5, 15, 45, 100}
    for number in {5, 15, 45} & set(steps(said)):
        assert f"stopped at rung {number}: " in said


def test_hyperband_has_the_tutorials_brackets_and_milestones(tmp_path: Path) -> None:
    said = run(tmp_path, "hyperband.py")
    assert "num_stopped=10 total_brackets=3" in said
    assert steps(said)[:5] == [100] * 5
    assert sorted(steps(said)[5:13]) == [33] * 5 + [100] * 3
    assert sorted(steps(said)[13:]) == [11] * 2 + [44] * 3 + [100] * 2


def test_a_population_finds_better_factors_than_those_of_the_start(tmp_path: Path) -> None:
    said = run(tmp_path, "pbt.py")
    assert re.search(r"step \d+: \d goes on from \d with \{'factor_1': [\d.]+, 'factor_2': [12]", said)
    best = re.search(r"best: .* with ([\d.]+)", said)
    assert best
    assert float(best[1]) > 130  # those of the start lead to 100, give or take 10


def test_mnist_is_read_where_its_files_are(tmp_path: Path) -> None:
    import numpy as np

    load: Any = runpy.run_path(str(TUTORIAL / "mnist.py"))["load"]
    images, labels, test, test_labels = load(tmp_path)
    assert images.shape == (1400, 28, 28)
    assert images.max() == 1.0
    assert len(test) == len(test_labels) == 397
    drawn = np.arange(3 * 28 * 28, dtype="u1").reshape(3, 28, 28)
    header = b"\0\0\x08\x03" + np.array([3, 28, 28], ">i4").tobytes()
    label_file = b"\0\0\x08\x01" + np.array([3], ">i4").tobytes() + bytes([7, 8, 9])
    (tmp_path / "train-images-idx3-ubyte").write_bytes(header + drawn.tobytes())
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(label_file))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + drawn.tobytes()))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(label_file)
    images, labels, test, test_labels = load(tmp_path)
    assert (images == drawn.astype("float32") / 255).all()
    assert (test == images).all()
    assert labels.tolist() == test_labels.tolist() == [7, 8, 9]


@pytest.mark.heavy
def test_hyperopt_begins_with_the_points_that_it_was_given_and_finds_better_ones(tmp_path: Path) -> None:
    pytest.importorskip("hyperopt")
    said = run(tmp_path, "hyperopt_search.py")
    assert re.search(r"Trials: +100 done", said)
    found = re.findall(r"^trial +(\d+): +(-?[\d.]+) at height (-?[\d.]+), width ([\d.]+)$", said, re.MULTILINE)
    assert found[:2] == [("0", "143.000", "2.000", "4.000"), ("1", "142.000", "2.000", "1.000")]
    assert int(found[-1][0]) >= 20  # the best one was no random one
    assert float(found[-1][1]) < 9
    assert re.search(r"^trials 80 to 99: +\d+ within 10 of height 14, +\d+ steps$", said, re.MULTILINE)


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["mnist_keras.py", "mnist_pytorch.py", "mnist_pytorch_trainable.py"])
def test_networks_are_tuned(tmp_path: Path, name: str) -> None:
    for package in ("torch", "keras") if "keras" in name else ("torch",):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    said = run(tmp_path, name, "--smoke-test", KERAS_BACKEND="torch")
    assert re.search(r"Trials: +1 done", said)
    assert "best: " in said
    assert list(tmp_path.glob("tunesmith/*/*/checkpoint_*"))


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_a_population_of_agents_is_trained(tmp_path: Path) -> None:
    for package in ("ray", "gymnasium", "mujoco", "torch"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    said = run(tmp_path, "pbt_ppo.py", "--smoke-test")
    assert re.search(r"Trials: +3 done", said)
    best = re.search(r"best: PPO_\d.* with ([\d.]+), saved in Checkpoint", said)
    assert best
    assert float(best[1]) > 50
    assert list(tmp_path.glob("tunesmith/*/*/checkpoint_*/rllib_checkpoint.json"))
