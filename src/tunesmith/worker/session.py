"""A trial's side of the conversation with the driver: it counts, reports, and learns what to do next."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from struct import Struct
from threading import RLock
from typing import Any, Final, Protocol, TypeAlias

from tunesmith.errors import ArgumentError, DamagedCheckpointError
from tunesmith.events import Completed, Damaged, Failed, Paused, Reported, Saved, Stopped, WorkerEvent
from tunesmith.trial import CheckpointRef, Failure
from tunesmith.worker.checkpoint import Checkpoint, CheckpointShelf, Sheet, read_sheet
from tunesmith.worker.job import Job
from tunesmith.worker.metrics import add_up, as_number, plain

Save: TypeAlias = Callable[[Path], None]

CONTINUE: Final = b"c"
STOP: Final = b"s"
PAUSE: Final = b"p"  # save what is to be saved and end
DROP: Final = b"d"  # end like a pause, but save nothing: another state will replace this one
SAVE: Final = b"k"  # write a checkpoint and go on
RESUME: Final = b"r"  # go on as the incarnation whose number follows: the trial was parked
NUMBER: Final = Struct("<I")  # that number


class StopTrial(BaseException):
    """Unwinds the user's code when its trial is to stop or to pause. Not an Exception: nobody shall swallow it."""


class Channel(Protocol):
    """The way to the driver."""

    def exchange(self, event: Reported) -> bytes:
        """Send a report, wait for the answer and return it; a ``RESUME`` has its number behind it."""
        ...


class Order(Protocol):
    """What a session has to know of a trial's start; both a Start command and an Assignment fit."""

    @property
    def trial(self) -> int: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def trial_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def folder(self) -> str: ...
    @property
    def checkpoint(self) -> CheckpointRef | None: ...
    @property
    def iteration(self) -> int: ...
    @property
    def time_total_s(self) -> float: ...


