"""The store keeps what it acknowledged, against a real SQLite, real deaths and a really full disk."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tunesmith import events as e
from tunesmith.errors import ExperimentBusyError, StorageError
from tunesmith.resources import Allocation, Resources
from tunesmith.store.lock import ExperimentLock
from tunesmith.store.reading import EventReader
from tunesmith.store.sqlite import EventStore
from tunesmith.trial import CheckpointRef, Failure


def reported(trial: int, iteration: int, **metrics: object) -> e.Reported:
    return e.Reported(trial, 1, iteration, metrics or {"loss": 0.5}, 1e9, 1.0, 1.0, 1.0, iteration)


EVERYTHING: list[e.Event] = [
    e.Created("abc", "name", 7, "loss", "min", 1.5, "0.1", {"space": {"x": "Float"}}),
    e.SessionOpened(1, 42, "host", 2.5, Resources(cpu=2, gpu=1, named={"licence": 1})),
    e.Suggested(0, "abc_00000", "train_0", "00000_train_0", {"x": 0.5, "t": {"$tuple": [1, 2]}}),
    e.Suggested(1, "abc_00001", "train_1", "00001_train_1", {}, Resources(gpu=0.5)),
    e.Exhausted("all done"),
    e.SearchFailed(Failure("search", "boom", "traceback")),
    e.Placed(0, 1, Allocation(Resources(), (0,))),
    e.Started(0, 1, 99, "host", "10.0.0.1"),
    reported(0, 1, loss=0.25, name="a", flag=True, none=None, nested={"a": [1, 2.5]}),
    e.Reported(0, 1, 2, {"loss": 0.1}, 1e9, 1.0, 2.0, 2.0, 2, CheckpointRef("p", 2, "d", 10, 2.0), True),
    e.Judged(0, "stop", "because", 2),
    e.Stopped(0, 1),
    e.Completed(0, 1, CheckpointRef("p", 3)),
    e.Paused(0, 1),
    e.Failed(0, 1, Failure("error", "m")),
    e.Lost(0, 1, Failure("lost", "m")),
    e.Tick(5.5),
    e.StopRequested("Ctrl-C", 6.5, resumable=True),
    e.SessionClosed(7.5, finished=False),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "experiment.db"


def test_every_kind_of_event_comes_back_equal_and_in_order(path: Path) -> None:
    with EventStore.create(path) as store:
        store.append(EVERYTHING[:4])
        store.append(EVERYTHING[4:])
    with EventReader.open_to_read(path) as store:
        assert list(store.read()) == list(enumerate(EVERYTHING, start=1))
        assert [seq for seq, _ in store.read(after=17)] == [18, 19]
        assert [event for _, event in store.read_trial(1)] == [EVERYTHING[3]]


def test_nan_and_infinities_come_back_and_the_text_stays_json(path: Path) -> None:
    with EventStore.create(path) as store:
        store.append([reported(0, 1, loss=math.nan, deep={"a": [math.inf]}, none=None)])
    with EventReader.open_to_read(path) as store:
        ((_, event),) = store.read()
    assert isinstance(event, e.Reported)
    assert math.isnan(event.metrics["loss"])
    assert event.metrics["deep"] == {"a": [math.inf]}
    assert event.metrics["none"] is None
    (valid,) = sqlite3.connect(path).execute("SELECT json_valid(body) FROM events").fetchone()
    assert valid == 1


def test_a_user_can_query_metrics_with_sql(path: Path) -> None:
    with EventStore.create(path) as store:
        store.append([reported(3, 1, loss=0.5), reported(3, 2, loss=0.25)])
    query = "SELECT min(json_extract(body, '$.metrics.loss')) FROM events WHERE kind = 'reported' AND trial = 3"
    assert sqlite3.connect(path).execute(query).fetchone() == (0.25,)


def test_a_reader_sees_what_is_committed_while_a_driver_writes(path: Path) -> None:
    with EventStore.create(path) as writer:
        writer.append([reported(0, 1)])
        with EventReader.open_to_read(path) as reader:
            assert len(list(reader.read())) == 1
            writer.append([reported(0, 2)])
            assert [seq for seq, _ in reader.read(after=1)] == [2]


def test_a_reader_in_the_drivers_own_process_leaves_its_locks_alone(path: Path) -> None:
    """Who opens and closes the file himself takes back the locks of SQLite: then others delete the log in use."""
    with EventStore.create(path) as writer:
        writer.append([reported(0, 1)] * 600)
        with EventReader.open_to_read(path) as reader:
            assert len(list(reader)) == 600
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM events').fetchone()"
        subprocess.run([sys.executable, "-c", code, path], check=True)
        assert path.with_name("experiment.db-wal").exists()
        writer.append([reported(0, 2)] * 600)
    with EventReader.open_to_read(path) as reader:
        assert len(list(reader)) == 1200


def test_a_reopened_store_goes_on_where_it_was(path: Path) -> None:
    with EventStore.create(path) as store:
        store.append([reported(0, 1)])
    with EventStore.open(path) as store:
        store.append([reported(0, 2)])
        assert [seq for seq, _ in store.read()] == [1, 2]


def test_what_is_no_experiment_is_said_to_be_none(tmp_path: Path, path: Path) -> None:
    with pytest.raises(StorageError, match="There is no experiment"):
        EventStore.open(path)
    path.write_text("hello, I am no database, however long this text may be\n" * 50)
    with pytest.raises(StorageError, match="no database of an experiment"):
        EventReader.open_to_read(path)
    other = tmp_path / "other.db"
    sqlite3.connect(other).execute("CREATE TABLE t (x)")
    with pytest.raises(StorageError, match="no database of an experiment"):
        EventReader.open_to_read(other)


def test_a_newer_schema_is_refused_with_the_way_to_read_it(path: Path) -> None:
    EventStore.create(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = '999'")
    with pytest.raises(StorageError, match="pip install --upgrade tunesmith"):
        EventStore.open(path)


def test_a_second_database_is_not_made_over_the_first(path: Path) -> None:
    EventStore.create(path).close()
    with pytest.raises(StorageError, match="already"):
        EventStore.create(path)


def test_an_experiment_in_a_read_only_folder_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "frozen"
    folder.mkdir()
    with EventStore.create(folder / "experiment.db") as store:
        store.append([reported(0, 1)])
    folder.chmod(0o555)
    try:
        with EventReader.open_to_read(folder / "experiment.db") as store:
            assert len(list(store.read())) == 1
    finally:
        folder.chmod(0o755)


def test_a_tail_goes_into_the_database_when_it_is_long_and_when_the_store_is_closed(path: Path) -> None:
    tail, written = path.with_name("experiment.db-tail"), []
    with EventStore.create(path) as store, EventReader.open_to_read(path) as reader:
        longest = 0
        for iteration in range(1, 800):
            store.append([reported(0, iteration, text="x" * 3000), reported(1, iteration)])
            written.append(iteration)
            longest = max(longest, tail.stat().st_size)
            if iteration % 97 == 0:
                assert len(list(reader.read())) == 2 * iteration
        assert 1_000_000 < longest < 1_100_000
        assert tail.stat().st_size < longest
        with sqlite3.connect(path) as db:
            assert 0 < db.execute("SELECT max(seq) FROM events").fetchone()[0] < 2 * 799
        assert [event.iteration for _, event in reader.read_trial(1)] == written
    assert not tail.exists()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM events WHERE trial = 1 AND kind = 'reported'").fetchone() == (799,)


def test_many_events_at_once_go_into_the_database_in_their_order(path: Path) -> None:
    with EventStore.create(path) as store:
        store.append([reported(0, 1)])
        store.append([reported(0, iteration) for iteration in range(2, 1000)])
        with sqlite3.connect(path) as db:
            assert db.execute("SELECT count(*) FROM events").fetchone() == (999,)
        assert [event.iteration for _, event in store.read()] == list(range(1, 1000))


WRITER = """
import sys
from pathlib import Path
from tunesmith import events as e
from tunesmith.store.sqlite import EventStore
store = EventStore.create(Path(sys.argv[1]))
for i in range(10**9):
    store.append([e.Reported(0, 1, i + 1, {"loss": 0.5, "text": "x" * 500}, 1e9, 1.0, 1.0, 1.0, 1)])
    print(i + 1, flush=True)
