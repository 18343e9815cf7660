"""What only processes can do, and survive."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunesmith as tune
from tests.executors.talk import Steps, Talk, two_reports
from tunesmith.commands import Continue, Stop
from tunesmith.events import Completed, Failed, Lost, Reported, Started, Stopped
from tunesmith.resources import Allocation, Resources
from tunesmith.worker.process import THREAD_LIMITS


@pytest.fixture(params=["fresh", "kept"])
def talk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Talk]:
    executor = tune.LocalExecutor(cpus=4, gpus=2)
    yield Talk(executor, request.param == "kept", tmp_path)
    executor.close(1.0)


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(*pids: int) -> None:
    until = time.monotonic() + 30
    while any(map(alive, pids)):
        assert time.monotonic() < until, f"{[pid for pid in pids if alive(pid)]} still run"
        time.sleep(0.01)


def test_trials_run_side_by_side_in_processes_of_their_own(talk: Talk) -> None:
    talk.open(two_reports)
    talk.start(0)
    talk.start(1)
    pids = {talk.wait(Started, trial).pid for trial in (0, 1)}
    assert len(pids | {os.getpid()}) == 3
    talk.wait(Reported, 0)
    talk.wait(Reported, 1)  # while the other one waits
    for trial in (0, 1):
        talk.tell(Continue(trial, 1))
        assert type(talk.end(trial)) is Completed


@pytest.mark.parametrize(
    ("deed", "kind", "words"),
    [
        (lambda c: os._exit(5), "exit", "exit code 5"),
        (lambda c: os.kill(os.getpid(), signal.SIGKILL), "killed", "SIGKILL"),
        (lambda c: os.kill(os.getpid(), signal.SIGTERM), "preempted", "SIGTERM"),
        (lambda c: ctypes.string_at(0), "killed", "crashed (SIGSEGV)"),
        (lambda c: os.abort(), "killed", "crashed (SIGABRT)"),
    ],
)
def test_a_process_that_dies_is_told_of_and_the_next_trial_is_fine(
    talk: Talk, deed: Any, kind: str, words: str
) -> None:
    talk.open(lambda config: deed(config) if config["bad"] else 1.0)
    talk.start(0, {"bad": True})
    lost = talk.end(0)
    assert type(lost) is Lost
    assert lost.failure.kind == kind
    assert words in lost.failure.message
    talk.start(1, {"bad": False})
    assert type(talk.end(1)) is Completed


def test_a_trial_that_hangs_is_killed_when_its_time_to_stop_is_over(talk: Talk) -> None:
    def hang(config: dict[str, Any]) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)

    talk.open(hang).start(0)
    pid = talk.wait(Started).pid
    talk.tell(Stop(0, 1, 0.1))
    failure = talk.wait(Lost).failure
    assert "told to stop, did not within 0.1 s, and was killed" in failure.message
    assert not alive(pid)


def children(config: dict[str, Any]) -> None:
    """Leave a child, a grandchild and one that has left the session; tell their pids."""
    plain = subprocess.Popen(["sleep", "600"])
    deep = subprocess.Popen(
        [sys.executable, "-c", "import subprocess; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True)"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert deep.stdout is not None
    orphan = int(deep.stdout.readline())
    deep.wait()
    away = subprocess.Popen(["sleep", "600"], start_new_session=True)
    tune.report(loss=0, pids=[plain.pid, orphan, away.pid])
    if config.get("crash"):
        os._exit(1)


@pytest.mark.parametrize("crash", [False, True])
def test_what_a_trial_has_started_ends_with_its_process(talk: Talk, crash: bool) -> None:
    talk.open(children).start(0, {"crash": crash})
    pids = talk.wait(Reported).metrics["pids"]
    assert all(map(alive, pids))
    talk.tell(Continue(0, 1))
    talk.wait((Completed, Lost))
    if talk.keep and not crash:
        talk.executor.close(1.0)  # a kept worker's children may be meant for the next trial
    wait_until_gone(*pids)


def test_a_gpu_is_free_only_when_the_process_that_had_it_is_gone(tmp_path: Path) -> None:
    talk = Talk(tune.LocalExecutor(gpus=1), False, tmp_path).open(two_reports)
    for trial in range(5):
        talk.start(trial, allocation=Allocation(Resources(gpu=1), (0,)))
        pid = talk.wait(Started, trial).pid
        assert type(talk.end(trial)) is Completed
        assert not alive(pid)
    talk.executor.close()


def test_a_process_that_has_had_only_cpus_is_gone_when_the_executor_is_closed(tmp_path: Path) -> None:
    talk = Talk(tune.LocalExecutor(), False, tmp_path).open(two_reports)
    pids = []
    for trial in range(5):
        talk.start(trial)
        pids.append(talk.wait(Started, trial).pid)
        assert type(talk.end(trial)) is Completed
    talk.executor.close()
    assert not any(map(alive, pids))


SCRIPT = """
import os, subprocess, sys, time
from pathlib import Path
import tunesmith as tune

