"""What a run in virtual time does otherwise: nothing outside waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, runtime_checkable

from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.asking import Asker
from tunesmith.driver import Store

_GROUP = 2000  # events in one transaction


@runtime_checkable
class VirtualTime(Protocol):
    """An executor whose time is not the world's."""

    def clock(self) -> float:
        """Return the present time, seconds since the epoch."""
        ...

    def set_clock(self, at: float) -> None:
        """Go on at `at`, if that is not past already: the experiment was there before."""
        ...


def moment(event: e.Event) -> float:
    """Return when the event happened; 0 for one that does not say."""
    return event.timestamp if type(event) is e.Reported else getattr(event, "at", 0.0)


class GroupedStore:
    """Writes many appends in one transaction. Use it as a context: what is left is written at its end.

    Whoever is killed loses the last group as a whole, and goes on from before it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._events: list[e.Event] = []

    def append(self, events: Sequence[e.Event]) -> None:
        """Take the events; write all of them when there are enough."""
        self._events += events
        if len(self._events) >= _GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what was taken. Should that fail, none of it is tried again."""
        events, self._events = self._events, []
        self._store.append(events)

    def __enter__(self) -> GroupedStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.flush()


class PromptAsker(Asker):
    """Asks every searcher at once: however long it thinks, no virtual time passes."""

    def ask(self, order: c.Ask) -> list[e.Event]:
        """Return the suggestions."""
        return self._answer(order)

    def _submit(self, order: c.Ask | c.Tell | c.Remind) -> None:
        self._orders.put(order)
        self._orders.put(None)
        self._serve()
