"""Runs trials in virtual time: a function or a table says what each step reports and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf
from threading import Event as Flag
from typing import Any

from tunesmith.commands import Continue, Kill, Pause, Release, Start, Stop, WorkerCommand
from tunesmith.errors import ArgumentError
from tunesmith.events import Completed, Failed, Lost, Paused, Released, Reported, Saved, Started, Stopped, WorkerEvent
from tunesmith.executors.curves import Curve, CurveTable, Model, Step
from tunesmith.resources import Resources
from tunesmith.streams import stream
from tunesmith.trial import CheckpointRef, Failure
from tunesmith.worker.failures import describe
from tunesmith.worker.job import Job
from tunesmith.worker.metrics import plain


class SimulatedExecutor:
    """Runs trials in virtual time, a million reports in a minute: for judging schedulers and for tests.

    Time passes only while trials train: what the scheduler, the searcher and the disk take does not count. The same
    seed gives the same run, event by event. A trial can always be saved; its checkpoints are references without files,
    and it goes on from one at the step that the checkpoint was taken at.

    Args:
        model: a function of a configuration and a step, counted from 1, that returns the metrics and the seconds of
            that step, or None when the trial is over; or a `CurveTable`. By default the trainable of `tunesmith.run`.
        workers: how many CPUs there are, and so how many trials run at once: each asks for one CPU, unless
            ``resources_per_trial=`` says otherwise.
        resources: amounts of other resources, by name, ``gpu`` too.
        startup_s: seconds until a worker runs.
        restore_s: seconds more when it goes on from a checkpoint. What is parked in memory goes on at once.
        report_delay_s: seconds from the end of a step until its report arrives; the trial waits meanwhile.
        slowdown: how much the seconds above and those of each step vary: the standard deviation of the logarithm of a
            factor, lognormal with median 1; 0 for none.
        failure_rate: the probability, from 0 to 1, that the worker dies in a step; drawn for each one.
        seed: makes what is drawn the same in every run.
        start: what the clock shows at first, seconds since the epoch.

    Raises:
        ArgumentError: an amount is out of its range.

    Example:
        >>> import tunesmith as tune
        >>> def model(config, step):
        ...     return ({"loss": config["x"] / step}, 60.0) if step <= 10 else None
        >>> executor = tune.SimulatedExecutor(workers=100)
        >>> results = tune.run(model, {"x": tune.uniform(0, 1)}, executor=executor)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Model | None = None,
        *,
        workers: float = 8,
        resources: Mapping[str, float] | None = None,
        startup_s: float = 0.0,
        restore_s: float = 0.0,
        report_delay_s: float = 0.0,
        slowdown: float = 0.0,
        failure_rate: float = 0.0,
        seed: int = 0,
        start: float = 0.0,
    ) -> None:
        if model is not None and not callable(model):
            raise ArgumentError(f"model must be a function of a configuration and a step, got {model!r:.200}.")
        self._total = Resources.parse({**(resources or {}), "cpu": _amount("workers", workers)})
        self._model = model
        self._startup_s = _amount("startup_s", startup_s)
        self._restore_s = _amount("restore_s", restore_s)
        self._delay_s = _amount("report_delay_s", report_delay_s)
        self._slowdown = _amount("slowdown", slowdown)
        self._failure_rate = _amount("failure_rate", failure_rate, most=1.0)
        self._varies = bool(slowdown or failure_rate)
        self._seed = seed
        self._now = _amount("start", start)
        self._is_open = False
        self._woken = Flag()

    # -- the clock

    def clock(self) -> float:
        """Return the virtual time, seconds since the epoch."""
        return self._now

    def set_clock(self, at: float) -> None:
        """Go on at `at`, when a run is resumed; the clock is never put back."""
        self._now = max(self._now, at)

    # -- the protocol

    def open(self, job: Job, reuse_workers: bool) -> Resources:
        """Take the job; its trainable is the model unless there is one.

        Raises:
            ArgumentError: another run uses this executor now, or the trainable can't be a model.
        """
        if self._is_open:
            raise ArgumentError("This executor is in use by another run. Give each run of the same time its own.")
        if self._model is None and isinstance(job.trainable, type):
            raise ArgumentError(
                f"The class {job.trainable.__name__} can't be simulated as it is. Give SimulatedExecutor(model=...), a "
                "function of a configuration and a step that returns the metrics and the seconds of that step."
            )
        self._job = job
        self._agenda: list[tuple[float, int, int, _Worker, WorkerEvent]] = []
        self._order = count()
        self._workers: dict[int, _Worker] = {}
        self._incarnations: dict[int, int] = {}
        self._woken.clear()
        self._is_open = True
        return self._total

    def obey(self, commands: Sequence[WorkerCommand]) -> None:
        """Carry out orders at this moment of the virtual time."""
        for command in commands:
            if type(command) is Start:
                self._start(command)
                continue
            worker = self._workers.get(command.trial)
            if worker is None or worker.incarnation != command.incarnation:
                continue
            if type(command) is Kill:
                self._plan(worker, self._now, Lost(worker.trial, worker.incarnation, command.failure))
            elif worker.next is not None:
                self._tell_ahead(worker, command)
            elif type(command) is not Continue:
                self._end(worker, command)
            elif worker.parked:
                continue  # it has been answered
            elif command.save:
                self._plan(worker, self._now, Saved(worker.trial, worker.incarnation, worker.checkpoint()))
            else:
                self._train(worker)

    def poll(self, timeout: float | None) -> Sequence[WorkerEvent]:
        """Let time pass until something happens, `timeout` virtual seconds at most, and return all of that moment.

        The events are in the order of their trials.
        """
        agenda = self._agenda
        while agenda and agenda[0][3].next is not agenda[0][4]:  # the worker has come to do something else
            heappop(agenda)
        if agenda and (timeout is None or agenda[0][0] <= self._now + timeout):
            return self._happen()
        if timeout is None:
            self._woken.wait()  # nothing will ever happen by itself
        elif not self._woken.is_set():
            self._now += timeout
        self._woken.clear()
        return []

    def wake(self) -> None:
        """Make a `poll` that would wait return."""
        self._woken.set()

    def close(self, grace_s: float = 5.0) -> None:
        """Forget all trials."""
        self._is_open = False

    def curve(self, start: Start) -> Curve:
        """Return what a trial does from here on, a function of the step; asked once for every start of a worker."""
        model = self._model or self._job.trainable
        if isinstance(model, CurveTable):
            return model.curve(start.config)
        return partial(model, start.config, **self._job.parameters)

    # -- what happens

    def _plan(self, worker: _Worker, at: float, event: WorkerEvent) -> None:
        """Let `event` be what the worker tells next, at `at`, unless it is killed before."""
        if at > worker.deadline:
            at = worker.deadline
            story = "The trial was told to end, did not in time, and was killed."
            event = Lost(worker.trial, worker.incarnation, Failure("killed", story))
        worker.due, worker.next = at, event
        heappush(self._agenda, (at, worker.trial, next(self._order), worker, event))

    def _happen(self) -> list[WorkerEvent]:
        agenda, events = self._agenda, []
        now = self._now = agenda[0][0]
        while agenda and agenda[0][0] <= now:
            _, _, _, worker, event = heappop(agenda)
            if worker.next is event:
                worker.next = None
                events.append(event)
                self._follow(worker, event)
        return events

    def _follow(self, worker: _Worker, event: WorkerEvent) -> None:
        """See to what the worker does after it has told an event."""
        kind = type(event)
        if kind is Reported:
            if worker.order is not None:
                self._end(worker, worker.order)
        elif kind is Started or kind is Saved:
            self._train(worker)
        elif kind is Paused and event.parked:  # type: ignore[attr-defined]  # narrowed by the line above
            worker.park()
        elif self._workers.get(worker.trial) is worker:
            del self._workers[worker.trial]

    def _train(self, worker: _Worker) -> None:
        """Begin the next step: find out how it will end, and when."""
        step = worker.iteration + 1
        factor, delay_factor, fate = self._draw(worker, step)
        try:
            told = worker.curve(step)
            if told is None:
                checkpoint = worker.checkpoint() if self._job.checkpoint_at_end else None
                self._plan(worker, self._now, Completed(worker.trial, worker.incarnation, checkpoint))
                return
            metrics, seconds = self._read(told)
        except Exception as error:  # noqa: BLE001 - a user's model; its fault ends one trial
            self._plan(worker, self._now, Failed(worker.trial, worker.incarnation, describe(error)))
            return
        seconds *= factor
        if fate < 1:
            story = f"The simulated worker died in step {step}, as failure_rate={self._failure_rate:g} wants it."
            lost = Lost(worker.trial, worker.incarnation, Failure("killed", story))
            self._plan(worker, self._now + fate * seconds, lost)
            return
        ended = self._now + seconds
        self._plan(worker, ended + self._delay_s * delay_factor, worker.report(metrics, seconds, ended, self._job))

    def _draw(self, worker: _Worker, step: int) -> tuple[float, float, float]:
        """Return factors for a step's seconds and its report's delay, and at which part of it the worker dies."""
        if not self._varies:
            return 1.0, 1.0, inf
        rng = stream(self._seed, "simulated", worker.trial, worker.incarnation, step)
        fate = rng.random() / self._failure_rate if self._failure_rate else inf
        return rng.lognormvariate(0, self._slowdown), rng.lognormvariate(0, self._slowdown), fate

    def _read(self, told: Step) -> tuple[dict[str, Any], float]:
        try:
            metrics, seconds = told
            seconds = float(seconds)
        except (TypeError, ValueError):
            raise ArgumentError(
                "The model must return the metrics and the seconds of a step, such as ({'loss': 0.3}, 60.0), or None "
                f"at the end; it returned {told!r:.200}."
            ) from None
        if not 0 <= seconds < inf:
            raise ArgumentError(f"A step must take zero or more seconds; the model returned {seconds!r}.")
        if isinstance(metrics, (int, float)) and self._job.metric is not None:
            metrics = {self._job.metric: metrics}
        return plain(metrics), seconds

    # -- orders

    def _start(self, start: Start) -> None:
        if self._incarnations.get(start.trial, 0) >= start.incarnation:
            return
        self._incarnations[start.trial] = start.incarnation
        worker = self._workers.get(start.trial)
        seconds = 0.0
        if not start.parked:
            worker = self._workers[start.trial] = _Worker(start)
            seconds = self._startup_s + (self._restore_s if start.checkpoint else 0.0)
            seconds *= self._draw(worker, 0)[0]
        elif worker is None or not worker.parked:
            story = "The trial's state is not in memory any more."
            lost = Lost(start.trial, start.incarnation, Failure("parked", story))
            self._plan(_Worker(start), self._now, lost)
            return
        event: WorkerEvent = Started(start.trial, start.incarnation, 0, "simulated", "")
        try:
            worker.begin(start.incarnation, self.curve(start))
        except Exception as error:  # noqa: BLE001 - as in `_train`
            event = Failed(start.trial, start.incarnation, describe(error))
        self._plan(worker, self._now + seconds, event)

    def _end(self, worker: _Worker, order: WorkerCommand) -> None:
        """Let a worker that waits in its report, or is parked, obey."""
        trial, incarnation = worker.trial, worker.incarnation
        event: WorkerEvent
        match order:
            case Stop():
                event = Stopped(trial, incarnation, worker.checkpoint() if self._job.checkpoint_at_end else None)
            case Release() if worker.parked:
                event = Released(trial, incarnation, worker.checkpoint())
            case Pause() if not worker.parked:
                saved = worker.checkpoint() if order.keep == "save" else None
                event = Paused(trial, incarnation, saved, parked=order.keep == "park")
            case _:
                return
        self._plan(worker, self._now, event)

    def _tell_ahead(self, worker: _Worker, order: WorkerCommand) -> None:
        """Note what the worker shall do at its next report; it is killed when that is too late."""
        if type(order) is Stop and type(worker.next) is Paused:
            self._end(worker, order)
        elif type(order) is Stop or (type(order) is Pause and worker.order is None):
            worker.order = order
            worker.deadline = min(worker.deadline, self._now + order.grace_s)
            if worker.next is not None and worker.due > worker.deadline:
                self._plan(worker, worker.due, worker.next)


