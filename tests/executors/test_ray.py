"""What is particular to trials on Ray: shares, bundles, waiting, losses, and a driver outside the cluster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunesmith as tune
from tests.executors.talk import Steps, Talk, two_reports
from tunesmith.commands import Continue, Kill, Pause, Stop
from tunesmith.events import Completed, Failed, Lost, Paused, Reported, Started, Stopped
from tunesmith.executors.ray_actor import MARKER
from tunesmith.resources import Allocation, Resources
from tunesmith.trial import Failure

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("started_ray")]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def talk_to(tmp_path: Path) -> Iterator[Callable[..., Talk]]:
    """A conversation with an executor that has these arguments."""
    executors = []

    def make(keep: bool = False, **arguments: Any) -> Talk:
        executors.append(tune.RayExecutor(**arguments))
        return Talk(executors[-1], keep, tmp_path)

    yield make
    for executor in executors:
        executor.close(0.2)


def grant(cpu: float = 1.0, gpu: float = 0.0, **named: float) -> Allocation:
    return Allocation(Resources(cpu, gpu, named))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def share(config: dict[str, Any]) -> None:
    """Tell what it sees, and keep it until there is an answer."""
    tune.report(loss=0, gpus=os.environ["CUDA_VISIBLE_DEVICES"], threads=os.environ["OMP_NUM_THREADS"])


def test_each_trial_sees_its_own_gpus_and_thread_limits(
    talk_to: Callable[..., Talk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    talk = talk_to()
    assert talk.open(share).total.gpu == 2
    talk.start(0, allocation=grant(cpu=2, gpu=1))
    talk.start(1, allocation=grant(cpu=1, gpu=0.5))
    talk.start(2, allocation=grant(cpu=1))
    found = {trial: talk.wait(Reported, trial).metrics for trial in range(3)}
    assert {found[0]["gpus"], found[1]["gpus"]} == {"0", "1"}
    assert found[2]["gpus"] == ""
    assert [found[trial]["threads"] for trial in range(3)] == ["2", "1", "1"]
    for trial in range(3):
        talk.tell(Continue(trial, 1))
        assert type(talk.end(trial)) is Completed


def test_a_trial_of_several_bundles_has_tasks_in_them(talk_to: Callable[..., Talk]) -> None:
    def train(config: dict[str, Any]) -> dict[str, Any]:
        import ray

        group = ray.util.get_current_placement_group()
        where = [ray.remote(lambda: 1).options(num_cpus=1).remote() for _ in range(3)]
        return {"loss": sum(ray.get(where)), "bundles": [bundle["CPU"] for bundle in group.bundle_specs]}

    talk = talk_to(bundles=[{"cpu": 1}, {"cpu": 2}], strategy="STRICT_PACK")
    assert talk.executor.resources_per_trial == {"cpu": 3.0, "gpu": 0.0}
    talk.open(train).start(0, allocation=grant(cpu=3))
    assert talk.wait(Reported).metrics == {"loss": 3, "bundles": [1.0, 2.0]}
    assert type(talk.end()) is Completed
    with pytest.raises(tune.ResourceError, match=r"bundles are 3 CPUs.*executor\.resources_per_trial"):
        talk.start(1, allocation=grant(cpu=1))


def test_what_no_node_has_is_refused_unless_the_cluster_may_grow(
    talk_to: Callable[..., Talk], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = talk_to()
    talk.open(two_reports)
    with pytest.raises(tune.ResourceError, match=r"asks for 5 CPU, which no node.*\(4 CPU, 2 GPU"):
        talk.start(0, allocation=grant(cpu=5))
    talk.executor.close(0)
    monkeypatch.setattr("tunesmith.executors.ray_queue._LOOK_S", 0.2)
    talk = talk_to(autoscaling={"cpu": 64, "tpu": 8})
    total = talk.open(two_reports).total
    assert (total.cpu, total.gpu, total.named["tpu"]) == (64, 2, 8)
    with caplog.at_level(logging.WARNING, logger="tunesmith.ray"):
        talk.start(0, allocation=grant(cpu=5))
        until(lambda: talk.executor.poll(0.1) or caplog.messages)
    assert caplog.messages[0].startswith("name0 waits for a node that has 5 CPU. The nodes there are: ")
    talk.tell(Pause(0, 1))
    assert type(talk.wait((Paused, Stopped))) is Paused


def test_a_trial_waits_for_what_others_hold_and_goes_on_when_it_is_free(
    talk_to: Callable[..., Talk], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray.util import placement_group, remove_placement_group

    monkeypatch.setattr("tunesmith.executors.ray_queue._LOOK_S", 0.2)
    others = placement_group([{"CPU": 3}])
    ray.get(others.ready())
    talk = talk_to()
    talk.open(two_reports)
    with caplog.at_level(logging.WARNING, logger="tunesmith.ray"):
        talk.start(0, allocation=grant(cpu=2))
        until(lambda: talk.executor.poll(0.1) or caplog.messages)
    assert caplog.messages[0].startswith("name0 waits for 2 CPU to be free: in use by others")
    remove_placement_group(others)
    assert type(talk.end()) is Completed


def test_trials_of_other_sizes_are_given_the_places_of_those_that_are_done(talk_to: Callable[..., Talk]) -> None:
    talk = talk_to(keep=True)
    talk.open(two_reports)
    for trial, cpu in enumerate([4, 1, 4]):
        talk.start(trial, allocation=grant(cpu=cpu))
        assert type(talk.end(trial)) is Completed


def pid_of(config: dict[str, Any]) -> dict[str, Any]:
    return {"loss": 0, "pid": os.getpid()}


def test_workers_are_kept_only_if_that_is_wished(talk_to: Callable[..., Talk]) -> None:
    for keep in (True, False):
        talk = talk_to(keep)
        talk.open(pid_of)
        pids = []
        for trial in range(3):
            talk.start(trial)
            pids.append(talk.wait(Reported, trial).metrics["pid"])
            talk.end(trial)
        assert len(set(pids)) == (1 if keep else 3)
        talk.executor.close(0.2)
        # A kernel closes a process's sockets just before its end.
        until(lambda pids=pids: not any(map(is_alive, pids)))


def test_large_parameters_are_in_the_object_store_once(talk_to: Callable[..., Talk]) -> None:
    import ray

    def train(config: dict[str, Any], data: np.ndarray) -> dict[str, Any]:
        return {"loss": float(data.sum()), "writeable": bool(data.flags.writeable)}

    before = ray.available_resources()["object_store_memory"]
    talk = talk_to(keep=True)
    talk.open(train, parameters={"data": np.ones(2_500_000)})
    for trial in range(3):
        talk.start(trial)
    for trial in range(3):
        assert talk.wait(Reported, trial).metrics == {"loss": 2_500_000.0, "writeable": False}
    assert 20e6 <= before - ray.available_resources()["object_store_memory"] < 30e6


def with_child(config: dict[str, Any]) -> None:
    child = subprocess.Popen(["sleep", "1000"])
    tune.report(loss=0, pid=os.getpid(), child=child.pid)
    time.sleep(1000)


def test_a_worker_that_is_killed_takes_its_children_along_and_is_not_charged(talk_to: Callable[..., Talk]) -> None:
    talk = talk_to()
    talk.open(with_child).start(0)
    found = talk.wait(Reported).metrics
    talk.tell(Continue(0, 1))
    os.kill(found["pid"], signal.SIGKILL)
    lost = talk.wait((Lost, Failed))
    assert lost.failure.kind == "lost"
    assert "went away without a word" in lost.failure.message
    until(lambda: not is_alive(found["child"]))

    talk.start(0, incarnation=2)
    found = talk.wait(Reported).metrics
    talk.tell(Continue(0, 2))
    os.kill(found["pid"], signal.SIGTERM)
    assert talk.wait((Lost, Failed)).failure.kind == "preempted"


def test_a_worker_that_is_stopped_is_killed_all_the_same(talk_to: Callable[..., Talk]) -> None:
    talk = talk_to()
    talk.open(with_child).start(0)
    found = talk.wait(Reported).metrics
    os.kill(found["pid"], signal.SIGSTOP)
    given = Failure("silent", "nothing was heard")
    talk.tell(Kill(0, 1, given))
    assert talk.wait(Lost).failure == given
    until(lambda: not is_alive(found["pid"]) and not is_alive(found["child"]))


def test_a_crash_is_the_trials_own(talk_to: Callable[..., Talk]) -> None:
    def train(config: dict[str, Any]) -> None:
        import ctypes

        ctypes.string_at(0)

    talk = talk_to()
    talk.open(train).start(0)
    lost = talk.wait(Lost)
    assert lost.failure.kind == "killed"
    assert "crashed (Segmentation fault)" in lost.failure.message


def test_a_trial_that_does_not_stop_is_ended_by_force(talk_to: Callable[..., Talk]) -> None:
    talk = talk_to()
    talk.open(with_child).start(0)
    talk.wait(Reported)
    talk.tell(Continue(0, 1))
    talk.tell(Stop(0, 1, 0.2))
    lost = talk.wait(Lost)
    assert "was told to stop, did not within 0.2 s" in lost.failure.message
    talk.start(1)
    assert talk.wait(Started, 1).pid


class Resettable(Steps):
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.total = new_config["start"]
        return True


def test_a_class_that_takes_a_new_configuration_waits_for_its_trials_next_start(talk_to: Callable[..., Talk]) -> None:
    talk = talk_to()
    talk.open(Resettable).start(0, {"start": 1})
    first = talk.wait(Started).pid
    talk.wait(Reported)
    talk.tell(Pause(0, 1, keep="drop"))
    assert talk.wait(Paused).checkpoint is None
    talk.start(0, {"start": 5}, 2)
    assert talk.wait(Started).pid == first
    assert talk.wait(Reported).metrics == {"loss": 6.0}
    talk.tell(Stop(0, 2))
    talk.wait(Stopped)


def test_a_folder_that_is_not_the_drivers_is_told_of_before_the_first_trial(talk_to: Callable[..., Talk]) -> None:
    talk = talk_to()
    talk.open(two_reports)
    (talk.path / MARKER).write_text("another driver's")
    talk.start(0)
    with pytest.raises(tune.WorkerError, match=r"is another one than the driver's.*storage_path= .*s3://"):
        talk.wait(Completed)
    talk.executor.close(0)
    assert not (talk.path / MARKER).exists()


def test_what_a_node_cannot_import_is_named_with_how_to_send_it(talk_to: Callable[..., Talk]) -> None:
    def train(config: dict[str, Any]) -> None: ...

    class Unloadable:
        def __reduce__(self) -> Any:
            return __import__, ("a_module_of_nobody",)

    talk = talk_to()
    talk.open(train, parameters={"data": Unloadable()}).start(0)
    with pytest.raises(tune.WorkerError, match=r"No module named 'a_module_of_nobody'.*runtime_env="):
        talk.wait(Completed)


def test_what_a_runtime_env_has_reaches_the_trials(talk_to: Callable[..., Talk]) -> None:
    def train(config: dict[str, Any]) -> dict[str, Any]:
        return {"loss": 0, "greeting": os.environ.get("GREETING")}

    talk = talk_to(runtime_env={"env_vars": {"GREETING": "hello"}})
    talk.open(train).start(0)
    assert talk.wait(Reported).metrics["greeting"] == "hello"
    assert type(talk.end()) is Completed


def test_a_ray_that_was_there_before_is_there_afterwards_and_another_is_refused(talk_to: Callable[..., Talk]) -> None:
    import ray

    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(tune.ArgumentError, match="is another one"):
        talk_to(address=f"127.0.0.1:{other.getsockname()[1]}").open(two_reports)
    talk = talk_to(address=ray.get_runtime_context().gcs_address)
    talk.open(two_reports).start(0)
    assert type(talk.end()) is Completed
    talk.executor.close()
    assert ray.is_initialized()


SCRIPT = """
import sys
import ray
import tunesmith as tune

