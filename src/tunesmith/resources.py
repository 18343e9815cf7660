"""What a trial needs and what a machine has: CPUs, GPUs (fractions too) and named resources.

Pure accounting. How a worker gets its share (``CUDA_VISIBLE_DEVICES``, thread limits) is the executor's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, isfinite
from typing import Any

import msgspec

from tunesmith.errors import ArgumentError, ResourceError

_SLACK = 1e-9  # fractions such as 0.1 must add up to a whole device


class Resources(msgspec.Struct, frozen=True):
    """Amounts of resources; a trial's request or a machine's total.

    `cpu` and `gpu` are counts, fractions allowed (a GPU request above 1 must be whole); `named` holds any others.

    >>> Resources.parse({"cpu": 2, "gpu": 0.5, "licence": 1})
    Resources(cpu=2.0, gpu=0.5, named={'licence': 1.0})
    """

    cpu: float = 1.0
    gpu: float = 0.0
    named: dict[str, float] = {}

    @classmethod
    def parse(cls, request: Mapping[str, Any] | None) -> Resources:
        """Build a request from a user's mapping; None asks for one CPU.

        Raises:
            ArgumentError: an amount is negative, not finite or not a number, or a fractional GPU count is above 1.
        """
        if request is None:
            return cls()
        if not isinstance(request, Mapping):
            several = " Several bundles a trial are RayExecutor(bundles=[...])." if isinstance(request, list) else ""
            raise ArgumentError(
                f"resources must be a mapping such as {{'cpu': 1, 'gpu': 0.5}}, got {request!r}.{several}"
            )
        amounts: dict[str, float] = {}
        for name, amount in request.items():
            key = {"CPU": "cpu", "GPU": "gpu"}.get(name, name)
            if not isinstance(key, str) or isinstance(amount, bool) or not isinstance(amount, (int, float)):
                raise ArgumentError(f"The amount of resource {name!r} must be a number, got {amount!r}.")
            if not isfinite(amount) or amount < 0:
                raise ArgumentError(f"The amount of resource {name!r} must be zero or more, got {amount!r}.")
            amounts[key] = float(amount)
        gpu = amounts.pop("gpu", 0.0)
        if gpu > 1 and gpu != floor(gpu):
            raise ArgumentError(f"A trial takes a fraction of one GPU or whole GPUs; gpu={gpu:g} is neither.")
        return cls(cpu=amounts.pop("cpu", 1.0), gpu=gpu, named=amounts)

    def describe(self) -> str:
        """Return the amounts as text, such as ``2 CPUs, 0.5 GPUs``."""
        parts = [f"{self.cpu:g} CPUs", f"{self.gpu:g} GPUs"]
        parts += [f"{amount:g} {name}" for name, amount in sorted(self.named.items())]
        return ", ".join(parts)


class Allocation(msgspec.Struct, frozen=True):
    """A request that was granted: the amounts and the indices of the GPUs that were assigned."""

    resources: Resources
    gpus: tuple[int, ...] = ()


class Pool:
    """The books of what is free. Grants are deterministic: the same sequence of calls assigns the same GPUs."""

    __slots__ = ("_cpu", "_gpus", "_named", "total")

    def __init__(self, total: Resources) -> None:
        self.total = total
        self._cpu = total.cpu
        self._gpus = [1.0] * int(total.gpu)
        self._named = dict(total.named)

    def check(self, request: Resources) -> None:
        """Raise ResourceError if `request` could not be granted even by an idle machine."""
        total = self.total
        short = request.cpu > total.cpu + _SLACK or request.gpu > total.gpu + _SLACK
        short = short or any(amount > total.named.get(name, 0.0) + _SLACK for name, amount in request.named.items())
        if short:
            raise ResourceError(
                f"A trial asks for {request.describe()}, but there is only {total.describe()} in all. "
                "Ask for less with resources_per_trial=, or state what the executor may use."
            )

    def room(self, request: Resources) -> int:
        """Return how many trials of this size fit beside what is granted; a request for nothing fits 1,000 times."""
        counts = [1000.0]
        if request.cpu:
            counts.append((self._cpu + _SLACK) // request.cpu)
        if request.gpu >= 1:
            counts.append(sum(free > 1 - _SLACK for free in self._gpus) // request.gpu)
        elif request.gpu:
            counts.append(sum((free + _SLACK) // request.gpu for free in self._gpus))
        counts += [(self._named.get(name, 0.0) + _SLACK) // amount for name, amount in request.named.items() if amount]
        return int(min(counts))

    def acquire(self, request: Resources) -> Allocation | None:
        """Take `request` off the books and return the grant, or None when it does not fit now."""
        if request.cpu > self._cpu + _SLACK:
            return None
        if request.named and any(
            amount > self._named.get(name, 0.0) + _SLACK for name, amount in request.named.items()
        ):
            return None
        gpus = self._pick_gpus(request.gpu) if request.gpu else ()
        if gpus is None:
            return None
        self._book(request, gpus, -1.0)
        return Allocation(request, gpus)

    def take(self, allocation: Allocation) -> None:
        """Take a grant that was made before off the books."""
        self._book(allocation.resources, allocation.gpus, -1.0)

    def release(self, allocation: Allocation) -> None:
        """Put a grant back."""
        self._book(allocation.resources, allocation.gpus, 1.0)

    def used(self) -> Resources:
        """Return what is granted at present."""
        total = self.total
        named = {name: amount - self._named[name] for name, amount in total.named.items()}
        return Resources(cpu=total.cpu - self._cpu, gpu=len(self._gpus) - sum(self._gpus), named=named)

    def _pick_gpus(self, amount: float) -> tuple[int, ...] | None:
        if amount >= 1:
            idle = [i for i, free in enumerate(self._gpus) if free > 1 - _SLACK]
            return tuple(idle[: int(amount)]) if len(idle) >= amount else None
        # Best fit: fill the fullest device that still has room, so that whole devices stay whole.
        fitting = [(free, i) for i, free in enumerate(self._gpus) if free + _SLACK >= amount]
        return (min(fitting)[1],) if fitting else None

    def _book(self, request: Resources, gpus: tuple[int, ...], sign: float) -> None:
        self._cpu += sign * request.cpu
        for name, amount in request.named.items():
            self._named[name] += sign * amount
        share = min(request.gpu, 1.0)
        for i in gpus:
            self._gpus[i] += sign * share
