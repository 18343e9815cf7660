from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from math import ceil, inf, log, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.schedulers.world import World
from tunesmith import events as e
from tunesmith.core.experiment import Experiment
from tunesmith.errors import ArgumentError
from tunesmith.objective import Objective
from tunesmith.retrying import FailurePolicy
from tunesmith.schedulers.asha import ASHAScheduler, AsyncHyperBandScheduler
from tunesmith.schedulers.protocol import Scheduler
from tunesmith.schedulers.rules import RULES_2019
from tunesmith.schedulers.rungs import Ladders, Rung, milestones
from tunesmith.streams import stream
from tunesmith.trial import Failure, Status

LOSS = Objective("loss", "min")
SCORE = Objective("score", "max")


def started(scheduler: Scheduler, trials: int, objective: Objective = SCORE, **options: Any) -> World:
    """A world in which all trials run and report what the test says."""
    world = World(scheduler, trials, trials, lambda trial, t: {}, objective=objective, **options)
    world.place()
    return world


def say(world: World, trial: int, value: Any, *, skip: int = 1, **metrics: Any) -> str:
    """Let a trial report a value, and return what was decided."""
    decided = len(world.log)
    assert world.scheduler.objective is not None
    world.metrics = lambda *_: {world.scheduler.objective.metric: value, **metrics}
    world.report(trial, skip=skip)
    return world.log[decided][2] if len(world.log) > decided else "continue"


# -- a world that is out to make schedulers stall


class Hostile(World):
    """Reports jump, values tie and are no numbers, workers die at any time, and trials come late."""

    def __init__(self, scheduler: Scheduler, plan: dict[str, Any]) -> None:
        self.plan, self.seed = plan, plan["seed"]
        self.lost = self.turns = 0
        trials, late = plan["trials"], plan["late"]
        super().__init__(
            scheduler,
            trials - late,
            plan["slots"],
            self.values,
            stop_at=plan["stop_at"],
            errors=plan["errors"],
            max_failures=plan["max_failures"],
            objective=SCORE,
            seed=plan["seed"],
            complete=late == 0,
            saves=plan["saves"],
        )

    def values(self, trial: int, iteration: int) -> dict[str, Any]:
        draw = stream(self.seed, "value", trial, iteration)
        return {"score": draw.choice([nan, inf, -inf, 0.0, 1.0, 1.0, draw.random(), draw.random() + trial])}

    def emit(self, event: e.Event) -> None:
        if isinstance(event, e.Paused) and self.lost < self.plan["lost"] and self.odd("lost"):
            self.lost += 1
            event = e.Lost(event.trial, event.incarnation, Failure("killed", "it is gone"))
        super().emit(event)

    def odd(self, what: str) -> bool:
        return stream(self.seed, what, len(self.events), self.turns).random() < 0.3

    def restart(self) -> None:
        """Let every worker die."""
        self.emit(e.SessionOpened(2, 1, "host", 0.0, self.total))
        self.running.clear()
        self.pending = [trial.number for trial in self.trials if trial.status is Status.PENDING]
        self.paused = {trial.number: None for trial in self.trials if trial.status is Status.PAUSED}

    def replace(self, make: Callable[[], Scheduler]) -> None:
        """Go on with a scheduler that has only seen the record of the events."""
        self.scheduler = replayed(make, self.events, self.plan)

    def turn(self) -> bool:
        self.turns += 1
        self.review()
        if not self.complete:
            if len(self.trials) < self.plan["trials"] and self.odd("late"):
                self.suggest(len(self.trials))
            self.complete = len(self.trials) == self.plan["trials"]
            self.review()
        self.place()
        runs = sorted(self.running)
        for number in runs:
            if self.trials[number].status is Status.RUNNING:
                self.report(number, skip=stream(self.seed, "skip", len(self.events)).choice([1, 1, 1, 2, 7]))
        return bool(runs) or not self.complete

    def play(self, make: Callable[[], Scheduler], *, replace_at: int = -1) -> Hostile:
        for turn in range(5000):
            if turn == self.plan["restart_at"]:
                self.restart()
            if turn == replace_at:
                self.replace(make)
            if not self.turn() and turn > self.plan["restart_at"]:
                return self
        raise AssertionError(f"still running: {self.experiment.counts}")


