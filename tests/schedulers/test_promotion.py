from __future__ import annotations

import random
from math import nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schedulers.test_asha import LOSS, SCORE, arguments, check_no_stall, plans
from tests.schedulers.world import World
from tunesmith import events as e
from tunesmith.resources import Resources
from tunesmith.schedulers.asha import ASHAScheduler
from tunesmith.schedulers.promotion import PromotionRung
from tunesmith.trial import CheckpointRef, Failure, Status

NEW_SESSION = e.SessionOpened(2, 1, "host", 0.0, Resources(cpu=1))


def promotion(**options: Any) -> ASHAScheduler:
    return ASHAScheduler(**{"max_t": 9, "reduction_factor": 3, **options}, variant="promotion")


def steady(trial: int, t: int) -> dict[str, float]:
    """The later a trial was made, the better it is."""
    return {"score": trial + 1.0}


def fading(trial: int, t: int) -> dict[str, float]:
    """The later a trial was made, the worse it is."""
    return {"score": -trial - 1.0, "loss": trial + 1.0}


def ends(world: World) -> list[int]:
    return [trial.iteration for trial in world.trials]


@settings(max_examples=150)
@given(arguments(), plans(), st.integers(0, 40))
def test_every_trial_ends_whatever_happens(arguments: dict[str, Any], plan: dict[str, Any], replace_at: int) -> None:
    check_no_stall(lambda: promotion(**arguments), plan, replace_at)


def test_one_trial_in_so_many_goes_on_from_each_rung() -> None:
    world = World(promotion(), 9, 1, fading, objective=SCORE).run()
    assert ends(world) == [9, 3, 3, 1, 1, 1, 1, 1, 1]
    assert all(trial.status is Status.TERMINATED for trial in world.trials)
    assert world.scheduler.describe(world).split("\n") == [
        "Using AsyncHyperBand: num_stopped=9",
        "Bracket: Iter 9.000: None | Iter 3.000: -1 | Iter 1.000: -3",
    ]


def test_a_free_worker_promotes_from_the_highest_rung_before_it_starts_a_new_trial() -> None:
    world = World(promotion(), 9, 1, steady, objective=SCORE)
    for _ in range(3):
        world.turn()
    assert world.scheduler.choose(world) == 2  # the best of three
    world.turn()
    assert world.trials[2].iteration == 2
    world.turn()
    assert world.scheduler.choose(world) == 3


def test_decisions_are_told_in_the_values_that_were_reported() -> None:
    world = World(promotion(reduction_factor=2, max_t=2), 4, 2, fading, objective=LOSS).run()
    assert world.reasons == [
        "paused at rung 1 with 1: the best 0 of the 1 trials there so far may go on",
        "paused at rung 1 with 2: the best 1 of the 2 trials there so far may go on",
        "training_iteration reached 2, max_t is 2",
        "paused at rung 1 with 3: the best 1 of the 3 trials there so far may go on",
        "paused at rung 1 with 4: the best 2 of the 4 trials there so far may go on",
        "training_iteration reached 2, max_t is 2",
        "stopped at rung 1: 3 is not among the best 2 of 4 trials, and no more trials will come",
        "stopped at rung 1: 4 is not among the best 2 of 4 trials, and no more trials will come",
    ]


def test_paused_trials_wait_while_more_may_come() -> None:
    world = World(promotion(), 3, 3, fading, objective=SCORE, complete=False)
    world.run()
    assert [trial.status for trial in world.trials] == [Status.PAUSED] * 3
    assert ends(world) == [3, 1, 1]
    world.complete = True
    world.run()
    assert [trial.status for trial in world.trials] == [Status.TERMINATED] * 3
    assert ends(world) == [9, 1, 1]


def test_a_few_trials_still_give_a_winner_that_was_trained_to_its_end() -> None:
    world = World(promotion(max_t=100, reduction_factor=4), 3, 3, steady, objective=SCORE).run()
    assert ends(world) == [1, 1, 100]


def test_ties_go_to_the_trial_that_was_made_first_and_nan_to_the_end() -> None:
    values = [nan, 0.5, 0.5]
    world = World(promotion(), 3, 3, lambda trial, t: {"score": values[trial]}, objective=SCORE).run()
    assert ends(world) == [1, 9, 1]


