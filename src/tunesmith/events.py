"""The facts of an experiment. Its state is the fold of these, in order, and of nothing else.

`trial` is the trial's number, from 0; `incarnation` counts the trial's starts, from 1, and tells a worker that was
given up for dead from its successor. `at` and `timestamp` are seconds since the epoch, read by the shell: `at` by the
driver, when it learnt of the fact (0 in old records), and `timestamp` by the worker.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from tunesmith.resources import Allocation, Resources
from tunesmith.retrying import FailurePolicy
from tunesmith.trial import CheckpointRef, Failure


class Event(msgspec.Struct, frozen=True, tag_field="kind", tag=str.lower, omit_defaults=True, gc=False):
    """A fact. The tag is the class's name in lower case.

    Facts are plain values and hold no cycles, so that the garbage collector need not look at them: it would do so again
    and again while millions are read.
    """


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
    """A driver took the experiment over, the first one or a later one that resumes. No worker of before is left.

    `policy` says what becomes of trials that fail from here on; None, in old records, leaves it as it was.
    """

    session: int
    pid: int
    hostname: str
    at: float
    resources: Resources
    policy: FailurePolicy | None = None


class Redefined(Event, frozen=True):
    """The experiment goes on as something else than it was: its user has accepted the `changes`, a sentence each.

    `settings` replace those of the same name in Created; `metric` and `mode` are those from now on.
    """

    settings: dict[str, Any]
    metric: str | None
    mode: str | None
    changes: list[str]


class Suggested(TrialEvent, frozen=True):
    """The searcher made a trial. `values` are the resolved variables, by path such as ``model/layers/0``.

    `memo` is what the searcher is reminded of with it, in a replay too. `repeats` is the first trial of the same
    configuration, `confirms` the trial that is run again by this one; see `tunesmith.searchers.protocol.Suggestion`.
    `why` tells the user how the searcher came to it.
    """

    trial_id: str
    name: str
    folder: str
    values: dict[str, Any]
    resources: Resources | None = None
    memo: Any = None
    repeats: int | None = None
    confirms: int | None = None
    why: str = ""


class Exhausted(Event, frozen=True):
    """The searcher has nothing more to suggest. `reason` is a sentence for the user."""

    reason: str = ""


class Deferred(Event, frozen=True):
    """The searcher suggests no more until another trial ends. It knew of `ended` ends when it said so."""

    ended: int = 0


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


class Discarded(Event, frozen=True):
    """A checkpoint that the trial `owner` has written is not needed any more and is being deleted."""

    owner: int
    checkpoint: CheckpointRef


class QuotaExceeded(Event, frozen=True):
    """The checkpoints that trials may still need have `size` bytes in all, more than the `quota`; they stay."""

    size: int
    quota: int


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
    `by` is who decided: the ``scheduler``, a ``stopper``, the ``trial`` itself, or the ``run`` as a whole. `enough`
    says that a limit of training time was reached, and nothing worse: with a longer one the trial could go on.
    """

    action: str
    reason: str
    iteration: int | None = None
    by: str = "scheduler"
    enough: bool = False


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


class Reopened(TrialEvent, frozen=True):
    """A trial that had ended goes on, as its user wishes: from `checkpoint`, or from the beginning when that is None.

    Its failures are forgotten. It waits for its turn.
    """

    reason: str
    checkpoint: CheckpointRef | None = None


class Refitted(TrialEvent, frozen=True):
    """A trial that goes on in a space that was changed has these `values` from now on: its own, and what is new."""

    values: dict[str, Any]
    reason: str


# -- what workers tell -------------------------------------------------------------------------------------------------


class Started(WorkerEvent, frozen=True):
    """The worker runs and is about to enter the user's code."""

    pid: int
    hostname: str
    node_ip: str
    at: float = 0.0


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
    at: float = 0.0


class Stopped(WorkerEvent, frozen=True):
    """The worker obeyed a Stop."""

    checkpoint: CheckpointRef | None = None
    at: float = 0.0


class Paused(WorkerEvent, frozen=True):
    """The worker obeyed a Pause: its state is in `checkpoint`, or `parked` in its memory; its resources are free."""

    checkpoint: CheckpointRef | None = None
    parked: bool = False
    at: float = 0.0


class Released(WorkerEvent, frozen=True):
    """The worker of a parked trial has left. What `checkpoint` does not hold of its state is lost."""

    checkpoint: CheckpointRef | None = None
    at: float = 0.0


class Saved(WorkerEvent, frozen=True):
    """The worker has saved the trial's state, as it was told to, and goes on."""

    checkpoint: CheckpointRef


class Damaged(WorkerEvent, frozen=True):
    """The worker found that `checkpoint`, from which the trial was to go on, is not whole, and left.

    The trial goes back to the one before it, a clone without one of its own to what it was before, and where there is
    none to the beginning. No failure is charged. The files are left as they are. `reason` is a sentence for the user.
    """

    checkpoint: CheckpointRef
    reason: str


class Failed(WorkerEvent, frozen=True):
    """The trainable failed."""

    failure: Failure
    at: float = 0.0


class Lost(WorkerEvent, frozen=True):
    """The worker's process is gone without a word of its own."""

    failure: Failure
    at: float = 0.0


AnyEvent: TypeAlias = (
    Created
    | SessionOpened
    | Redefined
    | Suggested
    | Exhausted
    | Deferred
    | SearchFailed
    | Tick
    | StopRequested
    | Discarded
    | QuotaExceeded
    | SessionClosed
    | Placed
    | Judged
    | Cloned
    | Changed
    | Reopened
    | Refitted
    | Started
    | Reported
    | Completed
    | Stopped
    | Paused
    | Released
    | Saved
    | Damaged
    | Failed
    | Lost
)
