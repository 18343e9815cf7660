"""A switchboard within the cluster, for a driver outside it (``ray://``), which workers can't call."""

from __future__ import annotations

import select
import time
from collections import deque
from threading import Event, Thread
from typing import Final

from tunesmith.errors import WorkerError
from tunesmith.executors.ray_switchboard import Frame, Switchboard
from tunesmith.executors.waker import Waker

_TURN_S: Final = 10.0  # how long one call waits for something to arrive


class Relay:
    """The actor: takes the workers' calls, hands what has come to the driver in batches, and passes answers on."""

    def __init__(self, secret: bytes) -> None:
        import ray

        self._board = Switchboard(str(ray.util.get_node_ip_address()), secret)
        self._outbox: deque[tuple[int, bytes | None]] = deque()

    def address(self) -> tuple[str, int]:
        """Return where it is to be called."""
        return self._board.host, self._board.port

    def take(self) -> list[Frame]:
        """Wait for what the workers send, and return all of it."""
        frames: list[Frame] = []
        until = time.monotonic() + _TURN_S
        while not frames and (left := until - time.monotonic()) > 0:
            frames = self._board.poll(left)  # which also returns when there is something to pass on
            while self._outbox:
                number, data = self._outbox.popleft()
                if data is None:
                    self._board.drop(number)
                else:
                    self._board.send(number, data)
        return frames

    def put(self, messages: list[tuple[int, bytes | None]]) -> None:
        """Pass messages on; None hangs up. Another thread than that of `take`, which alone uses the connections."""
        self._outbox.extend(messages)
        self._board.wake()


class RelayedSwitchboard:
    """The same as a `Switchboard`, with the connections' ends in an actor of the cluster.

    A thread waits for what arrives there. Messages of the driver go in one call for each `poll`.

    Raises:
        WorkerError: the actor does not come up.
    """

    def __init__(self, secret: bytes) -> None:
        import ray

        self._ray = ray
        self._relay = ray.remote(Relay).options(num_cpus=0, max_concurrency=2).remote(secret)
        try:
            self.host, self.port = ray.get(self._relay.address.remote(), timeout=120)
        except ray.exceptions.RayError as error:
            raise WorkerError(f"The relay for messages does not come up in the Ray cluster: {error}") from error
        self._arrived: deque[Frame] = deque()
        self._fault: BaseException | None = None
        self._outgoing: list[tuple[int, bytes | None]] = []
        self._over = Event()
        self._waker = Waker()
        self._waker.open()
        self._poller = select.poll()
        self._poller.register(self._waker.reader, select.POLLIN)
        self._thread = Thread(target=self._fetch, name="tunesmith-relay", daemon=True)
        self._thread.start()

    def poll(self, timeout: float | None) -> list[Frame]:
        """Send what is to be sent, and return all that has arrived.

        Raises:
            WorkerError: the relay is gone.
        """
        if self._outgoing:
            messages, self._outgoing = self._outgoing, []
            self._relay.put.remote(messages)
        if not self._arrived:
            if self._fault is not None:
                raise WorkerError(f"The relay for messages in the Ray cluster is gone: {self._fault}")
            self._poller.poll(None if timeout is None else max(0, int(timeout * 1000 + 0.999)))
            self._waker.drain()
        return [self._arrived.popleft() for _ in range(len(self._arrived))]

    def send(self, number: int, data: bytes) -> None:
        """Put a message into the next call."""
        self._outgoing.append((number, data))

    def drop(self, number: int) -> None:
        """Hang up on a worker."""
        self._outgoing.append((number, None))

    def wake(self) -> None:
        """Make a `poll` under way return; from any thread."""
        self._waker.wake()

    def close(self) -> None:
        """End the actor and the thread."""
        self._over.set()
        self._ray.kill(self._relay)
        self._thread.join(5.0)
        self._waker.close()

    def _fetch(self) -> None:
        try:
            while not self._over.is_set():
                frames = self._ray.get(self._relay.take.remote())
                if frames:
                    self._arrived.extend(frames)
                    self.wake()
        except BaseException as error:  # noqa: BLE001 - told by the next poll
            self._fault = error
            self.wake()
