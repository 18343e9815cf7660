"""What the Ray executor is made of, as far as it needs no Ray."""

from __future__ import annotations

import importlib.util
import logging
import socket
import sys
import time
from pathlib import Path

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith.commands import Start
from tunesmith.events import Reported
from tunesmith.executors import ray_queue
from tunesmith.executors.ray_cluster import check_reachable
from tunesmith.executors.ray_deaths import explain_loss, is_hopeless
from tunesmith.executors.ray_demand import Demand, Node, describe, parse_bundles, read_node, total
from tunesmith.executors.ray_link import CLOSED, HELLO, Hello, SocketChannel, frame
from tunesmith.executors.ray_nodes import Nodes
from tunesmith.executors.ray_queue import Queue, Waiting, reason, refusal
from tunesmith.executors.ray_switchboard import Switchboard
from tunesmith.resources import Allocation, Resources
from tunesmith.trial import Failure
from tunesmith.worker import wire

SECRET = b"s" * 32
SMALL, LARGE = {"CPU": 4.0}, {"CPU": 16.0, "GPU": 2.0}


def demand(*bundles: dict[str, float], strategy: str = "PACK") -> Demand:
    return Demand(*parse_bundles(list(bundles), strategy))


# -- what is asked for


def test_a_trial_in_one_piece_needs_one_node_that_has_it_all() -> None:
    assert demand({"cpu": 4}).fits([SMALL])
    assert not demand({"cpu": 6}).fits([SMALL, SMALL])
    assert not demand({"cpu": 1, "licence": 1}).fits([SMALL, LARGE])
    assert demand({"cpu": 0.1}).fits([{"CPU": 0.1 + 1e-12}])


def test_bundles_may_lie_on_several_nodes_as_their_strategy_says() -> None:
    pair = ({"cpu": 4}, {"cpu": 4})
    assert demand(*pair).fits([SMALL, SMALL])
    assert not demand(*pair, strategy="STRICT_PACK").fits([SMALL, SMALL])
    assert demand(*pair, strategy="STRICT_PACK").fits([SMALL, LARGE])
    assert not demand(*pair, strategy="STRICT_SPREAD").fits([LARGE])
    assert demand(*pair, strategy="STRICT_SPREAD").fits([SMALL, LARGE])
    assert demand({"cpu": 1}, {"cpu": 1, "gpu": 1}, strategy="STRICT_SPREAD").fits([LARGE, SMALL])
    assert not demand({"cpu": 9}, {"cpu": 9}).fits([LARGE])


def test_demands_are_equal_when_they_can_take_each_others_places() -> None:
    assert demand({"cpu": 1}).key == demand({"cpu": 1.0, "gpu": 0}).key
    assert demand({"cpu": 1}).key != demand({"cpu": 2}).key
    assert demand({"cpu": 1, "gpu": 0.5, "licence": 2, "memory": 2**30}).held == {"GPU": 0.5, "licence": 2}


@pytest.mark.parametrize(
    ("bundles", "strategy", "message"),
    [
        ([], "PACK", "bundles must be a list"),
        ({"cpu": 1}, "PACK", "bundles must be a list"),
        ([{"cpu": 0}], "PACK", "must ask for something"),
        ([{"cpu": 1}], "TIGHT", "strategy must be one of"),
    ],
)
def test_bundles_that_mean_nothing_are_refused(bundles: object, strategy: str, message: str) -> None:
    with pytest.raises(tune.ArgumentError, match=message):
        parse_bundles(bundles, strategy)


def test_what_nodes_have_is_read_without_what_nobody_asks_for() -> None:
    record = {
        "NodeID": "n1", "NodeManagerAddress": "10.0.0.1", "Alive": True,
        "Resources": {"CPU": 8.0, "GPU": 1.0, "node:10.0.0.1": 1.0, "object_store_memory": 9.0, "memory": 2.0**30},
    }  # fmt: skip
    node = read_node(record)
    assert node.describe() == "10.0.0.1 (8 CPU, 1 GPU, 1.0 GiB memory)"
    assert total([node, node]) == Resources(16.0, 2.0, {"memory": 2.0**31})
    assert describe({}) == "nothing"


# -- who waits


def waiting(name: str, of: Demand, since: float = 0.0, trial: int = 0) -> Waiting:
    start = Start(trial, 1, f"id{trial}", name, "folder", {}, Allocation(Resources()))
    return Waiting(start, b"", of, time.monotonic() - since)