class _Worker:
    """A simulated worker. It waits for an order when there is nothing that it will tell next."""

    __slots__ = (
        "curve",
        "deadline",
        "due",
        "folder",
        "incarnation",
        "iteration",
        "next",
        "order",
        "parked",
        "since_restore",
        "time_since_restore",
        "time_total_s",
        "trial",
    )

    def __init__(self, start: Start) -> None:
        self.trial = start.trial
        self.incarnation = start.incarnation
        self.folder = start.folder
        self.iteration = start.iteration
        self.time_total_s = start.time_total_s
        self.since_restore = 0
        self.time_since_restore = 0.0
        self.curve: Curve = _nothing
        self.next: WorkerEvent | None = None
        self.due = 0.0
        self.order: WorkerCommand | None = None
        self.deadline = inf
        self.parked = False

    def begin(self, incarnation: int, curve: Curve) -> None:
        """Start, or go on from memory."""
        self.incarnation, self.curve, self.parked = incarnation, curve, False

    def park(self) -> None:
        """Stay in memory, for as long as it takes and in as little as possible: the next start brings the curve."""
        self.parked, self.curve, self.order, self.deadline = True, _nothing, None, inf

    def report(self, metrics: dict[str, Any], seconds: float, ended: float, job: Job) -> Reported:
        """Take the step that gave `metrics` and return its report."""
        self.iteration += 1
        self.since_restore += 1
        self.time_total_s += seconds
        self.time_since_restore += seconds
        due = job.checkpoint_freq and self.iteration % job.checkpoint_freq == 0
        return Reported(
            self.trial,
            self.incarnation,
            self.iteration,
            metrics,
            ended,
            seconds,
            self.time_total_s,
            self.time_since_restore,
            self.since_restore,
            self.checkpoint() if due else None,
            bool(metrics.get("done", False)),
        )

    def checkpoint(self) -> CheckpointRef:
        """Return a checkpoint of the present state."""
        path = f"{self.folder}/checkpoint_{self.iteration:06d}"
        return CheckpointRef(path, self.iteration, time_total_s=self.time_total_s)


def _nothing(step: int) -> None:
    """Stand in for the curve of a worker that has none."""


def _amount(name: str, value: float, most: float = inf) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most or value == inf:
        limit = "" if most == inf else f" and {most:g} at most"
        raise ArgumentError(f"{name} must be a number, zero or more{limit}; got {value!r}.")
    return float(value)