def replayed(make: Callable[[], Scheduler], events: list[e.Event], plan: dict[str, Any]) -> Scheduler:
    scheduler, experiment = make(), Experiment(FailurePolicy(plan["max_failures"]))
    scheduler.setup(SCORE, plan["seed"])
    for event in events:
        experiment.apply(event)
        scheduler.apply(event, experiment.trials[event.trial] if isinstance(event, e.TrialEvent) else None)
    return scheduler


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    trials = draw(st.integers(1, 25))
    return {
        "seed": draw(st.integers(0, 10_000)),
        "trials": trials,
        "late": draw(st.integers(0, trials)),
        "slots": draw(st.integers(1, 6)),
        "stop_at": draw(st.sampled_from([inf, inf, 3, 9, 10])),
        "errors": draw(st.lists(st.tuples(st.integers(0, trials), st.integers(1, 12)), max_size=8)),
        "max_failures": draw(st.sampled_from([0, 1, -1])),
        "saves": draw(st.booleans()),
        "lost": draw(st.sampled_from([0, 0, 3, 20])),
        "restart_at": draw(st.integers(-1, 30)),
    }


@st.composite
def arguments(draw: st.DrawFn, *, brackets: bool = True) -> dict[str, Any]:
    max_t = draw(st.sampled_from([1, 2, 9, 10, 27, 30]))
    made = {
        "max_t": max_t,
        "grace_period": draw(st.integers(1, max_t)),
        "reduction_factor": draw(st.sampled_from([1.5, 2, 3, 4, 10])),
    }
    return {**made, "brackets": draw(st.integers(1, 5))} if brackets else made


def check_no_stall(make: Callable[[], Scheduler], plan: dict[str, Any], replace_at: int) -> None:
    """Every trial ends, with a reason if the scheduler ended it, and a replay changes nothing."""
    world = Hostile(make(), plan).play(make)
    assert all(trial.status.is_final for trial in world.trials), world.experiment.counts
    assert all(reason.count(" ") > 3 for reason in world.reasons)
    again = Hostile(make(), plan).play(make, replace_at=replace_at)
    assert again.log == world.log
    assert again.reasons == world.reasons
    assert repr(again.events) == repr(world.events)  # in which NaN equals NaN
    assert again.scheduler.describe(again) == world.scheduler.describe(world)


@given(arguments(), plans(), st.sampled_from([{}, {"rules": RULES_2019}]), st.integers(0, 40))
def test_every_trial_ends_whatever_happens(
    arguments: dict[str, Any], plan: dict[str, Any], rules: dict[str, Any], replace_at: int
) -> None:
    check_no_stall(lambda: ASHAScheduler(**arguments, **rules), plan, replace_at)


# -- rungs


def test_the_long_name_is_the_same_scheduler() -> None:
    assert AsyncHyperBandScheduler is ASHAScheduler


@pytest.mark.parametrize(
    ("grace", "max_t", "eta", "expected"),
    [
        (5, 100, 3, (5, 15, 45)),
        (10, 100, 3, (10, 30, 90)),
        (20, 400, 3, (20, 60, 180)),
        (1, 100, 4, (1, 4, 16, 64)),
        (1, 243, 3, (1, 3, 9, 27, 81, 243)),
        (1, 1000, 10, (1, 10, 100, 1000)),
        (7, 7, 2, (7,)),
        (0.1, 24.3, 3, pytest.approx((0.1, 0.3, 0.9, 2.7, 8.1, 24.3))),
    ],
)
def test_rungs_are_exact(grace: float, max_t: float, eta: float, expected: tuple[float, ...]) -> None:
    assert ASHAScheduler(grace_period=grace, max_t=max_t, reduction_factor=eta).milestones == expected


