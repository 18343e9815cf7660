"""What every executor keeps to, seen through its protocol alone."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tunesmith as tune
from tests.executors.talk import Steps, Talk, two_reports
from tunesmith.commands import Continue, Kill, Pause, Stop
from tunesmith.events import Completed, Damaged, Failed, Lost, Paused, Reported, Started, Stopped
from tunesmith.resources import Allocation, Resources
from tunesmith.streams import stream
from tunesmith.trial import CheckpointRef, Failure


def test_a_trial_starts_reports_waits_and_completes(talk: Talk) -> None:
    talk.open(two_reports).start(0, {"x": 3.0})
    started = talk.wait(Started)
    assert started.incarnation == 1
    first = talk.wait(Reported)
    assert (first.iteration, first.metrics, first.iterations_since_restore) == (1, {"loss": 3.0}, 1)
    assert talk.executor.poll(0) == []  # it waits for its answer
    talk.tell(Continue(0, 1))
    second = talk.wait(Reported)
    assert second.iteration == 2
    assert second.time_total_s >= first.time_total_s >= 0
    talk.tell(Continue(0, 1))
    assert talk.wait(Completed).incarnation == 1


def test_a_stop_at_a_report_ends_the_trial(talk: Talk) -> None:
    talk.open(two_reports).start(0)
    talk.wait(Reported)
    talk.tell(Stop(0, 1))
    assert talk.wait((Stopped, Completed, Reported)).incarnation == 1
    assert not any(isinstance(event, Reported) for event in talk.arrived)


def test_a_stop_sent_ahead_is_found_at_the_next_report(talk: Talk) -> None:
    talk.open(two_reports).start(0)
    talk.tell(Stop(0, 1, 30.0))
    assert type(talk.wait((Stopped, Completed))) is Stopped


def test_a_kill_ends_the_trial_with_the_failure_that_it_names(talk: Talk) -> None:
    given = Failure("timeout", "its time is up")
    talk.open(two_reports).start(0)
    talk.wait(Reported)
    talk.tell(Kill(0, 1, given), Kill(0, 1, given))
    lost = talk.wait((Lost, Completed, Stopped, Failed, Reported))
    assert (type(lost), lost.incarnation, lost.failure) == (Lost, 1, given)
    talk.tell(Kill(0, 1, given))
    talk.start(0, incarnation=2)
    assert talk.end().incarnation == 2
    talk.start(1)
    assert type(talk.end(1)) is Completed


def test_a_trial_may_be_killed_before_it_has_begun(talk: Talk) -> None:
    given = Failure("silent", "nothing was heard")
    talk.open(two_reports).start(0)
    talk.tell(Kill(0, 1, given))
    assert talk.wait((Lost, Completed)).failure == given


def test_orders_that_come_twice_do_nothing_the_second_time(talk: Talk) -> None:
    talk.open(two_reports).start(0)
    talk.start(0)
    talk.wait(Reported)
    talk.tell(Continue(0, 1), Continue(0, 1))
    second = talk.wait(Reported)
    assert second.iteration == 2
    assert talk.executor.poll(0) == []  # the second answer was not kept for this report
    talk.tell(Stop(0, 1), Stop(0, 1))
    talk.wait(Stopped)
    talk.tell(Stop(0, 1), Continue(0, 1), Pause(0, 1))
    talk.start(1)
    assert type(talk.end(1)) is Completed
    assert len([event for event in talk.arrived if event.trial == 0]) == 1  # Started


def test_orders_for_another_incarnation_are_passed_over(talk: Talk) -> None:
    talk.open(two_reports).start(0, incarnation=3)
    talk.wait(Reported)
    talk.tell(Stop(0, 2), Continue(0, 2), Stop(7, 1))
    assert talk.executor.poll(0) == []
    talk.start(0, incarnation=2)  # an order of the past
    talk.tell(Continue(0, 3))
    assert talk.end().incarnation == 3


def test_a_class_is_paused_and_goes_on_from_its_checkpoint(talk: Talk) -> None:
    talk.open(Steps).start(0, {"start": 5})
    talk.wait(Reported)
    talk.tell(Continue(0, 1))
    second = talk.wait(Reported)
    talk.tell(Pause(0, 1))
    paused = talk.wait(Paused)
    assert paused.checkpoint.iteration == 2
    assert (talk.path / paused.checkpoint.path / "total").read_text() == "7"
    talk.start(0, {"start": 5}, 2, checkpoint=paused.checkpoint, iteration=2, time_total_s=second.time_total_s)
    third = talk.wait(Reported)
    assert (third.iteration, third.iterations_since_restore, third.metrics) == (3, 1, {"loss": 8.0})
    assert third.time_total_s >= second.time_total_s
    talk.tell(Stop(0, 2))
    talk.wait(Stopped)


def test_a_function_finds_the_checkpoint_that_it_goes_on_from(talk: Talk) -> None:
    def train(config: dict[str, Any]) -> None:
        checkpoint = tune.get_checkpoint()
        step = int(Path(checkpoint.path, "n").read_text()) if checkpoint else 0
        Path("made").mkdir(exist_ok=True)
        Path("made/n").write_text(str(step + 1))
        tune.report(loss=step, checkpoint=tune.Checkpoint.from_directory("made"))

    talk.open(train).start(0)
    report = talk.wait(Reported)
    assert report.checkpoint.iteration == 1
    talk.tell(Pause(0, 1))
    paused = talk.wait(Paused)
    assert paused.checkpoint == report.checkpoint
    talk.start(0, incarnation=2, checkpoint=paused.checkpoint, iteration=1)
    assert talk.wait(Reported).metrics == {"loss": 1}
    talk.tell(Continue(0, 2))
    talk.wait(Completed)


def test_a_checkpoint_that_is_gone_is_told_before_the_users_code_is_entered(talk: Talk) -> None:
    def train(config: dict[str, Any]) -> None:
        Path("entered").touch()

    talk.open(train)
    gone = CheckpointRef("trial-0/checkpoint_000009", 9)
    talk.start(0, checkpoint=gone, iteration=9)
    damaged = talk.wait(Damaged)
    assert (damaged.checkpoint, damaged.incarnation) == (gone, 1)
    assert damaged.reason == "The checkpoint trial-0/checkpoint_000009 is not there."
    assert not (talk.path / "trial-0" / "entered").exists()
    talk.start(0, incarnation=2)
    assert type(talk.end()) is Failed  # it reports nothing
    assert (talk.path / "trial-0" / "entered").exists()


def test_a_class_whose_checkpoint_is_not_what_was_written_is_not_restored(talk: Talk) -> None:
    talk.open(Steps, checkpoint_freq=1).start(0, {"start": 5})
    report = talk.wait(Reported)
    talk.tell(Stop(0, 1))
    talk.wait(Stopped)
    (talk.path / report.checkpoint.path / "total").write_text("7")
    talk.start(0, {"start": 5}, 2, checkpoint=report.checkpoint, iteration=1)
    damaged = talk.wait(Damaged)
    assert damaged.reason.endswith("is damaged: its files are not what was written.")
    talk.start(0, {"start": 1}, 3)
    assert talk.wait(Reported).metrics == {"loss": 2.0}
    talk.tell(Stop(0, 3))
    talk.wait(Stopped)


def test_what_is_raised_comes_with_the_users_own_lines(talk: Talk) -> None:
    def train(config: dict[str, Any]) -> None:
        tune.report(loss=1)
        raise RuntimeError("oh") from ValueError("the cause")

    talk.open(train).start(0)
    failed = talk.end()
    assert (failed.failure.kind, failed.failure.message) == ("error", "RuntimeError: oh")
    assert "the cause" in failed.failure.traceback
    assert Path(__file__).name in failed.failure.traceback
    talk.start(1)
    assert type(talk.end(1)) is Failed  # the executor is as good as before


def test_an_exit_is_told_as_such(talk: Talk) -> None:
    def train(config: dict[str, Any]) -> None:
        raise SystemExit(3)

    talk.open(train).start(0)
    failure = talk.end().failure
    assert failure.kind == "exit"
    assert "sys.exit(3)" in failure.message


def test_a_last_report_may_be_what_is_returned(talk: Talk) -> None:
    talk.open(lambda config: 0.125).start(0)
    report = talk.wait(Reported)
    assert report.metrics == {"loss": 0.125}
    talk.tell(Continue(0, 1))
    talk.wait(Completed)


def test_large_messages_arrive_whole(talk: Talk) -> None:
    def train(config: dict[str, Any]) -> None:
        tune.report(loss=len(config["text"]), echo=config["text"][::-1])
        tune.report(loss=0.0)

    talk.open(train).start(0, {"text": "ab" * 500_000})
    report = talk.wait(Reported)
    assert report.metrics == {"loss": 1_000_000, "echo": "ba" * 500_000}
    talk.tell(Continue(0, 1))
    assert type(talk.end()) is Completed


def test_a_trial_is_in_its_folder_and_the_driver_is_not(talk: Talk) -> None:
    def train(config: dict[str, Any]) -> dict[str, Any]:
        Path("here").touch()
        return {"loss": 0, "cwd": str(Path.cwd())}

    before = Path.cwd()
    talk.open(train).start(0)
    assert Path(talk.wait(Reported).metrics["cwd"]) == (talk.path / "trial-0").resolve()
    assert (talk.path / "trial-0" / "here").exists()
    assert Path.cwd() == before


def test_a_trial_may_change_its_configuration_and_nobody_elses(talk: Talk) -> None:
    shared = {"list": [1]}

    def train(config: dict[str, Any]) -> float:
        config["inner"]["list"].append(2)
        return len(config["inner"]["list"])

    talk.open(train)
    for trial in (0, 1):
        talk.start(trial, {"inner": shared})
        assert talk.wait(Reported, trial).metrics == {"loss": 2}
        talk.end(trial)
    assert shared == {"list": [1]}


def test_a_configuration_that_cannot_go_along_fails_its_trial_alone(talk: Talk) -> None:
    talk.open(lambda config: 1.0)
    talk.start(0, {"lock": threading.Lock()})
    talk.start(1, {"fine": 1})
    assert "lock" in talk.end(0).failure.message
    assert type(talk.end(1)) is Completed


def test_poll_returns_when_it_is_woken(talk: Talk) -> None:
    talk.open(two_reports)
    begun = time.monotonic()
    threading.Timer(0.05, talk.executor.wake).start()
    while talk.executor.poll(30.0):
        pass
    assert time.monotonic() - begun < 25


def test_closing_ends_what_runs_and_may_be_repeated(talk: Talk) -> None:
    talk.open(Steps).start(0)
    talk.wait(Reported)
    talk.tell(Continue(0, 1))
    talk.executor.close(0.2)
    talk.executor.close(0.2)


def test_parameters_reach_functions_and_classes(talk: Talk) -> None:
    def train(config: dict[str, Any], data: list[int]) -> float:
        return float(sum(data))

    talk.open(train, parameters={"data": [1, 2, 3]}).start(0)
    assert talk.wait(Reported).metrics == {"loss": 6.0}


def test_the_context_is_the_trials_own(talk: Talk) -> None:
    def train(config: dict[str, Any]) -> dict[str, Any]:
        c = tune.get_context()
        return {
            "loss": 0,
            "all": [c.trial_id, c.trial_name, c.trial_number, c.experiment_name, c.trial_resources["cpu"]],
        }

    talk.open(train).start(4, allocation=Allocation(Resources(cpu=2)))
    assert talk.wait(Reported, 4).metrics["all"] == ["id4", "name4", 4, "experiment", 2.0]


def test_reports_of_threads_of_the_trial_are_its_own(talk: Talk) -> None:
    def train(config: dict[str, Any]) -> None:
        workers = [threading.Thread(target=tune.report, kwargs={"loss": i}) for i in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    talk.open(train).start(0)
    seen: Sequence[int] = []
    for iteration in range(1, 5):
        report = talk.wait(Reported)
        assert report.iteration == iteration
        seen = [*seen, report.metrics["loss"]]
        talk.tell(Continue(0, 1))
    assert sorted(seen) == [0, 1, 2, 3]
    talk.wait(Completed)


def draw(config: dict[str, Any]) -> None:
    for _ in range(2):
        tune.report(python=random.random(), numpy=float(np.random.rand()))


def test_each_trial_draws_numbers_of_its_own_and_the_same_ones_in_every_run_and_every_executor(talk: Talk) -> None:
    def numbers(trial: int, incarnation: int = 1, **rest: Any) -> list[float]:
        talk.start(trial, incarnation=incarnation, **rest)
        found = []
        for _ in range(2):
            found += talk.wait(Reported, trial).metrics.values()
            talk.tell(Continue(trial, incarnation))
        talk.wait(Completed, trial)
        return found

    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    talk.open(draw, seed=7)
    first = numbers(0)
    assert first[0] == stream(7, "worker", 0, 0, 0).random()
    assert numbers(0, 2) == first
    others = [numbers(1), numbers(0, 3, iteration=5), numbers(0, 4, attempt=1)]
    assert len({number for each in (first, *others) for number in each}) == 16
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # nor are this process's disturbed
