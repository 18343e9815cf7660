"""The controller: a synchronous state machine that answers each event with commands.

Pure: no clock, no file, no thread, no global randomness. `step` is the only mutator of a live run, `replay` that of
a resumed one. Both fold the event in the same way; only `step` then asks the policies, and every answer of theirs is
an event of its own (a `Record` command), so that a replay never asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.core.experiment import Experiment, TrialRecord
from tunesmith.core.limits import Limits
from tunesmith.core.places import Places
from tunesmith.core.retention import Retention
from tunesmith.core.supply import Supply
from tunesmith.core.verdicts import Verdicts
from tunesmith.core.view import ExperimentView
from tunesmith.core.watch import Watch
from tunesmith.errors import ResourceError
from tunesmith.objective import Objective
from tunesmith.resources import Resources
from tunesmith.schedulers.protocol import CONTINUE, Change, Decision, Exploit, Scheduler
from tunesmith.stoppers.protocol import Stopper
from tunesmith.trial import Status

_PAUSING: dict[type[e.Event], str] = {
    e.Judged: "park",
    e.Changed: "save",
    e.Cloned: "drop",
}  # what becomes of its state


class Controller:
    """Holds an experiment's state and decides, by its policies, what happens next.

    Args:
        configure: builds a trial's configuration from its recorded values and overrides; pure.
        record: turns values that a scheduler made into what can be recorded.
        eager: whether the searcher may be asked ahead.
        resources: what each trial asks for unless its suggestion says otherwise.
    """

    def __init__(
        self,
        *,
        objective: Objective | None,
        scheduler: Scheduler,
        configure: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]],
        record: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
        stopper: Stopper | None = None,
        limits: Limits | None = None,
        eager: bool = True,
        resources: Resources | None = None,
    ) -> None:
        self.objective = objective
        self.limits = limits or Limits()
        self.experiment = Experiment()
        self._scheduler = scheduler
        self._verdicts = Verdicts(objective, stopper, self.limits.on_nan, self.experiment.trials)
        self._configure = configure
        self._record = record
        self._eager = eager
        self._request = resources or Resources()
        self._retention = Retention(self.experiment.trials, self.limits.keep_checkpoints)
        self._told_of_quota = False  # in this session
        self._starting = True  # whether orders to start trials are wanted
        self._places = Places()
        watched = self.limits.trial_timeout_s is not None or self.limits.heartbeat_timeout_s is not None
        self._watch = Watch(self.limits.trial_timeout_s, self.limits.heartbeat_timeout_s) if watched else None
        self._supply = Supply(self.experiment, self._places, self.limits, self._request, eager=eager)
        self._view = ExperimentView(
            self.experiment, self._places, self._request, self._config, self._supply.is_complete
        )
        self._confirms = False  # whether any trial runs another one again
        self._uniform = True  # no trial asks for other resources than the rest
        self._deadline: float | None = None
        self._broken: TrialRecord | None = None  # the first trial that failed for good in this session
        self._now = 0.0  # the last moment that the driver has told

    # -- the two ways to fold

    def step(self, event: e.Event) -> list[c.Command]:
        """Fold a live event, let the policies decide, and return the orders that follow, in order.

        Raises:
            IllegalMoveError: the event has no legal move; nothing was changed.
        """
        orders: list[c.Command] = []
        self._apply(event, orders)
        if type(event) is e.Reported:
            self._after_report(event, orders)
        else:
            self._react(event, orders)
        if not self._retention.is_idle:
            self._discard(orders)
        return orders

    def replay(self, event: e.Event, *, starting: bool = True) -> list[c.Command]:
        """Fold a recorded event and return the orders that followed from it, without asking any policy.

        Who has no use for the orders to start trials, which take longest to write out, leaves them out.
        """
        orders: list[c.Command] = []
        self._starting = starting
        self._apply(event, orders)
        self._starting = True
        return orders

    def describe(self) -> str:
        """Return what the scheduler says it is doing, in a line or several."""
        return self._scheduler.describe(self._view)

    def _decide(self, decision: e.Event, orders: list[c.Command]) -> None:
        orders.append(c.Record(decision))
        self._apply(decision, orders)

    def _apply(self, event: e.Event, orders: list[c.Command]) -> None:
        self.experiment.apply(event)
        trial = None
        if isinstance(event, e.TrialEvent):
            trial = self.experiment.trials[event.trial]
            if trial.confirms is None:
                self._scheduler.apply(event, trial)
            kind = type(event)
            if kind is e.Reported:
                self._fold_report(event, orders)  # type: ignore[arg-type]  # narrowed by the line above
            elif kind is e.Suggested:
                self._fold_suggestion(event, orders)  # type: ignore[arg-type]  # as above
            else:
                self._uniform = self._uniform and trial.resources is None
                self._fold_trial(event, trial, orders)
        else:
            self._scheduler.apply(event, None)
            self._fold_run(event, orders)
        self._retention.apply(event)
        if self._watch is not None:
            orders += self._watch.apply(event, trial)

    def _fold_report(self, event: e.Reported, orders: list[c.Command]) -> None:
        self._verdicts.observe(event)
        if not self._eager:
            orders.append(c.Tell(event.trial, event.result(), final=False))

    def _fold_suggestion(self, event: e.Suggested, orders: list[c.Command]) -> None:
        self._places.pending.append(event.trial)
        self._uniform = self._uniform and event.resources is None
        self._confirms = self._confirms or event.confirms is not None
        self._supply.made(event.trial)
        if not self._eager:
            orders.append(c.Remind(event.trial, event.values, event.memo))

    def _fold_run(self, event: e.Event, orders: list[c.Command]) -> None:
        """Fold an event that is about the run as a whole."""
        match event:
            case e.SessionOpened():
                self._fold_session(event, orders)
            case e.StopRequested():
                parked = [self.experiment.trials[number] for number in self._places.parked]
                orders += [c.Release(trial.number, trial.incarnation, self.limits.pause_grace_s) for trial in parked]
            case e.Exhausted() | e.SearchFailed() | e.Deferred():
                self._supply.answered(event)
            case e.Discarded():
                orders.append(c.Discard(event.checkpoint))
            case e.QuotaExceeded():
                self._told_of_quota = True
            case e.Tick():
                self._places.awaken(event.at)

    def _fold_trial(self, event: e.TrialEvent, trial: TrialRecord, orders: list[c.Command]) -> None:  # noqa: C901 - states
        kind, number, status = type(event), trial.number, trial.status
        if kind is e.Placed:
            self._start(event, trial, orders)  # type: ignore[arg-type]  # narrowed by the line above
            return
        if kind is e.Reopened:
            self._places.pending.append(number)
            return
        parked = self._places.parked
        if number in parked and not trial.parked:
            del parked[number]
            if kind is e.Cloned:  # its state is not wanted any more
                orders.append(c.Stop(number, trial.incarnation, self.limits.stop_grace_s))
        if status is Status.STOPPING:
            if kind is e.Judged:
                self._places.paused.pop(number, None)
                orders.append(c.Stop(number, trial.incarnation, self.limits.stop_grace_s))
        elif status is Status.PAUSING:
            if kind in _PAUSING:
                keep = "save" if self.experiment.stop is not None and not trial.given_up else _PAUSING[kind]
                # A scheduler may pause a trial in the middle of a step, and steps may be long.
                grace_s = inf if self.experiment.stop is None else self.limits.pause_grace_s
                orders.append(c.Pause(number, trial.incarnation, grace_s, keep))
        elif not status.is_live:
            if number in self._places.granted or status.is_final:
                self._settle(trial, orders)
            if trial.parked and number not in parked:
                parked[number] = None
                if self.experiment.stop is not None:
                    orders.append(c.Release(number, trial.incarnation, self.limits.pause_grace_s))

    def _start(self, event: e.Placed, trial: TrialRecord, orders: list[c.Command]) -> None:
        number = trial.number
        self._places.start(number, event.allocation)
        if not self._starting:
            return
        orders.append(
            c.Start(
                number,
                trial.incarnation,
                trial.trial_id,
                trial.name,
                trial.folder,
                self._config(trial),
                event.allocation,
                trial.checkpoint,
                trial.iteration,
                trial.time_total_s,
                event.parked,
                trial.failures_in_a_row,
            )
        )

    def _settle(self, trial: TrialRecord, orders: list[c.Command]) -> None:
        self._places.settle(trial)
        if trial.status is Status.ERROR:
            self._broken = self._broken or trial
        elif trial.retry_at:
            orders.append(c.WakeAt(trial.retry_at))
        if not trial.status.is_final:
            return
        self._supply.told_of_an_end()
        if not self._eager:
            result = trial.last.result() if trial.last else None
            failed = trial.status is Status.ERROR
            orders.append(c.Tell(trial.number, result, final=True, failed=failed, curtailed=trial.curtailed))

    def _fold_session(self, event: e.SessionOpened, orders: list[c.Command]) -> None:
        for number in reversed(self._places.reopen(event.resources)):
            self._settle(self.experiment.trials[number], orders)
        self._places.awaken(event.at)
        orders += map(c.WakeAt, self._places.resting.values())
        self._broken = None
        self._supply.answered(event)
        self._told_of_quota = False
        if self.limits.time_budget_s is not None:
            self._deadline = event.at + self.limits.time_budget_s
            orders.append(c.WakeAt(self._deadline))

    def _discard(self, orders: list[c.Command]) -> None:
        """Let go of the checkpoints that nothing needs; say, once in a session, when the others are too many."""
        for discarded in self._retention.review():
            self._decide(discarded, orders)
        if self._retention.is_full and not self._told_of_quota:
            self._decide(e.QuotaExceeded(self._retention.size, self._retention.keep.quota or 0), orders)

    def _config(self, trial: TrialRecord) -> dict[str, Any]:
        return self._configure(trial.values, trial.overrides)

    def _pause_soon(self, trial: TrialRecord) -> c.Pause:
        keep = "drop" if trial.given_up else "save"
        return c.Pause(trial.number, trial.incarnation, self.limits.pause_grace_s, keep)

    # -- what the policies are asked

    def _after_report(self, report: e.Reported, orders: list[c.Command]) -> None:
        trial = self.experiment.trials[report.trial]
        if trial.status is Status.STOPPING:
            orders.append(c.Stop(trial.number, trial.incarnation, self.limits.stop_grace_s))
            return
        if trial.status is Status.PAUSING:
            orders.append(self._pause_soon(trial))
            return
        found = self._verdicts.on(report, trial)
        if found is None and trial.confirms is None:
            decision = self._scheduler.judge(report, self._view) if report.metrics else CONTINUE
            self._carry_out(trial, decision, report.iteration, orders)
        elif found is not None:
            decision, by = found
            self._decide(e.Judged(trial.number, decision.action, decision.reason, report.iteration, by), orders)
        reason = self._verdicts.on_all() if trial.confirms is None else None
        if reason:
            self._stop_all(e.StopRequested(reason, report.timestamp), orders)
        reviewed = self._review(orders)
        if trial.status is Status.RUNNING and not trial.held:
            orders.append(c.Continue(trial.number, trial.incarnation, trial.saving))
        if reviewed or self._places.paused:
            self._advance(orders)

    def _carry_out(
        self, trial: TrialRecord, decision: Decision, iteration: int | None, orders: list[c.Command]
    ) -> None:
        """Turn a policy's decision into a recorded fact, from which the orders follow."""
        if type(decision) is Exploit:
            self._exploit(trial, decision, iteration, orders)
        elif type(decision) is Change:
            self._change(trial, decision, iteration, orders)
        elif decision.action != "continue" or trial.held:
            judged = e.Judged(trial.number, decision.action, decision.reason, iteration, enough=decision.enough)
            self._decide(judged, orders)

    def _exploit(self, trial: TrialRecord, decision: Exploit, iteration: int | None, orders: list[c.Command]) -> None:
        donor = self.experiment.trials[decision.donor]
        # A trial that has ended needs nothing, so that what it had borrowed may be gone.
        if donor.checkpoint is None or (donor.status.is_final and donor.is_borrower):
            self._carry_out(trial, CONTINUE, iteration, orders)
            return
        cloned = e.Cloned(
            trial.number,
            donor.number,
            donor.checkpoint,
            donor.values,
            {**donor.overrides, **self._record(decision.overrides)},
            trial.first_name + decision.suffix,
            decision.reason,
            iteration,
        )
        self._decide(cloned, orders)

    def _change(self, trial: TrialRecord, decision: Change, iteration: int | None, orders: list[c.Command]) -> None:
        overrides = decision.overrides
        changed = e.Changed(
            trial.number,
            decision.reason,
            decision.resources,
            None if overrides is None else {**trial.overrides, **self._record(overrides)},
            trial.first_name + decision.suffix if decision.suffix else None,
            iteration,
        )
        self._decide(changed, orders)

    def _review(self, orders: list[c.Command]) -> bool:
        """Carry the scheduler's decisions about other trials out; return whether there were any."""
        found = False
        while self.experiment.stop is None and (due := self._scheduler.review(self._view)):
            found = True
            for number, decision in due:
                trial = self.experiment.trials[number]
                held = trial.held
                self._carry_out(trial, decision, None, orders)
                if held and not trial.held and trial.status is Status.RUNNING:
                    orders.append(c.Continue(number, trial.incarnation, trial.saving))
        return found

    def _react(self, event: e.Event, orders: list[c.Command]) -> None:
        self._now = getattr(event, "at", 0.0) or self._now
        match event:
            case e.Suggested(resources=Resources() as request):
                try:
                    self._places.pool.check(request)
                except ResourceError as error:
                    self._decide(e.Judged(event.trial, "fail", str(error), by="run"), orders)
            case e.StopRequested():
                self._end_trials(event, orders)
            case e.Tick():
                if self._deadline is not None and event.at >= self._deadline:
                    self._deadline = None
                    reason = f"the time budget of {self.limits.time_budget_s:g} s is used up"
                    self._stop_all(e.StopRequested(reason, event.at), orders)
            case e.Started() | e.Created() | e.Redefined() | e.Reopened() | e.Refitted():
                return  # a session follows the last three, and starts what can start
            case _:
                pass
        self._review(orders)
        self._advance(orders)

    # -- the run as a whole

    def _stop_all(self, request: e.StopRequested, orders: list[c.Command]) -> None:
        if self.experiment.stop is None:
            self._decide(request, orders)
            self._end_trials(request, orders)
            self._advance(orders)

    def _end_trials(self, request: e.StopRequested, orders: list[c.Command]) -> None:
        running = (Status.STARTING, Status.RUNNING)
        for number in sorted(self._places.granted):
            status = self.experiment.trials[number].status
            if request.resumable and status in running:
                self._decide(e.Judged(number, "pause", request.reason, by="run"), orders)
            elif request.resumable and status is Status.PAUSING:
                orders.append(self._pause_soon(self.experiment.trials[number]))
            elif not request.resumable and status in (*running, Status.PAUSING):
                self._decide(e.Judged(number, "stop", request.reason, by="run", enough=True), orders)

    def _advance(self, orders: list[c.Command]) -> None:
        """Start what can start, ask for what is wanted, and notice the end."""
        places = self._places
        if self.limits.fail_fast and self._broken is not None and self.experiment.stop is None:
            reason = f"trial {self._broken.number} failed, and fail_fast=True ends the run with the first one"
            self._stop_all(e.StopRequested(reason, self._now, resumable=True), orders)
            return
        if self.experiment.stop is None:
            while self._place_one(orders):
                pass
            order = self._supply.order(self._scheduler.sees_all)
            if order is not None:
                orders.append(order)
            idle = not places.granted and not places.resting and places.paused.keys() >= places.parked.keys()
            if idle and self._supply.is_complete():
                self._end_stalled(orders)
        if places.granted or places.parked:
            return
        if self.experiment.stop is not None or (self._supply.is_complete() and not places.anybody_waits):
            orders.append(c.Finish())

    def _end_stalled(self, orders: list[c.Command]) -> None:
        """End the trials that wait when nothing runs that they could wait for, and no more will come."""
        name = type(self._scheduler).__name__
        for number in self._places.waiting():
            reason = f"nothing else runs, and the {name} does not let it go on"
            self._decide(e.Judged(number, "stop", reason, by="run"), orders)

    def _place_one(self, orders: list[c.Command]) -> bool:
        places, limit = self._places, self.limits.max_concurrent
        if (limit is not None and len(places.granted) >= limit) or not places.anybody_waits:
            return False
        if self._uniform and not places.pool.room(self._request):
            return False  # the usual case: no need to ask about each trial
        number = self._confirmation()
        if number is None:
            number = self._scheduler.choose(self._view)
        if number is None or number in places.resting:
            return False
        trial = self.experiment.trials[number]
        allocation = places.grant(number, trial.resources or self._request)
        if allocation is None:
            return False
        placed = e.Placed(number, trial.incarnation + 1, allocation, trial.checkpoint, trial.parked)
        self._decide(placed, orders)
        return True

    def _confirmation(self) -> int | None:
        """Return a confirmation that waits and fits: they are no business of the scheduler's."""
        if not self._confirms:
            return None
        trials, places = self.experiment.trials, self._places
        waiting = (number for number in (*places.pending, *places.paused) if trials[number].confirms is not None)
        return next((number for number in waiting if self._view.fits(number)), None)