def test_the_rules_of_2019_lose_the_last_rung_in_a_logarithm() -> None:
    def count(max_t: int, eta: int) -> int:
        return len(ASHAScheduler(grace_period=1, max_t=max_t, reduction_factor=eta, rules=RULES_2019).milestones)

    assert (count(243, 3), count(1000, 10)) == (5, 3)


@given(st.integers(1, 50), st.integers(1, 5000), st.integers(2, 12))
def test_the_last_rung_is_the_last_that_fits(grace: int, more: int, eta: int) -> None:
    found = milestones(grace, grace + more, eta)
    assert found[-1] <= grace + more < found[-1] * eta


def test_brackets_lack_the_lowest_rungs_one_after_the_other() -> None:
    def shown(grace: int, max_t: int) -> list[str]:
        world = started(ASHAScheduler(grace_period=grace, max_t=max_t, reduction_factor=3, brackets=3), 0)
        return world.scheduler.describe(world).split("\n")

    assert shown(5, 100) == [
        "Using AsyncHyperBand: num_stopped=0",
        "Bracket: Iter 45.000: None | Iter 15.000: None | Iter 5.000: None",
        "Bracket: Iter 45.000: None | Iter 15.000: None",
        "Bracket: Iter 45.000: None",
    ]
    assert shown(10, 100)[1] == "Bracket: Iter 90.000: None | Iter 30.000: None | Iter 10.000: None"
    assert shown(20, 400)[1] == "Bracket: Iter 180.000: None | Iter 60.000: None | Iter 20.000: None"


def test_trials_are_spread_over_brackets_as_in_2019_and_in_the_same_way_each_time() -> None:
    def spread(seed: int) -> list[int]:
        ladders = Ladders([(Rung(1, 3),) * size for size in (3, 2, 1)])
        for trial in range(3000):
            ladders.enter(trial, seed)
        return [len(ladders.due[trial]) for trial in range(3000)]

    counts = Counter(spread(1))
    assert [counts[size] / 3000 for size in (3, 2, 1)] == pytest.approx([0.665, 0.245, 0.090], abs=0.03)
    assert spread(1) == spread(1) != spread(2)


def test_more_brackets_than_rungs_leave_some_trials_unjudged() -> None:
    world = started(ASHAScheduler(max_t=3, brackets=4), 0)
    assert world.scheduler.describe(world).split("\n")[2:] == ["Bracket: "] * 3


@pytest.mark.parametrize("eta", [1.3, 2, 3, 4, 10])
@pytest.mark.parametrize("exact", [True, False])
def test_the_cutoff_is_the_percentile_of_all_values(eta: float, exact: bool) -> None:
    import numpy as np

    draw, rung, values = random.Random(3), Rung(1, eta, exact=exact), []
    for trial in range(200):
        values.append(draw.choice([draw.gauss(0, 1), 0.5]))
        rung.add((values[-1], -trial))
        assert rung.cutoff() == pytest.approx(np.percentile(values, (1 - 1 / eta) * 100), abs=1e-12)
        kept = sum(value >= rung.cutoff() for value in values)
        if exact and len(set(values)) == len(values) and eta == int(eta):
            assert kept == ceil(len(values) / eta) or kept == len(values) // eta


def test_a_value_costs_a_logarithm_of_those_before_it() -> None:
    class Counting(float):
        compared = 0

        def __lt__(self, other: float) -> bool:
            Counting.compared += 1
            return float.__lt__(self, other)

    def cost(size: int) -> float:
        draw, rung = random.Random(1), Rung(1, 4)
        for trial in range(size):
            rung.add((draw.random(), -trial))
        rung._scores._best = [(Counting(score), trial) for score, trial in rung._scores._best]
        rung._scores._rest = [(Counting(score), trial) for score, trial in rung._scores._rest]
        Counting.compared = 0
        for trial in range(100):
            rung.add((Counting(draw.random()), -size - trial))
            rung.cutoff()
        return Counting.compared / 100

    assert cost(100_000) < cost(1000) * log(100_000) / log(1000) * 1.5


# -- judging


