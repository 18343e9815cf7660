"""Puts questions to the searcher and turns its answers into events."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.codec import from_plain, keep
from tunesmith.errors import TunesmithError
from tunesmith.searchers.protocol import ALL_TRIED, LATER, Reminded, Searcher, Suggestion, Warned
from tunesmith.trial import Failure

Naming = Callable[[int, Suggestion], e.Suggested]


class Asker:
    """Asks an eager searcher at once and any other one in a thread of its own, so that it never holds up a report.

    Args:
        name: turns a number and a suggestion into the event that makes the trial.
        wake: called from the thread when an answer has come.
    """

    def __init__(self, searcher: Searcher, name: Naming, wake: Callable[[], None]) -> None:
        self._searcher = searcher
        self._name = name
        self._wake = wake
        self._orders: SimpleQueue[c.Ask | c.Tell | c.Remind | None] = SimpleQueue()
        self._answers: SimpleQueue[list[e.Event]] = SimpleQueue()
        self._thread: Thread | None = None
        self._ended = 0  # of how many ends the searcher was told

    def ask(self, order: c.Ask) -> list[e.Event]:
        """Return the suggestions, or an empty list when they will come later, by `collect`."""
        if self._searcher.eager:
            return self._answer(order)
        self._submit(order)
        return []

    def tell(self, order: c.Tell | c.Remind) -> None:
        """Pass on what the searcher has to know; it arrives before any later question."""
        if isinstance(order, c.Tell) or isinstance(self._searcher, Reminded):
            self._submit(order)

    def collect(self) -> list[e.Event]:
        """Return the answers that have come since the last call."""
        events: list[e.Event] = []
        while not self._answers.empty():
            events += self._answers.get()
        return events

    def close(self) -> None:
        """Let the thread end after what it is doing; a slow searcher is not waited for."""
        if self._thread is not None:
            self._orders.put(None)

    def _submit(self, order: c.Ask | c.Tell | c.Remind) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._serve, name="tunesmith-searcher", daemon=True)
            self._thread.start()
        self._orders.put(order)

    def _serve(self) -> None:
        while (order := self._orders.get()) is not None:
            if isinstance(order, c.Ask):
                self._answers.put(self._answer(order))
                self._wake()
                continue
            try:
                if isinstance(order, c.Tell):
                    self._ended += order.final
                    if order.curtailed and isinstance(self._searcher, Warned):
                        self._searcher.curtail(order.trial)
                    self._searcher.tell(order.trial, order.metrics, order.final, order.failed)
                elif isinstance(self._searcher, Reminded):
                    values = {path: from_plain(value, keep) for path, value in order.values.items()}
                    self._searcher.remind(order.trial, values, order.memo)
            except Exception as error:  # noqa: BLE001 - a plug-in's fault becomes an event and ends no trial
                self._answers.put([e.SearchFailed(_failure(error))])
                self._wake()

    def _answer(self, order: c.Ask) -> list[e.Event]:
        try:
            answers = self._searcher.ask(order.first, order.count)
            suggestions = [each if isinstance(each, Suggestion) else Suggestion(each) for each in answers]
            waits = bool(suggestions) and suggestions[-1] is LATER
            if waits:
                suggestions.pop()
            events: list[e.Event] = [self._name(order.first + i, each) for i, each in enumerate(suggestions)]
        except Exception as error:  # noqa: BLE001 - as above
            return [e.SearchFailed(_failure(error))]
        if waits:
            events.append(e.Deferred(self._ended))
        elif len(events) < order.count:
            events.append(e.Exhausted(getattr(self._searcher, "ending", ALL_TRIED)))
        return events


def _failure(error: Exception) -> Failure:
    text = str(error) if isinstance(error, TunesmithError) else f"{type(error).__name__}: {error}"
    return Failure("search", text, traceback.format_exc())
