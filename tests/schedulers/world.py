"""A world for schedulers without an engine: the fold of the core, and turns that the test decides.

It is the world of ``traces.json``: while a slot is free the scheduler chooses a trial to start or to resume; then each
running trial, in the order of numbers, reports once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import tanh
from typing import Any

from tunesmith import events as e
from tunesmith.core.experiment import Experiment, TrialRecord
from tunesmith.objective import Objective
from tunesmith.resources import Allocation, Resources
from tunesmith.retrying import FailurePolicy
from tunesmith.schedulers.protocol import Change, Decision, Exploit, Scheduler
from tunesmith.trial import CheckpointRef, Failure, Status

Metrics = dict[str, Any]


class World:
    """Trials `metrics(trial, iteration)` on `slots` workers. It is the scheduler's view, too.

    `stop_at` ends a trial after so many iterations; `errors` are (trial, iteration) at which one fails instead of
    reporting, for good when `max_failures` is 0. What was decided is in `log`, as (trial, iteration, decision).
    """

    def __init__(
        self,
        scheduler: Scheduler,
        trials: int,
        slots: int,
        metrics: Callable[[int, int], Metrics],
        *,
        stop_at: float = float("inf"),
        errors: Sequence[Sequence[int]] = (),
        max_failures: int = 0,
        objective: Objective | None = None,
        seed: int = 0,
        complete: bool = True,
        saves: bool = True,
    ) -> None:
        self.scheduler, self.slots, self.metrics, self.stop_at = scheduler, slots, metrics, stop_at
        self.errors = {(int(trial), int(iteration)) for trial, iteration in errors}
        self.complete, self.saves = complete, saves
        self.experiment = Experiment(FailurePolicy(max_failures))
        self.pending: list[int] = []
        self.paused: dict[int, None] = {}
        self.running: dict[int, None] = {}
        self.total, self.request = Resources(cpu=slots), Resources()
        self.log: list[tuple[Any, ...]] = []
        self.reasons: list[str] = []
        self.events: list[e.Event] = []
        scheduler.setup(objective, seed)
        self.emit(e.SessionOpened(1, 1, "host", 0.0, self.total))
        for trial in range(trials):
            self.suggest(trial)

    # -- the view

    @property
    def trials(self) -> list[TrialRecord]:
        return self.experiment.trials

    def fits(self, trial: int) -> bool:
        return len(self.running) < self.slots

    def config(self, trial: int) -> dict[str, Any]:
        record = self.trials[trial]
        return {**record.values, **record.overrides}

    # -- what happens

    def suggest(self, trial: int, **values: Any) -> None:
        self.emit(e.Suggested(trial, f"id{trial}", f"trial_{trial}", f"folder{trial}", values))

    def emit(self, event: e.Event) -> None:
        self.experiment.apply(event)
        self.events.append(event)
        record = self.trials[event.trial] if isinstance(event, e.TrialEvent) else None
        self.scheduler.apply(event, record)
        if record is None:
            return
        places = {Status.PENDING: self.pending, Status.PAUSED: self.paused}
        number, place = record.number, places.get(record.status)
        if number in self.pending and place is not self.pending:
            self.pending.remove(number)
        if place is self.pending and number not in self.pending:
            self.pending.append(number)
        self.paused.pop(number, None) if place is not self.paused else self.paused.setdefault(number)
        self.running.setdefault(number) if record.status.is_live else self.running.pop(number, None)

    def place(self) -> None:
        """Start whatever the scheduler wants to start."""
        while len(self.running) < self.slots and (self.pending or self.paused):
            number = self.scheduler.choose(self)
            if number is None:
                return
            record = self.trials[number]
            placed = e.Placed(number, record.incarnation + 1, Allocation(Resources()), record.checkpoint, record.parked)
            self.emit(placed)
            self.emit(e.Started(number, record.incarnation, 1, "host", "ip"))

    def report(self, number: int, *, skip: int = 1) -> None:
        """Let a running trial report, `skip` iterations on, and carry out what is decided."""
        record = self.trials[number]
        iteration = record.iteration + skip
        if (number, iteration) in self.errors:
            self.errors.discard((number, iteration))
            self.emit(e.Failed(number, record.incarnation, Failure("error", "boom")))
            self.log.append((number, iteration, "ERROR"))
        else:
            report = e.Reported(
                number, record.incarnation, iteration, self.metrics(number, iteration), 0.0, 1.0, float(iteration),
                float(iteration), iteration,
            )  # fmt: skip
            self.emit(report)
            if iteration >= self.stop_at:
                self.emit(e.Completed(number, record.incarnation))
                self.log.append((number, iteration, "COMPLETE"))
            else:
                self.carry_out(number, self.scheduler.judge(report, self), iteration)
        self.review()

    def review(self) -> None:
        while due := self.scheduler.review(self):
            for number, decision in due:
                self.carry_out(number, decision, None)

    def carry_out(self, number: int, decision: Decision, iteration: int | None) -> None:
        record = self.trials[number]
        checkpoint = CheckpointRef(f"folder{number}/{record.iteration}", record.iteration) if self.saves else None
        if decision.action != "continue":
            self.log.append((number, iteration, decision.action))
            self.reasons.append(decision.reason)
        if isinstance(decision, Exploit):
            donor = self.trials[decision.donor]
            assert donor.checkpoint is not None
            self.emit(
                e.Cloned(
                    number, donor.number, donor.checkpoint, donor.values, {**donor.overrides, **decision.overrides},
                    record.first_name + decision.suffix, decision.reason, iteration,
                )
            )  # fmt: skip
        elif isinstance(decision, Change):
            overrides = None if decision.overrides is None else {**record.overrides, **decision.overrides}
            self.emit(e.Changed(number, decision.reason, decision.resources, overrides, None, iteration))
        elif decision.action != "continue" or record.held:
            self.emit(e.Judged(number, decision.action, decision.reason, iteration))
        if record.status is Status.STOPPING:
            self.emit(e.Stopped(number, record.incarnation))
        elif record.status is Status.PAUSING:
            dropped = isinstance(decision, Exploit)
            self.emit(e.Paused(number, record.incarnation, None if dropped else checkpoint))
        elif record.saving and checkpoint is not None:
            self.emit(e.Saved(number, record.incarnation, checkpoint))

    def turn(self) -> bool:
        """Start what can start and let every running trial report once; False when nothing runs."""
        self.review()
        self.place()
        runs = sorted(self.running)
        for number in runs:
            if self.trials[number].status is Status.RUNNING and not self.trials[number].held:
                self.report(number)
        return bool(runs)

    def run(self, turns: int = 10_000) -> World:
        """Take turns until nothing runs any more."""
        for _ in range(turns):
            if not self.turn():
                break
        else:
            raise AssertionError(f"still running after {turns} turns: {self.experiment.counts}")
        return self


def traced_rewards(trials: int, seed: int) -> Callable[[int, int], Metrics]:
    """Those of the traces to the last digit: NumPy's own tanh rounds differently from the C library's of that time."""
    import numpy as np

    draw = np.random.RandomState(seed)
    width = 10 + (90 * draw.rand(trials)).astype(int)
    height = (100 * draw.rand(trials)).astype(int)
    return lambda trial, t: {
        "episode_reward_mean": tanh(t / width[trial]) * int(height[trial]),
        "time_total_s": t,
    }
