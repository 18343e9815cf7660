"""The actor that runs trials on a node of a Ray cluster. Its messages are those of the local workers."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from tunesmith.executors.ray_link import HELLO, Hello, Parcel, SocketChannel
from tunesmith.worker import wire
from tunesmith.worker.failures import format_traceback
from tunesmith.worker.job import Job
from tunesmith.worker.loading import unpack_job
from tunesmith.worker.process import Host, Worker, quiet_start

MARKER: Final = ".tunesmith-ray"  # a file in the experiment's folder, by which a worker knows it
TOLD_TO_LEAVE: Final = "The worker was told to leave (SIGTERM)."  # its last line in the trial's stderr


class Post(msgspec.Struct, frozen=True):
    """What every worker of a run needs before its first trial.

    It has to call `host` and `port`, and to begin with `secret`. `path` and `argv` are the driver's search path and
    arguments. `token` is what the experiment's folder holds in the file `MARKER`, empty where the folder need not be
    the driver's. `parcel` is the job; None where it is large, and comes through the object store.
    """

    host: str
    port: int
    secret: bytes
    sheet: wire.JobSheet
    path: list[str]
    argv: list[str]
    token: str
    parcel: Parcel | None = None


def actor_name(run: str, number: int, cpu: float) -> str:
    """Return the name by which a worker knows its number and the CPUs that its trials will have.

    >>> actor_name("3f2a", 17, 2.0)
    'tunesmith-3f2a-17-2'
    """
    return f"tunesmith-{run}-{number}-{cpu:g}"


class TrialActor:
    """A worker: takes trials over its connection to the driver, one after another, until it is told to leave.

    Each run has a class of its own, with the run's `post` in it, and nothing is passed when an actor is made: arguments
    would have Ray import packages, NumPy among them, before the limits for their threads are set.
    """

    post: Post

    def __init__(self) -> None:
        import ray

        context = ray.get_runtime_context()
        number, cpu = context.get_actor_name().split("-")[2:]
        visible = ",".join(context.get_accelerator_ids().get("GPU", ()))
        host = Host()
        host.node_ip = str(ray.util.get_node_ip_address())
        self._hello = Hello(int(number), os.getpid(), host.hostname, host.node_ip, context.get_node_id(), visible)
        self._worker = Worker(self.post.sheet, host, lambda: self._job)
        os.environ.update(self.post.sheet.environ)
        self._worker.show(visible, float(cpu))

    def serve(self, parcel: Parcel | None = None) -> None:
        """Connect and run trials. Returns when the driver says so; the process ends when the driver is gone."""
        signal.signal(signal.SIGTERM, _leave)
        post = self.post
        channel = SocketChannel(post.host, post.port, self._hello.number)
        channel.say(HELLO, post.secret + wire.encode(self._hello))
        refusal = _hidden(post, self._hello.node_ip) or self._load(parcel or post.parcel)
        if refusal is not None:
            channel.say(wire.REFUSED, wire.encode(refusal))
            channel.next_assignment()  # until the driver has read it
            return
        channel.say(wire.READY, b"")
        while (order := channel.next_assignment()) is not None:
            self._worker.serve(channel, order)
        channel.close()

    def _load(self, parcel: Parcel | None) -> wire.Refused | None:
        """Load the user's modules; return why that can't be."""
        try:
            if parcel is None:
                raise RuntimeError("the job has not come along")
            known = set(sys.path)
            sys.path += [entry for entry in self.post.path if entry not in known and Path(entry).exists()]
            sys.argv[:] = self.post.argv
            faulthandler.enable()
            self._job: Job = unpack_job(self.post.sheet, parcel.data, parcel.buffers)
        except BaseException as error:  # noqa: BLE001 - the user's modules may raise anything
            text = "".join(str(error).splitlines(keepends=True)[-3:])[:1000]
            return wire.Refused(f"{type(error).__name__}: {text}", format_traceback(error)[-2000:])
        quiet_start()
        return None


def _leave(*_: object) -> NoReturn:
    """Go at once: Ray's own handler would raise SystemExit in the user's code, whose fault this is not."""
    os.write(2, f"{TOLD_TO_LEAVE}\n".encode())
    os._exit(128 + signal.SIGTERM)


def _hidden(post: Post, node_ip: str) -> wire.Refused | None:
    """Say so if the experiment's folder is not to be seen from this node; make one where it need not be the same."""
    folder = Path(post.sheet.path)
    try:
        if not post.token:
            folder.mkdir(parents=True, exist_ok=True)
        elif (folder / MARKER).read_text() == post.token:
            return None
        else:
            return wire.Refused(f"the folder {folder} on the node {node_ip} is another one than the driver's", "")
    except OSError as error:
        return wire.Refused(f"the folder {folder} can't be seen from the node {node_ip} ({error})", "")
    return None


def marked(path: str) -> str:
    """Put a new token into the experiment's folder and return it.

    Raises:
        OSError: the folder can't be written.
    """
    token = os.urandom(16).hex()
    Path(path, MARKER).write_text(token)
    return token


def unmark(path: str) -> None:
    """Take the token away."""
    try:
        Path(path, MARKER).unlink(missing_ok=True)
    except OSError:  # the folder is gone: so is the token
        pass


def plain_sheet(sheet: wire.JobSheet, environ: dict[str, Any]) -> wire.JobSheet:
    """Return the sheet with the thread limits that the driver's user has set, which a node's Ray has not inherited."""
    return msgspec.structs.replace(sheet, environ=sheet.environ | {n: environ[n] for n in sheet.fixed})
