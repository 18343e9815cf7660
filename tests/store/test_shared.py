"""A folder that other machines see, too: no shared memory, locks that all see, and readers that are in nobody's way."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith import events as e
from tunesmith.errors import ExperimentBusyError, ExperimentDamagedError
from tunesmith.store import shared
from tunesmith.store.lock import ExperimentLock
from tunesmith.store.reading import EventReader
from tunesmith.store.recovery import recover
from tunesmith.store.sqlite import EventStore

CREATED = e.Created("abc", "name", 7, "loss", "min", 1.5, "0.1", {})
MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
36 22 0:31 / /home rw,relatime shared:1 master:2 - nfs4 server:/home rw
37 36 0:32 / /home/scratch rw,relatime - xfs /dev/vdb rw
38 22 0:33 / /mnt/with\\040space rw,relatime - cifs //server/x rw
39 22 0:34 / /mnt/ssh rw,relatime - fuse.sshfs a@b:/ rw
40 22 0:35 / /mnt/ntfs rw,relatime - fuseblk /dev/vdc rw
41 22 0:36 / /over rw,relatime - nfs server:/x rw
42 22 0:37 / /over rw,relatime - tmpfs tmpfs rw
"""


def has_rollback_journal(path: Path) -> bool:
    """Whether a database's header says so: https://www.sqlite.org/fileformat2.html#file_format_version_numbers"""
    return path.read_bytes()[18:20] == b"\1\1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "experiment.db"