def test_why_trials_wait_is_told_and_with_what_there_is() -> None:
    nodes = [Node("a", "10.0.0.1", True, SMALL)]
    first = waiting("train_1", demand({"cpu": 2}))
    text = reason(first, 3, placed=False, nodes=nodes, free={"CPU": 1.0})
    assert text == (
        "train_1 and 2 more wait for 2 CPU to be free: in use by others, or scattered over the nodes. Free in all: "
        "1 CPU."
    )
    text = reason(waiting("train_2", demand({"gpu": 1})), 1, placed=False, nodes=nodes, free={})
    assert text == "train_2 waits for a node that has 1 CPU, 1 GPU. The nodes there are: 10.0.0.1 (4 CPU)."
    assert reason(first, 1, placed=True, nodes=nodes, free={}) == ""
    assert "Ray prepares its process" in reason(
        waiting("x", demand({"cpu": 1}), since=60), 1, placed=True, nodes=nodes, free={}
    )
    error = refusal(demand({"cpu": 2}, {"gpu": 4}), nodes)
    assert "bundles of 1 x (2 CPU), 1 x (1 CPU, 4 GPU), PACK, which no node of the Ray cluster has" in str(error)
    assert "10.0.0.1 (4 CPU)" in str(error)


def test_the_same_reason_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue()
    with caplog.at_level(logging.WARNING, logger="tunesmith.ray"):
        for sentence in ("no room", "no room", "no node"):
            queue.say([sentence])
    assert caplog.messages == ["no room", "no node"]


def test_who_has_waited_longest_is_next_and_one_may_be_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, small = Queue(), demand({"cpu": 1})
    assert queue.look_in() is None
    for trial in range(3):
        queue.add(waiting(f"t{trial}", small, since=60, trial=trial))
    assert queue.due() == []  # it is not looked at yet
    assert queue.withdraw(0, 2) is None
    assert queue.withdraw(0, 1).start.name == "t0"
    later = time.monotonic() + 6
    monkeypatch.setattr(ray_queue.time, "monotonic", lambda: later)
    ((first, count),) = queue.due()
    assert (first.start.name, count) == ("t1", 2)
    assert queue.next(small).start.name == "t1"
    assert queue.count(small) == 1
    assert queue.count(demand({"cpu": 2})) == 0


# -- nodes and ends


def test_a_node_that_is_gone_is_told_of_once_and_still_counts_for_what_may_be_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    there = [Node("a", "10.0.0.1", True, SMALL), Node("b", "10.0.0.2", True, LARGE)]
    nodes = Nodes(lambda: there)
    nodes.there()
    assert nodes.look_in() is None
    there = [there[0], Node("b", "10.0.0.2", False, {})]
    with caplog.at_level(logging.WARNING, logger="tunesmith.ray"):
        for _ in range(2):
            nodes.suspect("b")
            assert nodes.look_in() in (0.0, None)
            nodes.look_after()
    (message,) = caplog.messages
    assert message.startswith("The node 10.0.0.2 (16 CPU, 2 GPU) is gone. Trials that were there go on elsewhere")
    assert nodes.can_ever_hold(demand({"gpu": 2}))
    assert not nodes.can_ever_hold(demand({"gpu": 3}))


class ActorDiedError(Exception):
    preempted = False


@pytest.mark.parametrize(
    ("said", "stderr", "kind", "words"),
    [
        ("The actor died because its node has died. Node Id: 4", "", "lost", "The node 10.0.0.1"),
        ("Worker exits unexpectedly. The process receives a SIGTERM.", "", "preempted", "told to leave"),
        ("end of file", "x\nThe worker was told to leave (SIGTERM).\n", "preempted", "told to leave"),
        ("end of file", "Fatal Python error: Segmentation fault\n\nThread", "killed", "crashed (Segmentation fault)"),
        ("Worker exits with an exit code 4.", "", "exit", "exit code 4"),
        ("Task was killed due to the node running low on memory.", "", "memory", "memory of 10.0.0.1 ran short"),
        ("Worker unexpectedly exits with a connection error code 2", "", "lost", "without a word"),
    ],
)
def test_ends_are_told_by_what_the_caller_can_do(said: str, stderr: str, kind: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "stderr").write_text(stderr)
    failure = explain_loss(ActorDiedError(said), "10.0.0.1", None, tmp_path / "stderr")
    assert failure.kind == kind
    assert words in failure.message
    overdue = Failure("timeout", "its time is up")
    assert explain_loss(ActorDiedError(said), "10.0.0.1", overdue, tmp_path / "stderr") == overdue


def test_some_ends_say_that_no_worker_will_come_up() -> None:
    class RuntimeEnvSetupError(Exception): ...

    assert is_hopeless(RuntimeEnvSetupError())
    assert not is_hopeless(ActorDiedError())
    assert not is_hopeless(None)


