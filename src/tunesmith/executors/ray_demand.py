"""What a trial asks of a Ray cluster: bundles of resources, and how they may lie on the nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from tunesmith.errors import ArgumentError
from tunesmith.resources import Resources

Strategy: TypeAlias = Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"]
STRATEGIES: Final = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")
_SLACK: Final = 1e-9
_UNASKED: Final = ("object_store_memory",)  # what Ray counts and no trial asks for


class Node(msgspec.Struct, frozen=True):
    """A machine of the cluster and what it has in all, in Ray's names."""

    id: str
    ip: str
    alive: bool
    amounts: dict[str, float]

    def describe(self) -> str:
        """Return the address and the amounts, such as ``10.0.0.7 (8 CPU, 1 GPU)``."""
        return f"{self.ip} ({describe(self.amounts)})"


class Demand:
    """A trial's bundles; one that is for one node is a single bundle. Equal demands can take each other's places."""

    __slots__ = ("bundles", "key", "strategy")

    def __init__(self, bundles: Sequence[Resources], strategy: Strategy = "PACK") -> None:
        self.bundles = [amounts(bundle) for bundle in bundles]
        self.strategy = strategy
        self.key = (strategy, *(tuple(sorted(bundle.items())) for bundle in self.bundles))

    @property
    def held(self) -> dict[str, float]:
        """What only the worker's end sets free: its GPUs, and all that is not CPUs or memory."""
        return {name: amount for name, amount in self.bundles[0].items() if name not in ("CPU", "memory")}

    def describe(self) -> str:
        """Return the bundles in words."""
        if len(self.bundles) == 1:
            return describe(self.bundles[0])
        parts = [f"{count} x ({text})" for text, count in Counter(map(describe, self.bundles)).items()]
        return f"bundles of {', '.join(parts)}, {self.strategy}"

    def fits(self, nodes: Iterable[Mapping[str, float]]) -> bool:
        """Whether nodes with these amounts, all of them idle, could hold the bundles.

        True may be wrong where several bundles compete for the same nodes; False is not.
        """
        found = list(nodes)
        if self.strategy == "STRICT_PACK":
            return any(_covers(node, _sum(self.bundles)) for node in found)
        if not all(any(_covers(node, bundle) for node in found) for bundle in self.bundles):
            return False
        if self.strategy == "STRICT_SPREAD":
            return _matches([[i for i, node in enumerate(found) if _covers(node, bundle)] for bundle in self.bundles])
        return _covers(_sum(found), _sum(self.bundles))


def amounts(resources: Resources) -> dict[str, float]:
    """Return resources in Ray's names, without those of which there is nothing.

    >>> amounts(Resources(cpu=2, gpu=0, named={"licence": 1}))
    {'CPU': 2, 'licence': 1}
    """
    found = {"CPU": resources.cpu, "GPU": resources.gpu, **resources.named}
    return {name: amount for name, amount in found.items() if amount}


def total(nodes: Iterable[Node]) -> Resources:
    """Return what the nodes have together."""
    found = _sum([node.amounts for node in nodes])
    return Resources(cpu=found.pop("CPU", 0.0), gpu=found.pop("GPU", 0.0), named=found)


def read_node(record: Mapping[str, Any]) -> Node:
    """Return what ``ray.nodes()`` says of a node."""
    found = {
        name: float(amount)
        for name, amount in record["Resources"].items()
        if name not in _UNASKED and not name.startswith("node:")
    }
    return Node(record["NodeID"], record["NodeManagerAddress"], bool(record["Alive"]), found)


def describe(found: Mapping[str, float]) -> str:
    """Return amounts as text; memory in gibibytes."""
    parts = [
        f"{amount / 2**30:.1f} GiB memory" if name == "memory" else f"{amount:g} {name}"
        for name, amount in sorted(found.items())
    ]
    return ", ".join(parts) or "nothing"


def parse_bundles(bundles: Any, strategy: Any) -> tuple[list[Resources], Strategy]:
    """Return the bundles of a trial as a user has written them; an empty list leaves a trial in one piece.

    Raises:
        ArgumentError: they are no list of mappings, or one asks for nothing.
    """
    if strategy not in STRATEGIES:
        raise ArgumentError(f"strategy must be one of {', '.join(map(repr, STRATEGIES))}; got {strategy!r}.")
    if bundles is None:
        return [], strategy
    if not isinstance(bundles, Sequence) or isinstance(bundles, (str, bytes)) or not bundles:
        raise ArgumentError(f"bundles must be a list such as [{{'cpu': 1}}, {{'cpu': 4, 'gpu': 1}}]; got {bundles!r}.")
    found = [Resources.parse(bundle) for bundle in bundles]
    if not all(map(amounts, found)):
        raise ArgumentError(f"Each bundle must ask for something; got {bundles!r}.")
    return found, strategy


def together(bundles: Iterable[Resources]) -> Resources:
    """Return the sum of bundles."""
    found = _sum(map(amounts, bundles))
    return Resources(cpu=found.pop("CPU", 0.0), gpu=found.pop("GPU", 0.0), named=found)


def _sum(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in parts:
        for name, amount in part.items():
            found[name] = found.get(name, 0.0) + amount
    return found


def _covers(there: Mapping[str, float], asked: Mapping[str, float]) -> bool:
    return all(there.get(name, 0.0) + _SLACK >= amount for name, amount in asked.items())


def _matches(choices: list[list[int]]) -> bool:
    """Whether each bundle can have a node of its own among its choices."""
    taken: dict[int, int] = {}

    def place(bundle: int, seen: set[int]) -> bool:
        for node in choices[bundle]:
            if node not in seen:
                seen.add(node)
                if node not in taken or place(taken[node], seen):
                    taken[node] = bundle
                    return True
        return False

    return all(place(bundle, set()) for bundle in range(len(choices)))
