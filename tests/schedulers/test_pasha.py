from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.schedulers.test_asha import SCORE, arguments, check_no_stall, plans
from tests.schedulers.world import World
from tunesmith.errors import ArgumentError
from tunesmith.schedulers.pasha import PASHAScheduler, Progressive
from tunesmith.schedulers.promotion import PromotionRung
from tunesmith.schedulers.rungs import Ladders
from tunesmith.trial import Status


def ends(world: World) -> list[int]:
    return [trial.iteration for trial in world.trials]


def progressive(rungs: int = 3) -> Progressive:
    return Progressive(Ladders([tuple(PromotionRung(3**k, 3) for k in range(rungs))]), SCORE)


@given(arguments(brackets=False), plans(), st.integers(0, 40))
def test_every_trial_ends_whatever_happens(arguments: dict[str, Any], plan: dict[str, Any], replace_at: int) -> None:
    check_no_stall(lambda: PASHAScheduler(**arguments), plan, replace_at)


def test_while_the_ranking_is_stable_no_trial_goes_beyond_the_second_rung() -> None:
    world = World(
        PASHAScheduler(max_t=81, reduction_factor=3), 27, 2, lambda trial, t: {"score": -trial - 1.0}, objective=SCORE
    ).run()
    assert max(ends(world)) == 3
    assert ends(world).count(3) == 9
    assert all(trial.status is Status.TERMINATED for trial in world.trials)
    assert world.trials[0].reason == (
        "stopped at rung 3 with -1: the 9 trials there rank as at the rung before, to within 0,"
        " so that more training would tell no more"
    )
    assert world.trials[26].reason == (
        "stopped at rung 1: -27 is not among the best 9 of 27 trials, and no more trials will come"
    )  # fmt: skip


def test_a_ranking_that_turns_over_opens_the_next_rung_and_at_last_all_of_them() -> None:
    def turning(trial: int, t: int) -> dict[str, float]:
        later = t >= 3
        return {"score": float(trial if later else -trial)}

    world = World(PASHAScheduler(max_t=81, reduction_factor=3), 27, 2, turning, objective=SCORE).run()
    assert max(ends(world)) == 9

    def restless(trial: int, t: int) -> dict[str, float]:
        return {"score": float(trial if t in (3, 27) else -trial)}

    world = World(PASHAScheduler(max_t=81, reduction_factor=3), 81, 2, restless, objective=SCORE).run()
    assert max(ends(world)) == 81


def test_where_there_is_one_rung_only_it_is_asha() -> None:
    world = World(
        PASHAScheduler(max_t=3, reduction_factor=4), 4, 1, lambda trial, t: {"score": float(trial)}, objective=SCORE
    ).run()
    assert ends(world) == [1, 1, 1, 3]


@pytest.mark.parametrize(
    ("one", "other", "epsilon"),
    [
        ([1, 1, 1], [0, 0, 0], 0),  # never cross
        ([1, 0, 0], [0, 1, 1], 0),  # cross once
        ([1, 0, 1.25], [0, 1, 1], 0.25),  # to and fro
        ([1, 1, 0, 1, 1.25], [0, 1, 1, 1, 1], 0.25),  # level in between
        ([1, float("-inf"), 1.25], [0, 1, 1], 0),  # no number is no crossing
    ],
)
def test_epsilon_is_the_distance_of_curves_that_cross_to_and_fro(
    one: list[float], other: list[float], epsilon: float
) -> None:
    variant = progressive()
    for trial, curve in enumerate((one, other)):
        for iteration, score in enumerate(curve, 1):
            variant.learn(trial, iteration, score)
    for trial in (0, 1):
        variant.record(trial, variant.ladders.brackets[0][:2], 1.0)
    assert variant.epsilon == epsilon


def test_epsilon_is_the_90th_percentile() -> None:
    variant = progressive()
    variant._gaps = [float(gap) for gap in range(11)]
    assert variant.epsilon == 9.0
    variant._gaps = [0.0, 1.0]
    assert variant.epsilon == pytest.approx(0.9)


def test_trials_within_epsilon_may_change_places() -> None:
    def tops(noise: float) -> int:
        variant = progressive()
        first, second, _ = variant.ladders.brackets[0]
        for trial in range(2):
            for iteration in range(1, 4):
                sign = 1 if (iteration + trial) % 2 else -1
                variant.learn(trial, iteration, 1 + sign * noise)
            variant.record(trial, (first,), 1 + (0.1 if trial else -0.1))
        for trial in range(2):
            variant.record(trial, (second,), 1 - (0.1 if trial else -0.1))
        return len(variant.open_rungs())

    assert tops(0.0) == 2  # they changed places: the third rung is opened
    assert tops(0.2) == 1  # so they do all the time


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="reduction_factor"):
        PASHAScheduler(reduction_factor=1)
    with pytest.raises(TypeError, match="brackets"):
        PASHAScheduler(brackets=2)  # type: ignore[call-arg]
