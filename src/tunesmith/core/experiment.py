"""The state of an experiment as the fold of its events. The controller and every reader fold with this code."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace

from tunesmith import events as e
from tunesmith.core.moves import MOVES
from tunesmith.errors import IllegalMoveError
from tunesmith.resources import Resources
from tunesmith.retrying import FailurePolicy
from tunesmith.trial import CheckpointRef, Failure, Status

_STAYING = frozenset({"continue", "save", "hold"})  # what leaves a trial running
_NOTHING: dict[str, Any] = {}  # never written to: one for all trials that have none
_EARLIER = 8  # so many checkpoints before the last one are remembered


class Former(NamedTuple):
    """What a trial was before it became a clone of the trial `donor`."""

    donor: int
    checkpoint: CheckpointRef | None
    earlier: tuple[CheckpointRef, ...]
    values: dict[str, Any]
    overrides: dict[str, Any]
    name: str


def _without(
    path: str, checkpoint: CheckpointRef | None, earlier: tuple[CheckpointRef, ...]
) -> tuple[CheckpointRef | None, tuple[CheckpointRef, ...]]:
    """Return the checkpoint to go on from, and those before it, when the one at `path` does not count."""
    earlier = tuple(other for other in earlier if other.path != path)
    if checkpoint is None or checkpoint.path != path:
        return checkpoint, earlier
    return (earlier[-1], earlier[:-1]) if earlier else (None, ())


class TrialRecord:
    """What is known of one trial.

    `iteration` and `time_total_s` count the work that stands: a rollback to a checkpoint lowers them.
    `last` is the last report that stands and is still in memory; after a rollback it is None until the next one.
    `reason` says why the trial was stopped or paused. `failures` counts those that are charged to the trial.
    `failures_in_a_row` counts those of any kind since the trial got further than ever before, to iteration `farthest`;
    `retry_at` is the moment before which it is not tried again, 0 when it need not wait.
    `values` are the variables that its searcher chose or its donor had, `overrides` what was changed since, by path;
    both as recorded. `space` describes the search space that they belong to. `first_name` is its name before any of
    that. `has_enough`: it was stopped because a limit was reached, through no fault of its own; `curtailed`: it was
    stopped for another reason. `parked`: it is paused and its worker keeps its state in memory, until it goes on or has
    ended. `saving`, `held`: its worker was told to save and has not answered yet; it has reported and waits for a
    decision. `given_up`: what its present worker does is not wanted any more.
    `earlier` are the checkpoints, the newest last, that it goes back to when `checkpoint` turns out to be damaged;
    `former` is what a clone goes back to that has no checkpoint of its own yet. `repeats` and `confirms` are numbers of
    other trials with its configuration; see `tunesmith.events.Suggested`.
    """

    __slots__ = (
        "checkpoint",
        "confirms",
        "curtailed",
        "earlier",
        "failing",
        "failure",
        "failures",
        "failures_in_a_row",
        "farthest",
        "first_name",
        "folder",
        "former",
        "given_up",
        "has_enough",
        "held",
        "incarnation",
        "iteration",
        "last",
        "name",
        "number",
        "overrides",
        "parked",
        "reason",
        "repeats",
        "resources",
        "retry_at",
        "saving",
        "space",
        "started",
        "status",
        "time_total_s",
        "trial_id",
        "values",
    )

    def __init__(self, made: e.Suggested) -> None:
        self.number = made.trial
        self.trial_id = made.trial_id
        self.name = self.first_name = made.name
        self.folder = made.folder
        self.values: dict[str, Any] = made.values
        self.space = _NOTHING
        self.overrides: dict[str, Any] = _NOTHING
        self.resources: Resources | None = made.resources
        self.repeats, self.confirms = made.repeats, made.confirms
        self.status = Status.PENDING
        self.incarnation = 0
        self.failures = self.failures_in_a_row = self.farthest = 0
        self.retry_at = 0.0
        self.failing = self.given_up = self.parked = self.saving = self.held = self.has_enough = self.curtailed = False
        self.failure: Failure | None = None
        self.reason = ""
        self.iteration = 0
        self.time_total_s = 0.0
        self.last: e.Reported | None = None
        self.started: e.Started | None = None
        self.checkpoint: CheckpointRef | None = None
        self.earlier: tuple[CheckpointRef, ...] = ()
        self.former: Former | None = None

    @property
    def is_borrower(self) -> bool:
        """Whether its checkpoint was written by another trial."""
        return self.checkpoint is not None and not self.checkpoint.path.startswith(f"{self.folder}/")

    def needs(self) -> tuple[str, ...]:
        """Return the paths of the checkpoints that it would go on from: now, or if it were a clone no more."""
        paths = () if self.checkpoint is None else (self.checkpoint.path,)
        if self.former is None or self.former.checkpoint is None:
            return paths
        return (*paths, self.former.checkpoint.path)

    def keep(self, checkpoint: CheckpointRef) -> None:
        """Go on from `checkpoint` from now on, which the trial has written itself."""
        before = self.checkpoint
        if before is not None and before.path == checkpoint.path:
            return
        if self.former is not None:
            self.earlier, self.former = (), None
        elif before is not None:
            self.earlier = (*self.earlier[1 - _EARLIER :], before)
        self.checkpoint = checkpoint

    def give_up(self, clone: e.Cloned) -> None:
        """Go on from another trial's checkpoint; of several states that were given up, the last is remembered."""
        self.former = Former(clone.donor, self.checkpoint, self.earlier, self.values, self.overrides, self.name)
        self.checkpoint, self.earlier = clone.checkpoint, ()
        self.values, self.overrides, self.name = clone.values, clone.overrides, clone.name

    def forget(self, path: str) -> None:
        """Never go on from the checkpoint at `path`, but from what was before it."""
        self.checkpoint, self.earlier = _without(path, self.checkpoint, self.earlier)
        former = self.former
        if former is not None:
            checkpoint, earlier = _without(path, former.checkpoint, former.earlier)
            self.former = former._replace(checkpoint=checkpoint, earlier=earlier)
            if self.checkpoint is None:  # a clone has no earlier one
                self.checkpoint, self.earlier, self.former = checkpoint, earlier, None
                self.values, self.overrides, self.name = former.values, former.overrides, former.name


