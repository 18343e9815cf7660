"""The actor that runs trials on a node of a Ray cluster. Its messages are those of the local workers."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from tunesmith.executors.ray_link import HELLO, Hello, Line, Parcel, SocketChannel
from tunesmith.worker import wire
from tunesmith.worker.failures import format_traceback
from tunesmith.worker.job import Job
from tunesmith.worker.loading import unpack_job
from tunesmith.worker.process import Host, Worker, quiet_start

MARKER: Final = ".tunesmith-ray"  # a file in the experiment's folder, by which a worker knows it
TOLD_TO_LEAVE: Final = "The worker was told to leave (SIGTERM)."  # its last line in the trial's stderr


class Place(msgspec.Struct, frozen=True):
    """What a worker needs before its first trial.

    `path` and `argv` are the driver's search path and arguments, `cwd` its working directory. `token` is what the
    experiment's folder holds in the file `MARKER`, empty where the folder need not be the driver's. `cpu` is what the
    trials will have.
    """

    line: Line
    sheet: wire.JobSheet
    path: list[str]
    argv: list[str]
    token: str
    cpu: float
    node_ip: str = ""


class TrialActor:
    """A worker: takes trials over its connection to the driver, one after another, until it is told to leave."""

    def serve(self, place: Place, parcel: Parcel) -> None:
        """Connect and run trials. Returns when the driver says so; the process ends when the driver is gone."""
        import ray

        context = ray.get_runtime_context()
        visible = ",".join(context.get_accelerator_ids().get("GPU", ()))
        host, node_ip = Host(), str(ray.util.get_node_ip_address())
        host.node_ip = node_ip
        signal.signal(signal.SIGTERM, _leave)
        channel = SocketChannel(place.line)
        hello = Hello(place.line.number, os.getpid(), host.hostname, node_ip, context.get_node_id(), visible)
        channel.say(HELLO, place.line.secret + wire.encode(hello))
        refusal = _hidden(place, node_ip)
        if refusal is None:
            refusal = self._prepare(place, parcel, host, visible)
        if refusal is not None:
            channel.say(wire.REFUSED, wire.encode(refusal))
            channel.next_assignment()  # until the driver has read it
            return
        channel.say(wire.READY, b"")
        while (order := channel.next_assignment()) is not None:
            self._worker.serve(channel, order)
        channel.close()

    def _prepare(self, place: Place, parcel: Parcel, host: Host, visible: str) -> wire.Refused | None:
        """Make the worker: load the user's modules, with the thread limits and the GPUs that the trials will have."""
        try:
            known = set(sys.path)
            sys.path += [entry for entry in place.path if entry not in known and Path(entry or ".").exists()]
            sys.argv[:] = place.argv
            os.environ.update(place.sheet.environ)
            faulthandler.enable()
            self._worker = Worker(place.sheet, host, lambda: self._job)
            self._worker.show(visible, place.cpu)
            self._job: Job = unpack_job(place.sheet, parcel.data, parcel.buffers)
        except BaseException as error:  # noqa: BLE001 - the user's modules may raise anything
            text = "".join(str(error).splitlines(keepends=True)[-3:])[:1000]
            return wire.Refused(f"{type(error).__name__}: {text}", format_traceback(error)[-2000:])
        quiet_start()
        return None


def _leave(*_: object) -> NoReturn:
    """Go at once: Ray's own handler would raise SystemExit in the user's code, whose fault this is not."""
    os.write(2, f"{TOLD_TO_LEAVE}\n".encode())
    os._exit(128 + signal.SIGTERM)


def _hidden(place: Place, node_ip: str) -> wire.Refused | None:
    """Say so if the experiment's folder is not to be seen from this node; make one where it need not be the same."""
    folder = Path(place.sheet.path)
    try:
        if not place.token:
            folder.mkdir(parents=True, exist_ok=True)
        elif (folder / MARKER).read_text() == place.token:
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
