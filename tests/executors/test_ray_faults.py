"""A Ray cluster of several nodes loses some of them, workers and drivers, and nothing of the experiment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.faults import oracle
from tests.faults.plan import MAX_T, Settings
from tests.faults.round import read
from tests.faults.trainables import Journal
from tunesmith import events as e

ROOT = Path(__file__).parents[2]
PATIENCE_S = 100.0
SETTINGS = Settings(
    scheduler="asha", trainable="function", trials=200, length=MAX_T, workers=8, reuse_workers=True, every=2,
    keep=None, park=0, seed=1, durability="normal",
)  # fmt: skip

pytestmark = pytest.mark.heavy


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Four nodes of two CPUs each. This process itself does not join."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args=node())
    try:
        for _ in range(3):
            made.add_node(wait=False, **node())
        made.wait_for_nodes()
        yield made
    finally:
        made.shutdown()


def node(**more: Any) -> dict[str, Any]:
    return {"num_cpus": 2, "object_store_memory": 100_000_000, "include_dashboard": False, **more}


class Start:
    """One start of the experiment's driver."""

    def __init__(self, place: Path, address: str, number: int) -> None:
        self.place = place
        self.stderr = place / f"stderr-{number}"
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        with self.stderr.open("wb") as errors:
            command = [sys.executable, "-m", "tests.faults.on_ray", str(place), address]
            self.process = subprocess.Popen(command, stdout=errors, stderr=errors, env=environ, cwd=ROOT)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"it ended before {what}: {self.stderr.read_text()}"
            assert time.monotonic() < until, f"no {what}: {self.stderr.read_text()}"
            time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_two_hundred_trials_survive_a_worker_a_node_and_the_driver(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_bytes(msgspec.json.encode(SETTINGS))
    journal = Journal(str(tmp_path / "journal"))

    first = Start(tmp_path, cluster.address, 1)
    first.wait_until(lambda: journal.reports() > 40, "forty reports")
    victim = journal.read()[-1].pid
    os.kill(victim, signal.SIGKILL)
    first.wait_until(lambda: journal.reports() > 80, "reports after a worker was killed")
    cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
    cluster.add_node(wait=False, **node())
    seen = journal.reports()
    first.wait_until(lambda: journal.reports() > seen + 60, "reports after a node was lost")
    first.process.kill()
    first.process.wait()

    second = Start(tmp_path, cluster.address, 2)
    seen = journal.reports()
    second.wait_until(lambda: journal.reports() > seen + 20, "reports after the resume")
    cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=True)  # Ray itself knows of this one at once
    cluster.add_node(wait=False, **node())
    second.process.wait(PATIENCE_S)
    assert second.process.returncode == 0, second.stderr.read_text()

    wrong: list[str] = []
    log = read(tmp_path, wrong)
    found = oracle.examine(tmp_path, SETTINGS, log, kills=1 + 2 * 2)  # one by hand, and two CPUs a node
    assert [*wrong, *found.wrong] == []
    assert found.acknowledged > 300
    lost = [event.failure for event in log if isinstance(event, e.Lost)]
    assert len(lost) >= 2
    assert {failure.kind for failure in lost} <= {"lost", "preempted"}  # neither is charged to the trial
    assert "is gone. Trials that were there go on elsewhere" in second.stderr.read_text()
    assert not [pid for pid in {line.pid for line in journal.read()} if is_alive(pid)]
