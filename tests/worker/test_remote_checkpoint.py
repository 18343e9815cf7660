"""Checkpoints that are elsewhere: whole or absent, and never taken for damaged when it is the server that is away."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tunesmith as tune
from tunesmith.errors import DamagedCheckpointError, StorageError
from tunesmith.remote.storage import RemoteStorage
from tunesmith.trial import CheckpointRef
from tunesmith.worker.checkpoint import SHEET, CheckpointShelf, Sheet, write_sheet
from tunesmith.worker.remote_checkpoint import RemoteCheckpoint, RemoteShelf


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


@pytest.fixture
def storage(there: Path) -> RemoteStorage:
    return RemoteStorage(f"file://{there}", retry_s=0)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights").write_bytes(bytes(range(256)) * 9000)
    (folder / "deep/state").write_text("7")
    (folder / SHEET).write_text("a sheet of an earlier checkpoint that was reported again")
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


@pytest.fixture
def shelf(storage: RemoteStorage, here: Path) -> RemoteShelf:
    return RemoteShelf(storage, str(here), "trial", 1)


@pytest.fixture
def reference(shelf: RemoteShelf, made: Path) -> CheckpointRef:
    return shelf.keep_copy(str(made), Sheet(6, 1.5))


def test_what_is_reported_goes_there_and_is_fetched_by_another_worker(
    shelf: RemoteShelf, reference: CheckpointRef, storage: RemoteStorage, here: Path, there: Path, made: Path
) -> None:
    assert reference.path.startswith("trial/checkpoint_000006-")
    assert (reference.iteration, reference.time_total_s) == (6, 1.5)
    assert not here.exists(), "nothing is copied on this machine"
    other = RemoteShelf(storage, str(here), "other", 3)
    found = Path(other.verify(reference).path)
    assert found.is_relative_to(here / "other")
    assert (found / "weights").read_bytes() == (made / "weights").read_bytes()
    assert (found / "deep/state").read_text() == "7"
    assert other.find(reference).path == str(found)
    other.close()
    assert not found.exists()


def test_a_copy_of_the_place_is_a_folder_whose_checkpoints_are_whole(
    reference: CheckpointRef, there: Path, tmp_path: Path
) -> None:
    shutil.copytree(there, tmp_path / "copy")
    found = CheckpointShelf(str(tmp_path / "copy"), "trial", 2).verify(reference)
    assert Path(found.path, "deep/state").read_text() == "7"


def test_a_class_saves_here_and_what_it_saved_goes_there(shelf: RemoteShelf, here: Path, there: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "x").write_text("12")
        write_sheet(folder, Sheet(4, 2.0))

    reference = shelf.keep(4, 2.0, fill)
    assert (there / reference.path / "x").read_text() == "12"
    assert list((here / "trial").iterdir()) == []
    assert Path(shelf.verify(reference).path, "x").read_text() == "12"


def test_no_name_is_ever_used_again(storage: RemoteStorage, made: Path) -> None:
    def keep(incarnation: int) -> str:
        return RemoteShelf(storage, "/nowhere", "trial", incarnation).keep_copy(str(made), Sheet(6, 1.5)).path

    paths = [keep(incarnation) for incarnation in (1, 1, 2, 2)]
    assert len(set(paths)) == 4
    assert paths[2].startswith("trial/checkpoint_000006.2-")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda folder: (folder / "weights").write_bytes(b"\1" + (folder / "weights").read_bytes()[1:]),
    "a truncated file": lambda folder: (folder / "weights").write_bytes(b""),
    "a file gone": lambda folder: (folder / "deep/state").unlink(),
    "a file more": lambda folder: (folder / "more").write_text("x"),
    "all gone": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_what_was_sent_is_never_loaded(
    shelf: RemoteShelf, reference: CheckpointRef, there: Path, here: Path, damage: str
) -> None:
    DAMAGES[damage](there / reference.path)
    with pytest.raises(DamagedCheckpointError, match=r"damaged|not there"):
        shelf.verify(reference)
    assert not list(here.rglob("weights"))


def test_a_server_that_is_away_damages_nothing(
    shelf: RemoteShelf, reference: CheckpointRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise ConnectionRefusedError("away")

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.find", refuse)
    with pytest.raises(StorageError, match="can't be reached") as caught:
        shelf.verify(reference)
    assert not isinstance(caught.value, DamagedCheckpointError)


def test_an_upload_that_is_cut_off_has_no_sheet(
    shelf: RemoteShelf, made: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.local import LocalFileSystem

    opened = LocalFileSystem._open

    def fail(self: LocalFileSystem, path: str, mode: str = "rb", **kwargs: object) -> object:
        if path.endswith("weights"):
            raise ConnectionResetError("cut off")
        return opened(self, path, mode, **kwargs)

    monkeypatch.setattr(LocalFileSystem, "_open", fail)
    with pytest.raises(StorageError, match="weights can't be written"):
        shelf.keep_copy(str(made), Sheet(6, 1.5))
    assert [path.name for path in there.rglob("*") if path.is_file()] == ["state"]


def test_a_disk_that_is_too_small_for_what_is_fetched_is_told_before(
    shelf: RemoteShelf, reference: CheckpointRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.worker.remote_checkpoint.free_bytes", lambda folder: 1000)
    with pytest.raises(StorageError, match=r"2,304,0\d\d bytes are needed .* 1,000 are free"):
        shelf.verify(reference)


def test_results_fetch_a_checkpoint_when_its_files_are_wanted(
    storage: RemoteStorage, reference: CheckpointRef, here: Path, there: Path, tmp_path: Path
) -> None:
    checkpoint = RemoteCheckpoint(storage, reference, here)
    assert repr(checkpoint) == f"Checkpoint('file://{there}/{reference.path}')"
    assert checkpoint == RemoteCheckpoint(storage, reference, tmp_path)
    with checkpoint.as_directory() as folder:
        assert Path(folder, "deep/state").read_text() == "7"
    assert not Path(folder).exists()
    assert not here.exists()
    target = checkpoint.to_directory(tmp_path / "target")
    assert (tmp_path / "target/deep/state").read_text() == "7"
    assert Path(checkpoint.to_directory(), "weights").exists()
    assert target == str(tmp_path / "target")
    assert checkpoint.path == str(here / reference.path)
    assert isinstance(checkpoint, tune.Checkpoint)
    shutil.rmtree(there)
    assert Path(checkpoint.path, "deep/state").read_text() == "7"
    with pytest.raises(StorageError, match="is not there"), checkpoint.as_directory():
        pass
