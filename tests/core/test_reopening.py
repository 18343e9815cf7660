"""What precedes a session: trials that go on although they had ended, and an experiment that is redefined."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.test_controller import Judge, make, records, reported, running, started
from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.core.controller import Controller
from tunesmith.core.invariants import violations
from tunesmith.core.reopening import reopenings
from tunesmith.errors import IllegalMoveError
from tunesmith.resources import Resources
from tunesmith.schedulers.fifo import FIFOScheduler
from tunesmith.schedulers.protocol import Decision
from tunesmith.stoppers.rules import make_stopper
from tunesmith.trial import CheckpointRef, Failure, Status

SAVED = CheckpointRef("folder0/checkpoint_000002", 2, time_total_s=2.0)
CREATED = e.Created("id", "name", 1, "loss", "min", 0.0, "1", {"space": {"x": "old"}, "trainable": "train"})


def ended(
    decision: Decision | None = None, *, stop: object = None, checkpoint: CheckpointRef | None = SAVED
) -> Controller:
    """Return a controller whose only trial was ended at its second report; failed if there is nothing else."""
    scheduler = Judge({2: decision} if decision else {})
    controller = running(make(scheduler=scheduler, stop=stop, max_trials=1))
    controller.step(reported(0, 1))
    controller.step(reported(0, 2, loss=1.0, checkpoint=checkpoint))
    if decision or stop:
        controller.step(e.Stopped(0, 1))
    else:
        controller.step(e.Failed(0, 1, Failure("error", "boom")))
    controller.step(e.SessionClosed(0.0, finished=True))
    return controller


def wished(controller: Controller, wish: str, stop: object = None) -> tuple[list[e.Reopened], list[int]]:
    return reopenings(controller.experiment, wish, FIFOScheduler(), make_stopper(stop))


def test_a_trial_that_is_reopened_waits_for_the_next_session_and_goes_on_from_its_checkpoint() -> None:
    controller = ended()
    (reopened,), _ = wished(controller, "errored")
    assert controller.step(reopened) == []
    trial = controller.experiment.trials[0]
    assert (trial.status, trial.failures, trial.failure, trial.iteration) == (Status.PENDING, 0, None, 2)
    assert violations(controller) == []
    orders = controller.step(e.SessionOpened(2, 1, "host", 0.0, Resources(cpu=1)))
    (start,) = [order for order in orders if isinstance(order, c.Start)]
    assert (start.incarnation, start.checkpoint, start.iteration) == (2, SAVED, 2)
    controller.step(started(0, 2))
    controller.step(reported(0, 3, 2))
    assert controller.step(e.Completed(0, 2)) == [c.Finish()]


def test_a_trial_that_begins_again_does_not_go_on_from_its_checkpoints() -> None:
    controller = ended()
    (reopened,), _ = wished(controller, "restart_errored")
    assert controller.step(reopened) == []  # all checkpoints are kept, as nothing else was said
    (placed,) = records(controller.step(e.SessionOpened(2, 1, "host", 0.0, Resources(cpu=1))))
    assert isinstance(placed, e.Placed)
    assert placed.checkpoint is None
    trial = controller.experiment.trials[0]
    assert (trial.iteration, trial.farthest) == (0, 0)


ENOUGH = Decision("stop", "max_t", enough=True)


@pytest.mark.parametrize(
    ("decision", "stop", "now", "goes_on"),
    [
        (ENOUGH, None, None, True),
        (Decision("stop", "hopeless"), None, None, False),
        (None, {"training_iteration": 2}, {"training_iteration": 3}, True),
        (None, {"training_iteration": 2}, {"training_iteration": 2}, False),
        (None, {"training_iteration": 2}, None, True),
    ],
)
def test_only_those_go_on_that_a_limit_has_ended_which_is_none_any_more(
    decision: Decision | None, stop: object, now: object, goes_on: bool
) -> None:
    controller = ended(decision, stop=stop)
    reopened, left = wished(controller, "extend", now)
    assert [event.trial for event in reopened] == ([0] if goes_on else [])
    assert left == []
    assert wished(controller, "errored") == ([], [])
    assert wished(controller, "auto") == ([], [])


def test_without_a_checkpoint_a_trial_stays_where_its_limit_was() -> None:
    assert wished(ended(ENOUGH, checkpoint=None), "extend") == ([], [0])


def test_a_trial_that_runs_is_not_reopened() -> None:
    controller = running(make())
    with pytest.raises(IllegalMoveError, match="RUNNING"):
        controller.step(e.Reopened(0, "wish"))


def test_an_experiment_that_is_redefined_keeps_what_is_not_named() -> None:
    controller = make()
    with pytest.raises(IllegalMoveError, match="not begun"):
        controller.replay(e.Redefined({}, None, None, []))
    controller.step(CREATED)
    controller.step(e.Redefined({"space": {"x": "new"}}, "acc", "max", ["x changed"]))
    created = controller.experiment.created
    assert created is not None
    assert (created.metric, created.mode, created.seed) == ("acc", "max", 1)
    assert created.settings == {"space": {"x": "new"}, "trainable": "train"}


def test_a_trial_belongs_to_the_space_it_was_drawn_from_until_it_is_refitted() -> None:
    controller = make()
    controller.step(CREATED)
    running(controller)
    controller.step(e.StopRequested("Ctrl-C", 0.0, resumable=True))
    controller.step(e.Paused(0, 1))
    trial = controller.experiment.trials[0]
    controller.step(e.Redefined({"space": {"x": "new"}}, "loss", "min", []))
    assert trial.space == {"x": "old"}
    controller.step(e.Refitted(0, {"x": 0, "y": 3}, "why"))
    assert (trial.status, trial.space, trial.values) == (Status.PAUSED, {"x": "new"}, {"x": 0, "y": 3})
    orders = controller.step(e.SessionOpened(2, 1, "host", 0.0, Resources(cpu=1)))
    configs: list[Any] = [order.config for order in orders if isinstance(order, c.Start)]
    assert configs == [{"x": 0, "y": 3}]