class Experiment:
    """The fold. `apply` is the only mutator; it either makes the whole move or raises and changes nothing.

    What becomes of trials that fail is decided by `policy`, that of the session in which they did; the one given holds
    until the record has its own.
    """

    def __init__(self, policy: FailurePolicy | None = None) -> None:
        self.policy = policy or FailurePolicy()
        self.created: e.Created | None = None
        self.session: e.SessionOpened | None = None
        self.closed: e.SessionClosed | None = None
        self.trials: list[TrialRecord] = []
        self.counts: dict[Status, int] = dict.fromkeys(Status, 0)
        self.exhausted: e.Exhausted | None = None
        self.search_failure: Failure | None = None
        self.stop: e.StopRequested | None = None
        self.damaged: set[str] = set()  # paths of checkpoints

    @property
    def space(self) -> dict[str, Any]:
        """The description of the search space, as of now."""
        found: dict[str, Any] = self.created.settings.get("space", _NOTHING) if self.created else _NOTHING
        return found

    def is_stale(self, event: e.Event) -> bool:
        """Whether a worker's message is a double delivery or comes from an incarnation that has been given up."""
        if not isinstance(event, e.WorkerEvent) or type(event) is e.Placed:
            return False
        if event.trial >= len(self.trials):
            return True
        trial = self.trials[event.trial]
        if event.incarnation != trial.incarnation or not (trial.status.is_live or trial.parked):
            return True
        if type(event) is e.Reported:
            return event.iteration <= trial.iteration or trial.parked or trial.given_up
        if type(event) is e.Saved:
            return not trial.saving or event.checkpoint.iteration < trial.iteration
        if trial.parked and trial.status is Status.PAUSED:
            return type(event) not in (e.Released, e.Lost)
        return type(event) is e.Started and trial.started is not None and trial.started.incarnation == trial.incarnation

    def apply(self, event: e.Event) -> None:
        """Fold one event.

        Raises:
            IllegalMoveError: the event has no move in the state that it meets; nothing was changed.
        """
        kind = type(event)
        if kind is e.Reported:  # nine events in ten
            self._reported(event)  # type: ignore[arg-type]  # narrowed by the line above
        elif isinstance(event, e.TrialEvent) and kind is not e.Suggested:
            self._trial_event(event)
        else:
            self._experiment_event(event)

    # -- the experiment as a whole

    def _experiment_event(self, event: e.Event) -> None:  # noqa: C901, PLR0912 - one case an event
        match event:
            case e.Suggested():
                if event.trial != len(self.trials):
                    raise IllegalMoveError(
                        f"Trial {event.trial} was suggested, but {len(self.trials)} is next: {event}"
                    )
                self.trials.append(TrialRecord(event))
                self.trials[-1].space = self.space
                self.counts[Status.PENDING] += 1
            case e.SessionOpened():
                self.session, self.closed, self.stop = event, None, None
                self.exhausted = self.search_failure = None  # a larger search, or a mended one, is asked again
                self.policy = event.policy or self.policy
                for trial in self.trials:
                    if trial.status.is_live or trial.parked:
                        self._session_lost(trial)
            case e.Created():
                self.created = event
                # All that old records have of a policy.
                self.policy = FailurePolicy(event.settings.get("max_failures", self.policy.max_failures))
            case e.Redefined():
                self._redefined(event)
            case e.Exhausted():
                self.exhausted = event
            case e.SearchFailed():
                self.search_failure = event.failure
            case e.StopRequested():
                self.stop = self.stop or event
            case e.Discarded():
                self.trials[event.owner].forget(event.checkpoint.path)
            case e.SessionClosed():
                self.closed = event
            case e.Tick() | e.QuotaExceeded() | e.Deferred():
                pass
            case _:
                raise IllegalMoveError(f"Nothing is known of the event {event!r}.")

    def _redefined(self, event: e.Redefined) -> None:
        if self.created is None:
            raise IllegalMoveError(f"The experiment has not begun: {event}")
        settings = {**self.created.settings, **event.settings}
        self.created = replace(self.created, settings=settings, metric=event.metric, mode=event.mode)

    def _session_lost(self, trial: TrialRecord) -> None:
        targets = MOVES[e.SessionOpened][trial.status]
        target = targets[0]
        trial.parked = trial.saving = trial.held = False
        if target is Status.PENDING or target is Status.PAUSED:
            self._roll_back(trial)
        elif trial.failing:
            target = Status.ERROR
        self._move(trial, target)

    # -- one trial

    def _reported(self, event: e.Reported) -> None:
        try:
            trial = self.trials[event.trial]
        except IndexError:
            raise IllegalMoveError(f"Trial {event.trial} does not exist: {event}") from None
        if trial.status not in MOVES[e.Reported] or event.incarnation != trial.incarnation:
            raise self._refusal(trial, event)
        trial.last = event
        trial.iteration = event.iteration
        trial.time_total_s = event.time_total_s
        trial.saving = trial.held = False
        if event.iteration > trial.farthest:
            trial.farthest = event.iteration
            trial.failures_in_a_row = 0
        if event.checkpoint is not None:
            self._keep(trial, event.checkpoint)

    def _trial_event(self, event: e.TrialEvent) -> None:
        if event.trial >= len(self.trials):
            raise IllegalMoveError(f"Trial {event.trial} does not exist: {event}")
        trial = self.trials[event.trial]
        targets = MOVES.get(type(event), {}).get(trial.status)
        if targets is None:
            raise self._refusal(trial, event)
        if isinstance(event, e.WorkerEvent):
            expected = trial.incarnation + 1 if type(event) is e.Placed else trial.incarnation
            if event.incarnation != expected:
                raise self._refusal(trial, event)
        self._move(trial, self._target(trial, event, targets))

    def _target(self, trial: TrialRecord, event: e.TrialEvent, targets: tuple[Status, ...]) -> Status:  # noqa: C901 - below
        """Write the event's content to the trial and choose where it leads. One case an event."""
        match event:
            case e.Placed():
                trial.incarnation = event.incarnation
                trial.reason = ""
                trial.retry_at = 0.0
                trial.checkpoint = event.checkpoint
                trial.given_up = trial.parked = trial.saving = trial.held = False
                if not event.parked:
                    self._roll_back(trial)
            case e.Started():
                trial.started = event
            case e.Judged():
                return self._judged(trial, event, targets)
            case e.Cloned():
                self._cloned(trial, event)
            case e.Changed():
                self._changed(trial, event)
            case e.Reopened():
                self._reopened(trial, event)
            case e.Refitted():
                trial.values, trial.space = event.values, self.space
                return trial.status
            case e.Saved():
                trial.saving = False
                self._keep(trial, event.checkpoint)
            case e.Completed() | e.Stopped() | e.Paused() | e.Released():
                self._left(trial, event, targets[0])
                return Status.ERROR if trial.failing else targets[0]
            case e.Damaged():
                return self._damaged(trial, event, targets)
            case e.Failed() | e.Lost():
                return self._failed(trial, event, targets)
        return targets[0]

    def _left(self, trial: TrialRecord, event: e.Completed | e.Stopped | e.Paused | e.Released, target: Status) -> None:
        """Take note that the worker has ended or, if the trial is parked, lets it wait."""
        if event.checkpoint is not None and not trial.given_up:
            self._keep(trial, event.checkpoint)
        trial.saving = trial.held = False
        trial.parked = target is Status.PAUSED and isinstance(event, e.Paused) and event.parked
        if type(event) is e.Released and target is Status.PAUSED:
            self._roll_back(trial)

    def _cloned(self, trial: TrialRecord, event: e.Cloned) -> None:
        trial.give_up(event)
        trial.reason = event.reason
        trial.given_up, trial.parked, trial.saving, trial.held = trial.status.is_live, False, False, False
        trial.iteration, trial.time_total_s = event.checkpoint.iteration, event.checkpoint.time_total_s
        trial.farthest = trial.iteration
        if trial.last is not None and trial.last.iteration > trial.iteration:
            trial.last = None

    def _changed(self, trial: TrialRecord, event: e.Changed) -> None:
        trial.reason, trial.held = event.reason, False
        trial.resources = event.resources or trial.resources
        if event.overrides is not None:
            trial.overrides = event.overrides
        trial.name = event.name or trial.name

    def _reopened(self, trial: TrialRecord, event: e.Reopened) -> None:
        trial.reason, trial.failure, trial.retry_at = event.reason, None, 0.0
        trial.failures = trial.failures_in_a_row = 0
        trial.failing = trial.has_enough = trial.curtailed = False
        trial.checkpoint = event.checkpoint
        if event.checkpoint is None:  # it begins again
            trial.earlier, trial.former = (), None
        self._roll_back(trial)
        trial.farthest = trial.iteration

    def _judged(self, trial: TrialRecord, event: e.Judged, targets: tuple[Status, ...]) -> Status:
        if event.action in _STAYING:
            if Status.RUNNING not in targets:
                raise self._refusal(trial, event)
            trial.held, trial.saving = event.action == "hold", event.action == "save"
            return Status.RUNNING
        trial.held = False
        if event.action == "pause":
            if Status.PAUSING not in targets:
                raise self._refusal(trial, event)
            trial.reason = event.reason
            return Status.PAUSING
        if not trial.reason or trial.status is not Status.STOPPING:
            trial.reason = event.reason
            trial.has_enough = event.action == "stop" and (event.enough or event.by == "stopper")
            trial.curtailed = event.action == "stop" and not trial.has_enough
        if event.action == "fail":
            trial.failing = True
            trial.failure = Failure("metric", event.reason)
        if Status.STOPPING in targets and (trial.parked or trial.status is not Status.PAUSED):
            return Status.STOPPING
        return Status.ERROR if trial.failing else Status.TERMINATED

    def _failed(self, trial: TrialRecord, event: e.Failed | e.Lost, targets: tuple[Status, ...]) -> Status:
        failure, policy = event.failure, self.policy
        trial.saving = trial.held = False
        if trial.status is Status.PAUSED or (failure.kind == "parked" and Status.PENDING in targets):
            # What it kept in memory is gone, through no fault of its own.
            trial.parked = False
            self._roll_back(trial)
            return Status.PAUSED if trial.status is Status.PAUSED else Status.PENDING
        if trial.status is Status.STOPPING and Status.TERMINATED in targets:
            trial.parked = False
            return Status.ERROR if trial.failing else Status.TERMINATED
        again = targets[0]  # where it waits, if it may be tried again
        if trial.status is Status.PAUSING and self.stop is not None:
            # The run is ending and the worker was too slow to save: no fault of the trial.
            self._roll_back(trial)
            return again
        trial.failure = failure
        trial.failures_in_a_row += 1
        charged = policy.charges(failure, failures_in_a_row=trial.failures_in_a_row)
        trial.failures += charged
        if again is not Status.ERROR and (not charged or policy.allows(failure, failures=trial.failures)):
            self._roll_back(trial)
            pause_s = policy.pause_s(failures_in_a_row=trial.failures_in_a_row)
            trial.retry_at = event.at + pause_s if pause_s and again is Status.PENDING else 0.0
            return again
        return Status.ERROR

    def _damaged(self, trial: TrialRecord, event: e.Damaged, targets: tuple[Status, ...]) -> Status:
        """Forget a checkpoint: as the trial's own, and as that of the trial which has written it for others."""
        path, former = event.checkpoint.path, trial.former
        self.damaged.add(path)
        trial.saving = trial.held = False
        trial.forget(path)
        owner = None if former is None else self.trials[former.donor]
        if owner is not None and owner.former is None:  # else it goes on from another one's, and finds out by itself
            owner.forget(path)
        if trial.status is Status.STOPPING:
            return Status.ERROR if trial.failing else Status.TERMINATED
        self._roll_back(trial)
        return targets[0]

    def _keep(self, trial: TrialRecord, checkpoint: CheckpointRef) -> None:
        # What a worker tells last may be the checkpoint that it was started from, and that others found damaged.
        if checkpoint.path not in self.damaged:
            trial.keep(checkpoint)

    def _roll_back(self, trial: TrialRecord) -> None:
        """Forget the reports after the last checkpoint: their iterations will be done and counted again."""
        checkpoint = trial.checkpoint
        trial.iteration = checkpoint.iteration if checkpoint else 0
        trial.time_total_s = checkpoint.time_total_s if checkpoint else 0.0
        if trial.last is not None and trial.last.iteration > trial.iteration:
            trial.last = None

    def _move(self, trial: TrialRecord, target: Status) -> None:
        self.counts[trial.status] -= 1
        self.counts[target] += 1
        trial.status = target

    def _refusal(self, trial: TrialRecord, event: e.Event) -> IllegalMoveError:
        return IllegalMoveError(
            f"Trial {trial.number} is {trial.status.value} in incarnation {trial.incarnation}"
            f" at iteration {trial.iteration} and has no move for {event!r}."
        )
