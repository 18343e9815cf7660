"""Checkpoints of real trials, in real folders, and what is done to them from outside."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith import events as e
from tunesmith.schedulers.protocol import CONTINUE, View
from tunesmith.store.reading import EventReader


def flip(folder: Path) -> None:
    data = bytearray((folder / "step").read_bytes())
    data[0] ^= 1
    (folder / "step").write_bytes(data)


def truncate(folder: Path) -> None:
    (folder / "step").write_bytes(b"")


def delete(folder: Path) -> None:
    (folder / "step").unlink()


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "a flipped bit": flip, "a truncated file": truncate, "a file gone": delete, "all gone": shutil.rmtree,
}  # fmt: skip


def break_down(config: dict[str, Any]) -> None:
    """Damage the last checkpoints of this trial and fail; the second time, do nothing."""
    if Path("broken").exists() or not config["count"]:
        return
    Path("broken").touch()
    for folder in sorted(Path.cwd().glob("checkpoint_*"))[-config["count"] :]:
        DAMAGES[config["damage"]](folder)
    raise RuntimeError("broken down")


def function(config: dict[str, Any]) -> None:
    """Count to 8 and save each step; break down before the seventh."""
    checkpoint = tune.get_checkpoint()
    start = int(Path(checkpoint.path, "step").read_text()) if checkpoint else 0
    for step in range(start, 8):
        if step == 6:
            break_down(config)
        Path("made").mkdir(exist_ok=True)
        Path("made/step").write_text(str(step + 1))
        tune.report(loss=-step, begun_at=start, checkpoint=tune.Checkpoint.from_directory("made"))


class Class(tune.Trainable):
    """The same, in steps."""

    def setup(self, config: dict[str, Any]) -> None:
        self.at = self.begun_at = 0

    def step(self) -> dict[str, Any]:
        if self.at == 6:
            break_down(self.config)
        self.at += 1
        return {"loss": -self.at + 1, "begun_at": self.begun_at}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "step").write_text(str(self.at))

    def load_checkpoint(self, checkpoint: str) -> None:
        self.at = self.begun_at = int(Path(checkpoint, "step").read_text())


KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "function": (function, {}),
    "class": (Class, {"checkpoint_freq": 1, "stop": {"training_iteration": 8}}),
}


def log(results: tune.Results) -> list[e.Event]:
    with EventReader.open_to_read(results.path / "experiment.db") as store:
        return [event for _, event in store.read()]


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name.startswith("checkpoint_"))


# -- damaged ones


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_trial_goes_on_from_the_one_before_and_no_failure_is_charged(run: Run, kind: str, damage: str) -> None:
    trainable, arguments = KINDS[kind]
    results = run(trainable, {"damage": damage, "count": 1}, max_failures=1, **arguments)
    (trial,) = results
    assert (trial.status, trial.failures) == ("TERMINATED", 1)  # the one that it raised itself
    assert [r["training_iteration"] for r in trial.history] == list(range(1, 9))
    assert [r["loss"] for r in trial.history] == [-step for step in range(8)]
    assert [r["begun_at"] for r in trial.history] == [0, 0, 0, 0, 0, 5, 5, 5]  # the sixth step was done again
    (told,) = [d for d in trial.decisions if d.action == "go back"]
    assert told.reason.startswith(f"The checkpoint {trial.path.name}/checkpoint_000006 is ")
    assert told.reason in (trial.path / "error.txt").read_text()
    assert [event.incarnation for event in log(results) if isinstance(event, e.Placed)] == [1, 2, 3]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("executor", ["inline", "local"])
def test_a_trial_that_has_no_whole_one_begins_again(
    run: Run, kind: str, executor: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trainable, arguments = KINDS[kind]
    config = {"damage": "a flipped bit", "count": 6}
    results = run(trainable, config, max_failures=1, executor=executor, verbose=1, **arguments)
    (trial,) = results
    assert (trial.status, trial.failures) == ("TERMINATED", 1)
    assert [r["begun_at"] for r in trial.history] == [0] * 8
    assert [r["training_iteration"] for r in trial.history] == list(range(1, 9))
    assert len([d for d in trial.decisions if d.action == "go back"]) == 6
    out = capsys.readouterr().out
    assert "trial 0 goes back to its checkpoint at iteration 5: The checkpoint" in out
    assert out.count("goes back") == 1  # the others are in trial.decisions


def test_what_is_damaged_is_left_for_the_user_to_look_at(run: Run) -> None:
    config = {"damage": "a flipped bit", "count": 1}
    (trial,) = run(function, config, max_failures=1, keep_checkpoints_num=2, name="run")
    kept = ["checkpoint_000006", "checkpoint_000007.3", "checkpoint_000008.3"]
    assert names(trial.path) == kept
    run(function, config, max_failures=1, keep_checkpoints_num=2, name="run", resume=True)
    assert names(trial.path) == kept


class Leave(tune.Callback):
    """Press Ctrl-C when trial 0 has reported `iteration`."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def on_events(self, events: Sequence[e.Event]) -> None:
        if any(isinstance(event, e.Reported) and event.iteration == self.iteration for event in events):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 9])
