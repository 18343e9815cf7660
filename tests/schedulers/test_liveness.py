"""No scheduler ever stalls: each plays on the real controller against workers that are out to make it wait for ever."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf, nan
from random import Random
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.core.controller import Controller
from tunesmith.core.invariants import violations
from tunesmith.core.limits import Limits
from tunesmith.objective import Objective, parse_objective
from tunesmith.resources import Resources
from tunesmith.retrying import FailurePolicy
from tunesmith.schedulers.asha import ASHAScheduler
from tunesmith.schedulers.fifo import FIFOScheduler
from tunesmith.schedulers.hyperband import HyperBandScheduler
from tunesmith.schedulers.median import MedianStoppingRule
from tunesmith.schedulers.pasha import PASHAScheduler
from tunesmith.schedulers.pbt import PopulationBasedTraining
from tunesmith.schedulers.protocol import Scheduler
from tunesmith.schedulers.rules import RULES_2019, RULES_TODAY
from tunesmith.streams import stream
from tunesmith.trial import CheckpointRef, Failure

LOSS = Objective("loss", "min")
Make: TypeAlias = Callable[[], Scheduler]

# -- the schedulers, with all that may be set

MAX_T = st.sampled_from([1, 2, 3, 9, 10, 20, 27])
FACTOR = st.sampled_from([1.5, 2, 3, 4])
RULES = st.sampled_from([RULES_TODAY, RULES_2019])


@st.composite
def asha(draw: st.DrawFn, variant: str) -> Make:
    max_t = draw(MAX_T)
    options = {
        "max_t": max_t,
        "grace_period": draw(st.integers(1, max_t)),
        "reduction_factor": draw(FACTOR),
        "stop_last_trials": draw(st.booleans()),
        "rules": draw(RULES),
    }
    if variant == "pasha":
        return partial(PASHAScheduler, **options)
    rungs = len(ASHAScheduler(**options).milestones)
    return partial(ASHAScheduler, brackets=draw(st.integers(1, rungs)), variant=variant, **options)


SCHEDULERS: dict[str, st.SearchStrategy[Make]] = {
    "fifo": st.just(FIFOScheduler),
    "hyperband": st.builds(
        partial, st.just(HyperBandScheduler), max_t=MAX_T, reduction_factor=FACTOR, stop_last_trials=st.booleans()
    ),
    "hyperband of 2019": st.builds(
        partial,
        st.just(HyperBandScheduler),
        max_t=MAX_T,
        reduction_factor=st.sampled_from([2, 3, 4]),
        stop_last_trials=st.booleans(),
        rules=st.just(RULES_2019),
    ),
    "asha, stopping": asha("stopping"),
    "asha, promotion": asha("promotion"),
    "pasha": asha("pasha"),
    "median": st.builds(
        partial,
        st.just(MedianStoppingRule),
        time_attr=st.just("training_iteration"),
        grace_period=st.integers(0, 5),
        min_samples_required=st.integers(1, 4),
        min_time_slice=st.integers(0, 3),
        hard_stop=st.booleans(),
        rules=RULES,
    ),
    "pbt": st.builds(
        partial,
        st.just(PopulationBasedTraining),
        time_attr=st.just("training_iteration"),
        perturbation_interval=st.integers(1, 5),
        burn_in_period=st.sampled_from([0, 4]),
        hyperparam_mutations=st.just({"lr": [0.1, 1.1, 2.1]}),
        quantile_fraction=st.sampled_from([0, 0.25, 0.5]),
        resample_probability=st.sampled_from([0, 0.25, 1]),
        synch=st.booleans(),
        rules=RULES,
    ),
}


# -- the world


class Plan(msgspec.Struct, frozen=True):
    """What a world is like. `mishaps` may happen, then all goes well; `length` is where a trial ends by itself."""

    seed: int
    trials: int
    slots: int
    length: int
    mishaps: int
    counted: bool  # the number of trials is a limit of the run rather than the searcher's own end
    eager: bool
    max_failures: int
    pause_s: float  # before a trial is tried again
    max_concurrent: int | None
    keeps: str  # what becomes of a paused trial's state: "memory", "disk", "any"
    jumps: bool
    at_once: int | None  # how many trials the searcher has under way at most
    twin_at: int  # after how many events a twin is made from the record, which has to decide the same from then on


PLANS = st.builds(
    Plan,
    seed=st.integers(0, 10**6),
    trials=st.integers(1, 24),
    slots=st.integers(1, 5),
    length=st.sampled_from([1, 3, 9, 10, 30]),
    mishaps=st.sampled_from([0, 0, 3, 25]),
    counted=st.booleans(),
    eager=st.booleans(),
    max_failures=st.sampled_from([0, 1, -1]),
    pause_s=st.sampled_from([0.0, 7.0]),
    max_concurrent=st.sampled_from([None, None, 1, 3]),
    keeps=st.sampled_from(["memory", "disk", "any"]),
    jumps=st.booleans(),
    at_once=st.sampled_from([None, None, 1, 3]),
    twin_at=st.integers(0, 200),
)


class Worker:
    """One incarnation of a trial's worker."""

    def __init__(self, order: c.Start, parked: Worker | None) -> None:
        self.trial, self.incarnation = order.trial, order.incarnation
        self.iteration = order.iteration
        self.lacks_memory = order.parked and parked is None
        self.found = None if order.parked else order.checkpoint
        self.begun = self.waits = self.parked = self.saves = False
        self.order: c.WorkerCommand | None = None

    def obey(self, order: c.WorkerCommand) -> None:
        if isinstance(order, c.Continue):
            self.waits, self.saves = False, order.save
        elif not isinstance(self.order, c.Stop):
            self.waits, self.order = False, order

    @property
    def can_act(self) -> bool:
        return self.order is not None if self.parked else not self.waits