def test_a_trial_is_stopped_when_it_misses_the_cutoff_of_all_its_own_value_included() -> None:
    world = started(ASHAScheduler(max_t=9, reduction_factor=3), 4)
    assert [say(world, trial, value) for trial, value in enumerate([0.3, 0.2, 0.1, 0.5])] == [
        "continue", "continue", "stop", "continue",
    ]  # fmt: skip
    assert world.reasons == ["stopped at rung 1: 0.1 is below the cutoff 0.233333 of 3 trials"]
    assert world.scheduler.describe(world).split("\n")[0] == "Using AsyncHyperBand: num_stopped=1"


def test_reasons_and_status_show_values_as_they_were_reported() -> None:
    world = started(ASHAScheduler(max_t=9, reduction_factor=2), 2, LOSS)
    assert say(world, 0, 0.25) == "continue"
    assert say(world, 1, 0.75) == "stop"
    assert world.reasons == ["stopped at rung 1: 0.75 is above the cutoff 0.5 of 2 trials"]
    assert world.scheduler.describe(world).endswith("| Iter 1.000: 0.5")


def test_in_2019_a_trial_was_compared_with_those_before_it_only() -> None:
    world = started(ASHAScheduler(max_t=9, reduction_factor=3, rules=RULES_2019), 3)
    assert [say(world, trial, value) for trial, value in enumerate([0.3, 0.2, 0.3])] == ["continue", "stop", "continue"]
    assert world.reasons == ["stopped at rung 1: 0.2 is below the cutoff 0.3 of 1 trial"]


@pytest.mark.parametrize("bad", [nan, inf, -inf])
@pytest.mark.parametrize("objective", [SCORE, LOSS])
def test_a_value_that_is_not_finite_is_the_worst(objective: Objective, bad: float) -> None:
    world = started(ASHAScheduler(max_t=9, reduction_factor=2), 2, objective)
    assert say(world, 0, 1e9 if objective is LOSS else -1e9) == "continue"
    assert say(world, 1, bad) == "stop"
    assert "a value that is not finite is" in world.reasons[0]


def test_ties_go_on() -> None:
    world = started(ASHAScheduler(max_t=9, reduction_factor=2), 6)
    assert [say(world, trial, 0.5) for trial in range(6)] == ["continue"] * 6


def test_max_t_ends_a_trial_unless_it_may_go_on() -> None:
    world = started(ASHAScheduler(max_t=2, reduction_factor=2), 1)
    assert [say(world, 0, 1.0), say(world, 0, 1.0)] == ["continue", "stop"]
    assert world.reasons == ["training_iteration reached 2, max_t is 2"]
    world = started(ASHAScheduler(max_t=2, reduction_factor=2, stop_last_trials=False), 1)
    assert [say(world, 0, 1.0) for _ in range(5)] == ["continue"] * 5


def test_a_report_that_jumps_over_rungs_counts_once_for_each() -> None:
    world = started(ASHAScheduler(max_t=100, grace_period=5, reduction_factor=3), 4)
    say(world, 0, 0.5, skip=20)
    assert world.scheduler.describe(world).endswith("Iter 45.000: None | Iter 15.000: 0.5 | Iter 5.000: 0.5")
    assert say(world, 0, 99.0) == "continue"
    assert world.scheduler.describe(world).endswith("Iter 45.000: None | Iter 15.000: 0.5 | Iter 5.000: 0.5")


def test_in_2019_the_report_after_a_jump_was_held_against_the_rung_below() -> None:
    world = started(ASHAScheduler(max_t=100, grace_period=5, reduction_factor=3, rules=RULES_2019), 1)
    say(world, 0, 0.5, skip=20)
    assert world.scheduler.describe(world).endswith("Iter 45.000: None | Iter 15.000: 0.5 | Iter 5.000: None")
    say(world, 0, 99.0)
    assert world.scheduler.describe(world).endswith("Iter 45.000: None | Iter 15.000: 0.5 | Iter 5.000: 99.0")


