"""An experiment's copy elsewhere: which of the two is gone on with, what is deleted when, and who may write."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tunesmith import events as e
from tunesmith.checkpoints import remote
from tunesmith.checkpoints.folder import Standing
from tunesmith.errors import ExperimentBusyError, StorageError
from tunesmith.remote.files import Files
from tunesmith.remote.storage import RemoteStorage
from tunesmith.resources import Resources
from tunesmith.store.mirror import Mirror
from tunesmith.store.reading import EventReader
from tunesmith.store.sessions import Session, Sessions, this_process
from tunesmith.store.snapshot import relation, snapshot
from tunesmith.store.sqlite import EventStore
from tunesmith.trial import CheckpointRef

CREATED = e.Created("abc", "name", 7, "loss", "min", 1.5, "0.1", {})
OPENED = e.SessionOpened(1, 42, "host", 2.5, Resources())


def ticks(*numbers: float) -> list[e.Event]:
    return [e.Tick(number) for number in numbers]


@pytest.fixture
def storage(tmp_path: Path) -> RemoteStorage:
    (tmp_path / "there").mkdir()
    return RemoteStorage(f"file://{tmp_path}/there", copy_every_s=0.05, retry_s=0)


@pytest.fixture
def files(storage: RemoteStorage) -> Files:
    return Files(storage, retry_s=0)


class Machine:
    """A machine's folder, and what it tells its user."""

    def __init__(self, folder: Path, storage: RemoteStorage) -> None:
        folder.mkdir()
        self.folder, self.storage, self.said = folder, storage, list[str]()
        self.path = folder / "experiment.db"

    def open(self) -> Mirror:
        mirror = Mirror(self.storage, self.folder, self.said.append)
        mirror.open()
        return mirror

    def record(self, *events: e.Event) -> None:
        with (EventStore.open if self.path.exists() else EventStore.create)(self.path) as store:
            store.append(events)

    def events(self) -> list[e.Event]:
        with EventReader.open_to_read(self.path) as store:
            return list(store)


@pytest.fixture
def one(tmp_path: Path, storage: RemoteStorage) -> Machine:
    return Machine(tmp_path / "one", storage)


@pytest.fixture
def two(tmp_path: Path, storage: RemoteStorage) -> Machine:
    return Machine(tmp_path / "two", storage)


def forget(mirror: Mirror) -> None:
    """Let a session be one of a process that has died."""
    sessions = mirror._sessions
    assert sessions.ours is not None
    sessions.ours.process, sessions.ours.born = 2**22 + 1, "0"
    sessions.beat(0)


# -- the snapshot


def test_a_snapshot_is_one_file_with_all_that_was_appended(tmp_path: Path, one: Machine) -> None:
    with EventStore.create(one.path) as store:
        store.append([CREATED, OPENED])
        store.settle()
        store.append(ticks(1))  # which is in the tail
        assert snapshot(one.path, tmp_path / "copy.db") == 3
        store.append(ticks(2))
    with sqlite3.connect(tmp_path / "copy.db") as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    with EventReader.open_to_read(tmp_path / "copy.db") as copy:
        assert list(copy) == [CREATED, OPENED, *ticks(1)]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("copy.db-")]


def test_two_records_are_compared_event_by_event(tmp_path: Path) -> None:
    def make(name: str, *events: e.Event) -> Path:
        with EventStore.create(tmp_path / name) as store:
            store.append([CREATED, *events])
        return tmp_path / name

    base, more = make("base", *ticks(1, 2)), make("more", *ticks(1, 2, 3))
    other = make("other", *ticks(1, 9, 3))  # the third event is the same again
    assert relation(base, make("same", *ticks(1, 2))) == "same"
    assert relation(more, base) == "ahead"
    assert relation(base, more) == "behind"
    assert relation(more, other) == relation(other, base) == "apart"


# -- which one is gone on with


def test_another_machine_goes_on_from_the_copy_alone(one: Machine, two: Machine) -> None:
    with one.open():
        one.record(CREATED, OPENED, *ticks(1))
    with two.open():
        assert two.events() == [CREATED, OPENED, *ticks(1)]
        two.record(*ticks(2))
    with one.open():  # which has less, and nothing that the copy has not
        assert one.events() == [CREATED, OPENED, *ticks(1, 2)]
    assert not one.said + two.said
    assert not [path.name for path in one.folder.iterdir() if path.name.startswith(".")]


