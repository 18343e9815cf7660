"""Runs trials in this very process, one at a time: for debuggers, notebooks and tests."""

from __future__ import annotations

import copy
import os
import select
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Protocol

import msgspec

from tunesmith.commands import Continue, Kill, Pause, Release, Start, Stop, WorkerCommand
from tunesmith.errors import ArgumentError
from tunesmith.events import Failed, Lost, Paused, Released, Reported, Saved, Started, Stopped, WorkerEvent
from tunesmith.executors.machine import total
from tunesmith.executors.waker import Waker
from tunesmith.resources import Resources
from tunesmith.trial import Failure
from tunesmith.worker import running
from tunesmith.worker.failures import describe
from tunesmith.worker.job import Job
from tunesmith.worker.process import Host
from tunesmith.worker.randomness import load_generators, put_back, seed_generators, snapshot
from tunesmith.worker.session import AMBIENT, CONTINUE, DROP, NUMBER, PAUSE, RESUME, SAVE, STOP, Session


class InlineExecutor:
    """Runs each trial in this process, so that breakpoints, prints and exceptions are where one looks for them.

    Only one side runs at a time: user code while `poll` is called, the rest of the library in between. Output is not
    redirected, the environment is not changed, and a trial that does not come back can't be stopped by force: one whose
    time is up ends at its next report. A paused trial stays in memory. A trial draws the same numbers from the global
    generators of Python, NumPy and PyTorch (on the CPU) as in a worker; yours stand afterwards where they stood before.

    Args:
        cpus: how many CPUs are said to be there; with 1, the default, trials run one after another.
        gpus: how many GPUs are said to be there.
        resources: amounts of other resources, by name.
    """

    def __init__(
        self, cpus: float | None = 1.0, gpus: int | None = None, resources: Mapping[str, float] | None = None
    ) -> None:
        self._total, _ = total(cpus, gpus, resources)
        self._waiting: deque[Start] = deque()
        self._run: _Run | None = None
        self._queue: list[WorkerEvent] = []
        self._incarnations: dict[int, int] = {}
        self._parked: dict[int, _Run] = {}
        self._leaving: deque[_Run] = deque()
        self._seats: dict[int, running.Seat] = {}
        self._is_open = False
        self._waker = Waker()

    # -- the protocol

    def open(self, job: Job, reuse_workers: bool) -> Resources:
        """Take the job.

        Raises:
            ArgumentError: another run uses this executor now.
        """
        if self._is_open:
            raise ArgumentError("This executor is in use by another run. Give each run of the same time its own.")
        self._waiting.clear()
        self._queue.clear()
        self._incarnations.clear()
        self._parked.clear()
        self._leaving.clear()
        self._job = job
        self._keep = reuse_workers
        self._outer = AMBIENT.session  # a run may be inside a trial
        self._host = Host()
        self._waker.open()
        self._is_open = True
        return self._total

    def obey(self, commands: Sequence[WorkerCommand]) -> None:
        """Note the orders; user code runs in the next `poll`."""
        for command in commands:
            if isinstance(command, Start):
                if self._incarnations.get(command.trial, 0) < command.incarnation:
                    self._incarnations[command.trial] = command.incarnation
                    self._waiting.append(command)
                continue
            run = self._run
            if run is not None and run.is_for(command):
                self._tell(run, command)
            elif command.trial in self._parked:
                self._send_away(command)
            elif isinstance(command, (Stop, Pause, Kill)):
                self._withdraw(command)

    def poll(self, timeout: float | None) -> Sequence[WorkerEvent]:
        """Let the trial go on to its next report or its end, and return that; wait only when there is none."""
        if not self._queue:
            if self._leaving:
                self._let_leave(self._leaving.popleft())
            elif self._run is None and self._waiting:
                self._begin(self._waiting.popleft())
            elif self._run is not None and self._run.may_go_on:
                self._advance(self._run)
            else:
                self._wait(timeout)
        events, self._queue = self._queue, []
        return events

    def wake(self) -> None:
        """Make a `poll` under way return, unless it is in user code."""
        self._waker.wake()

    def close(self, grace_s: float = 5.0) -> None:
        """Stop the trial that runs; one that does not come back within `grace_s` seconds is left to itself."""
        if not self._is_open:
            return
        self._is_open = False
        for run in (self._run, *self._parked.values(), *self._leaving):
            if run is not None:
                with self._place(run):
                    run.end(grace_s)
        self._run = None
        AMBIENT.session = self._outer
        for seat in self._seats.values():
            seat.clear()
        self._seats.clear()
        self._waker.close()

    # -- parking

    def _tell(self, run: _Run, command: WorkerCommand) -> None:
        """Pass an order on; a trial that is paused in its report stays there, in memory."""
        if isinstance(command, Pause) and command.keep == "park" and run.waits:
            self._parked[command.trial], self._run = run, None
            self._queue.append(Paused(command.trial, command.incarnation, parked=True))
        else:
            run.answer(command)

    def _send_away(self, command: WorkerCommand) -> None:
        """Let a parked trial save what it can, or just end; its code runs in the next `poll`."""
        run = self._parked[command.trial]
        if run.is_for(command) and isinstance(command, (Release, Stop)):
            del self._parked[command.trial]
            run.answer(command)
            self._leaving.append(run)

    def _let_leave(self, run: _Run) -> None:
        speaking = AMBIENT.session
        with self._place(run):
            event = run.advance()[-1]
        AMBIENT.session = speaking
        if isinstance(event, Paused):
            event = Released(event.trial, event.incarnation, event.checkpoint)
        elif isinstance(event, Failed):
            event = Lost(event.trial, event.incarnation, msgspec.structs.replace(event.failure, kind="parked"))
        self._queue.append(event)

    def _wake(self, start: Start) -> None:
        """Let a parked trial go on as a new incarnation."""
        run = self._parked.pop(start.trial, None)
        if run is None:
            story = "The trial's state is not in memory any more."
            self._queue.append(Lost(start.trial, start.incarnation, Failure("parked", story)))
            return
        self._run = run
        run.resume(start.incarnation)
        self._queue.append(self._started(start))

    # -- running

    def _started(self, start: Start) -> Started:
        return Started(start.trial, start.incarnation, os.getpid(), self._host.hostname, self._host.node_ip)

    def _begin(self, start: Start) -> None:
        if start.parked:
            self._wake(start)
            return
        folder = Path(self._job.path, start.folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            config = copy.deepcopy(start.config)
        except Exception as error:  # noqa: BLE001 - a user's own value may refuse to be copied in any way
            failure = Failure("start", f"The trial can't be started: {describe(error).message}")
            self._queue.append(Failed(start.trial, start.incarnation, failure))
            return
        resources = start.allocation.resources
        granted = {"cpu": resources.cpu, "gpu": resources.gpu, **resources.named}
        cls = _ClassRun if running.is_class(self._job.trainable) else _FunctionRun
        seat = self._seats.setdefault(-1 if self._keep else start.trial, running.Seat())
        self._run = cls(self._job, start, granted, config, seat, keep=self._keep)
        self._queue.append(self._started(start))

    def _advance(self, run: _Run) -> None:
        with self._place(run):
            events = run.advance()
        if run.fate is not None and not isinstance(events[-1], (Reported, Saved)):
            events[-1] = Lost(events[-1].trial, events[-1].incarnation, run.fate)
        self._queue += events
        if not isinstance(events[-1], (Reported, Saved)):
            self._run = None
            AMBIENT.session = self._outer
            seat = self._seats.get(events[-1].trial)
            if seat is not None and seat.instance is None:
                del self._seats[events[-1].trial]

    @contextmanager
    def _place(self, run: _Run) -> Iterator[None]:
        """Be in the trial's working directory, with its random numbers; where it leaves both is found again."""
        if run.numbers is None:
            load_generators()
        numbers = snapshot()
        if run.numbers is None:
            seed_generators(self._job.seed, *run.drawn_from)
        else:
            put_back(run.numbers)
        before = Path.cwd() if self._job.chdir else None
        if before is not None:
            os.chdir(run.place)
        try:
            yield
        finally:
            run.numbers = snapshot()
            put_back(numbers)
            if before is not None:
                run.place = str(Path.cwd())
                os.chdir(before)

    def _withdraw(self, command: Stop | Pause | Kill) -> None:
        """Tell a trial that has not begun to end: it begins, and ends at its first report."""
        for start in self._waiting:
            if start.trial == command.trial and start.incarnation == command.incarnation:
                self._waiting.remove(start)
                self._queue.append(_never_ran(start, command))
                return

    def _wait(self, timeout: float | None) -> None:
        poller = select.poll()
        poller.register(self._waker.reader, select.POLLIN)
        if poller.poll(None if timeout is None else max(0, int(timeout * 1000 + 0.999))):
            self._waker.drain()


def _never_ran(start: Start, command: Stop | Pause | Kill) -> WorkerEvent:
    if isinstance(command, Kill):
        return Lost(start.trial, start.incarnation, command.failure)
    kind = Paused if isinstance(command, Pause) else Stopped
    return kind(start.trial, start.incarnation, start.checkpoint)


class _Run(Protocol):
    """A trial under way."""

    place: str
    fate: Failure | None
    numbers: Any
    drawn_from: tuple[int, int, int]

    @property
    def may_go_on(self) -> bool: ...
    @property
    def waits(self) -> bool: ...
    def resume(self, incarnation: int) -> None: ...
    def is_for(self, command: WorkerCommand) -> bool: ...
    def answer(self, command: WorkerCommand) -> None: ...
    def advance(self) -> list[WorkerEvent]: ...
    def end(self, grace_s: float) -> None: ...


class _Conversation:
    """What both kinds of runs share: who waits for whom, and which answer comes next."""

    def __init__(
        self,
        job: Job,
        start: Start,
        granted: Mapping[str, float],
        config: dict[str, Any],
        seat: running.Seat,
        *,
        keep: bool,
    ) -> None:
        self.place = f"{job.path}/{start.folder}"
        self.numbers: Any = None  # where its random generators stand, once it has begun
        self.drawn_from = (start.trial, start.iteration, start.attempt)
        self._start = start
        self._config = config
        self._seat = seat
        self._keep = keep
        self._reported = False  # a report waits for its answer
        self._answer: bytes | None = None
        self.fate: Failure | None = None  # why the trial has to go
        self.session = Session(job, start, self, granted)

    def exchange(self, event: Reported) -> bytes:
        raise NotImplementedError

    @property
    def may_go_on(self) -> bool:
        return not self._reported or self._answer is not None

    @property
    def waits(self) -> bool:
        return self._reported and self._answer is None

    def resume(self, incarnation: int) -> None:
        self._answer = RESUME + NUMBER.pack(incarnation)

    def is_for(self, command: WorkerCommand) -> bool:
        return command.trial == self._start.trial and command.incarnation == self.session.incarnation

    def answer(self, command: WorkerCommand) -> None:
        """Keep the answer to the report that waits; to stop or to pause may also be said ahead."""
        if isinstance(command, Continue):
            if self.waits:
                self._answer = SAVE if command.save else CONTINUE
        elif isinstance(command, (Stop, Kill)):
            self._answer = STOP
            self.fate = command.failure if isinstance(command, Kill) else self.fate
        elif self._answer in (None, CONTINUE, SAVE):
            self._answer = DROP if isinstance(command, Pause) and command.keep == "drop" else PAUSE

    def _take_answer(self) -> bytes:
        answer, self._answer, self._reported = self._answer, None, False
        return answer or STOP


class _ClassRun(_Conversation):
    """A class trainable, stepped right here."""

    def __init__(self, *args: Any, keep: bool) -> None:
        super().__init__(*args, keep=keep)
        self._steps = running.class_steps(self.session, self._config, self._seat, keep=self._keep)
        self._begun = False

    def advance(self) -> list[WorkerEvent]:
        answer = self.session.understand(self._take_answer()) if self._reported else None
        try:
            event = self._steps.send(answer)  # type: ignore[arg-type]  # the first one must be None
        except StopIteration as end:
            return [end.value]
        self._reported = type(event) is Reported
        return [event]

    def end(self, grace_s: float) -> None:
        self._steps.close()


class _FunctionRun(_Conversation):
    """A function trainable in a thread of its own that runs only while `advance` waits for it."""

    def __init__(self, *args: Any, keep: bool) -> None:
        super().__init__(*args, keep=keep)
        self._to_driver: SimpleQueue[list[WorkerEvent]] = SimpleQueue()
        self._to_trial: SimpleQueue[bytes] = SimpleQueue()
        self._thread: Thread | None = None

    def exchange(self, event: Reported) -> bytes:
        self._to_driver.put([event])
        return self._to_trial.get()

    def advance(self) -> list[WorkerEvent]:
        AMBIENT.session = self.session  # others may be parked: this one speaks now, in whatever thread
        if self._thread is None:
            self._thread = Thread(target=self._work, name=f"tunesmith-{self._start.name}", daemon=True)
            self._thread.start()
        elif self._reported:
            self._to_trial.put(self._take_answer())
        events = self._to_driver.get()
        if type(events[-1]) is Reported:
            self._reported = True
        return events

    def end(self, grace_s: float) -> None:
        until = time.monotonic() + grace_s
        AMBIENT.session = self.session
        while self._thread is not None and self._reported and (left := until - time.monotonic()) > 0:
            self._to_trial.put(STOP)
            try:
                self._reported = type(self._to_driver.get(timeout=left)[-1]) is Reported
            except Empty:
                break

    def _work(self) -> None:
        report, end = running.run_function(self.session, self._config)
        self._to_driver.put([end] if report is None else [report, end])
