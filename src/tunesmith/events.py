"""The facts of an experiment. Its state is the fold of these, in order, and of nothing else.

`trial` is the trial's number, from 0; `incarnation` counts the trial's starts, from 1, and tells a worker that was
given up for dead from its successor. `at` and `timestamp` are seconds since the epoch, read by the shell.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from tunesmith.resources import Allocation, Resources
from tunesmith.trial import CheckpointRef, Failure


class Event(msgspec.Struct, frozen=True, tag_field="kind", tag=str.lower, omit_defaults=True):
    """A fact. The tag is the class's name in lower case."""


class TrialEvent(Event, frozen=True):
    """A fact about one trial."""

    trial: int


class WorkerEvent(TrialEvent, frozen=True):
    """A fact told by, or about, one incarnation of a trial's worker."""

    incarnation: int


# -- the experiment ---------------------------------------------------------------------------------------------------


class Created(Event, frozen=True):
    """The experiment began. `settings` are plain values for readers: metric, mode, num_samples, trainable ..."""

    experiment_id: str
    name: str
    seed: int
    metric: str | None
    mode: str | None
    at: float
    version: str
    settings: dict[str, Any] = {}


class SessionOpened(Event, frozen=True):
    """A driver took the experiment over, the first one or a later one that resumes. No worker of before is left."""

    session: int
    pid: int
    hostname: str
    at: float
    resources: Resources


class Suggested(TrialEvent, frozen=True):
    """The searcher made a trial. `values` are the resolved variables, by path such as ``model/layers/0``.

    `memo` is what the searcher is reminded of with it, in a replay too.
    """

    trial_id: str
    name: str
    folder: str
    values: dict[str, Any]
    resources: Resources | None = None
    memo: Any = None


class Exhausted(Event, frozen=True):
    """The searcher has nothing more to suggest. `reason` is a sentence for the user."""

    reason: str = ""


class SearchFailed(Event, frozen=True):
    """The searcher raised. No more trials are made; those that exist go on."""

    failure: Failure


class Tick(Event, frozen=True):
    """A moment that a WakeAt asked for has come."""

    at: float


class StopRequested(Event, frozen=True):
    """The whole run has to end: a time budget, a user's Ctrl-C, a stopper. `reason` is a sentence for the user.

    Trials that run are stopped for good, or, when `resumable`, saved so that a later session goes on with them.
    """

    reason: str
    at: float
    resumable: bool = False


class SessionClosed(Event, frozen=True):
    """A driver left in good order. `finished` says that nothing is left to do."""

    at: float
    finished: bool


# -- decisions: what a policy or a user's own function answered, recorded so that a replay never asks again --------


class Placed(WorkerEvent, frozen=True):
    """A trial was given its resources and its worker is being started, from `checkpoint` if there is one.

    `parked` says that its worker is there already, in memory, and goes on from where it was.
    """

    allocation: Allocation
    checkpoint: CheckpointRef | None = None
    parked: bool = False


class Judged(TrialEvent, frozen=True):
    """A decision about a trial after its report `iteration`, or at large (`iteration` None).

    `action` is ``stop``, ``pause``, ``fail``, ``save`` (go on, but save first) or ``hold`` (the report is answered
    later); `reason` is a sentence a user can read. To continue is the rule and is recorded only after a ``hold``.
    `by` is who decided: the ``scheduler``, a ``stopper``, the ``trial`` itself, or the ``run`` as a whole.
    """

    action: str
    reason: str
    iteration: int | None = None
    by: str = "scheduler"


class Cloned(TrialEvent, frozen=True):
    """A trial gives its own state up and goes on from `checkpoint`, which is one of the trial `donor`.

    `values` and `overrides` are its new configuration (see `tunesmith.trial`), `name` its new name. What it reported
    before stands; its iterations are counted on from the checkpoint's.
    """

    donor: int
    checkpoint: CheckpointRef
    values: dict[str, Any]
    overrides: dict[str, Any]
    name: str
    reason: str
    iteration: int | None = None


class Changed(TrialEvent, frozen=True):
    """A trial is paused and goes on with other `resources`, or a configuration with other `overrides`, or both."""

    reason: str
    resources: Resources | None = None
    overrides: dict[str, Any] | None = None
    name: str | None = None
    iteration: int | None = None


# -- what workers tell -------------------------------------------------------------------------------------------------


class Started(WorkerEvent, frozen=True):
    """The worker runs and is about to enter the user's code."""

    pid: int
    hostname: str
    node_ip: str


class Reported(WorkerEvent, frozen=True):
    """A result. `metrics` is what the user reported, plain values; the other fields are measured by the worker.

    `iteration` counts the trial's reports from 1 and goes on after a restore; times are in seconds, `time_total_s`
    and `iteration` over all incarnations whose work counts, the ``since_restore`` ones in this incarnation.
    `done` says that the trainable itself wants to end here.
    """

    iteration: int
    metrics: dict[str, Any]
    timestamp: float
    time_this_iter_s: float
    time_total_s: float
    time_since_restore: float
    iterations_since_restore: int
    checkpoint: CheckpointRef | None = None
    done: bool = False

    def result(self) -> dict[str, Any]:
        """Return the report as policies see it: what was measured, overridden by what the user reported."""
        return {
            "training_iteration": self.iteration,
            "time_this_iter_s": self.time_this_iter_s,
            "time_total_s": self.time_total_s,
            "timestamp": int(self.timestamp),
            "time_since_restore": self.time_since_restore,
            "iterations_since_restore": self.iterations_since_restore,
            "done": self.done,
            **self.metrics,
        }


class Completed(WorkerEvent, frozen=True):
    """The trainable came to its own end. `checkpoint` is one taken at the end, after the last report."""

    checkpoint: CheckpointRef | None = None


class Stopped(WorkerEvent, frozen=True):
    """The worker obeyed a Stop."""

    checkpoint: CheckpointRef | None = None


class Paused(WorkerEvent, frozen=True):
    """The worker obeyed a Pause: its state is in `checkpoint`, or `parked` in its memory; its resources are free."""

    checkpoint: CheckpointRef | None = None
    parked: bool = False


class Released(WorkerEvent, frozen=True):
    """The worker of a parked trial has left. What `checkpoint` does not hold of its state is lost."""

    checkpoint: CheckpointRef | None = None


class Saved(WorkerEvent, frozen=True):
    """The worker has saved the trial's state, as it was told to, and goes on."""

    checkpoint: CheckpointRef


class Failed(WorkerEvent, frozen=True):
    """The trainable failed."""

    failure: Failure


class Lost(WorkerEvent, frozen=True):
    """The worker's process is gone without a word of its own."""

    failure: Failure


AnyEvent: TypeAlias = (
    Created
    | SessionOpened
    | Suggested
    | Exhausted
    | SearchFailed
    | Tick
    | StopRequested
    | SessionClosed
    | Placed
    | Judged
    | Cloned
    | Changed
    | Started
    | Reported
    | Completed
    | Stopped
    | Paused
    | Released
    | Saved
    | Failed
    | Lost
)
