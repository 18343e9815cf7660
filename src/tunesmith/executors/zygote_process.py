"""The driver's end of the zygote: starts it, sends it orders, and reads what it and the workers send."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

from tunesmith.errors import StorageError, WorkerError
from tunesmith.worker import wire
from tunesmith.worker.zygote import CONTROL, UP, lift_descriptors, zygote_program

_PIPE_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 16
_LEAVE_S: Final = 5.0

Frame = tuple[int, int, bytes]


class ZygoteProcess:
    """A running zygote and the pipes of its workers.

    Args:
        log: a file for what the user's modules print while they are imported.

    Raises:
        StorageError: the log can't be written.
        WorkerError: no process can be started.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.up, up_writer = os.pipe()
        os.set_blocking(self.up, False)
        _enlarge(up_writer)
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.control.setblocking(False)
        self._rest = b""
        self._outgoing: list[bytes] = []
        self._downs: dict[int, int] = {}
        self._status: int | None = None
        try:
            self.pid = self._start(up_writer, theirs.fileno())
        except BaseException:
            os.close(self.up)
            self.control.close()
            raise
        finally:
            os.close(up_writer)
            theirs.close()

    def _start(self, up: int, control: int) -> int:
        if not sys.executable:
            raise WorkerError("No worker can be started: Python does not know its own executable (sys.executable).")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            log = os.open(self.log, flags, 0o666)
        except OSError as error:
            raise StorageError(f"The experiment's folder can't be written: {error}") from error
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        path = [entry for entry in sys.path if isinstance(entry, str)]
        code = zygote_program(path, list(sys.argv))
        lifted = lift_descriptors([null, log, log, control, up])
        actions = [(os.POSIX_SPAWN_DUP2, fd, at) for fd, at in zip(lifted, (0, 1, 2, CONTROL, UP), strict=True)]
        arguments = [sys.executable, *["-O"] * sys.flags.optimize, "-c", code]
        try:
            return os.posix_spawn(sys.executable, arguments, os.environ, file_actions=actions)
        except OSError as error:
            raise WorkerError(f"No worker can be started: {sys.executable} does not run: {error}") from error
        finally:
            for fd in (*lifted, null, log):
                os.close(fd)

    # -- orders

    def order(self, kind: int, slot: int, payload: bytes = b"") -> None:
        """Put an order into the next `flush`."""
        self._outgoing.append(wire.order(kind, slot, payload))

    def flush(self) -> None:
        """Send the orders. What the workers send meanwhile is taken in, so that neither side waits for the other."""
        if self._outgoing:
            block = b"".join(self._outgoing)
            self._outgoing.clear()
            self._send(block, -1)

    def hand_over(self, kind: int, slot: int, payload: bytes, fd: int) -> None:
        """Send an order together with a descriptor."""
        self.flush()
        self._send(wire.order(kind, slot, payload), fd)

    def open_down(self, slot: int) -> int:
        """Make a new pipe to the worker of `slot` and return its writing end, which stays this object's."""
        reader, writer = os.pipe()
        try:
            self.hand_over(wire.SLOT, slot, b"", reader)
        finally:
            os.close(reader)
        before = self._downs.get(slot)
        if before is not None:
            os.close(before)
        self._downs[slot] = writer
        return writer

    def _send(self, block: bytes, fd: int) -> None:
        view = memoryview(block)
        while view:
            try:
                if fd >= 0:
                    sent = socket.send_fds(self.control, [view], [fd])
                    fd = -1
                else:
                    sent = self.control.send(view)
                view = view[sent:]
            except BlockingIOError:
                self._wait_for_room()
            except OSError:  # it is gone: poll will see that
                return

    def _wait_for_room(self) -> None:
        poller = select.poll()
        poller.register(self.control, select.POLLOUT)
        poller.register(self.up, select.POLLIN)
        for ready, _ in poller.poll(1000):
            if ready == self.up:
                self._rest += self._take()

    # -- what comes

    def read(self) -> list[Frame]:
        """Return the frames that have arrived: kind, slot, payload."""
        data = self._rest + self._take() if self._rest else self._take()
        frames: list[Frame] = []
        at, end, header, unpack = 0, len(data), wire.FRAME.size, wire.FRAME.unpack_from
        while end - at >= header:
            length, kind, slot = unpack(data, at)
            body = at + header
            at = body + length
            if at > end:
                at = body - header
                break
            frames.append((kind, slot, data[body:at]))
        self._rest = data[at:] if at < end else b""
        return frames

    def _take(self) -> bytes:
        try:
            data = os.read(self.up, _READ_BYTES)
        except BlockingIOError:
            return b""
        while len(data) % _READ_BYTES == 0 and data:  # there may be more
            try:
                more = os.read(self.up, _READ_BYTES)
            except BlockingIOError:
                break
            if not more:
                break
            data += more
        return data

    # -- its end

    def end(self) -> str:
        """Wait for the process, which is known to be gone, and say how it went."""
        self._wait(_LEAVE_S)
        status = self._status
        if status is None:
            return "it can't be told how"
        if os.WIFSIGNALED(status):
            return f"it was killed by signal {signal.Signals(os.WTERMSIG(status)).name}"
        return f"exit code {os.WEXITSTATUS(status)}"

    def last_words(self) -> str:
        """Return the end of the log."""
        try:
            return self.log.read_bytes()[-2000:].decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def leave(self) -> None:
        """Have the zygote end all its workers and itself, at once; return when that has happened."""
        self.control.close()
        if not self._wait(_LEAVE_S):
            os.kill(self.pid, signal.SIGKILL)
            self._wait(_LEAVE_S)
        for fd in (self.up, *self._downs.values()):
            os.close(fd)
        self._downs.clear()
        try:
            if self.log.stat().st_size == 0:
                self.log.unlink()
        except OSError:
            pass

    def _wait(self, limit: float) -> bool:
        until = time.monotonic() + limit
        pause = 0.0002
        while self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # the user's program collects children itself
                self._status = 0
                break
            if pid:
                self._status = status
            elif time.monotonic() > until:
                return False
            else:
                time.sleep(pause)
                pause = min(pause * 2, 0.01)
        return True


def _enlarge(fd: int) -> None:
    import fcntl

    command = getattr(fcntl, "F_SETPIPE_SZ", None)
    if command is not None:
        try:
            fcntl.fcntl(fd, command, _PIPE_BYTES)
        except OSError:  # the user's limit for pipes is reached; the normal size does as well
            pass
