"""A worker process: takes trials, gives each its own surroundings, and runs it."""

from __future__ import annotations

import gc
import os
import pickle
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, NoReturn

from tunesmith.events import Failed, Reported, Started, WorkerEvent
from tunesmith.trial import Failure
from tunesmith.worker import running, wire
from tunesmith.worker.failures import describe
from tunesmith.worker.job import Job
from tunesmith.worker.randomness import seed_generators
from tunesmith.worker.session import CONTINUE, NUMBER, RESUME, Session
from tunesmith.worker.wire import Assignment, JobSheet, event_frame

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
        self._tell(event_frame(event, self._slot, self.folder))
        answer = os.read(self._down, 1) or _driver_is_gone()
        return answer if answer != RESUME else answer + self._read(NUMBER.size)

    def send(self, event: WorkerEvent, last_report: Reported | None = None) -> None:
        """Send an event that needs no answer, after a report that needs none either, in one piece where they fit."""
        block = event_frame(event, self._slot, self.folder)
        if last_report is not None:
            report = event_frame(last_report, self._slot, self.folder, wire.LAST_REPORT)
            if len(report) + len(block) <= wire.ATOMIC:
                block = report + block
            else:
                self._tell(report)
        self._tell(block)

    def next_assignment(self) -> Assignment | None:
        """Wait for the next trial; None: there is none. Late answers to a trial that has ended are passed over."""
        down = self._down
        while True:
            kind = os.read(down, 1) or _driver_is_gone()
            if kind == wire.ASSIGN:
                length = wire.ASSIGNED.unpack(self._read(wire.ASSIGNED.size))[0]
                return wire.decode_assignment(self._read(length))
            if kind == wire.QUIT:
                return None

    def _tell(self, block: bytes) -> None:
        try:
            os.write(self._up, block)
        except BrokenPipeError:  # not for the user's code to see: its trial has not failed
            _driver_is_gone()

    def _read(self, length: int) -> bytes:
        data = os.read(self._down, length) or _driver_is_gone()
        while len(data) < length:
            data += os.read(self._down, length - len(data)) or _driver_is_gone()
        return data


class Worker:
    """Serves one trial, or, when workers are kept, one after another.

    The zygote makes one of these before it forks, because what a child does not build it need not copy.

    Args:
        load: returns the job; called in the first trial, after its output has been redirected.
    """

    __slots__ = ("_host", "_load", "_seat", "_sheet", "_shown")

    def __init__(self, sheet: JobSheet, host: Host, load: Callable[[], Job]) -> None:
        self._sheet = sheet
        self._host = host
        self._load = load
        self._seat = running.Seat()
        self._shown: tuple[str, float] | None = None

    def run(self, channel: PipeChannel, order: Assignment) -> NoReturn:
        """Serve `order` and what follows it, then leave."""
        code = 1
        try:
            following: Assignment | None = order
            while following is not None:
                if not self.serve(channel, following) or not (self._sheet.reuse or self._seat.instance is not None):
                    break
                following = channel.next_assignment()
            if self._seat.instance is not None:
                self._seat.clear()
                _flush()
            code = 0
        except BaseException:  # noqa: BLE001 - a defect of this library: told in the trial's stderr
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def show(self, visible: str, cpu: float) -> None:
        """Set the variables that show a trial its share."""
        if self._shown != (visible, cpu):
            self._shown = (visible, cpu)
            for name, value in trial_environment(visible, cpu, self._sheet.fixed).items():
                if os.environ.get(name) != value:
                    os.environ[name] = value

    def serve(self, channel: PipeChannel, order: Assignment) -> bool:
        """Run one trial from Started to its last event; False when this process must not be used again."""
        host = self._host
        try:
            channel.folder = self._enter(order)
        except OSError as error:
            failure = Failure("start", f"The trial's folder can't be used: {error}")
            channel.send(Failed(order.trial, order.incarnation, failure))
            return False
        channel.send(Started(order.trial, order.incarnation, os.getpid(), host.hostname, host.node_ip))
        report: Reported | None = None
        try:
            report, event = self._run(channel, order)
        except BaseException as error:  # noqa: BLE001 - the user's modules or configuration can't be loaded
            event = Failed(order.trial, order.incarnation, describe(error))
        _flush()
        try:
            channel.send(event, report)
        except OSError as error:  # no room for a long message: a short one needs none
            text = f"The trial's last message can't be written: {error}"
            if isinstance(event, Failed):
                text = f"{event.failure.message[:1000]} ({text})"
            event = Failed(order.trial, order.incarnation, Failure("start", text))
            channel.send(event)
        return type(event) is not Failed

    def _run(self, channel: PipeChannel, order: Assignment) -> running.Outcome:
        job = self._load()
        config: dict[str, Any] = pickle.loads(order.config)
        resources = {"cpu": order.cpu, "gpu": order.gpu, **order.named}
        if "torch" in sys.modules:
            _limit_torch(max(1, int(order.cpu)))
        seed_generators(job.seed, order.trial, order.iteration, order.attempt)
        session = Session(job, order, channel, resources)
        if type(job.trainable) is FunctionType or not running.is_class(job.trainable):
            return running.run_function(session, config)
        steps = running.class_steps(session, config, self._seat, keep=self._sheet.reuse)
        answer = None
        while True:
            try:
                event = steps.send(answer)  # type: ignore[arg-type]  # the first one must be None
            except StopIteration as end:
                return None, end.value
            if type(event) is Reported:
                answer = session.tell(event)
            else:
                channel.send(event)
                answer = CONTINUE

    def _enter(self, order: Assignment) -> str:
        """Make the trial's folder this process's place: files, output and environment."""
        folder = f"{self._sheet.path}/{order.folder}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            os.mkdir(folder)  # noqa: PTH102 - the string is at hand and time counts
        except OSError:  # it is there from an earlier start, or the name has several parts
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - as above
        for name, fd in (("stdout", 1), ("stderr", 2)):
            file = os.open(f"{folder}/{name}", flags, 0o666)
            os.dup2(file, fd)
            os.close(file)
        if self._sheet.chdir:
            os.chdir(folder)
        self.show(order.visible, order.cpu)
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


def _limit_torch(threads: int) -> None:
    """Tell torch, which has read the environment when it was imported."""
    try:
        sys.modules["torch"].set_num_threads(int(os.environ.get("OMP_NUM_THREADS", threads)))
    except (AttributeError, RuntimeError, ValueError):
        pass


def _driver_is_gone() -> NoReturn:
    os._exit(1)


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
