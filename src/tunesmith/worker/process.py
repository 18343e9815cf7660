"""A worker process: takes trials, gives each its own surroundings, and runs it."""

from __future__ import annotations

import gc
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from tunesmith.events import Failed, Reported, Started, WorkerEvent
from tunesmith.trial import Failure
from tunesmith.worker import running, wire
from tunesmith.worker.failures import describe
from tunesmith.worker.job import Job
from tunesmith.worker.session import Session
from tunesmith.worker.wire import Assignment, JobSheet

THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Host:
    """Where a worker runs."""

    __slots__ = ("hostname", "node_ip")

    def __init__(self) -> None:
        self.hostname = os.uname().nodename
        self.node_ip = _own_address()


class PipeChannel:
    """The way from a worker to the driver. Its end means that the driver is gone, and with it this process."""

    __slots__ = ("_down", "_slot", "_up", "folder")

    def __init__(self, up: int, down: int, slot: int) -> None:
        self._up = up
        self._down = down
        self._slot = slot
        self.folder = ""

    def exchange(self, event: Reported) -> bytes:
        """Send a report and return the answer."""
        os.write(self._up, wire.event_frame(event, self._slot, self.folder))
        return self._answer()

    def send(self, events: list[WorkerEvent]) -> None:
        """Send events that need no answer, in one piece where they fit."""
        last = len(events) - 1
        frames = [wire.event_frame(e, self._slot, self.folder, last_report=i < last) for i, e in enumerate(events)]
        block = b"".join(frames)
        if len(block) <= wire.ATOMIC:
            os.write(self._up, block)
        else:
            for frame in frames:
                os.write(self._up, frame)

    def next_assignment(self) -> bytes | None:
        """Wait for the next trial; None: there is none. Late answers to a trial that has ended are passed over."""
        while True:
            kind = self._answer()
            if kind == wire.ASSIGN:
                return self._read(wire.ASSIGNED.unpack(self._read(wire.ASSIGNED.size))[0])
            if kind == wire.QUIT:
                return None

    def _answer(self) -> bytes:
        answer = os.read(self._down, 1)
        if not answer:
            os._exit(1)
        return answer

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            chunk = os.read(self._down, length - len(data))
            if not chunk:
                os._exit(1)
            data += chunk
        return data


class Worker:
    """Serves one trial, or, when workers are kept, one after another. Never returns.

    Args:
        load: returns the job; called in the first trial, after its output has been redirected.
    """

    def __init__(self, channel: PipeChannel, sheet: JobSheet, host: Host, load: Callable[[], Job]) -> None:
        self._channel = channel
        self._sheet = sheet
        self._host = host
        self._load = load
        self._seat = running.Seat()

    def run(self, assignment: bytes) -> NoReturn:
        """Serve `assignment` and those that follow it, then leave."""
        code = 1
        try:
            following: bytes | None = assignment
            while following is not None:
                if not self._serve(wire.decode_assignment(following)) or not self._sheet.reuse:
                    break
                following = self._channel.next_assignment()
            self._seat.clear()
            _flush()
            code = 0
        finally:
            os._exit(code)

    def _serve(self, order: Assignment) -> bool:
        """Run one trial from Started to its last event; False when this process must not be used again."""
        channel = self._channel
        try:
            channel.folder = self._enter(order)
        except OSError as error:
            failure = Failure("start", f"The trial's folder can't be used: {error}")
            self._tell([Failed(order.trial, order.incarnation, failure)])
            return False
        channel.send([Started(order.trial, order.incarnation, os.getpid(), self._host.hostname, self._host.node_ip)])
        try:
            events = self._run(order)
        except BaseException as error:  # noqa: BLE001 - the user's modules or configuration can't be loaded
            events = [Failed(order.trial, order.incarnation, describe(error))]
        _flush()
        self._tell(events)
        return type(events[-1]) is not Failed

    def _run(self, order: Assignment) -> list[WorkerEvent]:
        job = self._load()
        config: dict[str, Any] = pickle.loads(order.config)
        resources = {"cpu": order.cpu, "gpu": order.gpu, **order.named}
        _limit_torch(order.cpu)
        session = Session(job, order, self._channel, resources)
        if not running.is_class(job.trainable):
            return running.run_function(session, config)
        steps = running.class_steps(session, config, self._seat, keep=self._sheet.reuse)
        answer = None
        while True:
            try:
                event = steps.send(answer)  # type: ignore[arg-type]  # the first one must be None
            except StopIteration as end:
                return [end.value]
            answer = session.tell(event)

    def _tell(self, events: list[WorkerEvent]) -> None:
        try:
            self._channel.send(events)
        except OSError as error:  # no room for a long message: a short one needs none
            last = events[-1]
            text = f"The trial's last message can't be written: {error}"
            if isinstance(last, Failed):
                text = f"{last.failure.message[:1000]} ({text})"
            self._channel.send([Failed(last.trial, last.incarnation, Failure("start", text))])  # type: ignore[attr-defined]  # all are worker events

    def _enter(self, order: Assignment) -> str:
        """Make the trial's folder this process's place: files, output and environment."""
        folder = f"{self._sheet.path}/{order.folder}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            out = os.open(f"{folder}/stdout", flags, 0o666)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - the strings are at hand and time counts
            out = os.open(f"{folder}/stdout", flags, 0o666)
        err = os.open(f"{folder}/stderr", flags, 0o666)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        if self._sheet.chdir:
            os.chdir(folder)
        for name, value in trial_environment(order.visible, order.cpu, self._sheet.fixed).items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        return folder


def trial_environment(visible: str, cpu: float, fixed: list[str]) -> dict[str, str]:
    """Return the variables that show a trial its share. The thread limits named in `fixed` are left alone."""
    limit = str(max(1, int(cpu)))
    return {"CUDA_VISIBLE_DEVICES": visible, **{name: limit for name in THREAD_LIMITS if name not in fixed}}


def quiet_start() -> None:
    """Set a process that is about to become a worker up: line-buffered output, no collection of what is shared."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    gc.collect()
    gc.freeze()


def _limit_torch(cpu: float) -> None:
    torch = sys.modules.get("torch")
    if torch is not None and "OMP_NUM_THREADS" in os.environ:
        try:
            torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        except (AttributeError, RuntimeError, ValueError):
            pass


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # a full disk, or the user closed or replaced it
            pass


def _own_address() -> str:
    """Return this machine's address on its network; nothing is sent."""
    import socket

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("10.255.255.255", 1))
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"
