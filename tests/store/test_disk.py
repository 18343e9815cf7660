"""A whole run, and a disk that does not do what it should."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith import commands as c
from tunesmith.errors import StorageError
from tunesmith.executors.inline import InlineExecutor
from tunesmith.store.lock import ExperimentLock

SAMPLES, STEPS = 4, 60


def train(config: dict[str, Any]) -> None:
    """Report much, until the disk is full."""
    checkpoint = tune.get_checkpoint()
    begin = int(Path(checkpoint.path, "step").read_text()) if checkpoint else 0
    for step in range(begin, STEPS):
        tune.report(loss=config["x"] + step, note="x" * 3000)


def arguments(place: Path) -> dict[str, Any]:
    return {"num_samples": SAMPLES, "name": "run", "storage_path": place, "executor": "inline", "resume": "auto"}


def check_whole(results: tune.Results) -> None:
    assert [trial.status for trial in results] == ["TERMINATED"] * SAMPLES
    for trial in results:
        assert [r["training_iteration"] for r in trial.history] == list(range(1, STEPS + 1))


@pytest.mark.parametrize("left", range(150_000, 700_000, 91_331))
@pytest.mark.parametrize("small_disk", ["3m"], indirect=True)
def test_a_run_whose_disk_gets_full_says_so_and_goes_on_when_there_is_room(
    run: Run, small_disk: Path, left: int
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(3_000_000 - left))
    with pytest.raises(StorageError, match=r"full or has failed .* resume=True"):
        run(train, **arguments(small_disk))
    seen = len(tune.load(small_disk / "run").trials)
    assert 0 < seen <= SAMPLES
    ballast.unlink()
    check_whole(run(train, **arguments(small_disk)))


@pytest.mark.parametrize("small_disk", ["3m"], indirect=True)
def test_a_run_that_ends_on_a_disk_with_too_little_room_to_tidy_up_is_whole(run: Run, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2_100_000))
    check_whole(run(train, **arguments(small_disk)))
    assert (small_disk / "run" / "experiment.db-tail").exists()
    ballast.unlink()
    check_whole(run(train, **arguments(small_disk)))
    assert not (small_disk / "run" / "experiment.db-tail").exists()


LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import tunesmith as tune
from tests.store.test_disk import arguments, train
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
tune.run(train, {"x": tune.uniform(0, 1)}, metric="loss", mode="min", seed=1, verbose=0, **arguments(Path(sys.argv[2])))
"""


def test_a_run_whose_file_may_not_grow_says_so_and_goes_on_when_it_may(run: Run, tmp_path: Path) -> None:
    """For those who may not mount a small disk: a limit on the size of files fails as abruptly."""
    root = str(Path(__file__).parent.parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, root, str(tmp_path), "120000"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "full or has failed" in done.stderr.splitlines()[-1]
    assert 1 < len(tune.load(tmp_path / "run").trials[0].history) < STEPS
    check_whole(run(train, **arguments(tmp_path)))


def test_a_read_only_folder_is_read_and_not_resumed(run: Run, tmp_path: Path) -> None:
    run(lambda config: config["x"], name="run", num_samples=2)
    (tmp_path / "run").chmod(0o555)
    try:
        assert len(tune.load(tmp_path / "run")) == 2
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        with pytest.raises(StorageError, match="can't be written"):
            run(lambda config: config["x"], name="run", num_samples=3, resume=True)
    finally:
        (tmp_path / "run").chmod(0o755)


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StorageError, match=r"No locks available.*storage_path="), ExperimentLock(tmp_path):
        pass


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_full_durability_waits_for_the_disk_before_it_answers(
    run: Run, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    synced, answered = 0, []
    fdatasync, obey = os.fdatasync, InlineExecutor.obey

    def noting(fd: int) -> None:
        nonlocal synced
        fdatasync(fd)
        synced += Path(f"/proc/self/fd/{fd}").readlink().name == "experiment.db-tail"

    def obeying(self: InlineExecutor, commands: Sequence[c.Command]) -> None:
        answered.append(synced)
        obey(self, commands)

    monkeypatch.setattr(os, "fdatasync", noting)
    monkeypatch.setattr(InlineExecutor, "obey", obeying)
    for samples in (1, 2):  # begun and resumed
        run(lambda c: 1.0, name="run", num_samples=samples, durability=durability, resume="auto", executor="inline")
    assert len(answered) > 5
    assert answered == sorted(set(answered)) if durability == "full" else not any(answered)


def test_another_durability_is_refused(run: Run) -> None:
    with pytest.raises(tune.ArgumentError, match=r"durability must be one of 'normal', 'full'; got 'ful'"):
        run(lambda c: 1.0, durability="ful")


BEGINNING = """
import os, sys
from pathlib import Path
left = int(sys.argv[2])
def count(event, arguments):
    global left
    if event in ("sqlite3.connect", "os.rename", "sqlite3.connect/handle"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
sys.addaudithook(count)
EventStore.create(Path(sys.argv[1]))
"""


def test_whoever_is_killed_while_a_database_is_made_can_begin_again(run: Run, tmp_path: Path) -> None:
    for instant in range(1, 20):
        folder = tmp_path / str(instant)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", BEGINNING, str(folder / "experiment.db"), str(instant)], check=False
        )
        results = run(lambda c: 1.0, name=str(instant), resume="auto", executor="inline")
        assert len(results) == 1
        assert not (folder / "experiment.db.new").exists()
        if done.returncode == 0:
            break
    assert instant > 3
