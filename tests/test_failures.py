"""Failures, end to end: real processes that die, hang, are stopped by a signal, or lose their driver."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tests.test_resume import wait_for
from tunesmith import events as e
from tunesmith.store.reading import EventReader


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def events_of(results: tune.Results) -> list[e.Event]:
    with EventReader.open_to_read(results.path / "experiment.db") as store:
        return [event for _, event in store.read()]


def starts(trial: Any) -> int:
    return len((trial.path / "starts").read_text())


def note_start() -> int:
    """Count the starts of this trial, in its folder."""
    with Path("starts").open("a") as file:
        file.write(".")
    return len(Path("starts").read_text())


def steps(upto: int, trouble: Any, *, at: int = 3) -> None:
    """Report and save `upto` steps; before step `at` of the first start there is trouble."""
    checkpoint = tune.get_checkpoint()
    done = int(Path(checkpoint.path, "step").read_text()) if checkpoint else 0
    first = note_start() == 1
    for step in range(done + 1, upto + 1):
        if first and step == at:
            trouble()
        Path("state").mkdir(exist_ok=True)
        Path("state/step").write_text(str(step))
        tune.report(loss=float(step), checkpoint=tune.Checkpoint.from_directory("state"))


# -- retries


class Flaky(Exception):
    pass


def test_a_trial_is_tried_again_after_growing_pauses(run: Run) -> None:
    def train(config: dict[str, Any]) -> float:
        if note_start() < 4:
            raise Flaky("not yet")
        return 1.0

    results = run(train, max_failures=3, retry_pause_s=0.05)
    assert (results[0].status, results[0].failures) == ("TERMINATED", 3)
    failed = [event.at for event in events_of(results) if isinstance(event, e.Failed)]
    begun = [event.at for event in events_of(results) if isinstance(event, e.Started)]
    pauses = [start - failure for failure, start in zip(failed, begun[1:], strict=True)]
    assert all(pause >= least for pause, least in zip(pauses, (0.05, 0.1, 0.2), strict=True))


@pytest.mark.parametrize(
    ("retry_on", "count"), [([Flaky], 2), ("Flaky", 2), (Exception, 2), ([OSError, "memory"], 1), (None, 2)]
)
def test_only_the_exceptions_that_were_named_are_tried_again(run: Run, retry_on: Any, count: int) -> None:
    def train(config: dict[str, Any]) -> float:
        note_start()
        raise Flaky("always")

    results = run(train, max_failures=1, retry_on=retry_on, retry_pause_s=0)
    assert results[0].status == "ERROR"
    assert starts(results[0]) == count


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"retry_on": ValueError}, "max_failures="),
        ({"retry_on": [3], "max_failures": 1}, "types of exceptions"),
        ({"retry_on": [], "max_failures": 1}, "types of exceptions"),
        ({"retry_on": int, "max_failures": 1}, "types of exceptions"),
        ({"retry_pause_s": -1}, "retry_pause_s"),
        ({"retry_pause_s": None}, "retry_pause_s"),
        ({"trial_timeout_s": 0}, "trial_timeout_s"),
        ({"heartbeat_timeout_s": float("inf")}, "heartbeat_timeout_s"),
        ({"on_nan": "worse"}, "Did you mean 'worst'"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(tune.ArgumentError, match=words):
        run(lambda config: 1.0, **arguments)


def test_a_worker_that_is_told_to_leave_again_and_again_is_not_charged_for_ever(run: Run) -> None:
    def train(config: dict[str, Any]) -> None:
        note_start()
        tune.report(loss=1.0)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    results = run(train, retry_pause_s=0)
    assert (results[0].status, results[0].failures) == ("ERROR", 1)
    assert results[0].error is not None
    assert results[0].error.kind == "preempted"
    assert starts(results[0]) == 4  # three losses are not charged, the fourth is


def test_the_first_failure_may_end_the_run_which_goes_on_when_the_cause_is_gone(run: Run, tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> float:
        if config["n"] == 1 and not (tmp_path / "mended").exists():
            raise Flaky("broken")
        return 1.0

    space = {"n": tune.grid_search([0, 1, 2, 3])}
    arguments: dict[str, Any] = {"name": "fast", "max_concurrent_trials": 1, "fail_fast": True}
    results = run(train, space, **arguments)
    assert [t.status for t in results] == ["TERMINATED", "ERROR", "PENDING", "PENDING"]
    assert "trial 1 failed" in str(results.stop_reason)
    (tmp_path / "mended").touch()
    results = run(train, space, resume=True, **arguments)
    assert [t.status for t in results] == ["TERMINATED", "ERROR", "TERMINATED", "TERMINATED"]


@pytest.mark.parametrize(("on_nan", "status", "count"), [("worst", "TERMINATED", 3), ("fail", "ERROR", 2)])
def test_nan_is_what_the_user_says_it_is(run: Run, on_nan: Any, status: str, count: int) -> None:
    def train(config: dict[str, Any]) -> None:
        for loss in (1.0, float("nan"), 3.0):
            tune.report(loss=loss)

    trial = run(train, on_nan=on_nan)[0]
    assert (trial.status, len(trial.history)) == (status, count)
    best = trial.best_result()
    assert best is not None
    assert best["loss"] == 1.0


# -- time


def hang_in_c() -> None:
    """Sleep in C code and hold the interpreter's lock, so that no Python code of this process can run."""
    ctypes.PyDLL(None).sleep(600)


