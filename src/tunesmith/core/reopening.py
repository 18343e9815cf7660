"""Which trials that have ended go on, when their user wishes it."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith import events as e
from tunesmith.core.experiment import Experiment, TrialRecord
from tunesmith.schedulers.protocol import Scheduler
from tunesmith.stoppers.protocol import Stopper
from tunesmith.trial import Status

WISHES = ("errored", "restart_errored", "extend")


def reopenings(
    experiment: Experiment, wish: object, scheduler: Scheduler, stopper: Stopper | None
) -> tuple[list[e.Reopened], list[int]]:
    """Return which trials go on, and the numbers of those that should but have no checkpoint to go on from.

    With the wish ``"errored"`` the failed ones go on from their last checkpoints, or from the beginning without one;
    with ``"restart_errored"`` all of them from the beginning; with ``"extend"`` those that were stopped for no other
    reason than a limit, where the scheduler and the stopper of now would not stop them. Any other wish reopens none.
    """
    if wish == "extend":
        due = [trial for trial in experiment.trials if _may_go_on(trial, scheduler, stopper)]
        found = [_reopened(trial, "goes on beyond its limit of before") for trial in due if trial.checkpoint]
        return found, [trial.number for trial in due if trial.checkpoint is None]
    failed: Sequence[TrialRecord] = [trial for trial in experiment.trials if trial.status is Status.ERROR]
    if wish == "errored":
        return [_reopened(trial, "is tried again") for trial in failed], []
    if wish == "restart_errored":
        return [e.Reopened(trial.number, "is tried again from the beginning") for trial in failed], []
    return [], []


def _reopened(trial: TrialRecord, what: str) -> e.Reopened:
    checkpoint = trial.checkpoint
    where = "the beginning" if checkpoint is None else f"its checkpoint of iteration {checkpoint.iteration}"
    return e.Reopened(trial.number, f"{what}, from {where}", checkpoint)


def _may_go_on(trial: TrialRecord, scheduler: Scheduler, stopper: Stopper | None) -> bool:
    if trial.status is not Status.TERMINATED or not trial.has_enough:
        return False
    last = trial.last
    if last is None:
        return True
    if last.metrics and scheduler.has_enough(last):
        return False
    return stopper is None or not stopper.judge(trial.number, {"trial_id": trial.trial_id, **last.result()})