class World:
    """Workers, the searcher and the driver."""

    def __init__(self, plan: Plan, make: Make, objective: Objective = LOSS) -> None:
        self.objective = objective
        self.plan, self.make, self.rng = plan, make, Random(plan.seed)
        self.controller, self.twin = self.make_controller(), None
        self.workers: dict[tuple[int, int], Worker] = {}
        self.log: list[e.Event] = []
        self.finished = False
        self.ends = 0  # of how many the searcher was told
        self.mishaps = plan.mishaps
        self.sessions = 0
        self.now = 1.0
        self.alarms: list[float] = []

    def make_controller(self) -> Controller:
        scheduler, objective = self.make(), self.objective
        scheduler.setup(objective, self.plan.seed)
        limits = Limits(
            max_trials=self.plan.trials if self.plan.counted else None,
            max_concurrent=self.plan.max_concurrent,
        )
        return Controller(
            objective=objective, scheduler=scheduler, limits=limits, eager=self.plan.eager,
            configure=lambda values, overrides: {**values, **overrides},
        )  # fmt: skip

    # -- the driver

    def open_session(self) -> None:
        self.workers.clear()
        self.sessions += 1
        self.finished = False
        self.alarms.clear()
        policy = FailurePolicy(self.plan.max_failures, None, self.plan.pause_s)
        self.deliver(e.SessionOpened(self.sessions, 1, "host", self.now, Resources(cpu=self.plan.slots), policy))

    def deliver(self, event: e.Event) -> None:
        queue = deque([event])
        while queue:
            event = queue.popleft()
            if not self.controller.experiment.is_stale(event):
                queue += self.step(event)
        if self.twin is None and len(self.log) >= self.plan.twin_at:
            self.twin = self.replayed()

    def step(self, event: e.Event) -> list[e.Event]:
        """Let the controller, and its twin if it has one, answer an event; return what follows at once."""
        orders = self.controller.step(event)
        if self.twin is not None:
            assert self.twin.step(event) == orders
        assert violations(self.controller) == []
        self.log.append(event)
        made: list[e.Event] = []
        for order in orders:
            if isinstance(order, c.Record):
                self.check(order.event)
                self.log.append(order.event)
            elif isinstance(order, c.Ask):
                made += self.suggest(order)
            else:
                self.obey(order)
        return made

    def check(self, decision: e.Event) -> None:
        if isinstance(decision, (e.Judged, e.Cloned, e.Changed)):
            assert decision.reason, f"a decision without a reason: {decision}"
            assert "does not let it go on" not in decision.reason, decision

    def replayed(self) -> Controller:
        twin = self.make_controller()
        self.ends = 0
        for event in self.log:
            self.ends += sum(isinstance(order, c.Tell) and order.final for order in twin.replay(event))
        return twin

    def suggest(self, order: c.Ask) -> list[e.Event]:
        trials = self.controller.experiment.trials
        room = inf if self.plan.at_once is None else self.plan.at_once - sum(not t.status.is_final for t in trials)
        numbers = range(order.first, min(order.first + int(min(order.count, room)), self.plan.trials))
        made: list[e.Event] = [e.Suggested(i, f"id{i}", f"t{i}", f"f{i}", {"lr": 0.1 + i}) for i in numbers]
        if len(made) < order.count and room < order.count and order.first + len(made) < self.plan.trials:
            return [*made, e.Deferred(self.ends)]
        return made if len(made) == order.count else [*made, e.Exhausted("that was all")]

    def obey(self, order: c.Command) -> None:
        if isinstance(order, c.Start):
            parked = self.workers.pop((order.trial, order.incarnation - 1), None) if order.parked else None
            self.workers[order.trial, order.incarnation] = Worker(order, parked)
        elif isinstance(order, c.Finish):
            self.finished = True
        elif isinstance(order, c.Tell):
            self.ends += order.final
        elif isinstance(order, c.WakeAt):
            self.alarms.append(order.at)
        elif isinstance(order, c.WorkerCommand) and (order.trial, order.incarnation) in self.workers:
            self.workers[order.trial, order.incarnation].obey(order)

    # -- the workers

    def play(self) -> None:
        self.open_session()
        for _ in range(50 * self.plan.trials * (self.plan.length + 30)):
            stopped = self.controller.experiment.stop is not None
            if self.finished and not stopped:
                return
            if self.finished:  # the user has left, and comes back
                self.deliver(e.SessionClosed(0.0, finished=False))
                self.open_session()
            elif not self.mishap():
                able = [worker for worker in self.workers.values() if worker.can_act]
                if self.time_passes(idle=not able):
                    continue
                assert able, f"nothing runs and nothing ends: {self.controller.experiment.counts}"
                self.deliver(self.act(self.rng.choice(able)))
        raise AssertionError(f"it never ends: {self.controller.experiment.counts}")

    def time_passes(self, *, idle: bool) -> bool:
        """Let a second pass, or all until something is due when nobody can act; return whether anything was."""
        self.now = max(self.now, min(self.alarms)) if idle and self.alarms else self.now + 1
        due = [at for at in self.alarms if at <= self.now]
        if due:
            self.alarms = [at for at in self.alarms if at > self.now]
            self.deliver(e.Tick(self.now))
        return bool(due)

    def unlucky(self, chance: float) -> bool:
        found = self.mishaps > 0 and self.rng.random() < chance
        self.mishaps -= found
        return found

    def mishap(self) -> bool:
        """Let the driver crash, the user interrupt the run, or a worker be killed, running or parked, now and then."""
        if not self.workers or not self.unlucky(0.1):
            return False
        kind = self.rng.choice(["crash", "interrupt", "kill", "kill"])
        if kind == "crash":
            self.crash()
        elif kind == "interrupt":
            self.deliver(e.StopRequested("Ctrl-C", 0.0, resumable=True))
        else:
            key = self.rng.choice(list(self.workers))
            worker = self.workers.pop(key)
            kind = "parked" if worker.parked else self.rng.choice(["killed", "lost"])
            self.deliver(e.Lost(*key, Failure(kind, "it is gone"), self.now))
        return True

    def crash(self) -> None:
        """Lose the driver at any moment, between a report and what was decided about it, too, and resume."""
        del self.log[max(1, len(self.log) - self.rng.randint(0, 4)) :]
        self.controller, self.twin = self.replayed(), None
        self.open_session()

    def act(self, worker: Worker) -> e.Event:
        key = worker.trial, worker.incarnation
        if worker.lacks_memory:
            return self.leave(worker, e.Lost(*key, Failure("parked", "its worker is gone")))
        if not worker.begun:
            worker.begun = True
            return e.Started(*key, 1, "host", "ip")
        found, worker.found = worker.found, None
        if found is not None and self.unlucky(0.3):
            return self.leave(worker, e.Damaged(*key, found, "it is torn"))
        if worker.order is not None:
            return self.end(worker, worker.order)
        if worker.saves:
            worker.saves = False
            return e.Saved(*key, self.checkpoint(worker))
        if worker.iteration >= self.plan.length:
            return self.leave(worker, e.Completed(*key))
        if self.unlucky(0.05):
            return self.leave(worker, e.Failed(*key, Failure("error", "boom"), self.now))
        return self.report(worker)

    def leave(self, worker: Worker, word: e.Event) -> e.Event:
        self.workers.pop((worker.trial, worker.incarnation), None)
        return word

    def checkpoint(self, worker: Worker) -> CheckpointRef:
        return CheckpointRef(f"f{worker.trial}/{worker.iteration}-{worker.incarnation}", worker.iteration)

    def end(self, worker: Worker, order: c.WorkerCommand) -> e.Event:
        """Obey a stop, a pause or a release. Without a checkpoint what is not in memory is lost, which is a mishap."""
        key = worker.trial, worker.incarnation
        if isinstance(order, c.Stop):
            return self.leave(worker, e.Stopped(*key))
        keep = getattr(order, "keep", "save")
        parks = self.plan.keeps == "memory" or (self.plan.keeps == "any" and self.rng.random() < 0.5)
        if isinstance(order, c.Pause) and keep == "park" and parks:
            worker.parked, worker.order = True, None
            return e.Paused(*key, parked=True)
        saved = None if keep == "drop" or self.unlucky(0.5) else self.checkpoint(worker)
        return self.leave(worker, (e.Released if worker.parked else e.Paused)(*key, saved))

    def report(self, worker: Worker) -> e.Event:
        worker.iteration += self.rng.choice([1, 1, 1, 2, 7]) if self.plan.jumps else 1
        worker.waits = True
        n, draw = worker.iteration, stream(self.plan.seed, "value", worker.trial, worker.iteration)
        loss = draw.choice([nan, inf, -inf, 0.0, 1.0, 1.0, draw.random(), draw.random() + worker.trial])
        saved = self.checkpoint(worker) if self.rng.random() < 0.1 else None
        metrics = {"loss": loss, "size": draw.choice([1.0, 2.0, draw.random()]), "mb": draw.random()}
        return e.Reported(worker.trial, worker.incarnation, n, metrics, 0.0, 1.0, float(n), float(n), n, saved)