def test_a_resumed_run_goes_on_from_the_last_whole_one(run: Run, kind: str, count: int) -> None:
    trainable, arguments = KINDS[kind]
    config = {"damage": "", "count": 0}
    first = run(trainable, config, name="run", executor="inline", callbacks=[Leave(4)], **arguments)
    before = names(first[0].path)
    for name in before[-count:]:
        flip(first[0].path / name)
    (trial,) = results = run(trainable, config, name="run", resume=True, **arguments)
    whole = max(len(before) - count, 0)
    assert (trial.status, trial.failures) == ("TERMINATED", 0)
    assert [r["training_iteration"] for r in trial.history] == list(range(1, 9))
    assert [r["begun_at"] for r in trial.history] == [0] * whole + [whole] * (8 - whole)
    went_back = [event.checkpoint.path for event in log(results) if isinstance(event, e.Damaged)]
    assert went_back == [f"{trial.path.name}/{name}" for name in reversed(before[-count:])]


# -- clones


class Copy(tune.Trainable):
    """Its state is a list of the trials that it went through."""

    def setup(self, config: dict[str, Any]) -> None:
        self.seen = [config["x"]]

    def step(self) -> dict[str, Any]:
        return {"loss": float(self.config["x"]), "seen": list(self.seen)}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "step").write_text(",".join(map(str, self.seen)))

    def load_checkpoint(self, checkpoint: str) -> None:
        self.seen = [*map(float, Path(checkpoint, "step").read_text().split(",")), self.config["x"]]


class CloneFirst(tune.Scheduler):
    """Trial 0 saves after its second report; trial 1 saves after its first and goes on from trial 0 after its third."""

    def judge(self, report: e.Reported, view: View) -> tune.Decision:
        if (report.trial, report.iteration) in ((0, 2), (1, 1)):
            return tune.Decision("save", "it is good")
        donor = view.trials[0].checkpoint
        if report.trial == 1 and report.iteration == 3 and donor is not None and view.trials[1].incarnation == 1:
            return tune.Exploit(donor=0, overrides={"x": 9.0}, suffix="@clone", reason="better")
        return CONTINUE


class Vandal(tune.Callback):
    """Damages the donor's checkpoint when a trial has been told to go on from it."""

    def on_start(self, path: Path, experiment: Any, total: int | None) -> None:
        self.path = path

    def on_events(self, events: Sequence[e.Event]) -> None:
        for event in events:
            if isinstance(event, e.Cloned):
                flip(self.path / event.checkpoint.path)


def test_a_clone_whose_donors_checkpoint_is_damaged_goes_on_from_its_own_state_and_configuration(run: Run) -> None:
    arguments = {"scheduler": CloneFirst(), "stop": {"training_iteration": 6}, "max_concurrent_trials": 1}
    space = {"x": tune.grid_search([1.0, 2.0])}
    results = run(Copy, space, callbacks=[Vandal()], executor="inline", **arguments)
    clone = results[1]
    assert [d.action for d in clone.decisions] == ["save", "clone", "go back", "stop"]
    assert (clone.status, clone.failures, clone.config, "@clone" in clone.name) == ("TERMINATED", 0, {"x": 2.0}, False)
    assert [r["training_iteration"] for r in clone.history] == [1, 2, 3, 4, 5, 6]
    assert [r["seen"] for r in clone.history] == [[2.0]] + [[2.0, 2.0]] * 5
    assert all(r["config"] == {"x": 2.0} for r in clone.history)
    untouched = run(Copy, space, name="untouched", **arguments)
    assert untouched[1].config == {"x": 9.0}
    assert untouched[1].history[-1]["seen"] == [1.0, 9.0]


