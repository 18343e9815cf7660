"""Which nodes a Ray cluster has had, and which of them are gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tunesmith.executors.ray_demand import Demand, Node
from tunesmith.executors.ray_queue import LOG

_LOOK_S: Final = 1.0
_SUSPECT_S: Final = 40.0  # Ray may take half a minute to find that a node is gone


class Nodes:
    """The nodes that were ever seen in this run. When a worker is lost its node is looked after for a while.

    Args:
        look: returns the nodes there are, and those that are gone.
    """

    def __init__(self, look: Callable[[], list[Node]]) -> None:
        self._look = look
        self._seen: dict[str, Node] = {}
        self._lost: set[str] = set()
        self._suspects: dict[str, float] = {}  # until when they are looked after
        self._next_look = 0.0

    def there(self) -> list[Node]:
        """Return the nodes that are there now."""
        found = [node for node in self._look() if node.alive]
        self._seen.update((node.id, node) for node in found)
        return found

    def can_ever_hold(self, demand: Demand) -> bool:
        """Whether the nodes that were ever seen could hold it, were they idle; those that have come since count."""
        if demand.fits([node.amounts for node in self._seen.values()]):
            return True
        self.there()
        return demand.fits([node.amounts for node in self._seen.values()])

    def suspect(self, node: str) -> None:
        """Note that a worker was lost there."""
        if node not in self._lost:
            self._suspects[node] = time.monotonic() + _SUSPECT_S
            self._next_look = min(self._next_look, time.monotonic())

    def look_in(self) -> float | None:
        """Return in how many seconds to call `look_after`; None while there is no need."""
        return max(0.0, self._next_look - time.monotonic()) if self._suspects else None

    def look_after(self) -> None:
        """Say so, once for each, if nodes where workers were lost are gone."""
        now = time.monotonic()
        if not self._suspects or now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        alive = {node.id for node in self.there()}
        for node, until in list(self._suspects.items()):
            if node not in alive:
                self._lost.add(node)
                known = self._seen.get(node)
                LOG.warning(
                    "The node %s is gone. Trials that were there go on elsewhere from their last checkpoints.",
                    known.describe() if known else node,
                )
            if node not in alive or until < now:
                del self._suspects[node]
