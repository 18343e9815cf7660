"""The driver: the only loop, and the only place that sees both the core and the world."""

from __future__ import annotations

import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.asking import Asker
from tunesmith.callbacks.protocol import Callback
from tunesmith.core.controller import Controller
from tunesmith.executors.protocol import Executor
from tunesmith.trial import CheckpointRef

# A worker's beginning and its end: the driver notes when it learnt of them. Reports have a time of their own.
_TIMED = frozenset({e.Started, e.Completed, e.Stopped, e.Paused, e.Released, e.Failed, e.Lost})


class Store(Protocol):
    """Where events are kept."""

    def append(self, events: Sequence[e.Event]) -> None:
        """Write the events in one transaction; they are durable when it returns."""
        ...


class Driver:
    """Waits for events, steps the core, writes events and decisions down, and only then obeys the commands.

    Args:
        clock: seconds since the epoch; one that never jumps, or trials would be given up that are well.
        idle_s: how long nothing may arrive before the callbacks are given a moment; None for ever.
        interrupted: returns why the user wants to leave, or None; checked once in every round.
        discard: deletes a checkpoint.
    """

    def __init__(
        self,
        controller: Controller,
        store: Store,
        executor: Executor,
        asker: Asker,
        callbacks: Sequence[Callback],
        *,
        clock: Callable[[], float],
        idle_s: float | None,
        interrupted: Callable[[], str | None],
        discard: Callable[[CheckpointRef], None],
    ) -> None:
        self._controller = controller
        self._store = store
        self._executor = executor
        self._asker = asker
        self._callbacks = list(callbacks)
        self._clock = clock
        self._idle_s = idle_s
        self._interrupted = interrupted
        self._discard = discard
        self._alarms: list[float] = []
        self._finished = False
        self._ahead = False  # the core knows what is not on disk

    def run(self, opening: Sequence[e.Event], path: Path, total: int | None, past: Iterable[e.Event] = ()) -> None:
        """Process `opening` and whatever follows until nothing is left to do.

        `past` is what the controller has folded already, for the callbacks to read.
        """
        events: Sequence[e.Event] = opening
        experiment = self._controller.experiment
        self._tell_callbacks(lambda callback: callback.on_start(path, experiment, total))
        if experiment.created is not None:
            self._tell_callbacks(lambda callback: callback.on_resume(past))
        while True:
            if events:
                self._round(events)
            else:
                self._tell_callbacks(lambda callback: callback.on_idle())
            if self._finished:
                return
            events = self._gather()

    def close(self) -> None:
        """Record that the session is over and let the callbacks end.

        Nothing is recorded that would follow from what could not be written.
        """
        closed = e.SessionClosed(self._clock(), finished=self._finished and self._controller.experiment.stop is None)
        try:
            if self._controller.experiment.session is not None and not self._ahead:
                self._round([closed])
        finally:
            self._tell_callbacks(lambda callback: callback.on_end())

    def _gather(self) -> list[e.Event]:
        wait = self._idle_s
        if self._alarms:
            left = max(0.0, min(self._alarms) - self._clock())
            wait = left if wait is None else min(wait, left)
        events: list[e.Event] = [self._timed(event) for event in self._executor.poll(wait)]
        events += self._asker.collect()
        if self._alarms and min(self._alarms) <= (now := self._clock()):
            self._alarms = [at for at in self._alarms if at > now]
            events.append(e.Tick(now))
        reason = self._interrupted()
        if reason is not None and self._controller.experiment.stop is None:
            events.append(e.StopRequested(reason, self._clock(), resumable=True))
        return events

    def _timed(self, event: e.Event) -> e.Event:
        return msgspec.structs.replace(event, at=self._clock()) if type(event) in _TIMED else event

    def _round(self, events: Sequence[e.Event]) -> None:
        controller = self._controller
        log: list[e.Event] = []
        orders: list[c.WorkerCommand] = []
        rest: list[c.Command] = []
        queue = deque(events)
        self._ahead = True
        while queue:
            event = queue.popleft()
            if controller.experiment.is_stale(event):
                continue
            log.append(event)
            for order in controller.step(event):
                if isinstance(order, c.WorkerCommand):
                    orders.append(order)
                elif isinstance(order, c.Record):
                    log.append(order.event)
                elif isinstance(order, c.Ask):
                    queue.extend(self._asker.ask(order))
                elif isinstance(order, (c.Tell, c.Remind)):  # a question that comes after it must know
                    self._asker.tell(order)
                else:
                    rest.append(order)
        self._store.append(log)
        self._ahead = False
        self._executor.obey(orders)
        for order in rest:
            self._obey(order)
        self._tell_callbacks(lambda callback: callback.on_events(log))

    def _obey(self, order: c.Command) -> None:
        match order:
            case c.WakeAt():
                self._alarms.append(order.at)
            case c.Discard():
                self._discard(order.checkpoint)
            case c.Finish():
                self._finished = True

    def _tell_callbacks(self, tell: Callable[[Callback], None]) -> None:
        for callback in tuple(self._callbacks):
            try:
                tell(callback)
            except Exception:  # noqa: BLE001 - a reader's fault must never end the run
                self._callbacks.remove(callback)
                name = type(callback).__name__
                with suppress(OSError):  # the terminal may have been closed
                    print(f"The callback {name} raised and is switched off:", file=sys.stderr)
                    traceback.print_exc()
