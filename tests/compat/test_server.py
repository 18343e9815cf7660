"""The server of a run and its client (1.14)."""

from __future__ import annotations

from pathlib import Path

from tests.compat.stage import act

HEAD = """
import socket, threading
from ray.tune.web_server import TuneClient
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
client = TuneClient("localhost", port)
def wait():
    while True:
        try:
            trials = client.get_all_trials()["trials"]
            if len(trials) == 2 and all(t["result"] for t in trials):
                return trials
        except TuneError:
            pass
        time.sleep(0.05)
class Long(Count):
    def _train(self):
        time.sleep(0.02)
        return super(Long, self)._train()
tune.register_trainable("short", climb)
told = []
"""


def test_a_client_sees_stops_and_adds_trials(tmp_path: Path) -> None:
    body = """
def steer():
    first, second = wait()
    told.append([first["trainable_name"], first["config"], first["status"], first["result"]["done"]])
    told.append(client.get_trial(second["id"])["trials"][0]["id"] == second["id"])
    client.add_trial("added", {"run": "short", "config": {"n": 2}})
    for bad in (lambda: client.get_trial("nowhere"), lambda: client.add_trial("x", {"run": "Lnog"})):
        try:
            bad()
        except TuneError as error:
            told.append(str(error))
    client.stop_trial(first["id"])
    client.stop_trial(second["id"])
threading.Thread(target=steer, daemon=True).start()
trials = run(Long, num_samples=2, with_server=True, server_port=port, verbose=0)
tell(told + [[t.status for t in trials], [str(t) for t in trials], client.server_port == port, client.server_address])
"""
    shown, same, nowhere, unknown, statuses, names, port, address = act(tmp_path, HEAD + body).told
    assert shown == ["Long", {}, "RUNNING", False]
    assert same is True
    assert "There is no trial nowhere" in nowhere
    assert "Unknown trainable: Lnog" in unknown
    assert statuses == ["TERMINATED"] * 3
    assert names == ["Long_0", "Long_1", "short_0"]
    assert (port, address) == (True, "localhost")


def test_a_port_that_is_taken_does_not_end_the_run(tmp_path: Path) -> None:
    body = """
with socket.socket() as s:
    s.bind(("127.0.0.1", port))
    s.listen()
    [t] = run(climb, with_server=True, server_port=port, verbose=0)
tell(t.status)
"""
    played = act(tmp_path, HEAD + body)
    assert played.told == "TERMINATED"
    assert "The server can't listen at port" in played.err


def test_without_a_run_the_client_says_so(tmp_path: Path) -> None:
    body = """
try:
    client.get_all_trials()
except TuneError as error:
    tell(str(error))
"""
    assert "No run answers at localhost:" in act(tmp_path, HEAD + body).told