# -- connections


class Wire:
    """A switchboard and a worker's end that has said hello to it."""

    def __init__(self) -> None:
        self.board = Switchboard("127.0.0.1", SECRET)
        self.channel = SocketChannel("127.0.0.1", self.board.port, 7)
        self.hello = Hello(7, 1, "host", "10.0.0.1", "n1", "0,1")
        self.channel.say(HELLO, SECRET + wire.encode(self.hello))

    def frames(self, count: int) -> list[tuple[int, int, bytes]]:
        found: list[tuple[int, int, bytes]] = []
        while len(found) < count:
            found += self.board.poll(10)
        return found


def report(text: str = "") -> Reported:
    return Reported(3, 1, 1, {"loss": 1.0, "text": text}, 0.0, 0.0, 0.0, 0.0, 1)


def test_messages_of_any_size_pass_both_ways() -> None:
    line = Wire()
    large = "x" * 3_000_000
    line.channel.say(wire.READY, b"")
    assert [kind for _, kind, _ in line.frames(2)] == [HELLO, wire.READY]
    order = wire.Assignment(3, 1, "id", "n", "f", b"c" * 5_000_000, "", 1.0, 0.0, {}, None, 0, 0.0)
    body = wire.encode(order)
    line.board.send(7, wire.ASSIGN + wire.ASSIGNED.pack(len(body)) + body)  # more than fits into a connection
    from threading import Thread

    found: list[object] = []
    reader = Thread(target=lambda: found.append(line.channel.next_assignment()))
    reader.start()
    while reader.is_alive():
        line.board.poll(0.01)
    assert found == [order]
    sender = Thread(target=lambda: found.append(line.channel.exchange(report(large))))
    sender.start()
    ((number, kind, payload),) = line.frames(1)
    assert (number, kind) == (7, wire.EVENT)
    assert wire.decode_event(payload) == report(large)
    line.board.send(7, b"c")
    sender.join()
    assert found[-1] == b"c"
    line.channel.close()
    assert line.frames(1) == [(7, CLOSED, b"")]
    line.board.close()


def test_a_caller_without_the_secret_is_hung_up_on() -> None:
    board = Switchboard("127.0.0.1", SECRET)
    hello = wire.encode(Hello(1, 1, "h", "i", "n", ""))
    for words in (frame(HELLO, b"t" * 32 + hello), frame(wire.EVENT, hello), b"GET / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", board.port)) as caller:
            caller.sendall(words)
            caller.settimeout(10)
            frames: list[object] = []
            for _ in range(2):
                frames += board.poll(5)
            assert frames == []
            assert caller.recv(1) == b""
    board.close()


def test_a_worker_that_is_hung_up_on_is_not_heard_any_more() -> None:
    line = Wire()
    ((number, kind, payload),) = line.frames(1)
    assert (number, kind) == (7, HELLO)
    assert wire.encode(line.hello) == payload
    line.board.drop(7)
    line.board.drop(7)
    line.board.send(7, b"c")
    line.board.wake()
    assert line.board.poll(10) == []
    line.board.close()


# -- arguments


def test_a_ray_that_is_missing_is_named_with_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(tune.MissingPackageError, match=r'pip install "tunesmith\[ray\]"'):
        run(lambda config: 0.0, executor="ray")


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(run: Run) -> None:
    with pytest.raises(tune.ArgumentError, match=r"'rey'.*Did you mean 'ray'"):
        run(lambda config: 0.0, executor="rey")


def test_addresses_where_nothing_answers_are_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        check_reachable(f"127.0.0.1:{port}")
        check_reachable(f"ray://127.0.0.1:{port}")
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(tune.ArgumentError, match=f"There is no Ray cluster at '{address}'"):
            check_reachable(address)
    for address in ("somewhere", "http://a:1", ":1"):
        with pytest.raises(tune.ArgumentError, match="'auto', 'host:port' or 'ray://host:port'"):
            check_reachable(address)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_what_the_executor_is_given_is_looked_at_before_anything_is_started() -> None:
    with pytest.raises(tune.ArgumentError, match="address must be a text"):
        tune.RayExecutor(address=6379)
    with pytest.raises(tune.ArgumentError, match="cpus must be zero or more"):
        tune.RayExecutor(cpus=-1)
    executor = tune.RayExecutor(bundles=[{"cpu": 1}, {"cpu": 2, "gpu": 1}], strategy="SPREAD")
    assert executor.resources_per_trial == {"cpu": 3.0, "gpu": 1.0}
