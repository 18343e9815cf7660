from __future__ import annotations

from math import inf, nan

import pytest

from tunesmith.schedulers.brackets import Bracket, Plan, plans, plans_2019
from tunesmith.schedulers.rules import RULES_2019, RULES_TODAY, Rules
from tunesmith.trial import Status


def stages(found: tuple[Plan | None, ...]) -> list[list[tuple[int, float]] | None]:
    return [plan and [(stage.size, stage.milestone) for stage in plan.stages] for plan in found]


SEQUENCES_2019 = {
    81: [
        [(5, 81)],
        [(8, 27), (3, 81)],
        [(15, 9), (5, 36), (2, 81)],
        [(34, 3), (12, 12), (4, 39), (2, 81)],
        [(81, 1), (27, 4), (9, 13), (3, 40), (1, 81)],
    ],
    100: [
        [(5, 100)],
        [(8, 33), (3, 100)],
        [(15, 11), (5, 44), (2, 100)],
        [(34, 3), (12, 12), (4, 39), (2, 100)],
        [(81, 1), (27, 4), (9, 13), (3, 40), (1, 100)],
    ],
    20: [[(5, 20)], [(8, 6), (3, 20)], [(15, 2), (5, 8), (2, 20)], None, None],
}


@pytest.mark.parametrize("max_t", SEQUENCES_2019)
def test_the_brackets_of_2019_are_those_that_ray_had(max_t: int) -> None:
    assert stages(plans_2019(max_t, 3)) == SEQUENCES_2019[max_t]


def test_the_work_of_2019_forgets_what_the_stages_between_have_used() -> None:
    assert [plan.work for plan in plans_2019(100, 3)[:3] if plan] == [500, 465, 508]  # 442 would be right


def test_the_brackets_of_today_are_those_of_the_paper() -> None:
    assert stages(plans(81, 3)) == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]
    assert [plan.work for plan in plans(81, 3)[-2:]] == [8 * 27 + 2 * 54, 405]


@pytest.mark.parametrize(
    ("max_t", "eta", "count"), [(1, 3, 1), (2, 3, 1), (3, 3, 2), (243, 3, 6), (1000, 10, 4), (100, 3, 5), (7.5, 2.5, 3)]
)
def test_the_last_milestone_is_max_t_and_there_are_as_many_brackets_as_it_allows(
    max_t: float, eta: float, count: int
) -> None:
    found = plans(max_t, eta)
    assert len(found) == count
    assert [len(plan.stages) for plan in found] == list(range(count, 0, -1))
    for plan in found:
        assert plan.stages[-1].milestone == max_t
        assert plan.stages[0].milestone >= 1
        assert all(stage.size >= 1 for stage in plan.stages)


def bracket(trials: int, rules: Rules = RULES_TODAY, number: int = 0) -> Bracket:
    plan = (plans if rules is RULES_TODAY else plans_2019)(9, 3)[number]
    assert plan is not None
    made = Bracket(plan, 3, rules)
    for trial in range(trials):
        made.join(trial)
        made.follow(trial, Status.RUNNING)
    return made


def test_one_trial_in_so_many_goes_on() -> None:
    group = bracket(6)
    for trial in range(6):
        assert not group.is_complete
        group.arrive(trial, 1, trial)
        group.follow(trial, Status.PAUSED)
    cut = group.cut()
    assert (cut.losers, cut.winners, cut.cutoff) == ((0, 1, 2, 3), (4, 5), 4)
    assert (list(group.ready), list(group.losers)) == ([4, 5], [0, 1, 2, 3])
    assert not group.is_complete


def test_under_the_rules_of_2019_as_many_go_on_as_there_is_room_for() -> None:
    group = bracket(4, RULES_2019, 1)
    for trial in range(4):
        group.arrive(trial, 3, trial)
    assert (group.rank().losers, group.rank().winners) == ((0,), (1, 2, 3))


@pytest.mark.parametrize(("rules", "winner"), [(RULES_TODAY, 0), (RULES_2019, 2)])
def test_ties_are_decided_by_number(rules: Rules, winner: int) -> None:
    group = bracket(3, rules, 0 if rules is RULES_TODAY else 2)
    for trial in (1, 2, 0):
        group.arrive(trial, 1, 0.5)
    assert group.rank().ranking[-1] == winner


def test_the_worst_values_lose() -> None:
    group = bracket(3)
    for trial, score in enumerate((-inf, -5.0, -inf)):
        group.arrive(trial, 1, score)
    assert group.rank().winners == (1,)


def test_nobody_waits_for_trials_that_have_ended_or_are_about_to() -> None:
    group = bracket(4)
    group.arrive(0, 1, 1.0)
    group.arrive(1, 1, 2.0)
    group.follow(2, Status.STOPPING)
    assert not group.is_complete
    group.follow(3, Status.ERROR)
    assert group.is_complete
    assert group.rank().winners == (1,)


def test_a_bracket_without_trials_is_over_and_not_complete() -> None:
    group = bracket(1)
    group.follow(0, Status.ERROR)
    assert (group.is_over, group.is_complete, group.completed) == (True, False, 1.0)


def test_an_arrival_stands_once_the_trial_has_paused_and_is_counted_once() -> None:
    group = bracket(3)
    group.arrive(0, 1, 7.0)
    group.follow(0, Status.PAUSED)
    group.arrive(0, 1, 3.0)
    assert group.arrived[0].score == 7.0
    group.reopen()
    assert (list(group.arrived), list(group.ready)) == ([0], [1, 2])


def test_a_trial_lost_before_it_has_paused_arrives_again() -> None:
    group = bracket(3)
    group.arrive(0, 1, 7.0)
    group.follow(0, Status.PENDING)
    assert (list(group.arrived), list(group.ready)) == ([], [0])
    group.follow(0, Status.RUNNING)
    group.arrive(0, 1, 7.0)
    group.reopen()
    assert (list(group.arrived), list(group.ready)) == ([], [0, 1, 2])


def test_a_trial_that_failed_is_the_next_to_start() -> None:
    group = bracket(0)
    for trial in range(4):
        group.join(trial)
    group.follow(0, Status.STARTING)
    group.follow(1, Status.STARTING)
    group.follow(0, Status.PENDING)
    assert list(group.ready) == [0, 2, 3]


def test_winners_that_are_past_the_next_milestone_are_there_already() -> None:
    group = bracket(9)
    for trial in range(9):
        group.arrive(trial, 4 if trial < 8 else 1, trial)
        group.follow(trial, Status.PAUSED)
    assert group.cut().winners == (6, 7, 8)
    assert (list(group.arrived), list(group.ready)) == ([6, 7], [8])


def test_progress_is_never_counted_twice() -> None:
    group = bracket(5, number=2)
    for time in (4, 1, 4, 6, nan):
        group.advance(0, time)
    assert group.completed == 6 / 27
