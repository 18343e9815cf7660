"""How a worker on a Ray cluster and the driver talk: frames over a TCP connection that the worker opens.

Ray places, starts and watches the workers; reports and answers go past it, as a call of Ray's takes many times as long
as a round trip over a socket. A connection begins with a `Hello`, behind a secret that only this run's workers know.
Up, a frame is a header and a payload of any length. Down, the bytes are those of the local workers' pipes.
"""

from __future__ import annotations

import os
import pickle
import socket
from struct import Struct
from typing import Any, Final, NoReturn

import msgspec

from tunesmith.events import Reported, WorkerEvent
from tunesmith.worker import wire
from tunesmith.worker.process import PipeChannel
from tunesmith.worker.session import NUMBER, RESUME

HEADER: Final = Struct("<IB")  # length of the payload, kind
HELLO: Final = 16  # the secret, and then a Hello
CLOSED: Final = 17  # never sent: the switchboard's word for the end of a connection
SECRET_BYTES: Final = 32
_CONNECT_S: Final = 20.0
_SILENT_S: Final = (10, 5, 4)  # an idle connection is probed after so long, so often, and given up after so many times


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """A worker's first words. `number` is the driver's own for it, `visible` the GPUs that Ray has assigned."""

    number: int
    pid: int
    hostname: str
    node_ip: str
    node_id: str
    visible: str


decode_hello = msgspec.msgpack.Decoder(Hello).decode


class Parcel:
    """The trainable and its parameters, as bytes, on their way to the workers.

    In Ray's object store its buffers are not copied: all workers of a node share those there, which can't be written.
    """

    __slots__ = ("buffers", "data")

    def __init__(self, data: bytes, buffers: list[Any]) -> None:
        self.data = data
        self.buffers = buffers

    @property
    def size(self) -> int:
        """Its bytes in all."""
        return len(self.data) + sum(memoryview(buffer).nbytes for buffer in self.buffers)

    def __reduce__(self) -> tuple[Any, ...]:
        return Parcel, (self.data, [pickle.PickleBuffer(buffer) for buffer in self.buffers])


def frame(kind: int, payload: bytes) -> bytes:
    """Return what is sent up."""
    return HEADER.pack(len(payload), kind) + payload


def keep_alive(end: socket.socket) -> None:
    """Have the kernel notice within half a minute that the other machine is gone; send small messages at once."""
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in zip(("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), _SILENT_S, strict=True):
        option = getattr(socket, name, None)
        if option is not None:
            end.setsockopt(socket.IPPROTO_TCP, option, value)


class SocketChannel(PipeChannel):
    """The way from a worker to the driver over TCP. Its end means that the driver is gone, and with it this process.

    Raises:
        OSError: the driver can't be reached.
    """

    __slots__ = ("_end",)

    def __init__(self, host: str, port: int, number: int) -> None:
        self._end = socket.create_connection((host, port), timeout=_CONNECT_S)
        self._end.settimeout(None)
        keep_alive(self._end)
        super().__init__(self._end.fileno(), self._end.fileno(), number)

    def say(self, kind: int, payload: bytes) -> None:
        """Send a frame that is not of a trial."""
        self._tell(frame(kind, payload))

    def exchange(self, event: Reported) -> bytes:
        """Send a report and return the answer."""
        self._tell(frame(wire.EVENT, wire.encode(event)))
        answer = self._read(1)
        return answer if answer != RESUME else answer + self._read(NUMBER.size)

    def send(self, event: WorkerEvent, last_report: Reported | None = None) -> None:
        """Send an event that needs no answer, after a report that needs none either."""
        block = frame(wire.EVENT, wire.encode(event))
        self._tell(block if last_report is None else frame(wire.LAST_REPORT, wire.encode(last_report)) + block)

    def next_assignment(self) -> wire.Assignment | None:
        """Wait for the next trial; None: there is none."""
        while True:
            kind = self._read(1)
            if kind == wire.ASSIGN:
                return wire.decode_assignment(self._read(*wire.ASSIGNED.unpack(self._read(wire.ASSIGNED.size))))
            if kind == wire.QUIT:
                return None

    def close(self) -> None:
        """Hang up."""
        self._end.close()

    def _tell(self, block: bytes) -> None:
        try:
            self._end.sendall(block)
        except OSError:  # not for the user's code to see: its trial has not failed
            _driver_is_gone()

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            try:
                more = self._end.recv(length - len(data))
            except OSError:
                _driver_is_gone()
            if not more:
                _driver_is_gone()
            data = data + more if data else more
        return data


def _driver_is_gone() -> NoReturn:
    os._exit(1)