def hang_deaf_to_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(600)


@pytest.mark.parametrize("hang", [hang_in_c, hang_deaf_to_signals])
def test_a_trial_that_hangs_is_ended_by_force_when_its_time_is_over(run: Run, hang: Any) -> None:
    trial = run(lambda config: steps(5, hang), trial_timeout_s=2.0, max_failures=5, retry_pause_s=0)[0]
    assert trial.status == "ERROR"
    assert trial.error is not None
    assert trial.error.kind == "timeout"
    assert "trial_timeout_s=" in str(trial.error)
    assert [r["loss"] for r in trial.history] == [1.0, 2.0]  # what it had reported stands
    assert starts(trial) == 1


def test_a_trial_that_hangs_in_c_code_is_given_up_and_goes_on_from_its_checkpoint(run: Run) -> None:
    trial = run(lambda config: steps(5, hang_in_c), heartbeat_timeout_s=2.0, max_failures=1, retry_pause_s=0)[0]
    assert (trial.status, trial.failures, starts(trial)) == ("TERMINATED", 1, 2)
    assert [r["loss"] for r in trial.history] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert [r["iterations_since_restore"] for r in trial.history] == [1, 2, 1, 2, 3]


def test_in_this_process_a_trial_ends_at_its_next_report_when_its_time_is_over(run: Run) -> None:
    def train(config: dict[str, Any]) -> None:
        while True:
            time.sleep(0.01)
            tune.report(loss=1.0)

    trial = run(train, executor="inline", trial_timeout_s=0.1)[0]
    assert trial.error is not None
    assert trial.error.kind == "timeout"


def test_limits_are_those_of_virtual_time_where_time_is_virtual(run: Run) -> None:
    def model(config: dict[str, Any], step: int) -> Any:
        return ({"loss": 1.0 / step}, 50.0 if step < 4 or config["n"] else 10_000.0) if step <= 10 else None

    executor = tune.SimulatedExecutor(workers=2)
    space = {"n": tune.grid_search([0, 1])}
    silent, well = run(model, space, executor=executor, heartbeat_timeout_s=100.0, max_failures=2, retry_pause_s=30.0)
    assert (silent.status, silent.failures, len(silent.history)) == ("ERROR", 3, 3)
    assert silent.error.kind == "silent"
    assert (well.status, len(well.history)) == ("TERMINATED", 10)
    slow = run(model, space, executor=tune.SimulatedExecutor(workers=2), trial_timeout_s=420.0)
    assert [(t.error.kind if t.error else None, len(t.history)) for t in slow] == [("timeout", 3), ("timeout", 8)]


# -- fences


class Waking(tune.Callback):
    """Sends SIGCONT to a worker that was given up, as soon as its end is known."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.woken: list[bool] = []

    def on_events(self, events: Sequence[e.Event]) -> None:
        for event in events:
            if isinstance(event, e.Started):
                self.begun.append(event.pid)
            elif isinstance(event, e.Lost):
                try:
                    os.kill(self.begun[-1], signal.SIGCONT)
                    self.woken.append(alive(self.begun[-1]))
                except ProcessLookupError:
                    self.woken.append(False)


def test_a_worker_stopped_past_the_heartbeat_is_dead_before_its_successor_begins(run: Run) -> None:
    waking = Waking()
    trial = run(
        lambda config: steps(5, lambda: os.kill(os.getpid(), signal.SIGSTOP)),
        heartbeat_timeout_s=2.0, max_failures=1, retry_pause_s=0, callbacks=[waking],
    )[0]  # fmt: skip
    assert trial.status == "TERMINATED"
    assert waking.woken == [False]
    assert len(set(waking.begun)) == 2
    assert [r["loss"] for r in trial.history] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert {r["pid"] for r in trial.history[2:]} == {waking.begun[1]}


def test_a_worker_that_was_stopped_for_less_than_the_heartbeat_goes_on(run: Run) -> None:
    def nap() -> None:
        subprocess.run(["sh", "-c", f"kill -STOP {os.getpid()}; sleep 0.3; kill -CONT {os.getpid()}"], check=True)

    trial = run(lambda config: steps(5, nap), heartbeat_timeout_s=30.0)[0]
    assert (trial.status, starts(trial), len(trial.history)) == ("TERMINATED", 1, 5)


SLEEPING = """
import os, subprocess, sys, time
from pathlib import Path
import tunesmith as tune