def test_time_may_be_any_growing_number() -> None:
    world = started(ASHAScheduler("epochs", max_t=1.0, grace_period=0.25, reduction_factor=2), 2)
    assert [say(world, 0, 1.0, epochs=epochs) for epochs in (0.1, 0.3, 0.9)] == ["continue"] * 3
    assert say(world, 1, 0.0, epochs=0.3) == "stop"
    assert world.reasons == ["stopped at rung 0.25: 0 is below the cutoff 0.5 of 2 trials"]
    world = started(ASHAScheduler("time_total_s", max_t=3), 1)
    assert [say(world, 0, 1.0) for _ in range(3)] == ["continue", "continue", "stop"]


@pytest.mark.parametrize(
    ("attr", "message"),
    [
        ("epoch", "'epoch' is not in the report. Did you mean 'epochs'?"),
        ("name", "'name' must be a number, but the trial reported 'x'"),
    ],
)
def test_a_trial_without_its_time_fails_and_hears_why(attr: str, message: str) -> None:
    world = started(ASHAScheduler(attr), 1)
    assert say(world, 0, 1.0, epochs=1, name="x") == "fail"
    assert message in world.reasons[0]


def test_a_trial_without_the_metric_of_the_scheduler_fails() -> None:
    world = started(ASHAScheduler(metric="accuracy", mode="max"), 1)
    world.metrics = lambda *_: {"loss": 0.5}
    world.report(0)
    assert world.log == [(0, 1, "fail")]
    assert "'accuracy' is not in the report" in world.reasons[0]


def test_a_rung_that_was_passed_is_not_judged_again_after_a_failure() -> None:
    world = started(ASHAScheduler(max_t=9, grace_period=2, reduction_factor=2), 3, errors=[(0, 3)], max_failures=1)
    for value in (0.0, 1.0):
        say(world, 0, value)
    say(world, 0, 1.0)
    world.place()
    assert world.trials[0].iteration == 0
    for trial in (1, 2):
        say(world, trial, 5.0)
        assert say(world, trial, 5.0) == "continue"
    assert [say(world, 0, 0.0) for _ in range(3)] == ["continue"] * 3
    assert world.scheduler.describe(world).endswith("| Iter 2.000: 5")


def test_a_report_that_is_not_judged_is_made_up_for_by_the_next() -> None:
    world = started(ASHAScheduler(max_t=9, grace_period=2, reduction_factor=2), 2)
    for trial, value in ((0, 1.0), (1, 0.0)):
        say(world, trial, value)
    say(world, 0, 1.0)
    world.emit(e.Judged(1, "pause", "the run was interrupted"))
    world.emit(e.Reported(1, 1, 2, {"score": 0.0}, 0.0, 1.0, 2.0, 2.0, 2))
    world.emit(e.Paused(1, 1, None, parked=True))
    world.place()
    assert say(world, 1, 0.0) == "stop"
    assert world.reasons[-1] == "stopped at rung 2: 0 is below the cutoff 0.5 of 2 trials"


def test_what_others_stop_is_not_counted() -> None:
    world = started(ASHAScheduler(max_t=9), 1)
    say(world, 0, 1.0)
    world.emit(e.Judged(0, "stop", "the stop function said so", 1, "stopper"))
    assert world.scheduler.describe(world).startswith("Using AsyncHyperBand: num_stopped=0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_t": 0}, "max_t must be a number above 0"),
        ({"max_t": "9"}, "max_t must be a number above 0"),
        ({"grace_period": nan}, "grace_period must be a number above 0"),
        ({"grace_period": 11, "max_t": 10}, "Lower grace_period or raise max_t"),
        ({"reduction_factor": 1}, "reduction_factor must be above 1"),
        ({"brackets": 0}, "brackets must be a whole number from 1"),
        ({"variant": "stoping"}, "Did you mean 'stopping'?"),
        ({"metric": "loss"}, "mode"),
        ({"time_attr": 5}, "time_attr must be the name"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message.replace("?", r"\?")):
        ASHAScheduler(**arguments)


def test_trials_start_in_the_order_of_their_turn() -> None:
    world = World(ASHAScheduler(), 3, 1, lambda trial, t: {"score": 1.0}, objective=SCORE)
    assert world.scheduler.choose(world) == 0
    world.slots = 0
    assert world.scheduler.choose(world) is None
