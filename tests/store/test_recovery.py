"""What is whole of a damaged store is recovered, the rest is named, and the damaged files stay as they are."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tunesmith import events as e
from tunesmith.core.experiment import Experiment
from tunesmith.errors import ExperimentBusyError, ExperimentDamagedError, StorageError
from tunesmith.resources import Allocation, Resources
from tunesmith.store.lock import ExperimentLock
from tunesmith.store.pages import PAGE_SIZE
from tunesmith.store.reading import EventReader
from tunesmith.store.recovery import DROPPED, Loss, recover
from tunesmith.store.sqlite import EventStore
from tunesmith.trial import CheckpointRef

TRIALS, REPORTS = 12, 30
IN_DATABASE, IN_LOG = 200, 300  # up to which events they go; the rest is in the tail
FILES = ("experiment.db", "experiment.db-wal", "experiment.db-tail")


def story() -> Iterator[e.Event]:
    """An experiment of trials that report in turn; one of them with reports that fill several pages each."""
    yield e.Created("abc", "name", 7, "loss", "min", 1.5, "0.1", {"max_failures": 0})
    yield e.SessionOpened(1, 42, "host", 2.5, Resources(cpu=TRIALS))
    for trial in range(TRIALS):
        yield e.Suggested(trial, f"abc_{trial}", f"train_{trial}", f"{trial:05d}", {"x": trial / 7})
        yield e.Placed(trial, 1, Allocation(Resources()))
        yield e.Started(trial, 1, 99, "host", "192.0.2.1")
    for step in range(1, REPORTS + 1):
        for trial in range(TRIALS):
            metrics = {"loss": trial + 1 / step, "note": "long " * (trial == 5) * 1500}
            saved = CheckpointRef(f"{trial:05d}/{step}", step) if step % 10 == 0 else None
            yield e.Reported(trial, 1, step, metrics, 1e9, 1.0, float(step), float(step), step, saved)


STORY = list(story())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An experiment whose driver was killed: some of it is in the database, some in its log, the rest in its tail."""
    made = tmp_path / "made"
    made.mkdir()
    with EventStore.create(made / "experiment.db") as store:
        for at in range(0, len(STORY), 25):
            store.append(STORY[at : at + 25])
            if at < IN_LOG:
                store.settle()
            if at == IN_DATABASE - 25:
                store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        killed = tmp_path / "name"
        killed.mkdir()
        for name in FILES:
            shutil.copy(made / name, killed / name)
    assert (killed / "experiment.db-wal").stat().st_size > 10 * PAGE_SIZE
    assert (killed / "experiment.db-tail").stat().st_size > 10_000
    return killed


def merged(folder: Path) -> Path:
    """Let SQLite put everything into the database itself."""
    EventStore.open(folder / "experiment.db").close()
    assert not (folder / "experiment.db-wal").exists()
    return folder / "experiment.db"


def read(folder: Path) -> list[e.Event]:
    with EventReader.open_to_read(folder / "experiment.db") as store:
        return [event for _, event in store.read()]


def check_goes_on(folder: Path) -> list[e.Event]:
    """The store is whole, a beginning of the story, and can be appended to."""
    found = read(folder)
    assert found == STORY[: len(found)]
    experiment = Experiment()
    for event in found:
        experiment.apply(event)
    with EventStore.open(folder / "experiment.db") as store:
        store.append([e.Tick(1.0)])
        assert [event for _, event in store.read(after=len(found))] == [e.Tick(1.0)]
    return found


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def test_a_whole_store_is_left_as_it_is(folder: Path) -> None:
    before = [(folder / name).read_bytes() for name in FILES]
    found = recover(folder)
    assert found.broken == ""
    assert "is whole" in str(found)
    assert found.events == len(STORY)
    assert [(folder / name).read_bytes() for name in FILES] == before
    assert not list(folder.glob("damaged-*"))