def state(controller: Controller) -> list[Any]:
    trials = [
        (t.status, t.iteration, t.incarnation, t.checkpoint, t.failures, t.reason, t.name, t.overrides)
        for t in controller.experiment.trials
    ]
    return [*trials, controller.describe()]


@pytest.mark.parametrize("name", SCHEDULERS)
@given(plan=PLANS, data=st.data())
def test_every_trial_ends_and_a_replay_decides_as_the_run_did(name: str, plan: Plan, data: st.DataObject) -> None:
    world = World(plan, data.draw(SCHEDULERS[name]))
    world.play()
    assert len(world.controller.experiment.trials) == plan.trials
    assert all(trial.status.is_final for trial in world.controller.experiment.trials)
    assert state(world.replayed()) == state(world.controller)


@pytest.mark.parametrize("name", ["asha, stopping", "asha, promotion", "hyperband", "median"])
@given(plan=PLANS, data=st.data())
def test_so_it_is_when_trials_are_compared_by_several_metrics(name: str, plan: Plan, data: st.DataObject) -> None:
    objective = parse_objective(["loss", "size"], ["min", "max"], {"mb": "<= 0.8"} if plan.seed % 2 else None)
    world = World(plan, data.draw(SCHEDULERS[name]), objective)
    world.play()
    assert all(trial.status.is_final for trial in world.controller.experiment.trials)
    assert state(world.replayed()) == state(world.controller)
