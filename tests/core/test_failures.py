"""What becomes of trials that fail, are lost, take too long or fall silent; the tests compare lists of commands."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.test_controller import ONE_CPU, make, records, reported, running, started, suggested, without_records
from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.core.controller import Controller
from tunesmith.resources import Resources
from tunesmith.retrying import LONGEST_PAUSE_S, PATIENCE, FailurePolicy
from tunesmith.trial import CheckpointRef, Failure, Status

BOOM = Failure("error", "ValueError: boom", types=("ValueError", "Exception", "BaseException"))
LOST = Failure("lost", "the machine is gone")


def opened(at: float, policy: FailurePolicy | None = None, session: int = 2) -> e.SessionOpened:
    return e.SessionOpened(session, 1, "host", at, Resources(cpu=1), policy)


def failing(policy: FailurePolicy, failure: Failure = BOOM, at: float = 100.0) -> tuple[Controller, list[c.Command]]:
    """One trial on one CPU that has failed once."""
    controller = running(make(1, policy=policy, max_trials=1))
    return controller, controller.step(e.Failed(0, 1, failure, at))


def fail_again(controller: Controller, failure: Failure = BOOM, at: float = 0.0) -> list[c.Command]:
    """Start the trial that waits and let it fail at once."""
    trial = controller.experiment.trials[0]
    controller.step(e.Tick(max(trial.retry_at, at)))
    controller.step(started(0, trial.incarnation))
    return controller.step(e.Failed(0, trial.incarnation, failure, max(trial.retry_at, at)))


# -- retries


def test_a_trial_waits_before_it_is_tried_again_and_starts_when_its_time_has_come() -> None:
    controller, orders = failing(FailurePolicy(1, retry_pause_s=2.0))
    assert orders == [c.WakeAt(102.0)]
    assert controller.experiment.trials[0].status is Status.PENDING
    assert controller.step(e.Tick(101.9)) == []
    orders = controller.step(e.Tick(102.0))
    assert records(orders) == [e.Placed(0, 2, ONE_CPU)]


def test_each_pause_is_twice_the_one_before_until_the_trial_gets_further() -> None:
    controller, orders = failing(FailurePolicy(-1, retry_pause_s=2.0))
    pauses = []
    for incarnation in (2, 3, 4):
        controller.step(e.Tick(controller.experiment.trials[0].retry_at))
        controller.step(started(0, incarnation))
        orders = controller.step(e.Failed(0, incarnation, BOOM, 1000.0 * incarnation))
        pauses += [order.at - 1000.0 * incarnation for order in orders if isinstance(order, c.WakeAt)]
    assert pauses == [4.0, 8.0, 16.0]
    controller.step(e.Tick(9000.0))
    controller.step(started(0, 5))
    controller.step(reported(0, 1, 5))
    assert controller.step(e.Failed(0, 5, BOOM, 9000.0)) == [c.WakeAt(9002.0)]
    controller.step(e.Tick(9002.0))
    controller.step(started(0, 6))
    controller.step(reported(0, 1, 6))  # it was here before: that is no progress
    assert controller.step(e.Failed(0, 6, BOOM, 9100.0)) == [c.WakeAt(9104.0)]


def test_a_pause_has_a_longest() -> None:
    policy = FailurePolicy(-1, retry_pause_s=1.0)
    assert policy.pause_s(failures_in_a_row=10_000) == LONGEST_PAUSE_S


def test_others_run_while_a_trial_waits_to_be_tried_again() -> None:
    controller = running(make(1, policy=FailurePolicy(1, retry_pause_s=5.0), max_trials=2))
    controller.step(suggested(1))
    orders = controller.step(e.Failed(0, 1, BOOM, 10.0))
    assert records(orders) == [e.Placed(1, 1, ONE_CPU)]
    controller.step(started(1))
    assert controller.step(e.Completed(1, 1)) == []  # neither finished nor stalled: one waits for its time
    assert controller.experiment.trials[0].status is Status.PENDING
    assert records(controller.step(e.Tick(15.0))) == [e.Placed(0, 2, ONE_CPU)]


def test_trials_that_wait_for_their_time_do_not_keep_the_searcher_from_being_asked() -> None:
    controller = make(20, policy=FailurePolicy(-1, retry_pause_s=60.0), max_trials=None)
    for trial in range(20):
        controller.step(suggested(trial))
    for trial in range(20):
        controller.step(started(trial))
        orders = controller.step(e.Failed(trial, 1, BOOM, 1.0))
    assert controller._places.ready == 0
    for trial in range(20, 32):
        orders = controller.step(suggested(trial))
    assert c.Ask(32, 32) in orders


def test_a_resumed_run_waits_for_the_same_moment_and_not_for_one_of_a_clock_that_was_wrong() -> None:
    policy = FailurePolicy(1, retry_pause_s=2.0)
    for at, waits in ((101.0, True), (102.0, False), (50_000.0, False), (-5_000.0, False)):
        controller, _ = failing(policy)
        orders = controller.step(opened(at, policy))
        assert (c.WakeAt(102.0) in orders) is waits
        assert (records(orders) == []) is waits


def test_a_failure_is_decided_by_the_policy_of_its_own_session() -> None:
    controller, _ = failing(FailurePolicy(0))
    assert controller.experiment.trials[0].status is Status.ERROR
    controller.step(opened(200.0, FailurePolicy(9)))
    assert controller.experiment.trials[0].status is Status.ERROR
    forgiving, _ = failing(FailurePolicy(1))
    forgiving.step(opened(200.0, FailurePolicy(0)))
    assert forgiving.experiment.trials[0].status is Status.STARTING


@pytest.mark.parametrize(
    ("retry_on", "failure", "again"),
    [
        (None, BOOM, True),
        (("ValueError",), BOOM, True),
        (("Exception",), BOOM, True),
        (("OSError", "memory"), BOOM, False),
        (("memory",), Failure("memory", "killed"), True),
        (("OutOfMemoryError",), Failure("error", "", types=("torch.OutOfMemoryError", "RuntimeError")), True),
        (("torch.OutOfMemoryError",), Failure("error", "", types=("torch.OutOfMemoryError", "RuntimeError")), True),
        (("jax.OutOfMemoryError",), Failure("error", "", types=("torch.OutOfMemoryError", "RuntimeError")), False),
        (None, Failure("timeout", "its time is up"), False),
        (None, Failure("silent", "no report"), True),
    ],
)
def test_only_what_is_to_be_tried_again_is(retry_on: tuple[str, ...] | None, failure: Failure, again: bool) -> None:
    controller, _ = failing(FailurePolicy(3, retry_on), failure)
    assert (controller.experiment.trials[0].status is Status.STARTING) is again


# -- what is not charged


@pytest.mark.parametrize("kind", ["lost", "preempted"])
def test_a_worker_that_the_machine_took_is_not_charged_to_its_trial(kind: str) -> None:
    controller, orders = failing(FailurePolicy(0), Failure(kind, "gone"))
    assert records(orders) == [e.Placed(0, 2, ONE_CPU)]
    assert controller.experiment.trials[0].failures == 0


def test_losing_a_worker_again_and_again_without_getting_further_is_charged_in_the_end() -> None:
    controller, _ = failing(FailurePolicy(0), LOST)
    for incarnation in range(2, PATIENCE + 1):
        controller.step(started(0, incarnation))
        controller.step(e.Lost(0, incarnation, LOST))
        assert controller.experiment.trials[0].failures == 0
    controller.step(started(0, PATIENCE + 1))
    assert controller.step(e.Lost(0, PATIENCE + 1, LOST)) == [c.Finish()]
    assert controller.experiment.trials[0].status is Status.ERROR


def test_losing_workers_is_not_charged_while_the_trial_gets_further() -> None:
    controller = running(make(1, policy=FailurePolicy(0), max_trials=1))
    for incarnation in range(1, 20):
        for iteration in range(1, incarnation + 1):  # without a checkpoint it begins anew each time
            controller.step(reported(0, iteration, incarnation))
        controller.step(e.Lost(0, incarnation, LOST))
        controller.step(started(0, incarnation + 1))
    assert controller.experiment.trials[0].failures == 0
    assert controller.experiment.trials[0].status is Status.RUNNING


# -- the run


def test_the_first_trial_that_has_failed_for_good_ends_the_run_and_saves_the_others() -> None:
    controller = running(make(2, policy=FailurePolicy(1), fail_fast=True), trials=2)
    assert not [r for r in records(controller.step(e.Failed(0, 1, BOOM, 5.0))) if isinstance(r, e.StopRequested)]
    controller.step(started(0, 2))
    orders = controller.step(e.Failed(0, 2, BOOM, 6.0))
    reason = "trial 0 failed, and fail_fast=True ends the run with the first one"
    assert orders == [
        c.Record(e.StopRequested(reason, 6.0, resumable=True)),
        c.Record(e.Judged(1, "pause", reason, by="run")),
        c.Pause(1, 1, 30.0),
    ]
    checkpoint = CheckpointRef("folder1/checkpoint_000001", 1)
    assert controller.step(e.Paused(1, 1, checkpoint)) == [c.Finish()]
    resumed = controller.step(opened(9.0))
    assert [type(r) for r in records(resumed)] == [e.Placed]  # the old failure does not end the new session


def test_a_report_that_can_not_be_used_ends_the_run_as_well() -> None:
    controller = running(make(1, fail_fast=True))
    controller.step(reported(0, 1, other=1.0))
    (stop,) = records(controller.step(e.Stopped(0, 1, at=7.0)))
    assert isinstance(stop, e.StopRequested)
    assert (stop.at, stop.resumable) == (7.0, True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("on_nan", "status"), [("fail", Status.ERROR), ("stop", Status.TERMINATED)])
def test_a_value_that_is_not_finite_ends_its_trial_when_that_is_wanted(
    value: float, on_nan: str, status: Status
) -> None:
    controller = running(make(1, on_nan=on_nan, max_trials=1))
    assert controller.step(reported(0, 1)) == [c.Continue(0, 1)]
    orders = controller.step(reported(0, 2, loss=value))
    assert records(orders) == [
        e.Judged(0, on_nan, f"loss is {value}, and on_nan={on_nan!r} ends the trial", 2, "trial")
    ]
    controller.step(e.Stopped(0, 1))
    assert controller.experiment.trials[0].status is status


# -- time


def at(event: Any, moment: float) -> Any:
    return type(event)(**{name: getattr(event, name) for name in event.__struct_fields__} | {"at": moment})


def test_a_trial_that_has_used_its_time_is_killed_and_has_failed_with_its_results() -> None:
    controller = make(1, policy=FailurePolicy(5), max_trials=1, trial_timeout_s=60.0)
    controller.step(suggested(0))
    assert controller.step(at(started(0), 100.0)) == [c.WakeAt(160.0)]
    controller.step(reported(0, 1))
    assert controller.step(e.Tick(159.0)) == []
    (kill,) = controller.step(e.Tick(160.0))
    assert isinstance(kill, c.Kill)
    assert (kill.trial, kill.incarnation, kill.failure.kind) == (0, 1, "timeout")
    assert "60 s" in kill.failure.message
    assert controller.step(e.Lost(0, 1, kill.failure, 160.1)) == [c.Finish()]
    trial = controller.experiment.trials[0]
    assert (trial.status, trial.iteration, trial.failure) == (Status.ERROR, 1, kill.failure)


def test_the_time_of_all_starts_counts_and_that_of_pauses_does_not() -> None:
    def play(controller: Controller) -> list[c.Command]:
        controller.step(suggested(0))
        controller.step(at(started(0), 100.0))
        controller.step(e.Lost(0, 1, LOST, 110.0))  # 10 s
        controller.step(at(started(0, 2), 500.0))
        controller.step(e.Judged(0, "pause", "for a while"))
        controller.step(e.Paused(0, 2, CheckpointRef("c", 0), at=520.0))  # 20 s
        controller.step(at(started(0, 3), 900.0))
        controller.step(e.Tick(905.0))  # 5 s, as far as is known, until the driver dies
        controller.step(opened(5000.0))
        return controller.step(at(started(0, 4), 5000.0))

    controller = make(1, max_trials=1, trial_timeout_s=60.0)
    assert play(controller) == [c.WakeAt(5025.0)]


def test_a_trial_that_has_not_been_heard_of_is_given_up_and_tried_again() -> None:
    controller = make(1, policy=FailurePolicy(1), max_trials=1, heartbeat_timeout_s=40.0)
    controller.step(suggested(0))
    assert controller.step(at(started(0), 100.0)) == [c.WakeAt(110.0)]
    assert controller.step(e.Tick(110.0)) == [c.WakeAt(120.0)]
    controller.step(reported(0, 1))
    for moment in (120.0, 130.0, 140.0, 150.0):  # heard of at the first of these
        assert controller.step(e.Tick(moment)) == [c.WakeAt(moment + 10)]
    kill, again = controller.step(e.Tick(160.0))
    assert isinstance(kill, c.Kill)
    assert (kill.failure.kind, again) == ("silent", c.WakeAt(170.0))
    orders = controller.step(e.Lost(0, 1, kill.failure, 161.0))
    assert records(orders) == [e.Placed(0, 2, ONE_CPU)]
    assert controller.experiment.trials[0].failures == 1
    controller.step(at(started(0, 2), 162.0))
    assert without_records(controller.step(e.Tick(170.0))) == [c.WakeAt(180.0)]


def test_what_has_come_while_the_driver_itself_was_stopped_is_heard_first() -> None:
    controller = make(1, max_trials=1, heartbeat_timeout_s=40.0)
    controller.step(suggested(0))
    controller.step(at(started(0), 100.0))
    controller.step(reported(0, 1))  # it waited in the pipe
    assert controller.step(e.Tick(9000.0)) == [c.WakeAt(9010.0)]


def test_a_trial_that_waits_for_its_answer_need_not_be_heard_of() -> None:
    controller = make(1, max_trials=1, heartbeat_timeout_s=40.0)
    controller.step(suggested(0))
    controller.step(at(started(0), 100.0))
    controller.step(reported(0, 1))
    controller.step(e.Judged(0, "hold", "wait", 1))
    for moment in range(110, 300, 10):
        assert controller.step(e.Tick(float(moment))) == [c.WakeAt(moment + 10.0)]


def test_nobody_is_listened_for_when_nothing_runs() -> None:
    controller = make(1, policy=FailurePolicy(1, retry_pause_s=100.0), max_trials=1, heartbeat_timeout_s=40.0)
    controller.step(suggested(0))
    controller.step(at(started(0), 100.0))
    controller.step(e.Failed(0, 1, BOOM, 105.0))
    assert controller.step(e.Tick(110.0)) == []
    assert records(controller.step(e.Tick(205.0))) == [e.Placed(0, 2, ONE_CPU)]
    assert controller.step(at(started(0, 2), 206.0)) == [c.WakeAt(216.0)]
