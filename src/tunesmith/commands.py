"""The orders that the core gives to the world. Each is safe to repeat: its effect comes back as an event."""

from __future__ import annotations

from typing import Any

import msgspec

from tunesmith.events import Event
from tunesmith.resources import Allocation
from tunesmith.trial import CheckpointRef, Failure


class Command(msgspec.Struct, frozen=True):
    """An order."""


class Record(Command, frozen=True):
    """Write down a decision that was taken just now, in the same transaction as its cause."""

    event: Event


class Ask(Command, frozen=True):
    """Ask the searcher for trials number `first` to ``first + count - 1``; answered by Suggested or Exhausted."""

    first: int
    count: int


class Tell(Command, frozen=True):
    """Tell the searcher of a result (`final` False) or of a trial's end. `metrics` None: it ended without a result.

    `curtailed`: it has ended although it would have gone on.
    """

    trial: int
    metrics: dict[str, Any] | None
    final: bool
    failed: bool = False
    curtailed: bool = False


class Remind(Command, frozen=True):
    """Remind the searcher of a suggestion of its own, which is a fact now; `values` are as recorded."""

    trial: int
    values: dict[str, Any]
    memo: Any


class WakeAt(Command, frozen=True):
    """Send a Tick at `at`, seconds since the epoch."""

    at: float


class Finish(Command, frozen=True):
    """Nothing is left to do: end the run."""


class WorkerCommand(Command, frozen=True):
    """An order to the worker of one incarnation of a trial."""

    trial: int
    incarnation: int


class Start(WorkerCommand, frozen=True):
    """Start a worker for the trial.

    `folder` is the trial's folder, relative to the experiment's. `iteration` and `time_total_s` are what the trial
    has behind it when it goes on from `checkpoint`. With `parked` the worker of the incarnation before is in memory
    and takes this one over; where it is gone, the answer is a Lost. `attempt` counts the failures since the trial got
    further than ever before.
    """

    trial_id: str
    name: str
    folder: str
    config: dict[str, Any]
    allocation: Allocation
    checkpoint: CheckpointRef | None = None
    iteration: int = 0
    time_total_s: float = 0.0
    parked: bool = False
    attempt: int = 0


class Continue(WorkerCommand, frozen=True):
    """Let ``report`` return; with `save`, after a checkpoint was written, where the trainable can (see Saved)."""

    save: bool = False


class Stop(WorkerCommand, frozen=True):
    """End the trial: at its report if it waits in one, at its next one otherwise, by force after `grace_s` seconds."""

    grace_s: float = 5.0


class Pause(WorkerCommand, frozen=True):
    """Take the trial's resources back; by force, without saving, after `grace_s` seconds, which may be infinite.

    `keep` says what becomes of its state: ``park`` leaves it in memory if the executor has room and is otherwise the
    same as ``save``, which writes a checkpoint; ``drop`` gives it up, as it is to be replaced.
    """

    grace_s: float = 30.0
    keep: str = "save"


class Release(WorkerCommand, frozen=True):
    """Save the state of a parked trial and let its worker go; by force, without saving, after `grace_s` seconds."""

    grace_s: float = 30.0


class Kill(WorkerCommand, frozen=True):
    """End the worker by force, at once where that is possible; the answer is a Lost with this `failure`.

    Whatever else the worker has told before it was killed comes first, and counts.
    """

    failure: Failure


class Discard(Command, frozen=True):
    """Delete a checkpoint that nothing needs any more."""

    checkpoint: CheckpointRef
