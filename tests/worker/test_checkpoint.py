"""Checkpoints are whole or not there."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

import tunesmith as tune
from tunesmith.trial import CheckpointRef
from tunesmith.worker.checkpoint import CheckpointShelf, Sheet, read_sheet


@pytest.fixture
def shelf(tmp_path: Path) -> CheckpointShelf:
    return CheckpointShelf(str(tmp_path), "trial", 1)


def write(folder: Path, text: str) -> Path:
    (folder / "deep").mkdir(parents=True, exist_ok=True)
    (folder / "weights").write_text(text)
    (folder / "deep" / "more").write_text(text * 2)
    return folder


def test_a_reported_directory_is_copied_and_sealed(tmp_path: Path, shelf: CheckpointShelf) -> None:
    source = write(tmp_path / "mine", "one")
    ref = shelf.keep_copy(str(source), Sheet(4, 1.5))
    write(source, "changed later")
    assert (ref.path, ref.iteration, ref.time_total_s) == ("trial/checkpoint_000004", 4, 1.5)
    sheet = (tmp_path / ref.path / ".tunesmith.json").stat().st_size
    assert ref.size == 9 + sheet
    assert len(ref.digest) == 64
    with shelf.find(ref).as_directory() as folder:
        assert Path(folder, "weights").read_text() == "one"
        assert Path(folder, "deep", "more").read_text() == "oneone"


def test_the_digest_is_of_names_and_contents(tmp_path: Path, shelf: CheckpointShelf) -> None:
    digests = {shelf.keep_copy(str(write(tmp_path / "s", text)), Sheet(1, 0)).digest for text in ("a", "b", "a")}
    assert len(digests) == 2


def test_an_iteration_that_is_passed_twice_keeps_both(tmp_path: Path, shelf: CheckpointShelf) -> None:
    source = write(tmp_path / "s", "a")
    paths = {shelf.keep_copy(str(source), Sheet(1, 0)).path for _ in range(3)}
    assert len(paths) == 3


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "add", "rename", "folder", "link"])
def test_one_that_is_not_what_was_written_is_refused(tmp_path: Path, shelf: CheckpointShelf, damage: str) -> None:
    ref = shelf.keep_copy(str(write(tmp_path / "s", "abc")), Sheet(1, 0))
    assert shelf.verify(ref).path == str(tmp_path / ref.path)
    folder = tmp_path / ref.path
    match damage:
        case "flip":
            (folder / "weights").write_text("abd")
        case "truncate":
            (folder / "weights").write_text("ab")
        case "delete":
            (folder / "deep" / "more").unlink()
        case "add":
            (folder / "deep" / "empty").touch()
        case "rename":
            (folder / "weights").rename(folder / "heights")
        case "folder":
            shutil.rmtree(folder)
        case "link":
            (folder / "weights").unlink()
            (folder / "weights").symlink_to("nowhere")
    with pytest.raises(tune.DamagedCheckpointError, match=r"The checkpoint trial/checkpoint_000001 (is|can't)"):
        shelf.verify(ref)


def test_a_worker_that_wakes_after_it_was_given_up_writes_nothing_of_its_successors(
    tmp_path: Path, shelf: CheckpointShelf
) -> None:
    successor = CheckpointShelf(str(tmp_path), "trial", 2)
    with_its_name = shelf._free_name(shelf.prepare(3), 3)  # it stops here, between the choice of the name and its use
    theirs = successor.keep(3, 1.0, lambda folder: write(folder, "new"))
    assert with_its_name != tmp_path / theirs.path
    ours = shelf.keep(3, 1.0, lambda folder: write(folder, "old"))
    for ref, text in ((ours, "old"), (theirs, "new")):
        with successor.find(ref).as_directory() as folder:
            assert Path(folder, "weights").read_text() == text


def test_one_that_is_gone_or_short_is_refused_by_name(tmp_path: Path, shelf: CheckpointShelf) -> None:
    ref = shelf.keep_copy(str(write(tmp_path / "s", "abc")), Sheet(1, 0))
    Path(tmp_path, ref.path, "weights").write_text("a")
    with pytest.raises(tune.StorageError, match=rf"damaged: it has {ref.size - 2} bytes, and {ref.size} were written"):
        shelf.find(ref)
    with pytest.raises(tune.StorageError, match=r"checkpoint_000099 is not there\."):
        shelf.find(CheckpointRef("trial/checkpoint_000099", 99))


def test_one_of_before_there_were_digests_is_taken_as_it_is(tmp_path: Path, shelf: CheckpointShelf) -> None:
    write(tmp_path / "trial" / "checkpoint_000003", "abc")
    assert shelf.verify(CheckpointRef("trial/checkpoint_000003", 3)).path.endswith("checkpoint_000003")


def test_a_later_start_gives_its_checkpoints_other_names_also_when_the_older_ones_are_gone(tmp_path: Path) -> None:
    source = str(write(tmp_path / "s", "a"))
    paths = [CheckpointShelf(str(tmp_path), "trial", n).keep_copy(source, Sheet(1, 0)).path for n in (1, 1, 2, 7)]
    assert paths == [f"trial/checkpoint_000001{end}" for end in ("", "-2", ".2", ".7")]


def test_nothing_is_left_of_one_that_could_not_be_written(tmp_path: Path, shelf: CheckpointShelf) -> None:
    def fill(folder: Path) -> None:
        (folder / "half").write_text("...")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(
        tune.StorageError, match=r"iteration 4 can't be written: the disk of .* is full .*storage_path="
    ):
        shelf.keep(4, 1.0, fill)
    assert list((tmp_path / "trial").iterdir()) == []


def test_what_the_user_raises_while_saving_comes_as_it_is(shelf: CheckpointShelf) -> None:
    def fill(folder: Path) -> None:
        raise ValueError("no weights")

    with pytest.raises(ValueError, match="no weights"):
        shelf.keep(4, 1.0, fill)


def test_a_small_disk_that_fills_up_takes_no_checkpoint_and_keeps_the_one_before(small_disk: Path) -> None:
    shelf = CheckpointShelf(str(small_disk), "trial", 1)
    first = shelf.keep(1, 1.0, lambda folder: _fill(folder, 1 << 20))
    with pytest.raises(tune.StorageError, match=r"iteration 2 can't be written: the disk of .* is full"):
        shelf.keep(2, 2.0, lambda folder: _fill(folder, 8 << 20))
    assert [entry.name for entry in (small_disk / "trial").iterdir()] == ["checkpoint_000001"]
    assert shelf.verify(first)


def test_a_copy_that_would_not_fit_is_not_begun(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    _fill(tmp_path / "s", 8 << 20)
    shelf = CheckpointShelf(str(small_disk), "trial", 1)
    with pytest.raises(tune.StorageError, match=r"is full .*8,388,608 bytes are needed and .* are free"):
        shelf.keep_copy(str(tmp_path / "s"), Sheet(1, 0))
    assert list((small_disk / "trial").iterdir()) == []


def _fill(folder: Path, size: int) -> None:
    (folder / "weights").write_bytes(bytes(size))


def test_what_an_interrupted_copy_has_left_is_no_checkpoint(tmp_path: Path, shelf: CheckpointShelf) -> None:
    aside = shelf.prepare(3)
    (aside / "half").write_text("...")
    assert not (tmp_path / "trial" / "checkpoint_000003").exists()
    again = shelf.prepare(3)
    assert again == aside
    assert list(again.iterdir()) == []


def test_what_can_be_no_checkpoint(tmp_path: Path, shelf: CheckpointShelf) -> None:
    (tmp_path / "trial").mkdir()
    with pytest.raises(tune.StorageError, match="not there; it can't be kept"):
        shelf.keep_copy(str(tmp_path / "nowhere"), Sheet(1, 0))
    with pytest.raises(tune.ArgumentError, match="contains the trial's own folder"):
        shelf.keep_copy(str(tmp_path), Sheet(1, 0))
    with pytest.raises(tune.ArgumentError):
        tune.Checkpoint.from_directory(3)  # type: ignore[arg-type]


def test_sums_are_remembered_beside_the_files(tmp_path: Path, shelf: CheckpointShelf) -> None:
    ref = shelf.keep_copy(str(write(tmp_path / "s", "a")), Sheet(1, 0, {"timesteps_total": 40}))
    sheet = read_sheet(tmp_path / ref.path)
    assert sheet is not None
    assert sheet.totals == {"timesteps_total": 40}
    (tmp_path / ref.path / ".tunesmith.json").write_text("{")
    with pytest.raises(tune.StorageError, match="damaged"):
        read_sheet(tmp_path / ref.path)


def test_a_copy_for_the_user(tmp_path: Path) -> None:
    checkpoint = tune.Checkpoint.from_directory(write(tmp_path / "s", "a"))
    target = checkpoint.to_directory(tmp_path / "copy")
    assert Path(target, "deep", "more").read_text() == "aa"
    assert tune.Checkpoint.from_directory(tmp_path / "s") == checkpoint