def train(config):
    print("trained with", config["x"])
    for step in range(3):
        tune.report(loss=config["x"] / (step + 1), text="x" * 100_000)

arguments = dict(metric="loss", mode="min", num_samples=4, verbose=0, storage_path=sys.argv[1], seed=1)
executor = tune.RayExecutor(*sys.argv[2:], init=None if sys.argv[2:] else {"object_store_memory": 100_000_000})
results = tune.run(train, {"x": tune.uniform(0, 1)}, executor=executor, reuse_workers=True, **arguments)
assert not ray.is_initialized()
print(len(results), len(results.errors), results.best_result["training_iteration"])
"""


def play(place: Path, *address: str) -> str:
    (place / "script.py").write_text(SCRIPT)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "script.py", str(place), *address],
            cwd=place, env=environ, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        if "Initialization failure from server" not in done.stderr:  # on a busy machine Ray's own proxy may fail so
            break
    assert done.returncode == 0, done.stderr
    assert "trained with" in next(place.glob("train_*/00000*/stdout")).read_text()
    return done.stdout


def test_without_an_address_a_ray_is_started_and_ended(tmp_path: Path) -> None:
    assert play(tmp_path) == "4 0 3\n"


@pytest.mark.timeout(400)
def test_a_driver_outside_the_cluster_reaches_its_workers_through_a_relay(tmp_path: Path) -> None:
    pytest.importorskip("grpc")
    from ray.cluster_utils import Cluster

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    node = {"num_cpus": 2, "object_store_memory": 100_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "ray_client_server_port": port})
    try:
        until(lambda: is_listening(port))  # Ray does not wait for it
        assert play(tmp_path, f"ray://127.0.0.1:{port}") == "4 0 3\n"
    finally:
        cluster.shutdown()