def test_a_log_that_is_cut_anywhere_gives_what_was_committed_before(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "experiment.db-wal").read_bytes()
    seen = set()
    for length in [*range(0, len(whole), 1777), len(whole)]:
        torn = tmp_path / f"torn-{length}"
        torn.mkdir()
        shutil.copy(folder / "experiment.db", torn)  # without the tail
        (torn / "experiment.db-wal").write_bytes(whole[:length])
        assert recover(torn).broken == ""  # it is what a loss of power leaves, and no damage
        found = check_goes_on(torn)
        assert len(found) % 25 == 0  # whole transactions
        seen.add(len(found))
    assert sorted(seen) == [200, 225, 250, 275, 300]


def test_a_log_that_is_cut_when_there_is_more_in_the_tail_is_damage(folder: Path) -> None:
    log = folder / "experiment.db-wal"
    log.write_bytes(log.read_bytes()[:-100])
    with pytest.raises(ExperimentDamagedError, match="event 276 is missing"):
        read(folder)
    found = recover(folder)
    assert (found.events, found.unreadable, found.dropped) == (275, 25, len(STORY) - 300)
    assert len(check_goes_on(folder)) == 275


def test_a_tail_that_is_cut_anywhere_gives_whole_batches(folder: Path) -> None:
    tail = folder / "experiment.db-tail"
    whole = tail.read_bytes()
    lines = [at for at, byte in enumerate(whole) if byte == 10]
    seen = set()
    for length in [*range(0, len(whole), 977), *lines, *(at + 1 for at in lines)]:
        tail.write_bytes(whole[:length])
        found = read(folder)
        assert found == STORY[: len(found)]
        assert len(found) in (300, 325, 350, 375, len(STORY))
        assert recover(folder).broken == ""
        seen.add(len(found))
    assert len(seen) == 5
    tail.write_bytes(whole[:-1000].ljust(len(whole), b"\0"))  # as a loss of power may leave it
    assert len(check_goes_on(folder)) == 375


def test_no_byte_of_the_tail_can_change_without_being_noticed(folder: Path) -> None:
    tail = folder / "experiment.db-tail"
    whole = tail.read_bytes()
    rng = Random(7)
    for offset in [*rng.sample(range(len(whole) - 1), 300), *range(len(whole) - 400, len(whole) - 1)]:
        tail.write_bytes(whole)
        overwrite(tail, offset, bytes([whole[offset] ^ 1 << rng.randrange(8)]))
        with pytest.raises(ExperimentDamagedError, match="is not what was written"):
            read(folder)


def test_garbage_in_the_tail_ends_the_record_there(folder: Path) -> None:
    tail = folder / "experiment.db-tail"
    overwrite(tail, tail.read_bytes().index(b"0 350 ") + 60, b"garbage")
    with pytest.raises(ExperimentDamagedError, match=r"event \d+ is not what was written"):
        EventStore.open(folder / "experiment.db")
    found = recover(folder)
    assert (found.events, found.unreadable) == (349, 1)
    assert found.dropped == len(STORY) - 350
    assert (found.kept / "experiment.db-tail").exists()
    assert not tail.exists()
    assert len(check_goes_on(folder)) == 349


def test_a_tail_that_is_in_the_database_already_is_not_read_twice(folder: Path, tmp_path: Path) -> None:
    tail = (folder / "experiment.db-tail").read_bytes()
    merged(folder)
    (folder / "experiment.db-tail").write_bytes(tail)  # who moved it was killed before it was cleared
    assert read(folder) == STORY
    assert check_goes_on(folder) == STORY


def test_a_database_without_its_log_is_one_of_an_earlier_moment(folder: Path) -> None:
    (folder / "experiment.db-wal").unlink()
    (folder / "experiment.db-tail").unlink()
    assert recover(folder).events == 200
    assert len(check_goes_on(folder)) == 200


def test_a_database_that_is_cut_short_anywhere_is_refused_and_its_beginning_recovered(folder: Path) -> None:
    path = merged(folder)
    whole = path.read_bytes()
    counts = []
    for length in range(len(whole) - PAGE_SIZE // 2, 6 * PAGE_SIZE, -29 * PAGE_SIZE // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(ExperimentDamagedError, match="python -m tunesmith recover"):
            read(folder)
        found = recover(folder)
        assert found.events == len(read(folder)) < len(STORY)
        counts.append(len(check_goes_on(folder)))
        assert (found.kept / "experiment.db").read_bytes() == whole[:length]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) > 5


