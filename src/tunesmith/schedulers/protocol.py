"""What the controller expects of a scheduler, and the class that users extend."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import msgspec

from tunesmith.errors import ArgumentError
from tunesmith.events import Event, Reported
from tunesmith.objective import Mode, Objective
from tunesmith.resources import Resources
from tunesmith.trial import CheckpointRef, Status


class Decision(msgspec.Struct, frozen=True):
    """What shall become of a trial, and why, in a sentence.

    `action` is ``continue``, ``stop``, ``pause``, ``fail`` (stop, as an error of the trial), ``save`` (continue, after
    a checkpoint was written), or ``hold`` (leave the report unanswered until a later `Scheduler.review` decides).
    `enough`: it is stopped because a limit of training time is reached, not because others are better.
    """

    action: str
    reason: str = ""
    enough: bool = False


class Exploit(Decision, frozen=True, kw_only=True):
    """Give the trial's state up and go on from the last checkpoint of the trial `donor`.

    Its configuration becomes the donor's with `overrides` put in: values by path, such as ``{"optimiser/lr": 0.1}``.
    `suffix` is added to the name that the trial had first.
    """

    action: str = "exploit"
    donor: int
    overrides: dict[str, Any]
    suffix: str = ""


class Change(Decision, frozen=True, kw_only=True):
    """Pause the trial and let it go on from its own state with other resources, or with `overrides` put in."""

    action: str = "change"
    resources: Resources | None = None
    overrides: dict[str, Any] | None = None
    suffix: str = ""


CONTINUE = Decision("continue")


class TrialView(Protocol):
    """A trial as a scheduler may see it. Everything is as of the event that was folded last, also in one that is kept.

    `iteration` counts the reports that stand: a rollback to a checkpoint lowers it. `last` is the last of them, None
    after a rollback until the next one. `saving`: its worker was told to save and has not answered yet. `held`: a
    report of it waits for a later decision. `resources` are what it asks for, if that is something of its own.
    """

    @property
    def number(self) -> int: ...
    @property
    def trial_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def status(self) -> Status: ...
    @property
    def iteration(self) -> int: ...
    @property
    def time_total_s(self) -> float: ...
    @property
    def last(self) -> Reported | None: ...
    @property
    def checkpoint(self) -> CheckpointRef | None: ...
    @property
    def saving(self) -> bool: ...
    @property
    def held(self) -> bool: ...
    @property
    def resources(self) -> Resources | None: ...


class View(Protocol):
    """The experiment as a scheduler may see it while it is asked. Read-only."""

    @property
    def trials(self) -> Sequence[TrialView]:
        """All trials, by number."""
        ...

    @property
    def pending(self) -> Collection[int]:
        """Numbers of the trials that have never run or are to be tried again, in the order of their turn."""
        ...

    @property
    def paused(self) -> Collection[int]:
        """Numbers of the paused trials, in the order of their pausing."""
        ...

    @property
    def running(self) -> Collection[int]:
        """Numbers of the trials that hold resources."""
        ...

    @property
    def complete(self) -> bool:
        """Whether no more trials will be made."""
        ...

    @property
    def total(self) -> Resources:
        """The resources of the machine."""
        ...

    @property
    def request(self) -> Resources:
        """What a trial asks for that has no request of its own."""
        ...

    def fits(self, trial: int) -> bool:
        """Whether the resources that the trial asks for are free, and it need not wait until it is tried again."""
        ...

    def config(self, trial: int) -> dict[str, Any]:
        """Return a copy of the trial's present configuration."""
        ...


class Scheduler:
    """Decides which trial starts next and which goes on. Extend it and override what you need.

    Pure: the state is the fold of the events it is shown by `apply`, which a replay repeats. `judge`, `review` and
    `choose` are questions: they change nothing, and are not asked again in a replay. What they answer comes back by
    `apply` as an event, a Judged, Cloned, Changed or Placed.

    Args:
        metric: what to decide by; the run's own metric by default.
        mode: ``"min"`` or ``"max"``; the run's own by default.

    Raises:
        ArgumentError: one of the two is given without the other.
    """

    needs_objective = True
    sees_all = False  # whether all trials are to be made at the start, where their number and configurations are known
    compares_fronts = False  # whether it can compare trials by several metrics at once
    objective: Objective | None = None
    seed = 0
    _own_objective: Objective | None = None

    def __init__(self, metric: str | None = None, mode: Mode | None = None) -> None:
        if (metric is None) != (mode is None):
            given, missing = ("metric", "mode") if mode is None else ("mode", "metric")
            raise ArgumentError(f"{type(self).__name__} was given {given}= without {missing}=. Give both or neither.")
        if metric is not None and mode is not None:
            self.objective = self._own_objective = Objective(metric, mode)

    def setup(self, objective: Objective | None, seed: int) -> None:
        """Take the run's objective and the seed for `tunesmith.streams`; called once, before anything else.

        Raises:
            ArgumentError: the scheduler needs an objective and there is none, or it can't compare by several metrics.
        """
        self.objective = self._own_objective or objective
        self.seed = seed
        if self.objective is None and self.needs_objective:
            raise ArgumentError(
                f"{type(self).__name__} compares trials and needs to know by what: give metric= and mode= to run()."
            )
        if self.objective is not None and self.objective.others and self.needs_objective and not self.compares_fronts:
            name, first = type(self).__name__, self.objective
            raise ArgumentError(
                f"{name} compares trials by one number, and the run has several metrics: {', '.join(first.metrics)}."
                f" Say by which, {name}(metric={first.metric!r}, mode={first.mode!r}, ...), or use a scheduler that"
                " compares by all of them: ASHAScheduler, HyperBandScheduler or MedianStoppingRule."
            )

    def apply(self, event: Event, trial: TrialView | None) -> None:
        """Fold an event, a decision included. `trial` is the trial it is about, which has folded it already."""

    def judge(self, report: Reported, view: View) -> Decision:
        """Decide about a running trial after its report, which `apply` has folded."""
        return CONTINUE

    def has_enough(self, report: Reported) -> bool:
        """Return whether a trial that has reported this is at the limit of its training time, if there is one."""
        return False

    def review(self, view: View) -> Sequence[tuple[int, Decision]]:
        """Return decisions about other trials than the one that is judged, which are due after the last event.

        Asked again until it returns nothing, so a decision that came back by `apply` must not be given again.
        """
        return ()

    def choose(self, view: View) -> int | None:
        """Return the trial to start now, one that fits, or None to start none."""
        for trials in (view.pending, view.paused):
            for trial in trials:
                if view.fits(trial):
                    return trial
        return None

    def describe(self, view: View) -> str:
        """Return what the scheduler is doing, for the status display: a line, or several."""
        return f"Using {type(self).__name__}."