def train(config):
    tune.report(loss=1.0)
    subprocess.Popen(["sh", "-c", "kill -STOP {0}; sleep 2; kill -CONT {0}".format(config["driver"])])
    while Path("/proc/{}/stat".format(config["driver"])).read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.01)
    for _ in range(3):
        tune.report(loss=2.0)

if __name__ == "__main__":
    tune.run(train, {"driver": os.getpid()}, metric="loss", mode="min", storage_path=sys.argv[1], name="run",
             verbose=0, heartbeat_timeout_s=1.5)
"""


def test_a_driver_that_was_itself_stopped_gives_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SLEEPING)
    subprocess.run([sys.executable, str(tmp_path / "script.py"), str(tmp_path)], timeout=60, check=True)
    trial = tune.load(tmp_path / "run")[0]
    assert (trial.status, trial.failures, len(trial.history)) == ("TERMINATED", 0, 4)


# -- the driver is killed while workers report

REPORTING = """
import sys
from pathlib import Path
import tunesmith as tune

PLACE = Path(sys.argv[1])

def train(config):
    checkpoint = tune.get_checkpoint()
    done = int(Path(checkpoint.path, "step").read_text()) if checkpoint else 0
    context = tune.get_context()
    with (PLACE / f"told-{context.trial_number}").open("a") as told:
        for step in range(done + 1, 401):
            state = None
            if step % 50 == 0:
                Path("state").mkdir(exist_ok=True)
                Path("state/step").write_text(str(step))
                state = tune.Checkpoint.from_directory("state")
            tune.report(loss=config["x"] + step, checkpoint=state)
            told.write(f"{step}\\n")
            told.flush()

if __name__ == "__main__":
    tune.run(train, {"x": tune.grid_search([1, 2, 3, 4, 5, 6])}, metric="loss", mode="min", storage_path=PLACE,
             name="run", resume="auto", verbose=0, seed=1, executor=tune.LocalExecutor(cpus=4))
"""


def test_what_was_answered_before_the_driver_was_killed_is_on_disk(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(REPORTING)
    command = [sys.executable, str(script), str(tmp_path)]
    for after in (40, 700, 1300):
        kill_while_it_works(command, tmp_path, after)
        recorded = {(r.trial, r.iteration) for r in read_reports(tmp_path / "run")}
        pids = {ev.pid for ev in read_events(tmp_path / "run") if isinstance(ev, e.Started)}
        wait_for(partial(none_is_alive, pids))
        for number in range(6):
            file = tmp_path / f"told-{number}"
            acknowledged = {(number, int(step)) for step in file.read_text().split()} if file.exists() else set()
            assert acknowledged <= recorded
    assert subprocess.run(command, timeout=100, check=False).returncode == 0
    for trial in tune.load(tmp_path / "run"):
        assert trial.status == "TERMINATED"
        assert [r["loss"] for r in trial.history] == [trial.config["x"] + step for step in range(1, 401)]


def kill_while_it_works(command: list[str], place: Path, after: int) -> None:
    """Kill a driver when its trials have noted so many answers."""
    driver = subprocess.Popen(command)

    def has_come_far() -> bool:
        noted = sum(len(file.read_text().split()) for file in place.glob("told-*"))
        return noted >= after or driver.poll() is not None

    wait_for(has_come_far)
    driver.kill()
    assert driver.wait() == -signal.SIGKILL


def none_is_alive(pids: set[int]) -> bool:
    return not any(map(alive, pids))


def read_events(path: Path) -> list[e.Event]:
    with EventReader.open_to_read(path / "experiment.db") as store:
        return [event for _, event in store.read()]


def read_reports(path: Path) -> list[e.Reported]:
    return [event for event in read_events(path) if isinstance(event, e.Reported)]