class CopyInPlace(Copy):
    """One that takes a new configuration up in its worker, which waits for it."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.seen = [new_config["x"]]
        return True


@pytest.mark.parametrize("reuse", [False, True])
def test_a_worker_that_waits_for_a_donors_state_finds_it_damaged(run: Run, reuse: bool) -> None:
    results = run(
        CopyInPlace, {"x": tune.grid_search([1.0, 2.0])}, scheduler=CloneFirst(), stop={"training_iteration": 6},
        max_concurrent_trials=1, reuse_workers=reuse, callbacks=[Vandal()],
    )  # fmt: skip
    assert [(t.status, t.failures, t.config) for t in results] == [
        ("TERMINATED", 0, {"x": 1.0}),
        ("TERMINATED", 0, {"x": 2.0}),
    ]
    assert [r["seen"] for r in results[1].history] == [[2.0]] + [[2.0, 2.0]] * 5


@pytest.mark.parametrize("synch", [False, True])
def test_a_population_goes_on_whatever_is_done_to_its_checkpoints(run: Run, synch: bool) -> None:
    scheduler = tune.PopulationBasedTraining(
        "training_iteration", perturbation_interval=2, hyperparam_mutations={"x": tune.uniform(0, 9)}, synch=synch
    )
    results = run(
        Copy, {"x": tune.uniform(0, 9)}, num_samples=4, scheduler=scheduler, stop={"training_iteration": 12},
        callbacks=[Vandal()], executor="inline",
    )  # fmt: skip
    assert [t.status for t in results] == ["TERMINATED"] * 4
    assert [t.failures for t in results] == [0] * 4
    kinds = [type(event) for event in log(results) if isinstance(event, (e.Cloned, e.Damaged))]
    assert kinds.count(e.Damaged) >= kinds.count(e.Cloned) > 0  # a donor that was paused finds it out as well
    assert not any("@perturbed" in trial.name for trial in results)


# -- what is kept


def count_to_six(config: dict[str, Any]) -> None:
    for step, loss in enumerate([5, 1, 4, 2, 3, 6], 1):
        Path("made").mkdir(exist_ok=True)
        Path("made/step").write_text("x" * config.get("size", 1))
        checkpoint = tune.Checkpoint.from_directory("made")
        tune.report(loss=loss, accuracy=step % 4, checkpoint=checkpoint)


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"keep_checkpoints_num": 2}, [5, 6]),
        ({"keep_best_checkpoints_num": 2}, [2, 4, 6]),
        ({"keep_best_checkpoints_num": 1, "checkpoint_score_attr": "max-accuracy"}, [3, 6]),
        ({"keep_best_checkpoints_num": 1, "keep_checkpoints_num": 3}, [2, 4, 5, 6]),
        ({"checkpoint_quota_bytes": 2500}, [5, 6]),
    ],
)
def test_the_last_the_best_and_what_fits_are_kept(run: Run, arguments: dict[str, Any], kept: list[int]) -> None:
    (trial,) = run(count_to_six, {"size": 1000}, **arguments)
    assert names(trial.path) == [f"checkpoint_{n:06d}" for n in kept]
    assert trial.checkpoint is not None
    assert trial.checkpoint.path.endswith("checkpoint_000006")


def test_a_quota_that_is_too_small_for_what_is_needed_is_said_once(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (trial,) = run(count_to_six, {"size": 1000}, checkpoint_quota_bytes=500, verbose=1)
    assert trial.status == "TERMINATED"
    assert capsys.readouterr().out.count("more than checkpoint_quota_bytes=500. They stay") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"keep_best_checkpoints_num": 0}, "keep_best_checkpoints_num must be a whole number, 1 or more"),
        ({"keep_best_checkpoints_num": 1, "metric": None, "mode": None}, "needs to know what is best"),
        ({"checkpoint_score_attr": "loss"}, "'min-' or 'max-' and the name of a reported value"),
        ({"checkpoint_score_attr": "min-loss"}, "is for keep_best_checkpoints_num="),
        ({"checkpoint_quota_bytes": 0}, "checkpoint_quota_bytes must be a whole number, 1 or more"),
    ],
)
def test_what_cannot_be_kept_is_refused(run: Run, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(tune.ArgumentError, match=words):
        run(count_to_six, {}, **arguments)


# -- what a crash leaves behind


def test_a_resumed_run_deletes_what_a_crash_has_left_and_nothing_else(run: Run, tmp_path: Path) -> None:
    (trial,) = run(count_to_six, {}, name="run", keep_checkpoints_num=2)
    folder = trial.path
    ours = ["checkpoint_000004", "checkpoint_000007", "checkpoint_000007.2", "checkpoint_000003.deleted"]
    for name in ours:  # discarded and still there, and two that were never acknowledged
        shutil.copytree(folder / "checkpoint_000006", folder / name)
    half = ["checkpoint_000008.tmp-1", "checkpoint_000008.2.deleted"]
    users = ["checkpoint_000009", "checkpoint_best", "checkpoint_7", "checkpoint_000006.tmp", "checkpoint_000001.copy"]
    for name in [*half, *users]:
        (folder / name).mkdir()
        (folder / name / "weights").touch()
    (folder / "checkpoint_000010").write_text("a file")
    elsewhere = tmp_path / "run" / "checkpoint_000007.tmp-1"
    elsewhere.mkdir()
    run(count_to_six, {}, name="run", keep_checkpoints_num=2, resume=True)
    assert names(folder) == sorted(["checkpoint_000005", "checkpoint_000006", "checkpoint_000010", *users])
    assert elsewhere.exists()


def test_a_resumed_run_with_another_rule_follows_it(run: Run) -> None:
    (trial,) = run(count_to_six, {}, name="run")
    run(count_to_six, {}, name="run", keep_checkpoints_num=2, resume=True)
    assert names(trial.path) == ["checkpoint_000005", "checkpoint_000006"]
    run(count_to_six, {}, name="run", keep_checkpoints_num=5, resume=True)
    assert names(trial.path) == ["checkpoint_000005", "checkpoint_000006"]


# -- a full disk


def grow(config: dict[str, Any]) -> None:
    checkpoint = tune.get_checkpoint()
    if checkpoint is not None:
        tune.report(loss=0.0, before=Path(checkpoint.path, "weights").stat().st_size)
        return
    made = Path(config["outside"])
    made.mkdir(exist_ok=True)
    (made / "weights").write_bytes(bytes(1 << 19))
    tune.report(loss=2.0, checkpoint=tune.Checkpoint.from_directory(made))
    (made / "weights").write_bytes(bytes(8 << 20))
    tune.report(loss=1.0, checkpoint=tune.Checkpoint.from_directory(made))


def test_a_full_disk_fails_one_trial_in_plain_words_and_the_run_goes_on(
    run: Run, small_disk: Path, tmp_path: Path
) -> None:
    config = {"outside": str(tmp_path / "made")}
    results = run(grow, config, storage_path=small_disk, num_samples=2, max_concurrent_trials=1)
    assert [t.status for t in results] == ["ERROR", "ERROR"]
    assert results[0].error is not None
    message = str(results[0].error)
    assert "The checkpoint of iteration 2 can't be written: the disk of" in message
    assert "8,388,608 bytes are needed" in message
    assert "keep_checkpoints_num=" in message
    assert names(results[0].path) == ["checkpoint_000001"]
    retried = run(grow, config, storage_path=small_disk, name="retried", max_failures=1)
    assert (retried[0].status, retried[0].last_result["before"]) == ("TERMINATED", 1 << 19)


class Greedy(Copy):
    def save_checkpoint(self, checkpoint_dir: str) -> None:
        if self.iteration < 2:
            super().save_checkpoint(checkpoint_dir)
            return
        try:
            Path(checkpoint_dir, "step").write_bytes(bytes(8 << 20))
        except OSError as error:  # as libraries do
            raise RuntimeError("the writer failed") from error


def test_a_library_that_hides_a_full_disk_is_seen_through(run: Run, small_disk: Path) -> None:
    (trial,) = run(Greedy, {"x": 1.0}, storage_path=small_disk, checkpoint_freq=1, executor="inline")
    assert trial.error is not None
    assert "iteration 2 can't be written: the disk of" in str(trial.error)
    assert "the writer failed" in str(trial.error)
    assert names(trial.path) == ["checkpoint_000001"]