class Session:
    """One start of a trial, from Started to its end. Its methods may be called from any thread of the trial.

    Args:
        resources: what was granted, by name, for the user to read.
        clock: seconds of a monotonic clock.
        now: seconds since the epoch.
    """

    __slots__ = (
        "_channel",
        "_clock",
        "_lock",
        "_now",
        "_resumed",
        "_shelf",
        "_time_before",
        "_time_since_restore",
        "folder",
        "incarnation",
        "iteration",
        "job",
        "latest",
        "order",
        "resources",
        "restored",
        "totals",
        "verdict",
    )

    def __init__(
        self,
        job: Job,
        order: Order,
        channel: Channel,
        resources: Mapping[str, float],
        *,
        clock: Callable[[], float] = time.perf_counter,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.job = job
        self.order = order
        self.resources = resources
        self.folder = f"{job.path}/{order.folder}"
        self.incarnation = order.incarnation
        self.iteration = order.iteration
        self.latest = order.checkpoint
        self.verdict = CONTINUE
        self.totals: dict[str, float | int] = {}
        self.restored = Path()  # the files of the checkpoint that the trial goes on from, if there is one
        self._shelf: CheckpointShelf | None = None
        self._channel = channel
        self._clock = clock
        self._now = now
        self._time_before = order.time_total_s
        self._time_since_restore = 0.0
        self._resumed = clock()
        self._lock = RLock()

    @property
    def shelf(self) -> CheckpointShelf:
        """Where the trial's checkpoints are kept."""
        if self._shelf is None:
            job, order = self.job, self.order
            if job.remote is None:
                self._shelf = CheckpointShelf(job.path, order.folder, order.incarnation)
            else:
                from tunesmith.worker.remote_checkpoint import RemoteShelf

                self._shelf = RemoteShelf(job.remote, job.path, order.folder, order.incarnation)
        return self._shelf

    def restore(self) -> Damaged | None:
        """Read through the checkpoint that the trial goes on from, and take its sums over.

        Called before the user's code. A checkpoint that is gone or not whole ends this start, by the returned event.

        Raises:
            StorageError: it is elsewhere and can't be fetched.
        """
        reference = self.order.checkpoint
        if reference is None:
            return None
        try:
            self.restored = Path(self.shelf.verify(reference).path)
            sheet = read_sheet(self.restored)
        except DamagedCheckpointError as error:
            return Damaged(self.order.trial, self.incarnation, reference, str(error))
        self.totals = {} if sheet is None else sheet.totals
        return None

    # -- reports

    def report(self, metrics: Any, checkpoint: Checkpoint | None = None) -> None:
        """Send a report and return when the trial may go on.

        Raises:
            StopTrial: the trial is to stop or to pause.
            ArgumentError: what was given can't be reported.
        """
        with self._lock:
            if self.verdict != CONTINUE:
                raise StopTrial
            event = self.compose(metrics, checkpoint)
            if self.tell(event) not in (CONTINUE, SAVE):
                raise StopTrial
            self.verdict = CONTINUE  # a function saves when it reports a checkpoint, not when it is told to

    def tell(self, event: Reported) -> bytes:
        """Send a report that is made already, wait, and return the answer, which is also kept as `verdict`."""
        self.verdict = self.understand(self._channel.exchange(event))
        self._resumed = self._clock()
        return self.verdict

    def understand(self, answer: bytes) -> bytes:
        """Take up a new incarnation, if the answer says so, and return the verdict."""
        if answer[:1] != RESUME:
            return answer
        (self.incarnation,) = NUMBER.unpack(answer[1:])
        return CONTINUE

    def compose(
        self,
        metrics: Any,
        checkpoint: Checkpoint | None = None,
        *,
        spent: float | None = None,
        save: Save | None = None,
    ) -> Reported:
        """Count a report and return it as an event.

        `spent` is its time in seconds, since the last one by default; `save` writes a checkpoint to go with it.
        """
        took = self._clock() - self._resumed if spent is None else spent
        values = plain(metrics)
        if not values and checkpoint is None and save is None:
            raise ArgumentError("An empty report says nothing: give at least one metric, or a checkpoint.")
        if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
            raise ArgumentError(
                f"checkpoint must be a tunesmith.Checkpoint, got {type(checkpoint).__name__}. "
                "Use Checkpoint.from_directory(path)."
            )
        given = values.get("time_this_iter_s")
        if isinstance(given, (int, float)):
            took = given
        add_up(values, self.totals)
        iteration = self.iteration + 1
        time_since_restore = self._time_since_restore + took
        time_total = self._time_before + time_since_restore
        reference = None
        if checkpoint is not None:
            reference = self.shelf.keep_copy(checkpoint.path, Sheet(iteration, time_total, self.totals))
            self.latest = reference
        self.iteration = iteration
        self._time_since_restore = time_since_restore
        if save is not None:
            reference = self.save(save)
        order = self.order
        return Reported(
            order.trial,
            self.incarnation,
            iteration,
            values,
            self._now(),
            took,
            time_total,
            time_since_restore,
            iteration - order.iteration,
            reference,
            bool(values.get("done", False)),
        )

    def save(self, save: Save) -> CheckpointRef:
        """Let `save` write a checkpoint of the present iteration into a new directory, and keep it."""
        self.latest = self.shelf.keep(self.iteration, self.time_total_s, save)
        return self.latest

    def name_number(self, value: Any) -> Any:
        """Return a bare number as a report under the objective's metric; anything else as it is."""
        kind = type(value)
        if kind is float or kind is int:
            return {self.job.metric or "value": value}
        if kind is dict or isinstance(value, Mapping):
            return value
        number = as_number(value)
        return value if number is None else {self.job.metric or "value": number}

    @property
    def time_total_s(self) -> float:
        """The training time so far, in seconds, over all incarnations whose work counts."""
        return self._time_before + self._time_since_restore

    def checkpoint(self) -> Checkpoint | None:
        """Return the latest checkpoint: one that was reported, or the one the trial goes on from."""
        return None if self.latest is None else self.shelf.find(self.latest)

    # -- the end

    def close(self) -> None:
        """Let go of what the trial's start has held."""
        if self._shelf is not None:
            self._shelf.close()

    def completed(self, checkpoint: CheckpointRef | None = None) -> Completed:
        """Return the event of the trainable's own end."""
        return Completed(self.order.trial, self.incarnation, checkpoint)

    def obeyed(self, checkpoint: CheckpointRef | None = None) -> WorkerEvent:
        """Return the event that answers the verdict, Stopped or Paused."""
        if self.verdict == STOP:
            return Stopped(self.order.trial, self.incarnation, checkpoint)
        return Paused(self.order.trial, self.incarnation, checkpoint if self.verdict == PAUSE else None)

    def saved(self, checkpoint: CheckpointRef) -> Saved:
        """Return the event of a checkpoint that was written on demand."""
        return Saved(self.order.trial, self.incarnation, checkpoint)

    def failed(self, failure: Failure) -> Failed:
        """Return the event of a failure."""
        return Failed(self.order.trial, self.incarnation, failure)


class _Ambient:
    """What `report` finds when user code calls it, in whatever thread: the trial that this process is running."""

    __slots__ = ("session",)

    def __init__(self) -> None:
        self.session: Session | None = None


AMBIENT: Final = _Ambient()
