from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.schedulers.test_asha import LOSS, SCORE, check_no_stall, plans, say, started
from tests.schedulers.world import World
from tunesmith.errors import ArgumentError
from tunesmith.schedulers.median import MedianStoppingRule, Past
from tunesmith.schedulers.rules import RULES_2019, RULES_TODAY, Rules
from tunesmith.trial import Status


def rule(**options: Any) -> MedianStoppingRule:
    return MedianStoppingRule(
        "training_iteration", **{"grace_period": 0, "rules": Rules(median_waits=False), **options}
    )


@given(
    st.fixed_dictionaries(
        {
            "grace_period": st.integers(0, 5),
            "min_samples_required": st.integers(1, 4),
            "min_time_slice": st.sampled_from([0, 1, 3]),
            "hard_stop": st.booleans(),
            "rules": st.sampled_from([RULES_TODAY, Rules(median_waits=False), RULES_2019]),
        }
    ),
    plans(),
    st.integers(0, 40),
)
def test_every_trial_ends_whatever_happens(arguments: dict[str, Any], plan: dict[str, Any], replace_at: int) -> None:
    check_no_stall(lambda: rule(**arguments), {**plan, "stop_at": min(plan["stop_at"], 12)}, replace_at)


def test_a_trial_is_stopped_when_its_best_is_worse_than_the_median_of_the_others_means() -> None:
    world = started(rule(), 4)
    for values in ((1.0, 2.0), (2.0, 4.0), (3.0, 6.0)):
        trial = int(values[0]) - 1
        assert [say(world, trial, value) for value in values] == ["continue"] * 2
    assert say(world, 3, 0.5) == "stop"  # the means at iteration 1 are 1, 2, 3
    assert world.reasons == [
        "worse than the median at training_iteration 1: its best 0.5 is below 2, the median of 3 other trials"
    ]
    assert world.scheduler.describe(world) == "Using MedianStoppingRule: num_stopped=1."


def test_no_trial_is_judged_before_another_one_has_completed() -> None:
    world = World(
        rule(rules=RULES_TODAY, min_samples_required=1),
        3,
        3,
        lambda trial, t: {"score": 9.0 - trial},
        objective=SCORE,
        stop_at=4,
    )
    world.place()
    for trial in (0, 1, 2, 0, 1, 2, 0):
        world.report(trial)
    assert world.log == []
    world.report(0)  # its last
    world.report(2)
    assert world.log[-1] == (2, 3, "stop")


def test_the_best_value_counts_not_the_last() -> None:
    world = started(rule(), 4, LOSS)
    say(world, 3, 1.0)
    for trial in range(3):
        say(world, trial, 2.0)
        say(world, trial, 2.0)
    assert say(world, 3, 9.0) == "continue"


def test_only_those_that_have_got_as_far_are_compared_with() -> None:
    world = started(rule(), 4)
    for trial in range(3):
        say(world, trial, 5.0)
    assert say(world, 3, 1.0, skip=2) == "continue"


def test_values_before_the_grace_period_enter_no_mean() -> None:
    world = started(rule(grace_period=2), 4)
    for trial in range(3):
        assert [say(world, trial, value) for value in (100.0, 1.0, 1.0)] == ["continue"] * 3
    assert [say(world, 3, 0.5), say(world, 3, 1.5), say(world, 3, 0.0)] == ["continue"] * 3


def test_in_2019_only_completed_trials_were_compared_with_over_all_of_their_reports() -> None:
    world = World(
        rule(grace_period=2, rules=RULES_2019),
        4,
        4,
        lambda trial, t: {"score": 9.0 - trial},
        objective=SCORE,
        stop_at=5,
    )
    world.place()
    for trial in range(3):
        for _ in range(4):
            world.report(trial)
    for _ in range(3):
        world.report(3)
    assert world.log == []
    for trial in range(3):
        world.report(trial)
    world.report(3)
    assert world.log[-1] == (3, 4, "stop")


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_a_value_that_is_not_finite_is_the_worst(bad: float) -> None:
    world = started(rule(), 4)
    for trial in range(3):
        say(world, trial, -1e9)
    assert say(world, 3, bad) == "stop"
    assert "its best a value that is not finite is below -1e+09" in world.reasons[0]


def test_without_a_hard_stop_a_trial_pauses_once_and_is_then_left_alone() -> None:
    world = World(
        rule(hard_stop=False), 5, 4, lambda trial, t: {"score": -trial - 1.0}, objective=SCORE, stop_at=4
    ).run()  # fmt: skip
    assert [trial.status for trial in world.trials] == [Status.TERMINATED] * 5
    pauses = [entry[0] for entry in world.log if entry[2] == "pause"]
    assert len(pauses) == len(set(pauses)) > 0
    assert [trial.iteration for trial in world.trials] == [4] * 5


def test_a_trial_gives_its_place_up_while_there_are_too_few_to_compare_with() -> None:
    world = World(rule(min_time_slice=2), 2, 1, lambda trial, t: {"score": 1.0}, objective=SCORE, stop_at=9)
    for _ in range(4):
        world.turn()
    assert world.log == [(0, 3, "pause")]
    assert world.reasons == [
        "gives its place to a trial that waits: it ran for 3 training_iteration,"
        " and only 0 of the 3 trials to compare it with have got as far"
    ]
    world.run()
    assert [trial.iteration for trial in world.trials] == [9, 9]
    assert world.scheduler.describe(world) == "Using MedianStoppingRule: num_stopped=0."


def test_reports_that_were_rolled_back_are_replaced() -> None:
    past = Past(0)
    for iteration, score in ((1, 1.0), (2, 9.0), (3, 9.0)):
        past.add(iteration, float(iteration), score)
    past.add(2, 2.0, 2.0)
    assert (past.mean(3), past.bests[-1]) == (1.5, 2.0)


@given(st.lists(st.floats(-100, 100), min_size=1), st.integers(0, 30), st.integers(0, 120))
def test_a_mean_is_that_of_the_reports_from_start_to_end(scores: list[float], start: int, end: int) -> None:
    past = Past(start)
    for t, score in enumerate(scores):
        past.add(t + 1, float(t), score)
    wanted = scores[start : end + 1]
    assert past.mean(end) == (pytest.approx(sum(wanted) / len(wanted), abs=1e-9) if wanted else None)


def test_a_report_that_cannot_be_used_fails_its_trial() -> None:
    world = started(MedianStoppingRule("epoch"), 2)
    assert say(world, 0, 1.0) == "fail"
    assert "'epoch' is not in the report" in world.reasons[0]
    world = started(rule(metric="accuracy", mode="max"), 1)
    world.metrics = lambda *_: {"loss": 0.5}
    world.report(0)
    assert world.log == [(0, 1, "fail")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grace_period": -1}, "grace_period must be a number from 0"),
        ({"min_time_slice": nan}, "min_time_slice must be a number from 0"),
        ({"min_samples_required": 0}, "min_samples_required must be a whole number from 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        MedianStoppingRule(**arguments)
