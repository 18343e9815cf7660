"""No process of a trial is left behind, however many there are and wherever they have gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE_S = 60.0

# A trial that starts ten trees of six processes, in and out of its session, and a chain: a process that lives for some
# milliseconds and leaves the next one behind, for two minutes.
SCRIPT = '''
import subprocess, sys, time
from pathlib import Path
import tunesmith as tune

PLACE, HOW, START = sys.argv[1:]
CHAIN = """
import os, time
os.setsid()
until = time.monotonic() + 120
while time.monotonic() < until:
    if os.fork():
        os._exit(0)
    time.sleep(0.002)
"""
TREE = """
import os, subprocess, sys, time
from pathlib import Path
for n in range(3):
    subprocess.Popen(["sleep", "600"], start_new_session=n == 0)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        Path(sys.argv[1]).touch()
        time.sleep(600)
    os._exit(0)
time.sleep(600)
"""

def train(config):
    trees = [Path(f"tree-{n}").absolute() for n in range(10)]
    for n, tree in enumerate(trees):
        subprocess.Popen([sys.executable, "-S", "-c", TREE, str(tree)], start_new_session=n % 2 == 0)
    subprocess.Popen([sys.executable, "-S", "-c", CHAIN])
    while not all(tree.exists() for tree in trees):
        time.sleep(0.01)
        if HOW == "timeout":
            tune.report(loss=1.0)  # on a busy machine this takes longer than it may be silent
    Path(PLACE, "ready").touch()
    if HOW == "complete":
        while not Path(PLACE, "go").exists():
            time.sleep(0.01)
        return 1.0
    while True:
        time.sleep(0.01)
        tune.report(loss=1.0)
        if HOW == "timeout" and Path(PLACE, "go").exists():
            time.sleep(600)

if __name__ == "__main__":
    tune.run(
        train, {}, metric="loss", mode="min", verbose=0, storage_path=PLACE, name="run",
        heartbeat_timeout_s=2.0 if HOW == "timeout" else None,
        stop=(lambda trial_id, result: Path(PLACE, "go").exists()) if HOW == "stop" else None,
        executor=tune.LocalExecutor(start=START),
    )
'''


class Tree:
    """A driver and all processes that stem from it, which are recognised by a variable in their environment."""

    def __init__(self, *command: str) -> None:
        mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.mark = f"TUNESMITH_TEST_MARK={mark}\0".encode()
        self.driver = subprocess.Popen([sys.executable, *command], env={**os.environ, "TUNESMITH_TEST_MARK": mark})

    def members(self) -> list[int]:
        found = []
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                try:
                    is_zombie = (path / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
                    if not is_zombie and self.mark in (path / "environ").read_bytes():
                        found.append(int(path.name))
                except OSError:
                    continue
        return found

    def wait_until_ready(self, place: Path) -> None:
        until = time.monotonic() + PATIENCE_S
        while not (place / "ready").exists():
            assert time.monotonic() < until
            assert self.driver.poll() is None
            time.sleep(0.01)

    def wait_until_gone(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while left := self.members():
            assert time.monotonic() < until, f"{left} still run"
            time.sleep(0.01)


@pytest.fixture
def trees() -> Iterator[list[Tree]]:
    made: list[Tree] = []
    yield made
    for tree in made:
        tree.driver.kill()
        tree.driver.wait()


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("how", ["complete", "stop", "timeout"])
def test_when_a_trial_ends_all_that_it_has_started_is_gone(
    tmp_path: Path, trees: list[Tree], how: str, start: str
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    tree = Tree(str(tmp_path / "script.py"), str(tmp_path), how, start)
    trees.append(tree)
    tree.wait_until_ready(tmp_path)
    assert len(tree.members()) > 50
    (tmp_path / "go").touch()
    assert tree.driver.wait(PATIENCE_S) == 0
    assert tree.members() == []


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_when_the_driver_is_killed_all_of_the_tree_is_gone(tmp_path: Path, trees: list[Tree], start: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    tree = Tree(str(tmp_path / "script.py"), str(tmp_path), "run", start)
    trees.append(tree)
    tree.wait_until_ready(tmp_path)
    assert len(tree.members()) > 50
    tree.driver.kill()
    tree.driver.wait()
    tree.wait_until_gone()


IMPORTING = """
import subprocess, sys, time
from pathlib import Path
import tunesmith as tune
from slow import train

if __name__ == "__main__":
    tune.run(train, {}, verbose=0, storage_path=sys.argv[1], name="run")
"""
SLOW = """
import os, subprocess, sys, time
from pathlib import Path

if "driver" in os.environ:  # a worker's process, or one that makes them
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path(sys.argv[1], "ready").touch()
    time.sleep(600)
os.environ["driver"] = "1"

def train(config):
    return 1.0
"""


def test_a_driver_that_is_killed_while_the_users_modules_are_imported_leaves_nothing(
    tmp_path: Path, trees: list[Tree]
) -> None:
    (tmp_path / "script.py").write_text(IMPORTING)
    (tmp_path / "slow.py").write_text(SLOW)
    tree = Tree(str(tmp_path / "script.py"), str(tmp_path))
    trees.append(tree)
    tree.wait_until_ready(tmp_path)
    tree.driver.kill()
    tree.driver.wait()
    tree.wait_until_gone()
