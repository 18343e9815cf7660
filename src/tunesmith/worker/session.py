"""A trial's side of the conversation with the driver: it counts, reports, and learns what to do next."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import RLock
from typing import Any, Final, Protocol, TypeAlias

from tunesmith.errors import ArgumentError
from tunesmith.events import Completed, Failed, Paused, Reported, Stopped, WorkerEvent
from tunesmith.trial import CheckpointRef, Failure
from tunesmith.worker.checkpoint import Checkpoint, CheckpointShelf, Sheet, read_sheet
from tunesmith.worker.job import Job
from tunesmith.worker.metrics import add_up, as_number, plain

Save: TypeAlias = Callable[[Path], None]

CONTINUE: Final = b"c"
STOP: Final = b"s"
PAUSE: Final = b"p"


class StopTrial(BaseException):
    """Unwinds the user's code when its trial is to stop or to pause. Not an Exception: nobody shall swallow it."""


class Channel(Protocol):
    """The way to the driver."""

    def exchange(self, event: Reported) -> bytes:
        """Send a report, wait for the answer and return it: ``CONTINUE``, ``STOP`` or ``PAUSE``."""
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
        "_time_before",
        "_time_since_restore",
        "folder",
        "iteration",
        "job",
        "latest",
        "order",
        "resources",
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
        self.iteration = order.iteration
        self.latest = order.checkpoint
        self.verdict = CONTINUE
        self.totals: dict[str, float | int] = {}
        if order.checkpoint is not None:
            sheet = read_sheet(Path(job.path, order.checkpoint.path))
            self.totals = sheet.totals if sheet is not None else {}
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
        return CheckpointShelf(self.job.path, self.order.folder, self.order.incarnation)

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
            self.tell(event)
            if self.verdict != CONTINUE:
                raise StopTrial

    def tell(self, event: Reported) -> bytes:
        """Send a report that is made already, wait, and return the answer, which is also kept as `verdict`."""
        self.verdict = self._channel.exchange(event)
        self._resumed = self._clock()
        return self.verdict

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
            order.incarnation,
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
        aside = self.shelf.prepare(self.iteration)
        save(aside)
        self.latest = self.shelf.keep(aside, self.iteration, self.time_total_s)
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

    def completed(self, checkpoint: CheckpointRef | None = None) -> Completed:
        """Return the event of the trainable's own end."""
        return Completed(self.order.trial, self.order.incarnation, checkpoint)

    def obeyed(self, checkpoint: CheckpointRef | None = None) -> WorkerEvent:
        """Return the event that answers the verdict, Stopped or Paused."""
        kind = Paused if self.verdict == PAUSE else Stopped
        return kind(self.order.trial, self.order.incarnation, checkpoint)

    def failed(self, failure: Failure) -> Failed:
        """Return the event of a failure."""
        return Failed(self.order.trial, self.order.incarnation, failure)


class _Ambient:
    """What `report` finds when user code calls it, in whatever thread: the trial that this process is running."""

    __slots__ = ("session",)

    def __init__(self) -> None:
        self.session: Session | None = None


AMBIENT: Final = _Ambient()
