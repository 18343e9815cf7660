"""How the driver, the zygote and the workers talk: frames in pipes.

Three channels, all of them anonymous, so that nothing is left behind by a process that is killed:

- *up*: one pipe that every worker and the zygote write and the driver alone reads. A frame is at most ``PIPE_BUF``
  bytes and written in one call, which the kernel keeps in one piece; a larger message goes to a file whose path
  is sent instead. That the zygote writes of a worker's end into the same pipe, after it has collected it, is what
  makes the end come after the worker's last words.
- *down*: one pipe a worker. A single byte answers a report; one that wakes a parked trial has its new incarnation
  behind it. A worker that is kept for the next trial receives its assignment here too.
- *control*: a socket from the driver to the zygote, which also carries descriptors.
"""

from __future__ import annotations

from pathlib import Path
from struct import Struct
from typing import Any, Final

import msgspec

from tunesmith.events import Completed, Damaged, Failed, Paused, Reported, Saved, Started, Stopped, WorkerEvent
from tunesmith.trial import CheckpointRef

# -- up: header, then the payload
FRAME: Final = Struct("<HBI")  # length of the payload, kind, slot
ATOMIC: Final = 4096  # PIPE_BUF on Linux; POSIX promises 512, macOS has 512 and writes 4096 in one piece all the same
_ROOM: Final = ATOMIC - FRAME.size
EVENT: Final = 1
LAST_REPORT: Final = 2  # a Reported that waits for no answer, because the worker's end follows
SPILLED: Final = 2  # added to one of the two: the payload is the path of a file that holds the event
GONE: Final = 5  # from the zygote: the worker of this slot has ended and been collected, with all it had started
READY: Final = 6  # from the zygote: the job is loaded
REFUSED: Final = 7  # from the zygote: the job can't be loaded

# -- down: one byte, and what it says follows
# (the answers to a report are the session's)
QUIT: Final = b"q"  # to an idle worker: leave
ASSIGN: Final = b"a"  # to an idle worker: a length and an assignment follow
ASSIGNED: Final = Struct("<I")

# -- control: header, then the payload
ORDER: Final = Struct("<BII")  # kind, slot, length of the payload
JOB: Final = 1  # the payload is a JobSheet; one descriptor comes with it
SLOT: Final = 2  # one descriptor comes with it: the reading end of the slot's new down pipe
START: Final = 3  # the payload is an Assignment
KILL: Final = 4  # end the slot's worker and all it has started

Told = Started | Reported | Saved | Completed | Stopped | Paused | Damaged | Failed

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode_event: Any = msgspec.msgpack.Decoder(Told).decode


class Assignment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A trial as its worker receives it.

    `config` is a pickle. `folder` is relative to the experiment's, `visible` the value for CUDA_VISIBLE_DEVICES.
    """

    trial: int
    incarnation: int
    trial_id: str
    name: str
    folder: str
    config: bytes
    visible: str
    cpu: float
    gpu: float
    named: dict[str, float]
    checkpoint: CheckpointRef | None
    iteration: int
    time_total_s: float
    attempt: int = 0


class JobSheet(msgspec.Struct, frozen=True, array_like=True):
    """The plain half of a job; the file that comes with it holds the pickle and then the buffers.

    `size` is the pickle's length in bytes, `spans` the offset and length of each out-of-band buffer. `start` is
    ``auto``, ``fork`` or ``spawn``. `environ` are variables to be set before the user's modules are imported, `fixed`
    the thread limits that the user has set and that no trial changes. `prepare` is a module to import first.
    `remote` is a pickle of where checkpoints are kept, empty if that is in `path`. It may have secrets: a sheet is
    never written to a file.
    """

    path: str
    experiment_id: str
    experiment_name: str
    checkpoint_freq: int
    checkpoint_at_end: bool
    chdir: bool
    metric: str | None
    seed: int
    reuse: bool
    start: str
    size: int
    spans: list[tuple[int, int]]
    environ: dict[str, str]
    fixed: list[str]
    prepare: str = ""
    remote: bytes = b""


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """How a worker's process ended: `status` as from ``waitpid``, `peak` its memory's high-water mark in KiB."""

    pid: int
    status: int
    peak: int
    killed: bool  # by the zygote, on order


class Ready(msgspec.Struct, frozen=True, array_like=True):
    """The zygote can start workers. `start` is ``fork`` or ``spawn``, `why` a phrase when that was not the default."""

    start: str
    why: str


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """The job can't be loaded in a new process."""

    message: str
    traceback: str


class SpawnOrder(msgspec.Struct, frozen=True, array_like=True):
    """What a freshly spawned worker reads first."""

    slot: int
    sheet: JobSheet
    assignment: bytes


decode_assignment = msgspec.msgpack.Decoder(Assignment).decode
decode_sheet = msgspec.msgpack.Decoder(JobSheet).decode
decode_ended = msgspec.msgpack.Decoder(Ended).decode
decode_ready = msgspec.msgpack.Decoder(Ready).decode
decode_refused = msgspec.msgpack.Decoder(Refused).decode
decode_spawn_order = msgspec.msgpack.Decoder(SpawnOrder).decode


def frame(kind: int, slot: int, payload: bytes) -> bytes:
    """Return a frame for the up pipe. The payload must fit: at most ``ATOMIC`` less the header."""
    return FRAME.pack(len(payload), kind, slot) + payload


def order(kind: int, slot: int, payload: bytes = b"") -> bytes:
    """Return a message for the control socket."""
    return ORDER.pack(kind, slot, len(payload)) + payload


def event_frame(event: WorkerEvent, slot: int, folder: str, kind: int = EVENT) -> bytes:
    """Return the frame that carries `event`, of `kind` EVENT or LAST_REPORT; a large one goes to a file in `folder`.

    Raises:
        OSError: the file can't be written.
    """
    payload = encode(event)
    if len(payload) <= _ROOM:
        return FRAME.pack(len(payload), kind, slot) + payload
    iteration = event.iteration if isinstance(event, Reported) else "end"
    path = Path(folder, f".message-{event.incarnation}-{iteration}")
    path.write_bytes(payload)
    return frame(kind + SPILLED, slot, str(path).encode(errors="surrogateescape"))


def read_spilled(payload: bytes) -> WorkerEvent:
    """Return the event in the file that `payload` names, and delete the file."""
    path = Path(payload.decode(errors="surrogateescape"))
    event: WorkerEvent = decode_event(path.read_bytes())
    path.unlink(missing_ok=True)
    return event
