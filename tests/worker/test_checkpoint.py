"""Checkpoints are whole or not there."""

from __future__ import annotations

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
    assert (ref.path, ref.iteration, ref.time_total_s, ref.size) == ("trial/checkpoint_000004", 4, 1.5, 9)
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


def test_a_worker_that_wakes_after_it_was_given_up_writes_nothing_of_its_successors(
    tmp_path: Path, shelf: CheckpointShelf
) -> None:
    successor = CheckpointShelf(str(tmp_path), "trial", 2)
    aside = write(shelf.prepare(3), "old")
    with_its_name = shelf._free_name(aside, 3)  # it stops here, between the choice of the name and its use
    theirs = successor.keep(write(successor.prepare(3), "new"), 3, 1.0)
    assert with_its_name != tmp_path / theirs.path
    ours = shelf.keep(aside, 3, 1.0)
    for ref, text in ((ours, "old"), (theirs, "new")):
        with successor.find(ref).as_directory() as folder:
            assert Path(folder, "weights").read_text() == text


def test_one_that_is_gone_or_short_is_refused_by_name(tmp_path: Path, shelf: CheckpointShelf) -> None:
    ref = shelf.keep_copy(str(write(tmp_path / "s", "abc")), Sheet(1, 0))
    Path(tmp_path, ref.path, "weights").write_text("a")
    with pytest.raises(tune.StorageError, match=r"damaged: it has 7 bytes, and 9 were written"):
        shelf.find(ref)
    with pytest.raises(tune.StorageError, match=r"checkpoint_000099 is not there; the trial can't go on from it"):
        shelf.find(CheckpointRef("trial/checkpoint_000099", 99))


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
