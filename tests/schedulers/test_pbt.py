from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tunesmith as tune
from tests.schedulers.test_asha import Hostile, plans, replayed
from tests.schedulers.world import World
from tunesmith import events as e
from tunesmith.core.experiment import Experiment, TrialRecord
from tunesmith.errors import ArgumentError
from tunesmith.objective import Objective
from tunesmith.retrying import FailurePolicy
from tunesmith.schedulers.pbt import PopulationBasedTraining
from tunesmith.schedulers.population import Member, Population
from tunesmith.schedulers.protocol import Scheduler
from tunesmith.schedulers.rules import RULES_2019
from tunesmith.streams import stream
from tunesmith.trial import CheckpointRef, Failure, Status

SCORE = Objective("score", "max")
LOSS = Objective("loss", "min")


def pbt(**options: Any) -> PopulationBasedTraining:
    given = {"time_attr": "training_iteration", "perturbation_interval": 2, "hyperparam_mutations": {"x": [1, 2, 3]}}
    return PopulationBasedTraining(**{**given, **options})


class Told(World):
    """Workers answer when the test says so: what they would say by themselves is in `mail`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.mail: dict[int, e.Event] = {}
        super().__init__(*args, **options)

    def emit(self, event: e.Event) -> None:
        if isinstance(event, (e.Saved, e.Paused)) and event.trial not in self.mail:
            self.mail[event.trial] = event
        else:
            super().emit(event)

    def deliver(self, trial: int) -> None:
        """Let a worker answer, and its trial be decided about."""
        super().emit(self.mail[trial])
        del self.mail[trial]
        self.review()

    def lose(self, trial: int) -> None:
        """Let a worker die."""
        self.mail.pop(trial, None)
        super().emit(e.Lost(trial, self.trials[trial].incarnation, Failure("killed", "it is gone")))
        self.review()


def told(trials: int, *, slots: int = 100, values: Any = None, **options: Any) -> Told:
    world = Told(pbt(**options), 0, slots, lambda trial, t: {"score": float(trial)}, objective=SCORE, max_failures=9)
    for trial in range(trials):
        world.suggest(trial, x=2, y="same", **(values or {}))
    world.place()
    return world


def train(world: World, trial: int, reports: int = 2) -> str:
    """Let a trial report so often, and return what was decided about it then."""
    decided = len(world.log)
    for _ in range(reports):
        world.report(trial)
    return next((action for number, _, action in world.log[decided:] if number == trial), "continue")


# -- an exploit


def test_the_best_save_and_the_worst_go_on_from_there_with_a_changed_configuration() -> None:
    world = told(4)
    assert [train(world, trial) for trial in (1, 2, 3)] == ["continue", "save", "save"]
    world.deliver(3)
    assert train(world, 0) == "exploit"
    cloned = world.events[-1]
    assert isinstance(cloned, e.Cloned)
    assert (cloned.donor, cloned.checkpoint.path) == (3, "folder3/2")
    assert cloned.overrides in ({"x": 1}, {"x": 2}, {"x": 3})
    assert cloned.name == f"trial_0@perturbed[x={cloned.overrides['x']}]"
    assert cloned.reason == (
        "goes on from trial_3 at training_iteration 2, whose score is 3: 0 is among the worst 1 of 4 trials;"
        f" x becomes {cloned.overrides['x']}"
    )
    assert world.reasons[-2] == "saves its state at training_iteration 2: 3 is among the best 1 of 3 trials"
    assert world.scheduler.describe(world) == "PopulationBasedTraining: 1 checkpoints, 1 perturbs"


def test_who_minimises_reads_its_own_values() -> None:
    world = World(pbt(), 4, 4, lambda trial, t: {"loss": trial / 4}, objective=LOSS, max_failures=0)
    world.place()
    for trial in (2, 1, 0, 3):
        train(world, trial)
    assert world.reasons[0] == "saves its state at training_iteration 2: 0.25 is among the best 1 of 2 trials"
    assert "whose loss is 0: 0.75 is among the worst 1 of 4 trials" in world.reasons[-1]


def test_a_trial_waits_for_a_state_that_is_being_saved() -> None:
    world = told(2)
    assert train(world, 1) == "continue"  # alone, it is neither good nor bad
    assert train(world, 0) == "continue"
    assert train(world, 1) == "save"
    assert train(world, 0) == "hold"
    assert world.trials[0].held
    assert world.reasons[-1] == (
        "waits for a state to go on from, which is being saved: 0 is among the worst 1 of 2 trials"
    )
    world.deliver(1)
    assert not world.trials[0].held
    assert isinstance(world.events[-1], e.Cloned)
    assert world.events[-1].checkpoint == CheckpointRef("folder1/4", 4)


def waiting(**options: Any) -> Told:
    """A world in which trial 0 waits for trial 1 to save."""
    world = told(2, **options)
    train(world, 1)
    train(world, 0)
    train(world, 1)
    assert train(world, 0) == "hold"
    return world


@pytest.mark.parametrize(
    "end",
    [
        lambda world: world.lose(1),
        lambda world: (world.emit(e.Failed(1, 1, Failure("error", "boom"))), world.review()),
        lambda world: (world.emit(e.Completed(1, 1)), world.review()),
        lambda world: (
            world.emit(e.Judged(1, "stop", "enough", by="stopper")),
            world.emit(e.Stopped(1, 1)),
            world.review(),
        ),
    ],
)
def test_nobody_waits_for_one_that_is_gone(end: Callable[[Told], Any]) -> None:
    world = waiting()
    end(world)
    assert not world.trials[0].held
    assert not any(isinstance(event, e.Cloned) for event in world.events)
    decided = [event for event in world.events if isinstance(event, e.Judged) and event.trial == 0][-1]
    assert decided.reason.startswith("goes on from its own state: ")
    assert decided.action == ("pause" if world.pending else "continue")


def test_a_trial_that_waits_may_fail_or_be_stopped_itself() -> None:
    for end in (lambda w: w.lose(0), lambda w: w.emit(e.Judged(0, "stop", "enough", by="stopper"))):
        world = waiting()
        end(world)
        world.deliver(1)
        assert not any(isinstance(event, e.Cloned) for event in world.events)


def test_after_a_crash_nobody_waits() -> None:
    world = waiting()
    world.mail.clear()
    world.emit(e.SessionOpened(2, 1, "host", 0.0, world.total))
    world.pending, world.running = [0, 1], {}
    world.review()
    world.place()
    assert [trial.status for trial in world.trials] == [Status.RUNNING] * 2
    assert [train(world, 1, 6), train(world, 0, 6)] == ["save", "hold"]
    world.deliver(1)
    assert isinstance(world.events[-1], e.Cloned)


def test_if_the_one_it_waits_for_dies_it_goes_on_from_another() -> None:
    world = told(8)
    for trial in (1, 2, 3, 4, 5, 6, 7):
        train(world, trial)
    assert set(world.mail) == {2, 3, 4, 5, 6, 7}
    assert train(world, 0) == "hold"
    world.lose(7)
    assert world.trials[0].held
    world.deliver(6)
    assert [event.donor for event in world.events if isinstance(event, e.Cloned)] == [6]


def test_a_state_is_taken_over_only_if_it_is_the_one_that_was_ranked() -> None:
    world = told(4)
    for trial in (1, 2, 3):
        train(world, trial)
    world.deliver(3)
    assert train(world, 3) == "save"
    world.lose(3)  # it has a checkpoint, but one of before
    world.place()
    assert world.trials[3].checkpoint == CheckpointRef("folder3/2", 2)
    assert train(world, 0) == "hold"  # for trial 2, which was told to save before
    assert world.trials[0].held


def test_who_is_not_among_the_worst_any_more_goes_on() -> None:
    world = told(8)
    for trial in (0, 1, 2, 3, 4, 5, 6, 7):
        train(world, trial)
    assert train(world, 1) == "hold"
    assert world.trials[1].held
    for trial in (0, 2, 3, 4, 5, 6):
        world.mail.pop(trial, None)
        world.emit(e.Completed(trial, 1))
        world.review()
    world.emit(e.Reported(7, 1, 3, {"score": -1.0}, 0.0, 1.0, 3.0, 3.0, 3))
    world.review()
    decided = [event for event in world.events if isinstance(event, e.Judged) and event.trial == 1]
    assert not world.trials[1].held
    assert decided[-1].action == "continue"


def test_a_clone_is_no_donor_before_it_is_ranked_again() -> None:
    world = told(4)
    values = {0: 5.0, 1: 1.0, 2: 0.0, 3: 6.0}
    world.metrics = lambda trial, t: {"score": values[trial]}
    for trial in (1, 0, 3):
        train(world, trial)
    world.deliver(3)
    assert train(world, 2) == "exploit"
    world.deliver(2)
    values[2] = 100.0
    assert world.trials[2].checkpoint == CheckpointRef("folder3/2", 2)
    assert not world.scheduler._population.members[2].is_ready
    world.place()
    assert train(world, 2, 1) == "continue"
    assert train(world, 2, 1) == "save"


def test_a_worse_trial_than_all_others_whose_values_are_no_numbers_has_no_donor() -> None:
    world = told(4)
    world.metrics = lambda trial, t: {"score": nan}
    assert [train(world, trial) for trial in range(4)] == ["continue"] * 4


def test_a_time_of_seconds_may_jump_over_perturbations() -> None:
    world = told(4, time_attr="time_total_s", perturbation_interval=3)
    for trial in (1, 2, 3):
        world.report(trial, skip=7)
    assert [entry[:2] for entry in world.log if entry[2] == "save"] == [(2, 7), (3, 7)]


def test_the_time_of_its_donor_becomes_a_clones_own() -> None:
    world = told(4)
    for trial in (1, 2, 3, 3):
        train(world, trial)
        world.deliver(3) if trial == 3 else None
    train(world, 0)
    members = world.scheduler._population.members
    assert (members[0].last, members[0].due) == (members[3].last, members[3].due) == (4, 6)


def test_there_is_no_perturbation_before_the_end_of_the_burn_in() -> None:
    world = told(4, burn_in_period=5)
    assert [train(world, trial, 4) for trial in range(4)] == ["continue"] * 4
    assert [train(world, trial, 1) for trial in range(4)] == ["continue", "save", "save", "save"]


def test_iterations_that_a_failure_repeats_are_not_counted_again() -> None:
    world = told(2)
    for trial in (1, 0):
        train(world, trial)
    world.lose(1)
    world.place()
    assert world.trials[1].iteration == 0
    assert train(world, 1, 3) == "continue"
    assert train(world, 1, 1) == "save"


# -- functions, which save only when they want to


def test_a_checkpoint_that_came_with_the_report_is_used_at_once() -> None:
    world = told(4)
    for trial in (1, 2, 3):
        for t in (1, 2):
            checkpoint = CheckpointRef(f"folder{trial}/{t}", t)
            report = e.Reported(trial, 1, t, {"score": trial}, 0.0, 1.0, t, t, t, checkpoint)
            world.emit(report)
            assert world.scheduler.judge(report, world).action == "continue"
    assert train(world, 0) == "exploit"
    assert world.scheduler.describe(world) == "PopulationBasedTraining: 2 checkpoints, 1 perturbs"


def test_without_any_checkpoint_nobody_is_cloned_and_the_user_is_told_once() -> None:
    world = World(pbt(), 4, 4, lambda trial, t: {"score": float(trial)}, objective=SCORE, saves=False, stop_at=20).run()
    assert not any(isinstance(event, e.Cloned) for event in world.events)
    said = {r for r in world.reasons if "its own state" in r}
    told = [event.reason for event in world.events if isinstance(event, e.Judged) and event.action == "continue"]
    assert len(said) <= 1
    assert len(told) == 1
    assert "A function has to report one at least every 2 training_iteration" in told[0]
    assert world.scheduler.describe(world).split("\n")[1] == f"The last trial that was to be replaced {told[0]}"
    assert sum(action == "save" for _, _, action in world.log) <= 4


# -- the user's functions


def fail(*_: Any) -> Any:
    raise ValueError("no luck")


@pytest.mark.parametrize("synch", [False, True])
def test_a_function_that_raises_lets_the_trial_go_on_and_says_so(synch: bool) -> None:
    scheduler = pbt(custom_explore_fn=fail, synch=synch)
    world = World(scheduler, 4, 4, lambda trial, t: {"score": float(trial)}, objective=SCORE, stop_at=7).run()
    assert all(trial.status is Status.TERMINATED and trial.iteration == 7 for trial in world.trials)
    reasons = [event.reason for event in world.events if isinstance(event, (e.Judged, e.Changed))]
    assert "goes on from its own state: custom_explore_fn raised ValueError: no luck" in reasons
    assert world.scheduler.describe(world).endswith("custom_explore_fn raised ValueError: no luck")


def test_the_users_functions_are_not_asked_again_in_a_replay() -> None:
    calls: list[int] = []
    make = lambda: pbt(hyperparam_mutations={"x": lambda: calls.append(1) or 7}, resample_probability=1)  # noqa: E731
    world = World(make(), 8, 8, lambda trial, t: {"score": float(trial)}, objective=SCORE, stop_at=20).run()
    asked = len(calls)
    assert asked == sum(isinstance(event, e.Cloned) for event in world.events) > 0
    replayed(make, world.events, {"max_failures": 0, "seed": 0})
    assert len(calls) == asked


# -- sharing the slots


def test_with_more_trials_than_slots_the_one_furthest_behind_is_next() -> None:
    world = told(3, slots=1)
    assert world.scheduler.choose(world) is None
    assert train(world, 0) == "pause"
    assert world.reasons[-1] == "gives its place to a trial that waits, at training_iteration 2"
    world.deliver(0)
    world.place()
    assert list(world.running) == [1]
    assert train(world, 1) == "save"
    world.deliver(1)
    assert world.trials[1].status is Status.PAUSING  # it was asked to when it had saved
    world.deliver(1)
    world.place()
    assert list(world.running) == [2]
    assert train(world, 2) == "save"
    world.deliver(2)
    world.deliver(2)
    world.place()
    assert list(world.running) == [0]


def test_who_wants_to_be_paused_is_not_when_there_are_slots_enough() -> None:
    world = World(pbt(), 4, 4, lambda trial, t: {"score": float(trial)}, objective=SCORE, stop_at=20)
    world.place()
    while world.running:
        for trial in sorted(world.running):
            world.report(trial)
            world.place()
    assert {action for _, _, action in world.log} == {"save", "exploit", "COMPLETE"}


@pytest.mark.parametrize("slots", [1, 2, 3, 7])
def test_the_slots_are_shared_fairly(slots: int) -> None:
    world = World(pbt(), 10, slots, lambda trial, t: {"score": (trial * 7) % 10 + t}, objective=SCORE, stop_at=40)
    members = world.scheduler._population.members  # type: ignore[attr-defined]
    while world.turn():
        if len(members) == 10:
            lasts = [member.last for member in members.values()]
            assert max(lasts) - min(lasts) <= 4  # two intervals
    assert all(trial.iteration == 40 for trial in world.trials)
    assert any(isinstance(event, e.Cloned) for event in world.events)


# -- all together


def test_all_wait_for_all_then_the_worst_are_replaced_and_all_go_on() -> None:
    world = told(4, synch=True)
    assert [train(world, trial) for trial in (3, 2)] == ["save", "save"]
    for trial in (3, 2):
        world.deliver(trial)
        assert world.reasons[-1].startswith("waits at training_iteration 2 for ")
        world.deliver(trial)
    assert list(world.paused) == [3, 2]
    assert world.scheduler.choose(world) is None
    assert train(world, 0) == "save"
    assert train(world, 1) == "save"
    world.deliver(0)
    world.deliver(0)
    assert not any(isinstance(event, e.Cloned) for event in world.events)
    world.deliver(1)
    assert [(event.trial, event.donor) for event in world.events if isinstance(event, e.Cloned)] == [(0, 3)]
    assert world.trials[1].status is Status.RUNNING
    world.place()
    assert sorted(world.running) == [0, 1, 2, 3]


def test_a_round_does_not_wait_for_those_that_end() -> None:
    world = told(3, synch=True)
    for trial in (1, 2):
        assert train(world, trial) == "save"
        world.deliver(trial)
        world.deliver(trial)
    world.emit(e.Completed(0, 1))
    world.review()
    assert isinstance(world.events[-1], e.Cloned)
    assert (world.events[-1].trial, world.events[-1].donor) == (1, 2)
    world.place()
    assert sorted(world.running) == [1, 2]


class Resumed(Hostile):
    """A driver that was killed folds the events again, and its scheduler with them."""

    def replace(self, make: Callable[[], Scheduler]) -> None:
        self.experiment = Experiment(FailurePolicy(self.plan["max_failures"]))
        self.scheduler = make()
        self.scheduler.setup(SCORE, self.plan["seed"])
        for event in self.events:
            self.experiment.apply(event)
            self.scheduler.apply(event, self.trials[event.trial] if isinstance(event, e.TrialEvent) else None)


def check(world: type[Resumed], make: Callable[[], Scheduler], plan: dict[str, Any], replace_at: int) -> None:
    """Every trial ends, all that is decided has a reason, and a replay changes nothing."""
    first = world(make(), plan).play(make)
    assert all(trial.status.is_final for trial in first.trials), first.experiment.counts
    assert all(reason.count(" ") > 3 for reason in first.reasons)
    again = world(make(), plan).play(make, replace_at=replace_at)
    assert again.log == first.log
    assert again.reasons == first.reasons
    assert repr(again.events) == repr(first.events)  # in which NaN equals NaN
    assert again.scheduler.describe(again) == first.scheduler.describe(first)


@settings(max_examples=60)
@given(plans(), st.booleans(), st.integers(0, 40), st.sampled_from([1, 2, 5]), st.sampled_from([0.25, 0.5]))
def test_every_trial_ends_whatever_happens(
    plan: dict[str, Any], synch: bool, replace_at: int, interval: int, quantile: float
) -> None:
    plan["stop_at"] = min(plan["stop_at"], 25)
    make = lambda: pbt(synch=synch, perturbation_interval=interval, quantile_fraction=quantile)  # noqa: E731
    check(Resumed, make, plan, replace_at)


class Adverse(Resumed):
    """Workers answer late or die, report while they pause, and are parked; a driver dies now and then."""

    def __init__(self, scheduler: Scheduler, plan: dict[str, Any]) -> None:
        self.mail: dict[int, e.Event] = {}
        self.by_worker = False
        super().__init__(scheduler, plan)

    def emit(self, event: e.Event) -> None:
        if isinstance(event, (e.Saved, e.Paused)) and not self.by_worker:
            self.mail[event.trial] = event
            return
        if isinstance(event, e.Cloned):
            self.check_clone(event)
        World.emit(self, event)

    def check_clone(self, event: e.Cloned) -> None:
        donor = self.trials[event.donor]
        assert event.checkpoint == donor.checkpoint
        assert event.checkpoint.path.startswith(f"folder{event.donor}/")
        assert event.checkpoint.iteration >= 1
        assert not donor.status.is_final

    def restart(self) -> None:
        self.mail.clear()
        super().restart()

    def turn(self) -> bool:
        self.turns += 1
        self.review()
        self.place()
        runs = sorted(self.running)
        for number in runs:
            self.work(number, self.trials[number])
            for waits in self.trials:
                assert not waits.held or self.mail, "somebody waits for nobody"
        return bool(runs)

    def work(self, number: int, trial: Any) -> None:
        what = stream(self.seed, "work", number, len(self.events), self.turns).random()
        if number in self.mail:
            self.answer(number, trial, what)
        elif trial.status is Status.RUNNING and not trial.held:
            self.report(number)

    def answer(self, number: int, trial: Any, what: float) -> None:
        event = self.mail[number]
        self.by_worker = True
        if what < 0.15:
            event = e.Lost(number, trial.incarnation, Failure("killed", "it is gone"))
        elif what < 0.4 and trial.status is Status.PAUSING and not trial.given_up:
            t = trial.iteration + 1
            event = e.Reported(number, trial.incarnation, t, self.values(number, t), 0.0, 1.0, t, t, t)
        elif what < 0.6:
            self.by_worker = False
            return  # it takes its time
        elif isinstance(event, e.Paused) and what < 0.8 and event.checkpoint is not None:
            event = e.Paused(number, trial.incarnation, None, parked=True)
        if not isinstance(event, e.Reported):
            del self.mail[number]
        self.emit(event)
        self.by_worker = False
        self.review()


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.booleans(), st.integers(2, 9), st.integers(1, 4), st.integers(0, 120))
def test_donors_that_die_never_give_a_clone_that_begins_from_nothing(
    seed: int, synch: bool, trials: int, slots: int, replace_at: int
) -> None:
    plan = {
        "seed": seed, "trials": trials, "late": 0, "slots": slots, "stop_at": 30, "errors": [], "max_failures": -1,
        "saves": True, "lost": 0, "restart_at": 40,
    }  # fmt: skip
    check(Adverse, lambda: pbt(synch=synch), plan, replace_at)


# -- the rules of 2019


def test_the_log_lines_of_2019_are_the_reason() -> None:
    world = told(2, rules=RULES_2019, hyperparam_mutations={"factor_2": [1]}, values={"factor_2": 1.0})
    train(world, 1)
    train(world, 0)
    train(world, 1)
    world.deliver(1)
    train(world, 0)
    assert world.reasons[-1].split("\n") == [
        "[explore] perturbed config from {'x': 2, 'y': 'same', 'factor_2': 1.0}"
        " -> {'x': 2, 'y': 'same', 'factor_2': 1}",
        "[exploit] transferring weights from trial trial_1 (score 1.0) -> trial_0 (score 0.0)",
    ]
    assert world.trials[0].name == "trial_0@perturbed[factor_2=1]"


def test_whole_numbers_are_cut_off_by_the_rules_of_2019() -> None:
    found = set()
    for seed in range(20):
        world = told(2, rules=RULES_2019, hyperparam_mutations={"x": lambda: 0}, resample_probability=0)
        world.scheduler.seed = seed
        train(world, 1)
        train(world, 0)
        train(world, 1)
        world.deliver(1)
        train(world, 0)
        found.add(world.trials[0].overrides["x"])
    assert found == {1, 2}


# -- many


def test_a_population_of_ten_thousand_is_ranked_without_sorting_it() -> None:
    compared = 0

    class Counted(float):
        def __lt__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return float(self) < float(other)  # type: ignore[arg-type]

    population = Population(0.25)
    for number in range(10_000):
        member = Member(TrialRecord(e.Suggested(number, "", "", "", {})), 1.0)
        population.members[number] = member
        population.rank(member, 1.0, Counted((number * 7919) % 10_007), 1)
    compared = 0
    population.rank(population.members[0], 2.0, Counted(5000.5), 2)
    assert compared <= 60
    assert len(population.best()) == len(population.worst()) == 2500


# -- arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hyperparam_mutations": {}}, "nothing to change"),
        ({"hyperparam_mutations": None}, "nothing to change"),
        ({"perturbation_interval": 0}, "perturbation_interval must be a number above 0"),
        ({"perturbation_interval": inf}, "perturbation_interval must be a number above 0"),
        ({"burn_in_period": -1}, "burn_in_period must be a number from 0"),
        ({"quantile_fraction": 0.6}, "quantile_fraction must be a number from 0 to 0.5"),
        ({"quantile_fraction": True}, "quantile_fraction"),
        ({"time_attr": 5}, "time_attr"),
        ({"metric": "loss"}, "mode"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        pbt(**options)


def test_a_time_or_a_metric_that_is_none_fails_its_trial() -> None:
    world = told(2, time_attr="epoch")
    assert train(world, 0, 1) == "fail"
    assert "The time attribute 'epoch' is not in the report" in world.reasons[-1]
    world = told(2)
    world.metrics = lambda trial, t: {"other": 1}
    assert train(world, 0, 2) == "fail"


def test_domains_are_mutations_too() -> None:
    world = told(2, hyperparam_mutations={"x": tune.uniform(0, 2.1)}, resample_probability=0)
    train(world, 1)
    train(world, 0)
    train(world, 1)
    world.deliver(1)
    train(world, 0)
    assert world.trials[0].overrides["x"] in {1, 2}


def test_a_trial_that_was_thrown_back_has_its_turn_again() -> None:
    world = World(pbt(), 3, 1, lambda trial, t: {"score": 1.0}, objective=SCORE)
    for _ in range(6):  # each of the three comes to its first perturbation
        world.turn()
    world.place()
    running = next(iter(world.running))
    world.emit(e.SessionOpened(2, 1, "host", 0.0, world.total))
    world.running.clear()
    assert world.trials[running].status is Status.PENDING
    assert world.scheduler.choose(world) == running  # it had been before the others, who wait since the same time
