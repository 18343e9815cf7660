"""Going on after an end of any kind."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run

SCRIPT = """
import sys
from pathlib import Path
import tunesmith as tune

PLACE = Path(sys.argv[1])

def train(config):
    checkpoint = tune.get_checkpoint()
    start = int(Path(checkpoint.path, "step").read_text()) if checkpoint else 0
    for step in range(start, 12):
        with (PLACE / "seen").open("a") as file:
            file.write(f"{tune.get_context().trial_number}:{step} ")
        if config["slow"] and step >= 6 and not (PLACE / "quick").exists():
            (PLACE / "ready").touch()
            import threading
            threading.Event().wait(float(sys.argv[3]) if len(sys.argv) > 3 else 600)
        folder = Path("save")
        folder.mkdir(exist_ok=True)
        (folder / "step").write_text(str(step + 1))
        checkpoint = tune.Checkpoint.from_directory(folder) if step % 4 == 3 else None
        tune.report(loss=config["x"] + step, checkpoint=checkpoint)

if __name__ == "__main__":
    results = tune.run(
        train, {"x": tune.uniform(0, 1), "slow": tune.grid_search([False, True])}, metric="loss", mode="min",
        num_samples=3, seed=3, storage_path=PLACE, name="run", resume="auto", max_concurrent_trials=2,
        verbose=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print("ended", results)
"""


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def hangups_are_heard() -> Iterator[None]:
    """Also where the tests are run by nohup: that a signal is ignored is handed down."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def start(place: Path, *arguments: str) -> subprocess.Popen[str]:
    (place / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(place / "script.py"), str(place), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(place: Path) -> tune.Results:
    (place / "quick").touch()
    process = start(place)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "ended" in out
    return tune.load(place / "run")


def check_complete(results: tune.Results) -> None:
    """Whatever happened on the way: every trial is there once, with each of its iterations once."""
    assert [t.status for t in results] == ["TERMINATED"] * 6
    for trial in results:
        assert [r["training_iteration"] for r in trial.history] == list(range(1, 13))
        assert [r["loss"] for r in trial.history] == [trial.config["x"] + step for step in range(12)]


def test_a_driver_that_was_killed_goes_on_from_the_checkpoints(tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_for((tmp_path / "ready").exists)
    # Whichever slow trial made that file: on a busy machine others may be behind what is asked about below.
    wait_for(lambda: "1:6" in (tmp_path / "seen").read_text().split())
    wait_for(lambda: tune.load(tmp_path / "run")[0].status == "TERMINATED")
    process.kill()
    process.communicate()
    broken = tune.load(tmp_path / "run")
    assert len(broken.trials) >= 2
    assert any(t.status == "RUNNING" for t in broken)
    results = finish(tmp_path)
    check_complete(results)
    seen = (tmp_path / "seen").read_text().split()
    assert seen.count("0:0") == 1  # what had ended is not done again
    slow = 1
    assert results[slow].config["slow"]
    assert seen.count(f"{slow}:3") == 1  # what is in the checkpoint neither
    assert seen.count(f"{slow}:4") == 2  # what came after it is
    restored = results[slow].history[4]
    assert restored["iterations_since_restore"] == 1


def test_the_folder_of_a_driver_that_was_killed_goes_on_wherever_it_is_copied_to(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    process = start(here)
    wait_for((here / "ready").exists)
    process.kill()
    process.communicate()
    shutil.copytree(here, there)
    shutil.rmtree(here)
    assert (there / "run" / "experiment.db-tail").stat().st_size > 1000
    check_complete(finish(there))
    assert not here.exists()


def test_no_process_outlives_a_driver_that_was_killed(tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_for((tmp_path / "ready").exists)
    pids = {r["pid"] for t in tune.load(tmp_path / "run") for r in t.history[-1:] if t.status == "RUNNING"}
    assert pids
    process.kill()
    process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_saves_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, "1", "0.5")
    wait_for((tmp_path / "ready").exists)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == (0 if number == signal.SIGINT else 128 + number), err
    assert 'the same call with name="run", resume=True' in out
    assert "Traceback" not in err
    assert tune.load(tmp_path / "run").stop_reason == ("Ctrl-C" if number == signal.SIGINT else number.name)
    check_complete(finish(tmp_path))


def test_a_terminal_that_is_closed_saves_what_runs_and_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, str(tmp_path / "script.py"), str(tmp_path), "1", "0.5"])
    wait_for((tmp_path / "ready").exists)
    pids = {r["pid"] for t in tune.load(tmp_path / "run") for r in t.history[-1:] if t.status == "RUNNING"}
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert tune.load(tmp_path / "run").stop_reason == "SIGHUP"
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    check_complete(finish(tmp_path))


def test_without_a_terminal_from_the_start_a_hang_up_means_nothing(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = ["nohup", sys.executable, str(tmp_path / "script.py"), str(tmp_path), "0", "0.5"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    wait_for((tmp_path / "ready").exists)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert tune.load(tmp_path / "run").stop_reason == "SIGTERM"


def test_a_run_inside_an_event_loop_can_be_interrupted(tmp_path: Path) -> None:
    looped = SCRIPT.replace("    results = tune.run(", "    import asyncio\n    async def main(): return tune.run(")
    looped = looped.replace('    print("ended"', '    results = asyncio.run(main())\n    print("ended"')
    (tmp_path / "script.py").write_text(looped)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path), "1", "0.5"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for((tmp_path / "ready").exists)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert 'the same call with name="run", resume=True' in out
    assert "ended" in out
    check_complete(finish(tmp_path))


def test_a_second_interrupt_leaves_at_once_and_the_store_is_whole(tmp_path: Path) -> None:
    process = start(tmp_path, "1")
    wait_for((tmp_path / "ready").exists)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    while process.poll() is None and time.monotonic() - begun < 30:
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    check_complete(finish(tmp_path))


def test_a_finished_run_is_not_done_again_and_can_grow(run: Run, tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> float:
        with (tmp_path / "calls").open("a") as file:
            file.write(".")
        return float(config["x"])

    first = run(train, name="grow", num_samples=3)
    again = run(train, name="grow", num_samples=3, resume=True)
    assert [t.config for t in again] == [t.config for t in first]
    assert (tmp_path / "calls").read_text() == "..."
    more = run(train, name="grow", num_samples=5, resume=True)
    assert [t.config for t in more][:3] == [t.config for t in first]
    assert (tmp_path / "calls").read_text() == "....."
    straight = run(train, name="straight", num_samples=5)
    assert [t.config for t in more] == [t.config for t in straight]


def test_two_drivers_never_share_an_experiment(tmp_path: Path, run: Run) -> None:
    process = start(tmp_path)
    try:
        wait_for((tmp_path / "ready").exists)
        with pytest.raises(tune.ExperimentBusyError, match=str(process.pid)):
            run(lambda c: 1.0, name="run", resume=True)
    finally:
        process.kill()
        process.communicate()


def test_a_run_in_a_thread_leaves_signals_alone(run: Run) -> None:
    from concurrent.futures import ThreadPoolExecutor

    before = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run, lambda c: 1.0).result(timeout=60).errors == []
    assert signal.getsignal(signal.SIGINT) is before
    run(lambda c: 1.0)
    assert signal.getsignal(signal.SIGINT) is before
    assert os.getpid() > 0