"""


@pytest.mark.parametrize("after", [1, 40, 700])
def test_what_was_acknowledged_survives_the_death_of_the_writer(path: Path, after: int) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = 0
    for line in writer.stdout:
        acknowledged = int(line)
        if acknowledged >= after:
            break
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
    writer.wait()
    with EventStore.open(path) as store:
        iterations = [event.iteration for _, event in store.read() if isinstance(event, e.Reported)]
        assert iterations[:acknowledged] == list(range(1, acknowledged + 1))
        store.append([reported(0, len(iterations) + 1)])
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("small_disk", ["600k"], indirect=True)
def test_a_full_disk_is_said_loses_nothing_and_the_store_goes_on_when_there_is_room(small_disk: Path) -> None:
    path = small_disk / "experiment.db"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 200_000)
    store = EventStore.create(path)
    written = 0

    def fill() -> None:
        nonlocal written
        while True:
            store.append([reported(0, written + 1, text="x" * 1000)])
            written += 1

    with pytest.raises(StorageError, match="full") as caught:
        fill()
    assert "resume=True" in str(caught.value)
    assert written > 10
    ballast.unlink()
    store.append([reported(0, written + 1)])
    assert [seq for seq, _ in store.read()] == list(range(1, written + 2))
    store.close()


def test_the_second_driver_is_refused_with_the_first_ones_process_and_host(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from tunesmith.store.lock import ExperimentLock\n"
    code += "with ExperimentLock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ExperimentBusyError, match=rf"process {holder.pid} on .* since"), ExperimentLock(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    deadline = time.monotonic() + 5
    while True:  # the kernel releases the lock in its own time
        try:
            with ExperimentLock(tmp_path):
                break
        except ExperimentBusyError:
            assert time.monotonic() < deadline


def test_a_lock_is_released_when_it_is_left(tmp_path: Path) -> None:
    for _ in range(2):
        with ExperimentLock(tmp_path):
            assert f"process {os.getpid()}" in (tmp_path / "driver.lock").read_text()


def test_a_moved_store_opens(tmp_path: Path, path: Path) -> None:
    with EventStore.create(path) as store:
        store.append(EVERYTHING)
    shutil.move(path, tmp_path / "elsewhere.db")
    with EventStore.open(tmp_path / "elsewhere.db") as store:
        assert len(list(store.read())) == len(EVERYTHING)


@pytest.mark.parametrize("instant", range(1, 12))
def test_who_is_killed_while_the_database_is_made_leaves_none_or_a_whole_one(path: Path, instant: int) -> None:
    script = """
import os, signal, sqlite3, sys
from pathlib import Path
from tunesmith.store.sqlite import EventStore
left = int(sys.argv[2])
def count(statement):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
connect = sqlite3.connect
def traced(*args, **named):
    connection = connect(*args, **named)
    connection.set_trace_callback(count)
    return connection
sqlite3.connect = traced
EventStore.create(Path(sys.argv[1])).close()
"""
    subprocess.run([sys.executable, "-c", script, str(path), str(instant)], timeout=60, check=False)
    with EventStore.open(path) if path.exists() else EventStore.create(path) as store:
        store.append(EVERYTHING)
        assert [event for _, event in store.read()] == EVERYTHING
    assert [file.name for file in path.parent.iterdir()] == [path.name]
