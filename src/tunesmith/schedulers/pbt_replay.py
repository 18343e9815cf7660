"""The life of a trial of population based training, lived again: one trial goes through the same configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from tunesmith import codec
from tunesmith.errors import ArgumentError
from tunesmith.events import Changed, Event, Reported, Suggested
from tunesmith.objective import Objective
from tunesmith.schedulers.explore import Explored, difference
from tunesmith.schedulers.protocol import CONTINUE, Change, Decision, Scheduler, TrialView, View
from tunesmith.trial import Status


@runtime_checkable
class PathLike(Protocol):
    """What names a file, such as a `pathlib.Path`."""

    def __fspath__(self) -> str:
        """Return the name."""
        ...


class Step(msgspec.Struct, frozen=True):
    """From the end of the iteration `iteration` on, the configuration is `config`."""

    iteration: int
    config: dict[str, Any]


class PopulationBasedTrainingReplay(Scheduler):
    """Train one trial with the hyperparameters that a trial of population based training had, each at its time.

    It begins with the configuration of the first donor and changes it at the iterations at which clones took over. The
    trial goes on from its own state each time, so it must be one that can save itself: a class, or a function that
    reports checkpoints. Give `num_samples` 1; further trials fail.

    Args:
        policy: the file ``pbt_policy_<number>.txt`` of the trial, in the folder of its experiment; or its lines, each
            a list as `tunesmith.callbacks.pbt_policies.PolicyFiles` describes it.

    Raises:
        ArgumentError: the lines are not those of a policy.

    Source: Jaderberg et al., arXiv 1711.09846 (2017), section 4.4: what is found is a schedule of hyperparameters.

    >>> line = ["train_5", "train_0", 10, 10, {"lr": 4.0}, {"lr": 4.8}]
    >>> PopulationBasedTrainingReplay([line]).steps
    (Step(iteration=10, config={'lr': 4.8}),)
    """

    needs_objective = False

    def __init__(self, policy: str | PathLike | Sequence[Sequence[Any]]) -> None:
        super().__init__()
        self.policy = policy
        self.first: dict[str, Any] = {}
        self.steps: tuple[Step, ...] = ()
        self._applied = 0
        self._extra: dict[int, TrialView] = {}
        if not self.is_file:
            self.take(policy)  # type: ignore[arg-type]  # by the line above

    @property
    def is_file(self) -> bool:
        """Whether the policy is a file, whose lines are to be given to `take`."""
        return isinstance(self.policy, (str, PathLike))

    def take(self, lines: Sequence[Sequence[Any]]) -> None:
        """Use the lines of a policy.

        Raises:
            ArgumentError: they are not those of a policy, or there are none.
        """
        if not isinstance(lines, (list, tuple)) or not lines:
            raise ArgumentError(f"A policy is a list of lines, one at least; got {lines!r:.80}.")
        steps = []
        for line in lines:
            match line:
                case [_, _, _, int(iteration), dict(), dict(config)]:
                    steps.append(Step(iteration, config))
                case _:
                    raise ArgumentError(
                        "A line of a policy has six values: trial, donor, iteration of the trial, iteration of the"
                        f" donor, configuration of the donor, new configuration. Got {line!r:.200}."
                    )
        self.first, self.steps = lines[0][4], tuple(steps)

    def setup(self, objective: Objective | None, seed: int) -> None:
        """Take the seed; the objective is not needed.

        Raises:
            ArgumentError: the policy is a file, and nobody has read it.
        """
        super().setup(objective, seed)
        if not self.steps:
            raise ArgumentError(f"The policy {self.policy} was not read. Give its lines to take(), see read_policy().")

    def apply(self, event: Event, trial: TrialView | None) -> None:
        """Fold an event: count the changes that were made."""
        if type(event) is Suggested and event.trial > 0 and trial is not None:
            self._extra[event.trial] = trial
        elif type(event) is Changed and event.trial == 0 and event.iteration is not None:
            self._applied += 1

    def review(self, view: View) -> Sequence[tuple[int, Decision]]:
        """Let the trial begin with the configuration of the first donor, and refuse any other trial."""
        due: list[tuple[int, Decision]] = [
            (number, Decision("fail", "PopulationBasedTrainingReplay replays one trial only: set num_samples=1."))
            for number, trial in self._extra.items()
            if trial.status is Status.PENDING
        ]
        if self._applied or not view.trials or view.trials[0].status is not Status.PENDING:
            return due
        explored = _recorded(self.first, view)
        if explored.overrides:
            due.append(
                (0, Change(overrides=explored.overrides, reason=f"begins as the first donor: {explored.tell()}"))
            )
        return due

    def judge(self, report: Reported, view: View) -> Decision:
        """Change the configuration when the next change's time has come."""
        if report.trial > 0 or self._applied == len(self.steps):
            return CONTINUE
        step = self.steps[self._applied]
        if report.iteration < step.iteration:
            return CONTINUE
        explored = _recorded(step.config, view)
        reason = f"change {self._applied + 1} of {len(self.steps)}, at iteration {step.iteration}: {explored.tell()}"
        return Change(overrides=explored.overrides, suffix=explored.suffix(), reason=reason)

    def describe(self, view: View) -> str:
        """Return how many of the changes were made."""
        return f"PopulationBasedTrainingReplay: {self._applied} of {len(self.steps)} changes made"


def _recorded(config: dict[str, Any], view: View) -> Explored:
    """Return what has to change for the trial to have `config`, which was read: objects are the text of their repr."""
    present = _as_written(codec.from_plain(codec.to_plain(view.config(0))), config)
    overrides = difference(present, config)
    return Explored(present, config, overrides, tuple(overrides))


def _as_written(own: Any, written: Any) -> Any:
    """Return `own` as it would have been written: a tuple that stands in the search space itself becomes a list."""
    if isinstance(own, dict) and isinstance(written, dict):
        return {key: _as_written(child, written.get(key)) for key, child in own.items()}
    if isinstance(own, (list, tuple)) and isinstance(written, list) and len(own) == len(written):
        return [_as_written(child, other) for child, other in zip(own, written, strict=True)]
    return own