def test_a_trial_that_ended_keeps_its_place_among_the_best() -> None:
    world = World(promotion(), 3, 3, fading, objective=SCORE, complete=False)
    world.place()
    for trial in range(3):
        world.report(trial)
    world.emit(e.Judged(0, "stop", "a user stopped it"))
    assert world.scheduler.choose(world) is None


@pytest.mark.parametrize("loss", [e.Lost(0, 1, Failure("killed", "it is gone")), NEW_SESSION])
def test_a_trial_lost_while_it_paused_is_paused_and_what_it_recorded_stands(loss: e.Event) -> None:
    world = World(promotion(max_t=27), 3, 1, steady, objective=SCORE, max_failures=1)
    world.place()
    report = e.Reported(0, 1, 1, {"score": 5.0}, 0.0, 1.0, 1.0, 1.0, 1)
    world.emit(report)
    world.emit(e.Judged(0, "pause", world.scheduler.judge(report, world).reason, 1))
    world.emit(loss)
    world.running.clear()
    world.paused = {0: None}
    assert world.trials[0].status is Status.PAUSED
    rung = world.scheduler._ladders.brackets[0][0]
    assert rung.waiting == {0: (5.0, 0)}
    world.run()
    assert len(rung) == 3
    assert all(trial.status is Status.TERMINATED for trial in world.trials)


def test_a_trial_paused_by_others_when_the_driver_died_goes_on() -> None:
    world = World(promotion(grace_period=2), 3, 1, steady, objective=SCORE)
    world.turn()
    world.emit(e.Judged(0, "pause", "the run was interrupted"))
    world.emit(NEW_SESSION)
    world.running.clear()
    world.paused = {0: None}
    assert world.trials[0].status is Status.PAUSED
    assert world.scheduler.choose(world) == 0


def test_a_paused_trial_that_loses_its_memory_is_not_judged_again_and_starts_over_when_promoted() -> None:
    world = World(promotion(max_t=27), 3, 3, steady, objective=SCORE, saves=False)
    world.turn()
    assert all(trial.status is Status.PAUSED for trial in world.trials)
    world.turn()
    assert world.trials[2].iteration == 1  # from the beginning, and on past the rung
    assert world.trials[2].status is Status.RUNNING
    world.turn()
    world.turn()
    assert world.log[-1] == (2, 3, "pause")


def test_trials_paused_by_others_go_on_before_new_ones_start() -> None:
    world = World(promotion(grace_period=2), 3, 1, steady, objective=SCORE)
    world.turn()
    world.emit(e.Judged(0, "pause", "the run was interrupted"))
    world.emit(e.Paused(0, 1, CheckpointRef("folder0/1", 1)))
    assert world.scheduler.choose(world) == 0
    world.run()
    assert all(trial.status is Status.TERMINATED for trial in world.trials)


def test_a_report_that_jumps_over_rungs_pauses_at_the_highest() -> None:
    world = World(promotion(max_t=27), 3, 3, steady, objective=SCORE)
    world.place()
    for trial, skip in enumerate((3, 1, 1)):
        world.report(trial, skip=skip)
    assert [len(rung) for rung in world.scheduler._ladders.brackets[0]] == [3, 1, 0, 0]
    world.run()
    assert ends(world) == [3, 1, 27]


@given(st.lists(st.integers(0, 5), max_size=60), st.sampled_from([1.5, 2, 3, 4]), st.integers(0, 1000))
def test_a_rung_promotes_what_a_sorted_list_would(scores: list[int], eta: float, seed: int) -> None:
    draw, rung = random.Random(seed), PromotionRung(1, eta)
    recorded: list[tuple[float, int]] = []
    waiting: set[int] = set()
    for trial, score in enumerate(scores):
        key = (float(score), -trial)
        rung.add(key)
        rung.wait(key)
        recorded.append(key)
        waiting.add(trial)
        if draw.random() < 0.2:
            gone = draw.choice(recorded)
            rung.leave(-gone[1], promoted=False)
            rung.remove(gone)
            recorded.remove(gone)
            waiting.discard(-gone[1])
        best = sorted(recorded, reverse=True)[: int(len(recorded) / eta)]
        expected = [-number for _, number in best if -number in waiting]
        assert rung.promotable() == (expected[0] if expected else None)
        if expected and draw.random() < 0.7:
            rung.leave(expected[0], promoted=True)
            waiting.discard(expected[0])
