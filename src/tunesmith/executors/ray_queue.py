"""The trials that wait for a worker on a Ray cluster, and what is said of them."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from tunesmith.commands import Start
from tunesmith.errors import ResourceError
from tunesmith.executors.ray_demand import Demand, Node, describe

LOG: Final = logging.getLogger("tunesmith.ray")
_LOOK_S: Final = 5.0  # a trial that waits for longer is told of, and looked at as often
_STARTING_S: Final = 20.0  # a worker that has its place may take so long before it is told of


class Waiting(msgspec.Struct, frozen=True):
    """A trial without a worker; `order` is its assignment, `since` seconds of the monotonic clock."""

    start: Start
    order: bytes
    demand: Demand
    since: float


class Queue:
    """Who waits, the first first, by demand."""

    def __init__(self) -> None:
        self._by_key: dict[object, deque[Waiting]] = {}
        self._look_at: float | None = None
        self._said: tuple[str, ...] = ()

    def add(self, waiting: Waiting) -> None:
        """Let a trial wait."""
        self._by_key.setdefault(waiting.demand.key, deque()).append(waiting)
        if self._look_at is None:
            self._look_at = time.monotonic() + _LOOK_S

    def next(self, demand: Demand) -> Waiting:
        """Return the one that has waited longest, who waits no more."""
        return self._by_key[demand.key].popleft()

    def count(self, demand: Demand) -> int:
        """Return how many wait for a place like this."""
        return len(self._by_key.get(demand.key, ()))

    def has_others(self, demand: Demand) -> bool:
        """Whether somebody waits for another kind of place."""
        return any(queue and key != demand.key for key, queue in self._by_key.items())

    def withdraw(self, trial: int, incarnation: int) -> Waiting | None:
        """Take a trial out, if it is there."""
        for queue in self._by_key.values():
            for waiting in queue:
                if waiting.start.trial == trial and waiting.start.incarnation == incarnation:
                    queue.remove(waiting)
                    return waiting
        return None

    def all(self) -> Iterator[Waiting]:
        """Yield all of them."""
        for queue in self._by_key.values():
            yield from queue

    def first(self) -> Iterator[tuple[Waiting, int]]:
        """Yield the first of each demand, and how many there are."""
        for queue in self._by_key.values():
            if queue:
                yield queue[0], len(queue)

    # -- what is said

    def look_in(self) -> float | None:
        """Return in how many seconds somebody should look why they wait; None while nobody does."""
        if self._look_at is None:
            return None
        return max(0.0, self._look_at - time.monotonic())

    def due(self) -> list[tuple[Waiting, int]]:
        """Return those that have waited long enough to be told of, the first of each demand with their number."""
        now = time.monotonic()
        if self._look_at is None or now < self._look_at:
            return []
        found = list(self.first())
        self._look_at = now + _LOOK_S if found else None
        return [(waiting, count) for waiting, count in found if now - waiting.since >= _LOOK_S]

    def say(self, sentences: list[str]) -> None:
        """Tell the user why trials wait, unless that has just been said."""
        if tuple(sentences) != self._said:
            self._said = tuple(sentences)
            for sentence in sentences:
                LOG.warning(sentence)


def reason(waiting: Waiting, count: int, *, placed: bool, nodes: Iterable[Node], free: dict[str, float]) -> str:
    """Return what `count` trials wait for, of which `waiting` is the first; empty where it is too early to say.

    `placed` says whether Ray has found a place for it; `free` is what nobody uses at present, on all `nodes`.
    """
    who = f"{waiting.start.name} waits" if count == 1 else f"{waiting.start.name} and {count - 1} more wait"
    if placed:
        if time.monotonic() - waiting.since < _STARTING_S:
            return ""
        return f"{who} for a worker: it has its place, and Ray prepares its process (its runtime_env, if it has one)."
    there, asked = list(nodes), waiting.demand.describe()
    if not waiting.demand.fits([node.amounts for node in there]):
        return f"{who} for a node that has {asked}. The nodes there are: {listed(there)}."
    wanted = {name for bundle in waiting.demand.bundles for name in bundle}
    left = describe({name: free.get(name, 0.0) for name in wanted})
    return f"{who} for {asked} to be free: in use by others, or scattered over the nodes. Free in all: {left}."


def refusal(demand: Demand, nodes: Iterable[Node]) -> ResourceError:
    """Return the error for what no node can ever meet."""
    return ResourceError(
        f"A trial asks for {demand.describe()}, which no node of the Ray cluster has. Its nodes: {listed(nodes)}. "
        "Ask for less with resources_per_trial=, or say what the cluster may grow to with "
        "RayExecutor(autoscaling={'cpu': ...})."
    )


def listed(nodes: Iterable[Node]) -> str:
    """Return nodes in words."""
    found = [node.describe() for node in nodes]
    return "; ".join([*found[:8], *([f"and {len(found) - 8} more"] if len(found) > 8 else [])]) or "none"