def ticks(first: int, last: int) -> list[e.Event]:
    return [e.Tick(float(number)) for number in range(first, last + 1)]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/srv/x", ""), ("/home", "nfs4"), ("/home/ann/not/there/yet", "nfs4"), ("/homes/x", ""), ("/home/scratch/x", ""),
     ("/mnt/with space/x", "cifs"), ("/mnt/ssh", "fuse.sshfs"), ("/mnt/ntfs/x", ""), ("/over/x", "")],
)  # fmt: skip
def test_the_type_of_a_folders_file_system_tells_whether_other_machines_see_it(
    tmp_path: Path, folder: str, kind: str
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert shared.shared_type(Path(folder), mounts) == kind


def test_where_the_kernel_does_not_tell_a_folder_is_taken_for_a_disks(tmp_path: Path) -> None:
    assert shared.shared_type(tmp_path, tmp_path / "no such file") == ""


def test_a_shared_database_has_no_memory_beside_it_and_is_one_file_at_rest(path: Path) -> None:
    with EventStore.create(path, is_shared=True) as store:
        store.append([CREATED])
        store.settle()
        assert not list(path.parent.glob("*-wal")) + list(path.parent.glob("*-shm"))
        assert has_rollback_journal(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    with EventStore.open(path, is_shared=True) as store:
        store.append(ticks(1, 3))
    with EventReader.open_to_read(path) as store:
        assert list(store) == [CREATED, *ticks(1, 3)]


def test_an_experiment_may_be_moved_from_a_disk_to_a_shared_folder_and_back(path: Path) -> None:
    EventStore.create(path).close()
    for is_shared, number in ((True, 1), (False, 2), (True, 3)):
        with EventStore.open(path, is_shared=is_shared) as store:
            store.append(ticks(number, number))
        assert has_rollback_journal(path) == is_shared
    with EventReader.open_to_read(path) as store:
        assert list(store) == ticks(1, 3)


def test_a_reader_sees_what_is_committed_while_a_driver_writes(path: Path) -> None:
    with EventStore.create(path, is_shared=True) as writer:
        writer.append(ticks(1, 1))
        with EventReader.open_to_read(path) as reader:
            assert list(reader) == ticks(1, 1)
            writer.append(ticks(2, 2))  # to the tail
            assert list(reader) == ticks(1, 2)
            writer.append(ticks(3, 900))  # to the database, with the tail
            assert list(reader) == ticks(1, 900)
            writer.append(ticks(901, 901))
            assert list(reader) == ticks(1, 901)


def test_a_reader_that_takes_its_time_holds_nobody_up(path: Path) -> None:
    with EventStore.create(path, is_shared=True) as writer:
        writer.append(ticks(1, 600))
        with EventReader.open_to_read(path) as reader:
            slowly = iter(reader)
            next(slowly)
            writer.append(ticks(601, 1200))
            assert not writer._waiting
            assert len(list(slowly)) == 599  # as of the moment when it began


def test_results_of_a_run_that_goes_on_copy_it_once_and_not_for_each_trial(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[Path] = []

    def count(database: Path, uri: str) -> sqlite3.Connection:
        copies.append(database)
        return shared.in_memory(database, uri)

    monkeypatch.setattr("tunesmith.store.reading.in_memory", count)
    with EventStore.create(path, is_shared=True) as store:
        store.append([CREATED, *[e.Suggested(n, f"id{n}", f"t{n}", f"t{n}", {}) for n in range(600)]])
        results = tune.load(path.parent)
        copies.clear()
        assert [trial.history for trial in results.trials[:50]] == [[]] * 50
        assert len(copies) == 1


def test_a_lock_that_stays_makes_the_tail_grow_and_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.store.database._SHARED_TIMEOUT_S", 0)
    with EventStore.create(path, is_shared=True) as writer:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN")
        holder.execute("SELECT * FROM events").fetchall()
        writer.append(ticks(1, 600))
        assert len(writer._waiting) == 600
        holder.execute("ROLLBACK")
        writer.append(ticks(601, 1200))
        assert not writer._waiting
    with EventReader.open_to_read(path) as reader:
        assert list(reader) == ticks(1, 1200)


def test_what_a_dead_writer_left_half_done_can_be_read_and_is_taken_back(path: Path, tmp_path: Path) -> None:
    with EventStore.create(path, is_shared=True) as store:
        store.append(ticks(1, 600))
    victim = tmp_path / "victim.py"
    victim.write_text(  # a cache of one page has it write to the database before it commits
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.executescript('PRAGMA journal_mode=TRUNCATE; PRAGMA cache_size=1; PRAGMA cache_spill=1; BEGIN IMMEDIATE')\n"
        "db.execute('UPDATE events SET body = zeroblob(300)')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, victim, path], check=False)
    journal = path.with_name("experiment.db-journal")
    assert journal.stat().st_size > 0
    before = path.read_bytes()
    with EventReader.open_to_read(path) as reader:
        assert list(reader) == ticks(1, 600)
    assert path.read_bytes() == before, "who reads changes nothing"
    with EventStore.open(path, is_shared=True) as store:
        assert list(store) == ticks(1, 600)


def test_what_is_seen_in_part_is_not_called_damaged_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EventStore.create(path, is_shared=True) as store:
        store.append(ticks(1, 600))
    whole = path.read_bytes()
    shared.journal_path(path).touch()
    os.truncate(path, len(whole) // 2)
    pauses: list[float] = []

    def arrive(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            path.write_bytes(whole)

    monkeypatch.setattr("time.sleep", arrive)
    with EventReader.open_to_read(path) as reader:
        assert list(reader) == ticks(1, 600)
    os.truncate(path, len(whole) // 2)
    with pytest.raises(ExperimentDamagedError, match="another machine may be writing it"):
        EventReader.open_to_read(path)


def test_a_damaged_one_is_recovered_with_its_journal_put_aside(path: Path) -> None:
    with EventStore.create(path, is_shared=True) as store:
        store.append([CREATED, *ticks(1, 600)])
    data = bytearray(path.read_bytes())
    data[100:200] = bytes(100)
    path.write_bytes(data)
    journal = path.with_name("experiment.db-journal")
    journal.write_bytes(b"of the old file")
    assert recover(path.parent).events == 601
    assert not journal.exists()
    assert (path.parent / "damaged-1/experiment.db-journal").read_bytes() == b"of the old file"
    with EventReader.open_to_read(path) as reader:
        assert list(reader) == [CREATED, *ticks(1, 600)]


def test_the_lock_of_a_shared_folder_keeps_out_this_process_and_others_and_ends_with_its_holder(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from tunesmith.store.lock import ExperimentLock\n"
    take = f"{script}with ExperimentLock(Path(sys.argv[1]), 'nfs4'): print('taken', flush=True); sys.stdin.read()"
    with ExperimentLock(tmp_path, "nfs4"):
        for _ in range(2):  # a lock that belongs to the process would go when the file is closed again
            with (
                pytest.raises(ExperimentBusyError, match=f"process {os.getpid()} on"),
                ExperimentLock(tmp_path, "nfs4"),
            ):
                pass
        other = subprocess.run([sys.executable, "-c", take, tmp_path], capture_output=True, text=True, check=False)
        assert "ExperimentBusyError" in other.stderr
    with subprocess.Popen(
        [sys.executable, "-c", take, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "taken\n"
        with pytest.raises(ExperimentBusyError, match=f"process {holder.pid} on"), ExperimentLock(tmp_path, "nfs4"):
            pass
        holder.kill()
    with ExperimentLock(tmp_path, "nfs4"):
        pass


def test_locks_of_the_open_file_are_not_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("fcntl.F_OFD_SETLK", raising=False)
    with ExperimentLock(tmp_path, "lustre"):
        take = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        other = subprocess.run([sys.executable, "-c", take, tmp_path / "driver.lock"], capture_output=True, check=False)
        assert other.returncode != 0


def test_where_locks_may_not_be_seen_the_word_of_another_machine_counts(tmp_path: Path) -> None:
    word = "process 7 on far-away since 2026-01-01 00:00:00\n"
    (tmp_path / "driver.lock").write_text(word)
    with pytest.raises(ExperimentBusyError, match=r"far-away.*If it is gone, delete .*driver\.lock"):
        ExperimentLock(tmp_path, "fuse.sshfs").__enter__()
    assert (tmp_path / "driver.lock").read_text() == word
    with ExperimentLock(tmp_path, "nfs4"):  # whose locks are to be relied on
        pass
    with ExperimentLock(tmp_path, "fuse.sshfs"):
        pass


def test_a_run_in_a_shared_folder_says_so_once_and_is_resumed(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def train(config: dict[str, float]) -> dict[str, float]:
        return {"loss": config["x"]}

    results = run(train, name="e", num_samples=2, executor="inline", shared_folder=True)
    assert has_rollback_journal(tmp_path / "e/experiment.db")
    assert capsys.readouterr().err.count("rollback journal") == 1
    results = run(train, name="e", num_samples=4, executor="inline", shared_folder=True, resume=True)
    assert capsys.readouterr().err == ""
    assert len(results) == 4
    assert len(tune.load(tmp_path / "e")) == 4
    shutil.copytree(tmp_path / "e", tmp_path / "f")
    assert len(tune.load(tmp_path / "f")) == 4