def train(config):
    away = subprocess.Popen(["sleep", "600"], start_new_session=True)
    near = subprocess.Popen(["sleep", "600"])
    with open(sys.argv[1] + "/pids", "a") as file:
        file.write(f"{os.getpid()} {os.getppid()} {away.pid} {near.pid}\\n")
    while True:
        time.sleep(60)

if __name__ == "__main__":
    tune.run(train, {}, num_samples=2, max_concurrent_trials=2, verbose=0, storage_path=sys.argv[1],
             executor=tune.LocalExecutor(cpus=2, start=sys.argv[2]))
"""


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_nothing_is_left_when_the_driver_is_killed(tmp_path: Path, start: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    driver = subprocess.Popen([sys.executable, str(tmp_path / "script.py"), str(tmp_path), start])
    seen = tmp_path / "pids"
    until = time.monotonic() + 60
    while not seen.exists() or len(seen.read_text().splitlines()) < 2:
        assert time.monotonic() < until
        assert driver.poll() is None
        time.sleep(0.02)
    pids = {int(pid) for pid in seen.read_text().split()}
    assert len(pids) == 7  # two workers, their zygote, and two children each
    assert all(map(alive, pids))
    driver.kill()
    driver.wait()
    wait_until_gone(*pids)


def test_when_the_zygote_is_killed_its_trials_are_lost_and_others_go_on(tmp_path: Path) -> None:
    talk = Talk(tune.LocalExecutor(cpus=4), False, tmp_path).open(Steps)
    talk.start(0)
    worker = talk.wait(Started).pid
    talk.wait(Reported)
    zygote = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(zygote, signal.SIGKILL)
    lost = talk.wait(Lost)
    assert lost.failure.kind == "lost"
    assert "process that starts the workers has ended (it was killed by signal SIGKILL)" in lost.failure.message
    wait_until_gone(worker)
    talk.start(1)
    talk.wait(Reported, 1)
    talk.executor.close(0.5)


def test_output_is_kept_in_the_trials_folder(talk: Talk) -> None:
    def loud(config: dict[str, Any]) -> float:
        print("from python")
        os.write(2, b"from c\n")
        subprocess.run(["echo", "from a child"], check=True)
        return 0.0

    talk.open(loud)
    for trial in (0, 1):
        talk.start(trial)
        talk.end(trial)
        folder = talk.path / f"trial-{trial}"
        assert (folder / "stdout").read_text() == "from python\nfrom a child\n"
        assert (folder / "stderr").read_text() == "from c\n"


def surroundings(config: dict[str, Any]) -> dict[str, Any]:
    names = ("CUDA_VISIBLE_DEVICES", *THREAD_LIMITS)
    return {"loss": 0, "environment": {name: os.environ.get(name) for name in names}}


def test_a_trial_sees_its_gpus_and_its_share_of_threads(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREAD_LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")  # the user's own wish
    talk.open(surroundings)
    grants = [(1, 0.5, (1,), "1"), (3, 2, (0, 1), "0,1"), (0.5, 0, (), "")]
    for trial, (cpu, gpu, gpus, visible) in enumerate(grants):
        talk.start(trial, allocation=Allocation(Resources(cpu=cpu, gpu=gpu), gpus))
        seen = talk.wait(Reported, trial).metrics["environment"]
        assert seen["CUDA_VISIBLE_DEVICES"] == visible
        assert seen["OMP_NUM_THREADS"] == str(max(1, int(cpu)))
        assert seen["MKL_NUM_THREADS"] == "7"
        talk.end(trial)


def test_visible_gpus_are_those_of_the_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    talk = Talk(tune.LocalExecutor(), False, tmp_path).open(surroundings)
    assert talk.total.gpu == 2
    talk.start(0, allocation=Allocation(Resources(gpu=1), (1,)))
    assert talk.wait(Reported).metrics["environment"]["CUDA_VISIBLE_DEVICES"] == "6"
    talk.executor.close()


def own_memory(config: dict[str, Any], data: Any) -> dict[str, Any]:
    total = float(data.sum())
    rollup = Path("/proc/self/smaps_rollup").read_text()
    copied = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous"))
    return {"loss": total, "copied_kb": copied}


def test_big_parameters_are_shared_not_copied(talk: Talk) -> None:
    data = np.ones(12_000_000)  # 96 MB
    talk.open(own_memory, parameters={"data": data})
    for trial in (0, 1):
        talk.start(trial)
        metrics = talk.wait(Reported, trial).metrics
        assert metrics["loss"] == 12e6
        assert metrics["copied_kb"] < 60_000  # the interpreter and its libraries
        talk.end(trial)


def test_writing_to_a_shared_parameter_changes_the_writers_copy_alone(talk: Talk) -> None:
    def train(config: dict[str, Any], data: Any) -> float:
        before = float(data[0])
        data[0] += 1
        return before

    talk.open(train, parameters={"data": np.zeros(1_000_000)})
    if talk.keep:
        pytest.skip("a kept worker goes on with what it has")
    for trial in (0, 1):
        talk.start(trial)
        assert talk.wait(Reported, trial).metrics == {"loss": 0.0}
        talk.end(trial)


def test_spawned_workers_are_the_rule_where_importing_has_started_threads(tmp_path: Path) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True, name='busy').start()\n"
        "import tunesmith as tune\ndef train(config): return 1.0\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, threaded, tunesmith as tune\nif __name__ == '__main__':\n"
        "    executor = tune.LocalExecutor()\n"
        "    r = tune.run(threaded.train, {}, num_samples=2, verbose=0, storage_path=sys.argv[1], executor=executor)\n"
        "    print(len(r.errors), executor.start.start, executor.start.why)\n"
    )
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.startswith("0 spawn threads were started while the trainable was imported (busy)"), done.stderr


MAIN = """
import sys
import tunesmith as tune