def test_any_page_may_be_overwritten_and_nothing_wrong_is_ever_read(folder: Path) -> None:
    path = merged(folder)
    whole = path.read_bytes()
    rng = Random(3)
    kept = []
    for page in range(len(whole) // PAGE_SIZE):
        path.write_bytes(whole)
        overwrite(path, page * PAGE_SIZE, rng.choice([bytes(PAGE_SIZE), rng.randbytes(PAGE_SIZE)]))
        with pytest.raises(ExperimentDamagedError, match="recover"):
            assert read(folder) == []
        if b'"kind":"created"' in whole[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]:
            with pytest.raises(StorageError, match="nobody knows how the experiment began"):
                recover(folder)
            assert len((folder / DROPPED).read_text().splitlines()) > len(STORY) - 20
            continue
        found = recover(folder)
        assert read(folder) == STORY[: found.events]
        assert found.events + found.dropped + found.unreadable in (len(STORY), len(STORY) - 1)
        kept.append(found.events)
        shutil.rmtree(found.kept)
    assert kept.count(len(STORY)) == 3  # the pages that only lead to others lose nothing
    assert min(kept) > 0


def test_no_byte_of_an_event_can_change_without_being_noticed(folder: Path) -> None:
    path = merged(folder)
    whole = path.read_bytes()
    rng = Random(5)
    noticed = 0
    for _ in range(300):
        path.write_bytes(whole)
        offset = rng.randrange(len(whole))
        overwrite(path, offset, bytes([whole[offset] ^ 1 << rng.randrange(8)]))
        try:
            assert read(folder) == STORY  # it was in a part that holds nothing
        except ExperimentDamagedError:
            noticed += 1
    assert noticed > 150


def test_garbage_in_the_middle_is_told_with_what_was_dropped(folder: Path) -> None:
    path = merged(folder)
    text = b'"trial":3,"incarnation":1,"iteration":14,'
    overwrite(path, path.read_bytes().index(text) + len(text) - 3, b"9")
    at = STORY.index(next(event for event in STORY if getattr(event, "iteration", 0) == 14 and event.trial == 3))
    with pytest.raises(ExperimentDamagedError, match=f"event {at + 1} is not what was written"):
        read(folder)
    found = recover(folder)
    assert (found.events, found.unreadable, found.dropped) == (at, 1, len(STORY) - at - 1)
    assert found.losses[3] == Loss(3, REPORTS - 14, before=REPORTS, now=13)
    assert found.missing == [f"{trial:05d}/10" for trial in range(TRIALS)]
    said = str(found)
    assert f"event {at + 1} can't be read" in said
    assert "trial 3: back from iteration 30 to 13" in said
    assert 'name="name", resume=True' in said
    lines = (found.kept / DROPPED).read_text().splitlines()
    assert len(lines) == found.dropped
    assert lines[0].startswith(f'{{"seq":{at + 2},"event":{{"kind":"reported","trial":4')
    check_goes_on(folder)


def test_a_log_without_its_database_is_not_deleted_but_recovered(tmp_path: Path) -> None:
    made, folder = tmp_path / "made", tmp_path / "name"
    made.mkdir()
    folder.mkdir()
    path = folder / "experiment.db"
    with EventStore.create(made / "experiment.db") as store:
        store.append(STORY)
        store.settle()
        shutil.copy(made / "experiment.db-wal", folder)
        log = (folder / "experiment.db-wal").read_bytes()
    for open_it in (EventStore.open, EventReader.open_to_read, EventStore.create):
        with pytest.raises(ExperimentDamagedError, match=r"experiment.db is missing, but experiment.db-wal is there"):
            open_it(path)
    path.touch()  # SQLite would take it for a new database and delete the log
    for open_it in (EventStore.open, EventReader.open_to_read):
        with pytest.raises(ExperimentDamagedError, match="is empty"):
            open_it(path)
    found = recover(folder)
    assert found.events == len(STORY)
    assert (found.kept / "experiment.db-wal").read_bytes() == log
    assert check_goes_on(folder) == STORY


def test_a_tail_without_its_database_is_recovered_if_it_is_all_there_ever_was(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "experiment.db"
    with EventStore.create(path) as store:
        store.append(STORY[:40])
        store.append(STORY[40:])
        (folder / "experiment.db-wal").unlink()
        (folder / "experiment.db").unlink()
        late = (folder / "experiment.db-tail").read_bytes()
        shutil.copy(tmp_path / "experiment.db-tail", folder)
    with pytest.raises(ExperimentDamagedError, match=r"experiment.db is missing, but experiment.db-tail is there"):
        EventStore.create(folder / "experiment.db")
    assert recover(folder).events == len(STORY)
    assert check_goes_on(folder) == STORY
    path.unlink()
    (tmp_path / "experiment.db-tail").write_bytes(late)
    with pytest.raises(StorageError, match="nobody knows how the experiment began"):
        recover(tmp_path)


def test_an_empty_database_is_damaged_and_nothing_of_it_can_be_recovered(tmp_path: Path) -> None:
    path = tmp_path / "experiment.db"
    path.touch()
    with pytest.raises(ExperimentDamagedError, match="is empty"):
        EventStore.open(path)
    with pytest.raises(StorageError, match=r"Nothing of the experiment .* can be recovered"):
        recover(tmp_path)
    assert [file.name for file in tmp_path.iterdir() if file.name != "driver.lock"] == ["experiment.db"]
    assert path.read_bytes() == b""


def test_an_event_that_is_missing_or_of_no_known_kind_ends_the_record(folder: Path) -> None:
    with sqlite3.connect(merged(folder)) as db:
        db.execute("DELETE FROM events WHERE seq = 100")
        db.execute("""UPDATE events SET crc = NULL, body = '{"kind":"dreamt"}' WHERE seq = 300""")
    with pytest.raises(ExperimentDamagedError, match="event 100 is missing"):
        read(folder)
    found = recover(folder)
    assert found.broken == "event 100 is missing"
    assert (found.events, found.unreadable) == (99, 2)


def test_events_that_contradict_each_other_end_the_record(tmp_path: Path) -> None:
    with EventStore.create(tmp_path / "experiment.db") as store:
        store.append([*STORY[:60], e.Completed(0, 7), *STORY[60:]])
        with pytest.raises(ExperimentDamagedError, match=r"event 61 contradicts .* incarnation 1"):
            list(store.fold(Experiment().apply))
    found = recover(tmp_path)
    assert found.events == 60
    assert "event 61 contradicts" in found.broken
    assert check_goes_on(tmp_path) == STORY[:60]


def test_a_recovery_that_was_interrupted_is_finished_by_the_next_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = merged(folder)
    overwrite(path, 0, bytes(PAGE_SIZE))
    damaged = hashlib.sha256(path.read_bytes()).hexdigest()
    rename = Path.rename
    for interrupted in range(1, 10):  # before the first rename, before the second one, ...
        left = interrupted

        def failing(self: Path, target: Path) -> Path:
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", failing)
        try:
            recover(folder)
        except KeyboardInterrupt:
            monkeypatch.setattr(Path, "rename", rename)
            with pytest.raises(ExperimentDamagedError):
                EventStore.open(path)
            assert recover(folder).events == len(STORY)
        monkeypatch.setattr(Path, "rename", rename)
        assert read(folder) == STORY
        if left > 0:
            break
        (kept,) = folder.glob("damaged-*/experiment.db")
        assert hashlib.sha256(kept.read_bytes()).hexdigest() == damaged
        shutil.copy(kept, path)
        for old in folder.glob("damaged-*"):
            shutil.rmtree(old)
    assert interrupted > 3


def test_nothing_is_recovered_while_a_driver_runs(folder: Path) -> None:
    overwrite(merged(folder), 0, bytes(PAGE_SIZE))
    with ExperimentLock(folder), pytest.raises(ExperimentBusyError, match=str(os.getpid())):
        recover(folder)
    assert not list(folder.glob("damaged-*"))


def test_a_folder_without_an_experiment_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="There is no experiment at"):
        recover(tmp_path / "nowhere")
    with pytest.raises(StorageError, match=r"it has no experiment\.db"):
        recover(tmp_path)
    assert not list(tmp_path.iterdir())
