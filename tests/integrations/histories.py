"""Histories of searchers, to be told again."""

from __future__ import annotations

import json
from typing import Any


def history(search: Any, loss: Any, count: int, at_once: int = 4) -> list[tuple[str, int, Any]]:
    """Run a searcher with some trials under way at any time, of which each seventh fails; return what it was told."""
    found: list[tuple[str, int, Any]] = []
    for first in range(0, count, at_once):
        asked = search.ask(first, at_once)
        found += [("remind", first + i, each) for i, each in enumerate(asked)]
        for i in reversed(range(at_once)):
            number = first + i
            if number % 5 == 4 and number < count - at_once:
                continue  # it is under way for ever
            metrics = None if number % 7 == 6 else {"loss": loss(search._space.build(asked[i].values))}
            found.append(("tell", number, metrics))
            search.tell(number, metrics, final=True, failed=metrics is None)
    return found


def replay(search: Any, events: list[tuple[str, int, Any]]) -> None:
    for what, number, given in events:
        if what == "tell":
            search.tell(number, given, final=True, failed=given is None)
        else:
            search.remind(number, json.loads(json.dumps(given.values)), json.loads(json.dumps(given.memo)))
