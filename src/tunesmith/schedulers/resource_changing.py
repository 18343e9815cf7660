"""Resources that change while trials run: what is free goes to those that can use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import floor, inf
from typing import Any, TypeAlias

from tunesmith.errors import ArgumentError, MetricError
from tunesmith.events import Event, Reported
from tunesmith.objective import Mode, Objective
from tunesmith.resources import Resources
from tunesmith.schedulers.fifo import FIFOScheduler
from tunesmith.schedulers.protocol import Change, Decision, Scheduler, TrialView, View

Allocate: TypeAlias = Callable[[View, TrialView, dict[str, Any], Scheduler], "Resources | None"]

_ROUNDING = 1e-9


class DistributeResources:
    """Share what the machine has evenly among the trials that run or wait.

    Each gets what it would get anyway, and as many steps of `increase_by` more as its share allows. So while more
    trials wait than there is room for, nobody gets more.

    Args:
        add_bundles: must be False: a trial is one worker here, which grows, and not a group of them.
        increase_by: by how much at once, such as ``{"cpu": 1}`` (the default), or ``{"cpu": 2, "gpu": 1}``.
        increase_by_times: how many steps at most; -1 for no limit.
        reserve_resources: what is left to others, such as ``{"cpu": 1}``.

    Raises:
        ArgumentError: an amount is negative or no number, there is nothing to increase by, or `add_bundles`.

    >>> allocate = DistributeResources(increase_by={"cpu": 2}, reserve_resources={"cpu": 1})
    """

    def __init__(
        self,
        add_bundles: bool = False,
        increase_by: Mapping[str, float] | None = None,
        increase_by_times: int = -1,
        reserve_resources: Mapping[str, float] | None = None,
    ) -> None:
        if add_bundles:
            raise ArgumentError(
                "add_bundles must be False: a trial is one worker, which grows; it gets no more of them."
            )
        self.increase_by = _amounts(Resources.parse({"cpu": 0, **({"cpu": 1} if increase_by is None else increase_by)}))
        self.reserve_resources = _amounts(Resources.parse({"cpu": 0, **(reserve_resources or {})}))
        if not any(self.increase_by.values()):
            raise ArgumentError(f"increase_by must have an amount above 0, got {increase_by!r}.")
        if not isinstance(increase_by_times, int) or increase_by_times < -1:
            raise ArgumentError(f"increase_by_times must be a whole number from 0, or -1, got {increase_by_times!r}.")
        self.increase_by_times = inf if increase_by_times < 0 else increase_by_times

    def __call__(self, view: View, trial: TrialView, result: dict[str, Any], scheduler: Scheduler) -> Resources | None:
        """Return what the trial is to have from now on."""
        sharers = len(view.running) + len(view.pending) + len(view.paused)
        total = self._available(view)
        return self._grown(view.request, {name: amount / sharers for name, amount in total.items()})

    def _available(self, view: View) -> dict[str, float]:
        return {name: amount - self.reserve_resources.get(name, 0.0) for name, amount in _amounts(view.total).items()}

    def _grown(self, request: Resources, room: Mapping[str, float]) -> Resources:
        """Return `request` with as many steps more as there is `room` for."""
        had = _amounts(request)
        steps = min(
            floor((room.get(name, 0.0) - had.get(name, 0.0)) / step + _ROUNDING)
            for name, step in self.increase_by.items()
            if step
        )
        times = max(0, min(steps, self.increase_by_times))
        return _resources(
            {name: had.get(name, 0.0) + times * self.increase_by.get(name, 0.0) for name in {**had, **self.increase_by}}
        )


class DistributeResourcesToTopJob(DistributeResources):
    """Give all that is free to the trial that is the best at present; the others have what they would have anyway.

    Args:
        add_bundles: as for `DistributeResources`, and so the next three.
        increase_by: as above.
        increase_by_times: as above.
        reserve_resources: as above.
        metric: what the best has the best of; by default what the scheduler decides by.
        mode: ``"min"`` or ``"max"``.

    Raises:
        ArgumentError: as above, or one of `metric` and `mode` is given without the other.

    >>> allocate = DistributeResourcesToTopJob(metric="loss", mode="min")
    """

    def __init__(  # noqa: PLR0917 - the order of Tune's arguments
        self,
        add_bundles: bool = False,
        increase_by: Mapping[str, float] | None = None,
        increase_by_times: int = -1,
        reserve_resources: Mapping[str, float] | None = None,
        metric: str | None = None,
        mode: Mode | None = None,
    ) -> None:
        super().__init__(add_bundles, increase_by, increase_by_times, reserve_resources)
        self._objective = Scheduler(metric, mode).objective

    def __call__(self, view: View, trial: TrialView, result: dict[str, Any], scheduler: Scheduler) -> Resources | None:
        """Return what the trial is to have from now on."""
        objective = self._objective or scheduler.objective
        if objective is None or objective.others:
            raise ArgumentError("DistributeResourcesToTopJob needs to know what is good: give metric= and mode=.")
        running = [view.trials[number] for number in view.running]
        best = max(running, key=lambda other: (_score(objective, other), -other.number))
        if view.pending or view.paused or best.number != trial.number:
            return view.request
        room = self._available(view)
        for other in running:
            if other.number != trial.number:
                for name, amount in _amounts(other.resources or view.request).items():
                    room[name] = room.get(name, 0.0) - amount
        return self._grown(view.request, room)


class ResourceChangingScheduler(Scheduler):
    """Change what trials have of the machine while they run, around another scheduler that decides all the rest.

    After each report that lets the trial go on, the function is asked what the trial is to have. If that is something
    else than it has, the trial is paused, saved, and goes on with it: so it must be one that can save itself, or it
    begins again. A worker reads what it has from ``tune.get_context()``. No trial asks for more than the machine has.

    Args:
        base_scheduler: decides which trials go on; by default all of them do, first in, first out.
        resources_allocation_function: is called with the view, the trial, its result and the base scheduler, and
            returns the trial's resources, or None to leave them; by default `DistributeResources()`. If it raises,
            the trial fails with its message.

    Raises:
        ArgumentError: one of the two is not of that kind.

    >>> scheduler = ResourceChangingScheduler(resources_allocation_function=DistributeResources(increase_by={"cpu": 2}))
    """

    def __init__(
        self, base_scheduler: Scheduler | None = None, resources_allocation_function: Allocate | None = None
    ) -> None:
        super().__init__()
        if not isinstance(base_scheduler, (Scheduler, type(None))):
            raise ArgumentError(f"base_scheduler must be a scheduler such as ASHAScheduler(), got {base_scheduler!r}.")
        if resources_allocation_function is not None and not callable(resources_allocation_function):
            raise ArgumentError(
                f"resources_allocation_function must be a function, got {resources_allocation_function!r}."
            )
        self.base_scheduler = base_scheduler or FIFOScheduler()
        self._allocate = resources_allocation_function or DistributeResources()

    def setup(self, objective: Objective | None, seed: int) -> None:
        """Set the base scheduler up."""
        self.base_scheduler.setup(objective, seed)
        self.objective, self.seed = self.base_scheduler.objective, seed

    def apply(self, event: Event, trial: TrialView | None) -> None:
        """Let the base scheduler fold an event."""
        self.base_scheduler.apply(event, trial)

    def judge(self, report: Reported, view: View) -> Decision:
        """Let the base scheduler decide; if the trial goes on, see what it is to have."""
        decision = self.base_scheduler.judge(report, view)
        if decision.action != "continue":
            return decision
        trial = view.trials[report.trial]
        try:
            wanted = self._allocate(view, trial, report.result(), self.base_scheduler)
        except Exception as error:  # noqa: BLE001 - a user's function; its fault must end one trial, not the run
            return Decision("fail", f"resources_allocation_function raised {type(error).__name__}: {error}")
        if not isinstance(wanted, (Resources, type(None))):
            return Decision("fail", f"resources_allocation_function must return Resources or None, not {wanted!r}.")
        had = trial.resources or view.request
        wanted = had if wanted is None else _within(wanted, view.total)
        if wanted == had:
            return decision
        return Change(resources=wanted, reason=f"goes on with {wanted.describe()} instead of {had.describe()}")

    def has_enough(self, report: Reported) -> bool:
        """Return what the base scheduler says."""
        return self.base_scheduler.has_enough(report)

    def review(self, view: View) -> Sequence[tuple[int, Decision]]:
        """Let the base scheduler decide."""
        return self.base_scheduler.review(view)

    def choose(self, view: View) -> int | None:
        """Let the base scheduler choose."""
        return self.base_scheduler.choose(view)

    def describe(self, view: View) -> str:
        """Return what the base scheduler says."""
        return self.base_scheduler.describe(view)


def _score(objective: Objective, trial: TrialView) -> float:
    try:
        return -inf if trial.last is None else objective.score(trial.last.metrics)
    except MetricError:
        return -inf


def _amounts(resources: Resources) -> dict[str, float]:
    return {"cpu": resources.cpu, "gpu": resources.gpu, **resources.named}


def _resources(amounts: Mapping[str, float]) -> Resources:
    """Return the amounts as a request that can be met: above 1, GPUs are whole."""
    gpu = amounts.get("gpu", 0.0)
    named = {name: amount for name, amount in amounts.items() if name not in ("cpu", "gpu") and amount}
    return Resources(amounts.get("cpu", 0.0), float(floor(gpu)) if gpu > 1 else gpu, named)


def _within(wanted: Resources, total: Resources) -> Resources:
    """Return what there is of what is wanted."""
    limits = _amounts(total)
    return _resources({name: min(amount, limits.get(name, 0.0)) for name, amount in _amounts(wanted).items()})
