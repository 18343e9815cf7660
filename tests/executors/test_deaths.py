"""How a worker's end is explained; once with a kernel that really kills for memory, where that can be had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import tunesmith as tune
from tunesmith.executors.deaths import explain
from tunesmith.executors.machine import oom_kills
from tunesmith.trial import Failure
from tunesmith.worker.wire import Ended

GROUPS = Path("/sys/fs/cgroup")


def explained(status: int, *, short: bool = False, overdue: Failure | None = None) -> Failure:
    ended = Ended(7, status, 3 << 20, killed=False)
    return explain(ended, memory_was_short=short, overdue=overdue, stderr=Path("/nowhere"))


def test_a_kill_for_memory_is_told_apart_from_any_other() -> None:
    failure = explained(signal.SIGKILL, short=True)
    assert failure.kind == "memory"
    assert "killed by the kernel because memory ran out. Its memory had reached 3.0 GiB" in failure.message
    assert explained(signal.SIGKILL).kind == "killed"
    assert explained(signal.SIGSEGV, short=True).kind == "killed"


def test_a_worker_that_was_told_to_leave_is_preempted() -> None:
    assert explained(signal.SIGTERM).kind == "preempted"


def test_what_this_library_has_killed_is_told_by_its_reason() -> None:
    reason = Failure("timeout", "its time was over")
    assert explained(signal.SIGKILL, short=True, overdue=reason) == reason


@pytest.mark.parametrize(
    ("groups", "counters", "count"),
    [
        ("0::/user/app\n", {"sys/fs/cgroup/user/app/memory.events": "oom 9\noom_kill 2\noom_group_kill 5\n"}, 2),
        ("0::/\n", {"sys/fs/cgroup/memory.events": "oom_kill 3\n", "proc/vmstat": "oom_kill 99\n"}, 3),
        ("0::/beyond/the/container\n", {"sys/fs/cgroup/memory.events": "oom_kill 4\n"}, 4),
        ("4:memory:/app\n0::/\n", {"sys/fs/cgroup/memory/app/memory.oom_control": "under_oom 0\noom_kill 5\n"}, 5),
        ("4:cpu,memory:/app\n", {"sys/fs/cgroup/memory/app/memory.oom_control": "oom_kill 6\n"}, 6),
        ("0::/user/app\n", {"proc/vmstat": "nr_free 1\noom_kill 7\n"}, 7),
        ("", {}, 0),
    ],
)
def test_the_kernels_count_is_read_where_this_process_is_counted(
    tmp_path: Path, groups: str, counters: dict[str, str], count: int
) -> None:
    for name, text in {"proc/self/cgroup": groups, **counters}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert oom_kills(tmp_path) == count


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with 300 MB of memory."""
    unified = (GROUPS / "cgroup.controllers").exists()
    path = GROUPS / f"tunesmith-test-{os.getpid()}" if unified else GROUPS / f"memory/tunesmith-test-{os.getpid()}"
    try:
        path.mkdir()
        (path / ("memory.max" if unified else "memory.limit_in_bytes")).write_text("300M")
        with suppress(OSError):  # there may be no such limit, and no swap to be limited
            (path / ("memory.swap.max" if unified else "memory.memsw.limit_in_bytes")).write_text(
                "0" if unified else "300M"
            )
    except OSError as error:
        with suppress(OSError):
            path.rmdir()
        pytest.skip(f"no control group can be made here: {error}")
    yield path
    path.rmdir()


SCRIPT = """
import os, sys
import tunesmith as tune

def train(config):
    tune.report(loss=1.0)
    if config["kind"] == "killed":
        os.kill(os.getpid(), 9)
    hoard = []
    while True:
        hoard.append(bytearray(b"x") * 8_000_000)

if __name__ == "__main__":
    space = {"kind": tune.grid_search(["memory", "killed", "memory"])}
    tune.run(train, space, verbose=0, storage_path=sys.argv[1], name="run", max_concurrent_trials=1)
"""


def test_the_kernels_own_kill_is_recognised(group: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    enter = f'echo $$ > {group}/cgroup.procs && exec "$0" "$@"'
    command = ["sh", "-c", enter, sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    done = subprocess.run(command, timeout=100, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for trial in tune.load(tmp_path / "run"):
        assert trial.error is not None
        assert trial.error.kind == trial.config["kind"]
