"""What the driver expects of an executor: obey a command, poll for events. An executor decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tunesmith.commands import WorkerCommand
from tunesmith.events import WorkerEvent
from tunesmith.resources import Resources
from tunesmith.worker.job import Job


class Executor(Protocol):
    """Runs trials somewhere. One run uses one executor, from `open` to `close`, from one thread (but for `wake`)."""

    def open(self, job: Job, reuse_workers: bool) -> Resources:
        """Take the job, begin to start up, and return at once with all the resources there are.

        Raises:
            NotPicklableError: the trainable or its parameters can't be sent to a worker.
        """
        ...

    def obey(self, commands: Sequence[WorkerCommand]) -> None:
        """Carry out orders. Repeated ones, and ones for an incarnation that is gone, have no effect."""
        ...

    def poll(self, timeout: float | None) -> Sequence[WorkerEvent]:
        """Return all that has arrived, waiting up to `timeout` seconds for the first (None: for ever; 0: not at all).

        The events of one worker come in the order in which it sent them. Returns an empty sequence on time-out and
        after `wake`.

        Raises:
            WorkerError: no worker can be started any more; the message says why.
        """
        ...

    def wake(self) -> None:
        """Make a `poll` under way return soon. The only method that other threads, and signal handlers, may call."""
        ...

    def close(self, grace_s: float = 5.0) -> None:
        """End every worker and its children; a second call does nothing. No process is left when it returns."""
        ...
