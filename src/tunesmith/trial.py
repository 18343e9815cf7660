"""A trial's states and the values that describe what became of it."""

from __future__ import annotations

from enum import Enum

import msgspec


class Status(str, Enum):
    """Where a trial is in its life. STARTING, STOPPING and PAUSING are under way: a command is not a fact."""

    PENDING = "PENDING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"
    STOPPING = "STOPPING"
    TERMINATED = "TERMINATED"
    ERROR = "ERROR"

    @property
    def is_live(self) -> bool:
        """Whether a worker belongs to the trial."""
        return self in _LIVE

    @property
    def is_final(self) -> bool:
        """Whether the trial has ended for good."""
        return self in _FINAL

    @property
    def public(self) -> str:
        """The name users of Tune know: PENDING, RUNNING, PAUSED, TERMINATED or ERROR."""
        return "RUNNING" if self in _LIVE else self.value


_LIVE = frozenset({Status.STARTING, Status.RUNNING, Status.PAUSING, Status.STOPPING})
_FINAL = frozenset({Status.TERMINATED, Status.ERROR})


class CheckpointRef(msgspec.Struct, frozen=True):
    """A checkpoint that is whole on disk.

    `path` is relative to the experiment's folder, `iteration` the training iteration it was taken at (0 before the
    first report), `digest` a hash over its files, `size` its bytes. `time_total_s` is the training time so far.
    """

    path: str
    iteration: int
    digest: str = ""
    size: int = 0
    time_total_s: float = 0.0


class Failure(msgspec.Struct, frozen=True):
    """Why a trial failed.

    `kind` is one of ``error`` (the trainable raised), ``exit`` (it ended its process), ``killed`` (a signal),
    ``memory`` (killed by the kernel for memory), ``preempted`` (told by SIGTERM to leave), ``lost`` (its worker went
    away with the machine), ``parked`` (the worker that kept its state in memory is gone), ``metric`` (what it reported
    can't be used), ``start`` (it never started), ``timeout`` (its time was used up), ``silent`` (nothing was heard of
    it for too long). ``preempted``, ``lost`` and ``parked`` are not charged to the trial.

    `types` are the names of the exception's class and of those that it extends, with their modules unless built in.
    """

    kind: str
    message: str
    traceback: str = ""
    types: tuple[str, ...] = ()
