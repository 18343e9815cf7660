"""Workers that were forked ahead."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.executors.talk import PATIENCE_S, Talk
from tests.executors.test_local import wait_until_gone
from tunesmith.events import Completed, Started

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="spares are looked for in /proc")


def speak(config: dict[str, Any]) -> float:
    print(f"trial {config['x']}", flush=True)
    return 0.5


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    executor = tune.LocalExecutor(cpus=2, start="fork")
    yield Talk(executor, False, tmp_path).open(speak)
    executor.close()


def spares(talk: Talk, *served: int) -> set[int]:
    """Return the spares that wait, once there are two; those that have `served` may be leaving still."""
    zygote = talk.executor._zygote.pid  # type: ignore[attr-defined]  # the only way to its processes
    until = time.monotonic() + PATIENCE_S
    while len(found := children(zygote).difference(served)) != 2:
        assert time.monotonic() < until
        talk.executor.poll(0.01)
    return found


def test_a_trial_that_finds_a_spare_runs_in_it_and_in_its_own_folder(talk: Talk) -> None:
    served: list[int] = []
    for trial in range(3):
        waiting = spares(talk, *served)
        talk.start(trial, {"x": trial})
        served.append(talk.wait(Started, trial).pid)
        assert served[-1] in waiting
        assert type(talk.end(trial)) is Completed
        assert Path(talk.path, f"trial-{trial}", "stdout").read_text() == f"trial {trial}\n"


def test_a_spare_that_has_died_is_passed_over(talk: Talk) -> None:
    dead = spares(talk)
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    wait_until_gone(*dead)
    talk.start(0, {"x": 0})
    assert talk.wait(Started).pid not in dead
    assert type(talk.end()) is Completed


def test_spares_leave_with_the_executor(talk: Talk) -> None:
    waiting = spares(talk)
    talk.executor.close()
    for pid in waiting:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
