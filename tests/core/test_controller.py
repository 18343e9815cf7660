"""The controller answers events with commands; the tests compare lists of commands."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.core.controller import Controller
from tunesmith.core.invariants import violations
from tunesmith.core.limits import Limits
from tunesmith.core.retention import Keep
from tunesmith.errors import IllegalMoveError
from tunesmith.objective import Objective
from tunesmith.resources import Allocation, Resources
from tunesmith.retrying import FailurePolicy
from tunesmith.schedulers.fifo import FIFOScheduler
from tunesmith.schedulers.protocol import CONTINUE, Decision, Exploit, View
from tunesmith.stoppers.rules import make_stopper
from tunesmith.trial import CheckpointRef, Failure, Status

ONE_CPU = Allocation(Resources())


def configure(values: Any, overrides: Any) -> dict[str, Any]:
    return {**values, **overrides}


def suggested(trial: int, **kwargs: Any) -> e.Suggested:
    return e.Suggested(trial, f"id{trial}", f"name{trial}", f"folder{trial}", {"x": trial}, **kwargs)


def reported(trial: int, iteration: int, incarnation: int = 1, **metrics: Any) -> e.Reported:
    checkpoint = metrics.pop("checkpoint", None)
    done = metrics.pop("done", False)
    return e.Reported(
        trial, incarnation, iteration, metrics or {"loss": 1.0}, 100.0, 1.0, iteration, iteration, iteration,
        checkpoint=checkpoint, done=done,
    )  # fmt: skip


def started(trial: int, incarnation: int = 1) -> e.Started:
    return e.Started(trial, incarnation, 42, "host", "127.0.0.1")


def make(
    cpus: float = 2, *, stop: object = None, scheduler: Any = None, policy: FailurePolicy | None = None, **limits: Any
) -> Controller:
    controller = Controller(
        objective=Objective("loss", "min"),
        scheduler=scheduler or FIFOScheduler(),
        stopper=make_stopper(stop),
        configure=configure,
        limits=Limits(**({"max_trials": 3} | limits)),
    )
    controller.step(e.SessionOpened(1, 1, "host", 0.0, Resources(cpu=cpus), policy))
    return controller


def running(controller: Controller, trials: int = 1) -> Controller:
    for trial in range(trials):
        controller.step(suggested(trial))
        controller.step(started(trial))
    return controller


def without_records(orders: list[c.Command]) -> list[c.Command]:
    return [order for order in orders if not isinstance(order, c.Record)]


def records(orders: list[c.Command]) -> list[e.Event]:
    return [order.event for order in orders if isinstance(order, c.Record)]


class Judge(FIFOScheduler):
    """Gives the decisions it was made with, by iteration."""

    def __init__(self, decisions: dict[int, Decision]) -> None:
        super().__init__()
        self.decisions = decisions

    def judge(self, report: e.Reported, view: View) -> Decision:
        return self.decisions.get(report.iteration, CONTINUE)


def test_a_new_session_asks_for_trials() -> None:
    controller = Controller(
        objective=None,
        scheduler=FIFOScheduler(),
        configure=configure,
        limits=Limits(max_trials=3, time_budget_s=9),
    )
    orders = controller.step(e.SessionOpened(1, 1, "host", 50.0, Resources(cpu=2)))
    assert orders == [c.WakeAt(59.0), c.Ask(0, 3)]


def test_a_suggested_trial_is_placed_and_started_and_the_decision_is_recorded() -> None:
    controller = make()
    orders = controller.step(suggested(0))
    assert orders == [
        c.Record(e.Placed(0, 1, ONE_CPU)),
        c.Start(0, 1, "id0", "name0", "folder0", {"x": 0}, ONE_CPU),
    ]
    assert controller.experiment.trials[0].status is Status.STARTING


def test_no_more_trials_run_than_there_are_cpus() -> None:
    controller = make(cpus=2)
    assert [len(controller.step(suggested(i))) for i in range(3)] == [2, 2, 0]
    assert controller.experiment.counts[Status.PENDING] == 1


def test_no_more_trials_run_than_the_user_allows() -> None:
    controller = make(cpus=8, max_concurrent=1)
    assert [len(controller.step(suggested(i))) for i in range(3)] == [2, 0, 0]


def test_a_report_is_answered_with_continue() -> None:
    controller = running(make())
    assert controller.step(reported(0, 1)) == [c.Continue(0, 1)]


def test_the_end_of_a_trial_starts_the_next_one_and_the_end_of_all_finishes_the_run() -> None:
    controller = running(make(cpus=1))
    controller.step(suggested(1))
    controller.step(suggested(2))
    orders = controller.step(e.Completed(0, 1))
    assert records(orders) == [e.Placed(1, 1, ONE_CPU)]
    controller.step(started(1))
    controller.step(e.Completed(1, 1))
    controller.step(started(2))
    assert controller.step(e.Completed(2, 1)) == [c.Finish()]


def test_a_threshold_stops_a_trial_and_the_reason_is_recorded() -> None:
    controller = running(make(stop={"training_iteration": 2}))
    assert controller.step(reported(0, 1)) == [c.Continue(0, 1)]
    orders = controller.step(reported(0, 2))
    assert orders == [
        c.Record(e.Judged(0, "stop", "training_iteration reached 2, the limit is 2", 2, "stopper")),
        c.Stop(0, 1, 5.0),
    ]
    controller.step(e.Stopped(0, 1))
    assert controller.experiment.trials[0].status is Status.TERMINATED


def test_a_report_that_crosses_a_stop_is_recorded_and_not_judged() -> None:
    controller = running(make(scheduler=Judge({1: Decision("stop", "enough"), 2: Decision("pause", "wrong")})))
    controller.step(reported(0, 1))
    assert controller.step(reported(0, 2)) == [c.Stop(0, 1, 5.0)]
    assert controller.experiment.trials[0].iteration == 2


def test_a_completion_that_crosses_a_stop_ends_the_trial_once() -> None:
    controller = running(make(scheduler=Judge({1: Decision("stop", "enough")})))
    controller.step(reported(0, 1))
    controller.step(e.Completed(0, 1))
    assert controller.experiment.trials[0].status is Status.TERMINATED
    assert controller.experiment.is_stale(e.Stopped(0, 1))


def test_a_worker_that_is_gone_after_a_stop_has_stopped() -> None:
    controller = running(make(scheduler=Judge({1: Decision("stop", "enough")})))
    controller.step(reported(0, 1))
    controller.step(e.Lost(0, 1, Failure("killed", "SIGKILL")))
    assert controller.experiment.trials[0].status is Status.TERMINATED
    assert controller.experiment.trials[0].failures == 0


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"los": 1.0}, "Did you mean 'los'"),
        ({"loss": "low"}, "must be a number"),
        ({"loss": None}, "must be a number"),
    ],
)
def test_an_unusable_metric_fails_the_trial_and_no_other(metrics: dict[str, Any], words: str) -> None:
    controller = running(make(), trials=2)
    (judged,) = records(controller.step(reported(0, 1, **metrics)))
    assert isinstance(judged, e.Judged)
    assert judged.action == "fail"
    assert words in judged.reason
    controller.step(e.Stopped(0, 1))
    assert controller.experiment.trials[0].status is Status.ERROR
    assert controller.experiment.trials[1].status is Status.RUNNING


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), True, 3])
def test_nan_and_infinity_are_values_that_never_win(value: float) -> None:
    controller = running(make())
    assert controller.step(reported(0, 1, loss=value)) == [c.Continue(0, 1)]


def test_a_failed_trial_is_tried_again_from_its_last_checkpoint_and_its_later_reports_are_rolled_back() -> None:
    controller = running(make(policy=FailurePolicy(max_failures=1)))
    checkpoint = CheckpointRef("folder0/checkpoint_000002", 2, time_total_s=2.0)
    controller.step(reported(0, 1))
    controller.step(reported(0, 2, loss=0.5, checkpoint=checkpoint))
    controller.step(reported(0, 3))
    orders = controller.step(e.Failed(0, 1, Failure("error", "boom")))
    assert records(orders) == [e.Placed(0, 2, ONE_CPU, checkpoint)]
    (start,) = [order for order in orders if isinstance(order, c.Start)]
    assert (start.incarnation, start.checkpoint, start.iteration, start.time_total_s) == (2, checkpoint, 2, 2.0)
    controller.step(started(0, 2))
    controller.step(e.Failed(0, 2, Failure("error", "boom")))
    assert controller.experiment.trials[0].status is Status.ERROR


def test_messages_of_an_earlier_incarnation_and_double_deliveries_are_stale() -> None:
    controller = running(make(policy=FailurePolicy(max_failures=1)))
    controller.step(reported(0, 1))
    stale = controller.experiment.is_stale
    assert stale(reported(0, 1))
    assert stale(started(0))
    assert not stale(reported(0, 2))
    controller.step(e.Failed(0, 1, Failure("error", "boom")))
    assert stale(reported(0, 2))
    assert stale(e.Completed(0, 1))
    assert not stale(started(0, 2))


def test_an_illegal_move_raises_with_the_story_and_changes_nothing() -> None:
    controller = running(make())
    with pytest.raises(IllegalMoveError, match="Trial 0 is RUNNING in incarnation 1"):
        controller.step(e.Stopped(0, 1))
    assert controller.experiment.trials[0].status is Status.RUNNING
    assert controller.step(reported(0, 1)) == [c.Continue(0, 1)]


def test_a_time_budget_is_an_event_and_stops_what_runs() -> None:
    controller = running(make(cpus=1, time_budget_s=10))
    controller.step(suggested(1))
    assert controller.step(e.Tick(9.0)) == []
    orders = controller.step(e.Tick(10.0))
    reason = "the time budget of 10 s is used up"
    assert orders == [
        c.Record(e.StopRequested(reason, 10.0)),
        c.Record(e.Judged(0, "stop", reason, by="run", enough=True)),
        c.Stop(0, 1, 5.0),
    ]
    assert controller.step(e.Stopped(0, 1)) == [c.Finish()]
    assert controller.experiment.trials[1].status is Status.PENDING


def test_an_interrupted_run_pauses_what_runs_and_a_new_session_goes_on() -> None:
    controller = running(make(cpus=1))
    controller.step(reported(0, 1))
    assert c.Pause(0, 1) in controller.step(e.StopRequested("Ctrl-C", 5.0, resumable=True))
    checkpoint = CheckpointRef("folder0/checkpoint_000001", 1)
    assert controller.step(e.Paused(0, 1, checkpoint)) == [c.Finish()]
    orders = controller.step(e.SessionOpened(2, 2, "host", 9.0, Resources(cpu=1)))
    assert e.Placed(0, 2, ONE_CPU, checkpoint) in records(orders)


def test_a_worker_too_slow_to_save_at_the_end_is_not_charged_to_its_trial() -> None:
    controller = running(make(cpus=1))
    controller.step(e.StopRequested("Ctrl-C", 5.0, resumable=True))
    assert controller.step(e.Lost(0, 1, Failure("killed", "SIGKILL"))) == [c.Finish()]
    assert controller.experiment.trials[0].status is Status.PAUSED
    assert controller.experiment.trials[0].failures == 0


@pytest.mark.parametrize("loss", [e.Lost(0, 1, Failure("killed", "SIGKILL")), None])
def test_a_trial_whose_worker_is_lost_while_it_pauses_is_paused_at_its_last_checkpoint(loss: e.Event | None) -> None:
    controller = running(make(cpus=1, policy=FailurePolicy(1)))
    checkpoint = CheckpointRef("folder0/checkpoint_000001", 1)
    controller.step(msgspec.structs.replace(reported(0, 1), checkpoint=checkpoint))
    controller.step(reported(0, 2))
    controller.replay(e.Judged(0, "pause", "others may go first", 2))
    controller.replay(loss or e.SessionOpened(2, 2, "host", 9.0, Resources(cpu=1)))
    trial = controller.experiment.trials[0]
    assert (trial.status, trial.iteration, trial.checkpoint) == (Status.PAUSED, 1, checkpoint)
    assert violations(controller) == []


def test_a_new_session_finds_no_worker_and_sends_running_trials_back_to_their_checkpoint() -> None:
    controller = running(make(cpus=2), trials=2)
    controller.step(reported(0, 1))
    orders = controller.step(e.SessionOpened(2, 2, "host", 9.0, Resources(cpu=2)))
    assert records(orders) == [e.Placed(0, 2, ONE_CPU), e.Placed(1, 2, ONE_CPU)]
    assert controller.experiment.trials[0].iteration == 0


def test_a_request_that_can_never_fit_fails_its_trial_at_once() -> None:
    controller = make(cpus=2)
    (judged,) = records(controller.step(suggested(0, resources=Resources(cpu=64))))
    assert isinstance(judged, e.Judged)
    assert "64 CPUs" in judged.reason
    assert "2 CPUs" in judged.reason
    assert controller.experiment.trials[0].status is Status.ERROR


def test_a_stop_function_that_raises_fails_one_trial() -> None:
    controller = running(make(stop=lambda trial_id, result: 1 / 0))
    (judged,) = records(controller.step(reported(0, 1)))
    assert isinstance(judged, e.Judged)
    assert judged.action == "fail"
    assert "ZeroDivisionError" in judged.reason


def test_a_stop_function_sees_the_trial_and_the_whole_result() -> None:
    seen: list[Any] = []
    controller = running(make(stop=lambda trial_id, result: seen.append((trial_id, result))))
    controller.step(reported(0, 1, loss=0.5))
    ((trial_id, result),) = seen
    assert trial_id == "id0"
    assert result["loss"] == 0.5
    assert result["training_iteration"] == 1


def test_old_checkpoints_are_discarded() -> None:
    controller = running(make(keep_checkpoints=Keep(last=1)))
    first, second = (CheckpointRef(f"folder0/checkpoint_00000{i}", i) for i in (1, 2))
    assert controller.step(reported(0, 1, loss=1.0, checkpoint=first)) == [c.Continue(0, 1)]
    assert controller.step(reported(0, 2, loss=1.0, checkpoint=second)) == [
        c.Continue(0, 1),
        c.Record(e.Discarded(0, first)),
        c.Discard(first),
    ]


def saved(trial: int, iteration: int, size: int = 10) -> CheckpointRef:
    return CheckpointRef(f"folder{trial}/checkpoint_{iteration:06d}", iteration, "d", size, float(iteration))


def placed(orders: list[c.Command]) -> tuple[int, CheckpointRef | None]:
    (start,) = [order for order in orders if isinstance(order, c.Start)]
    return start.iteration, start.checkpoint


def test_a_trial_whose_checkpoint_is_damaged_goes_back_step_by_step_and_is_not_charged() -> None:
    controller = running(make(cpus=1, policy=FailurePolicy(1)))
    trial = controller.experiment.trials[0]
    for iteration in (1, 2, 3):
        controller.step(reported(0, iteration, loss=1.0, checkpoint=saved(0, iteration)))
    assert placed(controller.step(e.Failed(0, 1, Failure("error", "boom")))) == (3, saved(0, 3))
    controller.step(started(0, 2))
    assert placed(controller.step(e.Damaged(0, 2, saved(0, 3), "torn"))) == (2, saved(0, 2))
    assert (trial.iteration, trial.time_total_s, trial.last, trial.failures) == (2, 2.0, None, 1)
    controller.step(started(0, 3))
    assert placed(controller.step(e.Damaged(0, 3, saved(0, 2), "torn"))) == (1, saved(0, 1))
    assert placed(controller.step(e.Damaged(0, 4, saved(0, 1), "torn"))) == (0, None)
    assert (trial.status, trial.failures, trial.incarnation) == (Status.STARTING, 1, 5)


def test_a_damaged_checkpoint_does_not_come_back_with_what_its_worker_says_last() -> None:
    controller = running(make(cpus=1))
    trial = controller.experiment.trials[0]
    controller.step(reported(0, 1, loss=1.0, checkpoint=saved(0, 1)))
    controller.step(e.StopRequested("Ctrl-C", 5.0, resumable=True))
    controller.experiment.damaged.add(saved(0, 1).path)
    trial.forget(saved(0, 1).path)
    controller.step(e.Paused(0, 1, saved(0, 1)))
    assert trial.checkpoint is None


def test_a_trial_that_is_to_stop_does_not_go_back() -> None:
    controller = running(make(cpus=1), trials=1)
    controller.step(reported(0, 1, loss=1.0, checkpoint=saved(0, 1)))
    controller.step(e.SessionOpened(2, 1, "host", 0.0, Resources(cpu=1)))
    controller.step(e.StopRequested("enough", 5.0))
    controller.step(e.Damaged(0, 2, saved(0, 1), "torn"))
    assert controller.experiment.trials[0].status is Status.TERMINATED


def cloned() -> Controller:
    """Trial 1 is a clone of trial 0, and has given its own state at iteration 2 up."""
    exploit = Exploit(reason="better", donor=0, overrides={"lr": 2}, suffix="@")
    controller = running(make(scheduler=Judge({3: exploit})), trials=2)
    controller.step(reported(0, 1, loss=1.0, checkpoint=saved(0, 1)))
    controller.step(reported(1, 2, loss=1.0, checkpoint=saved(1, 2)))
    controller.step(reported(1, 3, loss=1.0))
    assert placed(controller.step(e.Paused(1, 1))) == (1, saved(0, 1))
    assert controller.experiment.trials[1].name == "name1@"
    return controller


def test_a_clone_whose_donors_checkpoint_is_damaged_is_what_it_was_before() -> None:
    controller = cloned()
    donor, clone = controller.experiment.trials[:2]
    orders = controller.step(e.Damaged(1, 2, saved(0, 1), "torn"))
    assert placed(orders) == (2, saved(1, 2))
    assert (clone.values, clone.overrides, clone.name, clone.failures) == ({"x": 1}, {}, "name1", 0)
    assert (donor.checkpoint, donor.iteration, donor.status) == (None, 1, Status.RUNNING)  # it has forgotten it, too


def test_a_clone_that_has_its_own_checkpoint_does_not_go_back_to_what_it_was_before() -> None:
    controller = cloned()
    clone = controller.experiment.trials[1]
    controller.step(started(1, 2))
    controller.step(reported(1, 2, 2, loss=1.0, checkpoint=saved(1, 5)))
    controller.step(e.SessionOpened(2, 1, "host", 0.0, Resources(cpu=2)))
    controller.step(e.Damaged(1, 3, saved(1, 5), "torn"))
    assert (clone.checkpoint, clone.iteration, clone.name) == (None, 0, "name1@")


def test_a_quota_that_is_too_small_is_said_once_a_session_and_discards_nothing_that_is_needed() -> None:
    controller = running(make(cpus=1, keep_checkpoints=Keep(quota=15)))
    first, second, large = saved(0, 1), saved(0, 2), saved(0, 3, size=20)
    assert records(controller.step(reported(0, 1, loss=1.0, checkpoint=first))) == []
    assert records(controller.step(reported(0, 2, loss=1.0, checkpoint=second))) == [e.Discarded(0, first)]
    told = records(controller.step(reported(0, 3, loss=1.0, checkpoint=large)))
    assert told == [e.Discarded(0, second), e.QuotaExceeded(20, 15)]
    assert records(controller.step(reported(0, 4, loss=1.0))) == []


def test_a_searcher_that_depends_on_results_is_asked_only_for_what_can_start() -> None:
    controller = Controller(
        objective=Objective("loss", "min"), scheduler=FIFOScheduler(), configure=configure, eager=False,
        limits=Limits(max_trials=9),
    )  # fmt: skip
    assert controller.step(e.SessionOpened(1, 1, "host", 0.0, Resources(cpu=2))) == [c.Ask(0, 2)]
    controller.step(suggested(0))
    assert c.Ask(2, 1) not in controller.step(suggested(1))
    controller.step(started(0))
    orders = controller.step(reported(0, 1, loss=0.5))
    assert any(isinstance(order, c.Tell) and not order.final for order in orders)
    orders = controller.step(e.Completed(0, 1))
    assert any(isinstance(order, c.Tell) and order.final for order in orders)
    assert c.Ask(2, 1) in orders


def test_a_searcher_that_failed_makes_no_more_trials_and_those_that_exist_go_on() -> None:
    controller = running(make(cpus=1))
    assert controller.step(e.SearchFailed(Failure("search", "boom"))) == []
    assert controller.step(e.Completed(0, 1)) == [c.Finish()]


def test_a_scheduler_may_want_all_trials_to_be_made_at_the_start() -> None:
    scheduler = FIFOScheduler()
    scheduler.sees_all = True
    controller = Controller(
        objective=Objective("loss", "min"), scheduler=scheduler, configure=configure, limits=Limits(max_trials=200)
    )
    assert controller.step(e.SessionOpened(1, 1, "host", 0.0, Resources(cpu=2))) == [c.Ask(0, 200)]


def test_a_scheduler_may_pause_a_long_step_and_an_interrupt_does_not_wait_for_it() -> None:
    class Tired(FIFOScheduler):
        def review(self, view: View) -> list[tuple[int, Decision]]:
            return (
                [(0, Decision("pause", "a rest"))] if view.running and view.trials[0].status is Status.RUNNING else []
            )

    controller = make(scheduler=Tired())
    controller.step(suggested(0))
    controller.step(started(0))
    assert c.Pause(0, 1, float("inf"), "park") in controller.step(suggested(1))
    assert c.Pause(0, 1, 30.0, "save") in controller.step(e.StopRequested("Ctrl-C", 5.0, resumable=True))
