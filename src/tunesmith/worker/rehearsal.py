"""Goes through a trial that does nothing before the first real one, so that forked workers start cheaply.

While code runs for the first times the interpreter adapts it and the linker binds what it calls, and both write to
memory. What the zygote has not written yet, each child has to copy and write for itself: about a fifth of the cost
of an empty trial.
"""

from __future__ import annotations

import os
import pickle

import msgspec

from tunesmith.events import Reported
from tunesmith.worker.job import Job
from tunesmith.worker.process import Host, PipeChannel, Worker
from tunesmith.worker.reporting import report
from tunesmith.worker.running import run_function
from tunesmith.worker.session import CONTINUE, Session
from tunesmith.worker.wire import Assignment, JobSheet, decode_assignment, encode

_TIMES = 12  # CPython 3.11 adapts a function when it is called the eighth time, 3.12 and 3.13 sooner
_PICKLED = b"\x80\x05}\x94\x8c\x01x\x94G?\xe0\x00\x00\x00\x00\x00\x00s."  # {"x": 0.5}


def rehearse(sheet: JobSheet, host: Host) -> None:
    """Run idle trials in this process and leave no trace of them."""
    stage = f"{sheet.path}/.rehearsal"
    job = Job(_idle, {}, stage, "", "", metric="loss", chdir=sheet.chdir)
    worker = Worker(msgspec.structs.replace(sheet, path=stage), host, lambda: job)
    order = _order()
    try:
        place = os.getcwd()  # noqa: PTH109 - a string is wanted
    except OSError:  # it was deleted: this process could not go back there
        return
    output = [os.dup(1), os.dup(2)]
    channel = _Mute()
    try:
        for _ in range(_TIMES):
            worker.serve(channel, decode_assignment(order))
        os.chdir(place)
        for name in ("0/stdout", "0/stderr"):
            os.unlink(f"{stage}/{name}")  # noqa: PTH108 - as above
        os.rmdir(f"{stage}/0")  # noqa: PTH106 - as above
        os.rmdir(stage)  # noqa: PTH106 - as above
    except OSError:  # a full disk, say: the first real trial will tell
        os.chdir(place)
    finally:
        for fd, copy in enumerate(output, 1):
            os.dup2(copy, fd)
            os.close(copy)
        channel.close()


def warm_up() -> None:
    """Go through an idle trial in a fork that waits for its own: what it writes to now it need not copy then."""
    order = decode_assignment(_order())
    channel = _Mute()
    session = Session(Job(_idle, {}, "", "", "", metric="loss"), order, channel, {"cpu": order.cpu})
    last, end = run_function(session, pickle.loads(order.config))
    channel.send(end, last)
    channel.close()


def _order() -> bytes:
    return encode(Assignment(0, 1, "0_0", "idle", "0", _PICKLED, "", 1.0, 0.0, {}, None, 0, 0.0))


def _idle(config: dict[str, float]) -> float:
    report(loss=config["x"])
    return 0.5


class _Mute(PipeChannel):
    """A channel whose messages nobody reads."""

    __slots__ = ("_null",)

    def __init__(self) -> None:
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        super().__init__(self._null, self._null, 0)

    def exchange(self, event: Reported) -> bytes:
        self.send(event)
        return CONTINUE

    def close(self) -> None:
        os.close(self._null)
