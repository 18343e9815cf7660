"""The driver's end of the connections that workers on a Ray cluster open."""

from __future__ import annotations

import select
import socket
from hmac import compare_digest
from typing import Final, TypeAlias

from tunesmith.executors.ray_link import CLOSED, HEADER, HELLO, SECRET_BYTES, Hello, decode_hello, keep_alive
from tunesmith.executors.waker import Waker

Frame: TypeAlias = tuple[int, int, bytes]  # the worker's number, the kind, the payload

_CHUNK: Final = 1 << 16
_STRANGERS_LIMIT: Final = 4096  # bytes that somebody may send who has not said the secret yet


class _Party:
    """One connection: who it is, what has come of a frame, and what could not be sent yet."""

    __slots__ = ("end", "number", "rest", "unsent")

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.number = -1
        self.rest = bytearray()
        self.unsent = b""


class Switchboard:
    """Takes the workers' calls on a port of this machine and passes bytes to and fro.

    Args:
        host: the address to be called at, one of this machine's.
        secret: what a caller has to begin with.
    """

    def __init__(self, host: str, secret: bytes) -> None:
        self._secret = secret
        self._listener = socket.create_server((host, 0), backlog=512)
        self._listener.setblocking(False)
        self.host, self.port = host, int(self._listener.getsockname()[1])
        self._parties: dict[int, _Party] = {}  # by descriptor
        self._numbers: dict[int, _Party] = {}
        self._waker = Waker()
        self._waker.open()
        self._poller = select.poll()
        for fd in (self._waker.reader, self._listener.fileno()):
            self._poller.register(fd, select.POLLIN)

    def poll(self, timeout: float | None) -> list[Frame]:
        """Return all that has arrived, waiting up to `timeout` seconds for the first. A Hello comes checked."""
        frames: list[Frame] = []
        for fd, what in self._poller.poll(None if timeout is None else max(0, int(timeout * 1000 + 0.999))):
            party = self._parties.get(fd)
            if party is not None:
                if what & select.POLLOUT:
                    self._send_rest(party)
                if what & ~select.POLLOUT:
                    self._receive(party, frames)
            elif fd == self._waker.reader:
                self._waker.drain()
            elif fd == self._listener.fileno():
                self._accept()
        return frames

    def send(self, number: int, data: bytes) -> None:
        """Send to a worker; nothing happens if it is not there. What the connection can't take now goes later."""
        party = self._numbers.get(number)
        if party is None:
            return
        if party.unsent:
            party.unsent += data
            return
        try:
            sent = party.end.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:  # it is gone: poll will see that
            return
        if sent < len(data):
            party.unsent = data[sent:]
            self._poller.modify(party.end, select.POLLIN | select.POLLOUT)

    def drop(self, number: int) -> None:
        """Hang up on a worker."""
        party = self._numbers.pop(number, None)
        if party is not None:
            self._forget(party)

    def wake(self) -> None:
        """Make a `poll` under way return; from any thread."""
        self._waker.wake()

    def close(self) -> None:
        """Hang up on everybody and give the port back."""
        for party in list(self._parties.values()):
            self._forget(party)
        self._numbers.clear()
        self._listener.close()
        self._waker.close()

    # -- connections

    def _accept(self) -> None:
        try:
            end, _ = self._listener.accept()
        except OSError:  # the caller has hung up meanwhile
            return
        keep_alive(end)
        end.setblocking(False)
        self._parties[end.fileno()] = _Party(end)
        self._poller.register(end, select.POLLIN)

    def _forget(self, party: _Party) -> None:
        fd = party.end.fileno()
        self._poller.unregister(fd)
        del self._parties[fd]
        party.end.close()

    def _receive(self, party: _Party, frames: list[Frame]) -> None:
        over = False
        try:
            while True:
                data = party.end.recv(_CHUNK)
                if not data:
                    over = True
                    break
                party.rest += data
                if len(data) < _CHUNK:
                    break
        except BlockingIOError:
            pass
        except OSError:
            over = True
        if party.rest and not self._take_apart(party, frames):
            over, party.number = True, -1
        if over:
            if self._numbers.get(party.number) is party:
                del self._numbers[party.number]
                frames.append((party.number, CLOSED, b""))
            self._forget(party)

    def _take_apart(self, party: _Party, frames: list[Frame]) -> bool:
        """Append the frames that are whole; False for a caller who does not belong here."""
        rest, header, unpack = party.rest, HEADER.size, HEADER.unpack_from
        at, end = 0, len(rest)
        while end - at >= header:
            length, kind = unpack(rest, at)
            if party.number < 0 and (kind != HELLO or length > _STRANGERS_LIMIT):
                return False
            body = at + header
            if end - body < length:
                break
            at = body + length
            payload = bytes(rest[body:at])
            if party.number < 0:
                hello = self._recognise(payload)
                if hello is None:
                    return False
                party.number = hello.number
                self._numbers[hello.number] = party
                payload = payload[SECRET_BYTES:]
            frames.append((party.number, kind, payload))
        if at:
            del rest[:at]
        return True

    def _recognise(self, payload: bytes) -> Hello | None:
        if not compare_digest(payload[:SECRET_BYTES], self._secret):
            return None
        return decode_hello(payload[SECRET_BYTES:])

    def _send_rest(self, party: _Party) -> None:
        try:
            party.unsent = party.unsent[party.end.send(party.unsent) :]
        except BlockingIOError:
            return
        except OSError:  # it is gone: poll will see that
            party.unsent = b""
        if not party.unsent:
            self._poller.modify(party.end, select.POLLIN)