def test_what_is_here_wins_if_it_has_more(one: Machine, two: Machine) -> None:
    with one.open():
        one.record(CREATED, OPENED)
    one.record(*ticks(1))  # as a driver that was killed before it could copy
    with one.open():
        assert one.events() == [CREATED, OPENED, *ticks(1)]
    with two.open():
        assert two.events() == [CREATED, OPENED, *ticks(1)]


def test_two_that_went_different_ways_are_not_mixed(one: Machine, two: Machine, files: Files) -> None:
    with one.open():
        one.record(CREATED, OPENED)
    one.record(*ticks(1))
    with two.open():
        two.record(*ticks(2))
    with pytest.raises(StorageError, match=r"was carried on by process \d+ on .*session 2.*has reports.*move the"):
        one.open()
    assert one.events() == [CREATED, OPENED, *ticks(1)]
    assert len(files.names("sessions")) == 2  # the refused one has left no trace


def test_one_that_was_taken_for_dead_writes_and_deletes_nothing_any_more(
    one: Machine, two: Machine, files: Files
) -> None:
    files.write("trial/checkpoint_000001-123456/step", b"1")
    gone = one.open()
    one.record(CREATED, OPENED)
    with gone:
        gone._copy()
        forget(gone)
        with two.open():
            two.record(*ticks(2))
        one.record(*ticks(1))
        gone.later(partial(remote.discard, checkpoint=CheckpointRef("trial/checkpoint_000001-123456", 1)))
        gone._copy()
        assert gone.lost is not None
        assert "is carried on by process" in gone.lost
    assert "does not have all of this run" in one.said[-1]
    assert files.sizes("trial") == {"checkpoint_000001-123456/step": 1}
    three = Machine(one.folder.with_name("three"), one.storage)
    with three.open():
        assert three.events() == [CREATED, OPENED, *ticks(2)]


def test_an_experiment_that_never_began_leaves_nothing(one: Machine, files: Files) -> None:
    with one.open():
        pass
    assert files.sizes() == {}


def test_a_copy_that_can_not_be_read_is_left_alone(one: Machine, two: Machine, files: Files) -> None:
    with one.open():
        one.record(CREATED)
    there = Path(one.storage.url.removeprefix("file://"), "experiment.db")
    data = there.read_bytes()[:2048]
    there.write_bytes(data)
    for machine in (one, two):
        with pytest.raises(StorageError, match=r"The copy at file://.* can't be read"):
            machine.open()
    assert there.read_bytes() == data


def test_the_records_of_old_sessions_go(one: Machine, files: Files) -> None:
    for _ in range(14):
        with one.open():
            if not one.path.exists():
                one.record(CREATED)
    assert [name.partition("-")[0] for name in files.names("sessions")] == [f"{n:06d}" for n in range(5, 15)]


# -- who may write


def test_a_second_driver_is_refused_while_the_first_one_lives(one: Machine, two: Machine) -> None:
    with one.open():
        with pytest.raises(ExperimentBusyError, match=rf"is being run by process {os.getpid()} on "):
            two.open()
        one.record(CREATED)
    two.open()


def elsewhere(files: Files, now: float, **fields: object) -> Session:
    """Return a session of another machine that was heard of 40 s ago."""
    session = Session(4, "ab", "far-away", 7, "another machine", "1", 0, now - 40, now + 60)
    session = msgspec.structs.replace(session, **fields)
    files.write(session.name, msgspec.json.encode(session))
    return session


def test_a_driver_of_another_machine_is_waited_for_until_it_is_silent_for_long(files: Files) -> None:
    now = 1000.0
    elsewhere(files, now)
    sessions = Sessions(files, now=lambda: now)
    with pytest.raises(ExperimentBusyError, match=r"far-away.*heard of 40 s ago.*try again in 60 s"):
        sessions.open(30)
    now = 1061.0
    sessions.open(30)
    assert sessions.ours is not None
    assert sessions.ours.number == 5


def test_a_driver_that_has_ended_or_died_here_is_not_waited_for(files: Files) -> None:
    now = 1000.0
    elsewhere(files, now, closed=True)
    Sessions(files, now=lambda: now).open(30)
    elsewhere(files, now, number=9, machine=this_process()[0], process=os.getpid(), born="of an earlier process")
    Sessions(files, now=lambda: now).open(30)


