"""Hypothesis plays an adversarial world: late and double messages, crashes, stops that cross completions, restarts."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.core.controller import Controller
from tunesmith.core.invariants import violations
from tunesmith.core.limits import Limits
from tunesmith.core.retention import Keep
from tunesmith.objective import Objective
from tunesmith.resources import Resources
from tunesmith.retrying import FailurePolicy
from tunesmith.schedulers.fifo import FIFOScheduler
from tunesmith.schedulers.protocol import CONTINUE, Change, Decision, Exploit, View
from tunesmith.stoppers.rules import make_stopper
from tunesmith.streams import stream
from tunesmith.trial import CheckpointRef, Failure, Status

FAILURES = [*[Failure("error", "boom")] * 4, Failure("lost", "gone"), Failure("preempted", "SIGTERM")]


class Moody(FIFOScheduler):
    """Does all that a scheduler may do, as a function of its seed, the trial and the iteration."""

    def setup(self, objective: Objective | None, seed: int) -> None:
        self.seed = seed

    def judge(self, report: e.Reported, view: View) -> Decision:
        draw = stream(self.seed, "mood", report.trial, report.iteration, report.incarnation).random()
        for share, action in ((0.05, "stop"), (0.2, "pause"), (0.25, "save"), (0.35, "hold")):
            if draw < share:
                return Decision(action, "mood")
        return self._rarely(draw, len(view.trials))

    def _rarely(self, draw: float, trials: int) -> Decision:
        if draw < 0.45:
            donor = int(draw * 1000) % trials
            return Exploit(reason="mood", donor=donor, overrides={"x": draw}, suffix="@perturbed[]")
        if draw < 0.5:
            return Change(reason="mood", resources=Resources(cpu=1 + int(draw * 1000) % 3))
        return CONTINUE

    def review(self, view: View) -> list[tuple[int, Decision]]:
        """Decide about a trial that is held as soon as anything happens, and now and then about a paused one."""
        held = [(n, CONTINUE) for n in view.running if view.trials[n].held]
        parked = [n for n in view.paused if stream(self.seed, "tired", n, len(view.running)).random() < 0.1]
        return [*held, *((n, Decision("stop", "tired of waiting")) for n in parked)]


class World:
    """Workers that do what hypothesis tells them, as soon as they may or much later."""

    def __init__(self, rng: Random, controller: Controller, trials: int) -> None:
        self.rng, self.controller, self.trials = rng, controller, trials
        self.workers: dict[tuple[int, int], dict[str, Any]] = {}
        self.log: list[e.Event] = []
        self.orders: list[c.Command] = []
        self.sent: list[e.Event] = []
        self.finished = False
        self.now = 1.0
        self.alarms: set[float] = set()
        self.discarded: set[str] = set()
        self.damaged: set[str] = set()

    def deliver(self, event: e.Event) -> None:
        """What the driver does, without a disk."""
        queue = [event]
        while queue:
            event = queue.pop(0)
            if self.controller.experiment.is_stale(event):
                continue
            orders = self.controller.step(event)
            assert violations(self.controller) == []
            self.log.append(event)
            self.discarded |= {order.checkpoint.path for order in orders if isinstance(order, c.Discard)}
            for trial in self.controller.experiment.trials:
                assert trial.status.is_final or not self.discarded & set(trial.needs())
            for order in orders:
                if isinstance(order, c.Record):
                    self.log.append(order.event)
                elif isinstance(order, c.Ask):
                    queue += self.suggest(order)
                else:
                    self.obey(order)

    def reopen(self) -> None:
        """What a user may wish for between two sessions: some of the trials that have ended are to go on."""
        for trial in self.controller.experiment.trials:
            if trial.status.is_final and self.rng.random() < 0.5:
                self.deliver(e.Reopened(trial.number, "wish", self.rng.choice([None, trial.checkpoint])))

    def suggest(self, order: c.Ask) -> list[e.Event]:
        made = [
            e.Suggested(i, f"id{i}", f"t{i}", f"f{i}", {}, Resources(cpu=1 + i % 2))
            for i in range(order.first, min(order.first + order.count, self.trials))
        ]
        return made if len(made) == order.count else [*made, e.Exhausted("all")]

    def obey(self, order: c.Command) -> None:
        self.orders.append(order)
        if isinstance(order, c.Start):
            worker = self.workers.pop((order.trial, order.incarnation - 1), None) if order.parked else None
            gone = order.parked and (worker is None or worker["order"] is not None)
            self.workers[order.trial, order.incarnation] = {
                "iteration": worker["iteration"] if worker else order.iteration, "at": 0, "waits": False,
                "order": None, "begun": False, "saves": False, "parks": False, "parked": False, "gone": gone,
                "from": None if order.parked else order.checkpoint,
            }  # fmt: skip
        elif isinstance(order, c.Finish):
            self.finished = True
        elif isinstance(order, c.WakeAt):
            self.alarms.add(order.at)
        elif isinstance(order, c.WorkerCommand):
            worker = self.workers.get((order.trial, order.incarnation))
            if worker is not None:
                self.tell(worker, order)

    def tell(self, worker: dict[str, Any], order: c.WorkerCommand) -> None:
        if isinstance(order, c.Kill):
            worker["killed"] = order.failure
        elif isinstance(order, c.Continue):
            worker["waits"], worker["saves"] = False, order.save
        elif isinstance(order, c.Pause) and order.keep == "park" and worker["waits"] and self.rng.random() < 0.7:
            worker["parks"] = True
        else:
            worker["waits"], worker["order"] = False, type(order)
            worker["dropped"] = isinstance(order, c.Pause) and order.keep == "drop"

    def act(self, key: tuple[int, int]) -> e.Event:
        """Let one worker do its next thing."""
        worker = self.workers[key]
        self.now += self.rng.choice([0.0, 1.0, 10.0])
        if "killed" in worker:
            del self.workers[key]
            return e.Lost(*key, worker["killed"], at=self.now)
        event = self.begin_or_leave(key, worker) or self.work(key, worker)
        if isinstance(event, (e.Started, e.Completed, e.Stopped, e.Paused, e.Released, e.Failed, e.Lost)):
            event = msgspec.structs.replace(event, at=self.now)
        return event

    def let_time_pass(self, *, idle: bool) -> None:
        """Send the Tick that is due, or, when nothing else will happen, the next one there will be."""
        if self.alarms and idle:
            self.now = max(self.now, min(self.alarms))
        if any(at <= self.now for at in self.alarms):
            self.alarms = {at for at in self.alarms if at > self.now}
            self.deliver(e.Tick(self.now))

    def begin_or_leave(self, key: tuple[int, int], worker: dict[str, Any]) -> e.Event | None:
        """Start, be parked, leave a parking place, or save on demand, when it is time for that."""
        trial, incarnation = key
        if worker["gone"]:
            del self.workers[key]
            return e.Lost(trial, incarnation, Failure("parked", "gone"))
        if not worker["begun"]:
            worker["begun"] = True
            return e.Started(trial, incarnation, 1, "h", "ip")
        found = worker.pop("from", None)
        if found is not None and self.finds_damaged(found):
            del self.workers[key]
            return e.Damaged(trial, incarnation, found, "It is torn.")
        if worker["parks"]:
            worker["parks"], worker["parked"] = False, True
            return e.Paused(trial, incarnation, parked=True)
        if worker["parked"]:
            del self.workers[key]
            saved = CheckpointRef(f"f{trial}/r{worker['iteration']}-{incarnation}", worker["iteration"], size=3)
            if worker["order"] is c.Stop:
                return e.Stopped(trial, incarnation)
            if worker["order"] is c.Release or self.rng.random() < 0.5:
                return e.Released(trial, incarnation, saved if self.rng.random() < 0.5 else None)
            return e.Lost(trial, incarnation, Failure("parked", "killed"))
        if worker["saves"]:
            worker["saves"] = False
            if self.rng.random() < 0.7:
                n = worker["iteration"]
                return e.Saved(trial, incarnation, CheckpointRef(f"f{trial}/s{n}-{incarnation}", n, size=3))
        return None

    def finds_damaged(self, checkpoint: CheckpointRef) -> bool:
        """Whether a worker that has begun finds the checkpoint damaged that it is to go on from."""
        assert checkpoint.path not in self.discarded
        if checkpoint.path in self.damaged or self.rng.random() < 0.2:
            self.damaged.add(checkpoint.path)
            return True
        return False

    def work(self, key: tuple[int, int], worker: dict[str, Any]) -> e.Event:
        trial, incarnation = key
        deed = self.rng.choice(["report"] * 6 + ["save", "complete", "fail", "lose"])
        if deed == "lose" or worker["waits"]:
            del self.workers[key]
            return e.Lost(trial, incarnation, self.rng.choice(FAILURES))
        checkpoint = CheckpointRef(f"f{trial}/p{worker['iteration']}-{incarnation}", worker["iteration"], size=3)
        if worker["order"] is not None and deed != "report":
            del self.workers[key]
            if worker["order"] is c.Stop:
                return e.Stopped(trial, incarnation)
            kept = checkpoint if worker["iteration"] and not worker["dropped"] else None
            return e.Paused(trial, incarnation, kept)
        if deed == "fail":
            del self.workers[key]
            return e.Failed(trial, incarnation, self.rng.choice(FAILURES))
        if deed == "complete" or worker["at"] > 12:
            del self.workers[key]
            return e.Completed(trial, incarnation)
        worker["iteration"] += 1
        worker["at"] += 1
        worker["waits"] = worker["order"] is None
        n = worker["iteration"]
        saved = CheckpointRef(f"f{trial}/{n}-{incarnation}", n, size=3) if deed == "save" else None
        loss = self.rng.choice([0.5, float("nan"), float("inf"), 3])
        return e.Reported(trial, incarnation, n, {"loss": loss}, 0.0, 1.0, n, n, n, saved)


def make(seed: int, limits: Limits) -> Controller:
    scheduler = Moody()
    scheduler.setup(None, seed)
    return Controller(
        objective=Objective("loss", "min"), scheduler=scheduler, stopper=make_stopper({"training_iteration": 10}),
        configure=lambda values, overrides: {**values, **overrides}, limits=limits,
    )  # fmt: skip


@settings(max_examples=300)
@given(
    seed=st.integers(0, 10**9),
    trials=st.integers(1, 6),
    counted=st.booleans(),
    max_concurrent=st.sampled_from([None, 1, 2]),
    max_failures=st.sampled_from([0, 2]),
    keep=st.builds(
        Keep,
        st.sampled_from([None, 1, 2]),
        st.sampled_from([None, 1]),
        st.just(Objective("loss", "min")),
        st.sampled_from([None, 5, 25]),
    ),
    pause_s=st.sampled_from([0.0, 20.0]),
    limit_s=st.sampled_from([None, 100.0]),
)
def test_every_trial_ends_and_a_replay_gives_the_same_state_and_the_same_orders(  # noqa: C901 - a world
    seed: int, trials: int, counted: bool, max_concurrent: int | None, max_failures: int, keep: Keep,
    pause_s: float, limit_s: float | None,
) -> None:  # fmt: skip
    rng = Random(seed)
    limits = Limits(
        max_trials=trials if counted else None, max_concurrent=max_concurrent, keep_checkpoints=keep,
        trial_timeout_s=limit_s, heartbeat_timeout_s=limit_s and limit_s / 4,
    )  # fmt: skip
    controller = make(seed, limits)
    world = World(rng, controller, trials)
    policy = FailurePolicy(max_failures, None, pause_s)
    world.deliver(e.SessionOpened(1, 1, "h", 0.0, Resources(cpu=3), policy))
    for _ in range(3000):
        if world.finished and controller.experiment.stop is not None:  # the user has left, and comes back
            world.deliver(e.SessionClosed(0.0, finished=False))
            world.finished = False
            if rng.random() < 0.3:
                world.reopen()
            world.deliver(e.SessionOpened(3, 1, "h", world.now, Resources(cpu=3)))
        if not world.finished:
            world.let_time_pass(idle=not world.workers)
        if world.finished:
            break
        if not world.workers and world.alarms:
            continue
        assert world.workers, f"nothing runs and nothing ends: {controller.experiment.counts}"
        keys = sorted(world.workers)
        fate = rng.randint(0, 60)
        if fate == 0:
            world.workers.clear()
            world.deliver(e.SessionOpened(2, 1, "h", world.now, Resources(cpu=3)))
            continue
        if fate == 1:
            world.deliver(e.StopRequested("Ctrl-C", 0.0, resumable=True))
            continue
        event = world.act(keys[fate % len(keys)])
        world.sent.append(event)
        world.deliver(event)
        if fate % 5 == 0:  # a double or very late delivery
            world.deliver(world.sent[fate % len(world.sent)])
    assert world.finished
    assert all(t.status.is_final for t in controller.experiment.trials)
    assert len(controller.experiment.trials) == trials

    twin = make(seed, limits)
    replayed = [order for event in world.log for order in twin.replay(event)]
    for one, other in zip(controller.experiment.trials, twin.experiment.trials, strict=True):
        assert (one.status, one.iteration, one.incarnation, one.checkpoint, one.failures, one.reason, one.retry_at) == (
            other.status, other.iteration, other.incarnation, other.checkpoint, other.failures, other.reason,
            other.retry_at,
        )  # fmt: skip
        assert (one.needs(), one.earlier, one.name, one.overrides) == (
            other.needs(), other.earlier, other.name, other.overrides
        )  # fmt: skip
    kinds = (c.Start, c.Discard)
    assert [o for o in replayed if isinstance(o, kinds)] == [o for o in world.orders if isinstance(o, kinds)]
    assert violations(twin) == []
    assert twin._retention.review() == controller._retention.review() == []


def test_nothing_but_its_user_s_wish_moves_a_trial_that_has_ended() -> None:
    from tunesmith.core.moves import MOVES

    for event, rows in MOVES.items():
        if event is not e.Reopened:
            assert not {Status.TERMINATED, Status.ERROR} & set(rows)