OFFSET = 3

class Helper:
    def __init__(self, value): self.value = value

class Train(tune.Trainable):
    def setup(self, config):
        self.helper = Helper(config["x"] + OFFSET)
    def step(self):
        return {"loss": self.helper.value}

def make(n):
    def closure(config):
        return Helper(config["x"] + n + OFFSET).value
    return closure

if __name__ == "__main__":
    for trainable in (Train, make(2), lambda config: config["fn"](OFFSET)):
        r = tune.run(
            trainable, {"x": 1, "fn": lambda v: v * 2, "obj": Helper(1)}, metric="loss", mode="min",
            stop={"training_iteration": 1}, verbose=0, storage_path=sys.argv[1],
            executor=tune.LocalExecutor(start=sys.argv[2]))
        print(r.best_result["loss"], r.best_config["obj"].value)
"""


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_closures_lambdas_and_classes_of_the_script_work(tmp_path: Path, start: str) -> None:
    (tmp_path / "main.py").write_text(MAIN)
    command = [sys.executable, str(tmp_path / "main.py"), str(tmp_path), start]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.split() == ["4", "1", "6", "1", "6", "1"], done.stderr


def test_a_kept_worker_lets_the_reports_of_a_new_trial_wait_for_their_own_answers(tmp_path: Path) -> None:
    talk = Talk(tune.LocalExecutor(cpus=1), True, tmp_path).open(two_reports)
    talk.start(0)
    talk.wait(Reported)
    talk.tell(Stop(0, 1), Continue(0, 1))
    talk.wait(Stopped)
    talk.start(1)
    pid = talk.wait(Started, 1).pid
    talk.wait(Reported, 1)
    assert talk.executor.poll(0) == []
    talk.tell(Continue(1, 1))
    talk.end(1)
    talk.start(2)
    assert talk.wait(Started, 2).pid == pid
    talk.end(2)
    talk.executor.close()


def test_a_worker_whose_trial_failed_is_not_kept(tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> float:
        if config["bad"]:
            raise ValueError
        return 1.0

    talk = Talk(tune.LocalExecutor(cpus=1), True, tmp_path).open(train)
    pids = []
    for trial, bad in enumerate([False, True, False]):
        talk.start(trial, {"bad": bad})
        pids.append(talk.wait(Started, trial).pid)
        talk.end(trial)
    assert pids[0] == pids[1] != pids[2]
    talk.executor.close()


def test_a_folder_that_cannot_be_made_fails_its_trial_alone(talk: Talk) -> None:
    talk.open(two_reports)
    (talk.path / "trial-0").write_text("in the way")
    talk.start(0)
    failed = talk.wait(Failed)
    assert "folder can't be used" in failed.failure.message
    talk.start(1)
    assert type(talk.end(1)) is Completed


def test_no_descriptor_and_no_process_is_left_after_a_run(tmp_path: Path) -> None:
    def once(number: int) -> None:
        talk = Talk(tune.LocalExecutor(), False, tmp_path / str(number)).open(two_reports)
        talk.start(0)
        talk.end(0)
        talk.executor.close()

    once(0)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(1, 4):
        once(number)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    mine = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in mine if alive(int(pid))]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_import_first_what_they_are_to_prepare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    (tmp_path / "preparing.py").write_text("import sys\nsys.prepared = 'prepared'\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def train(config: dict[str, Any]) -> dict[str, Any]:
        import sys

        return {"loss": 0.0, "how": getattr(sys, "prepared", "not")}

    executor = tune.LocalExecutor(start=start, prepare="preparing")  # type: ignore[arg-type]  # one of its words
    results = tune.run(train, storage_path=tmp_path, executor=executor, verbose=0)
    assert results[0].last_result is not None
    assert results[0].last_result["how"] == "prepared"