def test_of_two_that_begin_at_the_same_time_one_at_most_goes_on(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    sessions = Sessions(files, now=lambda: now)
    beat = sessions.beat

    def late(every_s: float) -> None:
        elsewhere(files, now, number=1)
        beat(every_s)

    monkeypatch.setattr(sessions, "beat", late)
    with pytest.raises(ExperimentBusyError, match="at the same time by process 7 on far-away"):
        sessions.open(30)
    assert files.names("sessions") == ["000001-ab.json"]


# -- what is deleted, and when


def test_a_checkpoint_is_deleted_when_the_copy_does_not_need_it_any_more(
    one: Machine, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write("trial/checkpoint_000001-123456/step", b"1")
    log: list[str] = []

    def note(name: str, inner: Callable[..., None]) -> Callable[..., None]:
        return lambda self, *args: (log.append(f"{name} {args[-1]}"), inner(self, *args))[1]

    monkeypatch.setattr(Files, "replace", note("copy", Files.replace))
    monkeypatch.setattr(Files, "delete", note("delete", Files.delete))
    mirror = one.open()
    one.record(CREATED)
    mirror.later(partial(remote.discard, checkpoint=CheckpointRef("trial/checkpoint_000001-123456", 1)))
    mirror._copy()
    mirror._copy()
    assert log == ["copy experiment.db", "delete trial/checkpoint_000001-123456"]


def test_what_a_death_has_left_is_swept_and_nothing_else(files: Files) -> None:
    standing = Standing()
    kept = CheckpointRef("trial/checkpoint_000002-222222", 2)
    standing.see(e.Reported(0, 1, 2, {}, 1, 1, 1, 1, 2, kept))
    stays = [
        "experiment.db", "trial/checkpoint_000002-222222/step", "trial/stdout", "trial/checkpoint_000009/mine",
        "trial/checkpoints/x", "other/checkpoint_000001-111111/step",
    ]  # fmt: skip
    goes = [
        "trial/checkpoint_000001-111111/step", "trial/checkpoint_000003/.tunesmith.json", "trial/checkpoint_000003/x",
        "experiment.db.part-0a1b2c3d", ".probe-0a1b2c3d4e5f", "trial/stdout.part-0a1b2c3d",
        "trial/checkpoint_000004.2-33/.tunesmith.json",
    ]  # fmt: skip
    for name in [*stays, *goes]:
        files.write(name, b"x")
    remote.sweep(files, remote.leftovers(files, ["trial"], standing))
    assert sorted(files.sizes()) == sorted(stays)


# -- small files, and trouble


def test_small_files_are_copied_and_those_of_trials_that_go_on_are_fetched(one: Machine, two: Machine) -> None:
    suggested = [e.Suggested(number, f"id{number}", f"t{number}", f"t{number}", {}) for number in (0, 1)]
    with one.open():
        one.record(CREATED, OPENED, *suggested)
        for folder in ("t0", "t1"):
            (one.folder / folder / "made").mkdir(parents=True)
            (one.folder / folder / "stdout").write_text(f"of {folder}")
            (one.folder / folder / "made/weights").write_text("the user's own")
        (one.folder / "t0/huge").write_bytes(b"")
        os.truncate(one.folder / "t0/huge", 17 << 20)
        (one.folder / "driver.lock").touch()
    there = Path(one.storage.url.removeprefix("file://"))
    assert sorted(str(path.relative_to(there)) for path in there.rglob("*") if path.is_file())[:1] == ["experiment.db"]
    assert sorted(path.name for path in there.glob("t*/*")) == ["stdout", "stdout"]
    with two.open():
        assert (two.folder / "t1/stdout").read_text() == "of t1"


def test_without_files_only_the_database_is_copied(one: Machine, files: Files) -> None:
    one.storage = msgspec.structs.replace(one.storage, copy_files=False)
    with one.open():
        one.record(CREATED)
        (one.folder / "workers.log").write_text("x")
    assert set(files.names()) == {"experiment.db", "sessions"}


def test_what_can_not_be_copied_is_said_once_and_again_when_it_works(
    one: Machine, monkeypatch: pytest.MonkeyPatch, files: Files
) -> None:
    mirror = one.open()
    one.record(CREATED)

    def refuse(*args: object) -> None:
        raise StorageError("away.")

    with monkeypatch.context() as patch:
        patch.setattr(Files, "replace", refuse)
        mirror._bring_up_to_date()
        mirror._bring_up_to_date()
    assert len(one.said) == 1
    assert "is behind: away. It will be tried again; the run goes on." in one.said[0]
    mirror._bring_up_to_date()
    assert one.said[1].endswith("is up to date again.")
    assert files.exists("experiment.db")
    monkeypatch.setattr(Files, "replace", refuse)
    one.record(*ticks(1))
    with mirror:
        pass
    assert "does not have all of this run (away.)" in one.said[-1]
    assert "resume=True" in one.said[-1]
