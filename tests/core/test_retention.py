from __future__ import annotations

from tunesmith import events as e
from tunesmith.core.retention import Retention
from tunesmith.resources import Allocation, Resources
from tunesmith.trial import CheckpointRef


def ref(trial: int, iteration: int) -> CheckpointRef:
    return CheckpointRef(f"folder{trial}/checkpoint_{iteration}", iteration)


def reported(trial: int, iteration: int) -> e.Reported:
    return e.Reported(trial, 1, iteration, {}, 0.0, 1.0, 1.0, 1.0, 1, ref(trial, iteration))


def cloned(trial: int, donor: int, iteration: int) -> e.Cloned:
    return e.Cloned(trial, donor, ref(donor, iteration), {}, {}, "name", "it is better")


def test_the_last_few_reported_ones_are_kept() -> None:
    retention = Retention(keep=2)
    assert [retention.apply(reported(0, i)) for i in (1, 2, 3)] == [(), (), (ref(0, 1),)]
    assert Retention().apply(reported(0, 1)) == ()


def test_of_those_that_the_run_asks_for_only_the_last_is_kept_whatever_the_user_keeps() -> None:
    retention = Retention(keep=None)
    assert retention.apply(e.Saved(0, 1, ref(0, 1))) == ()
    assert retention.apply(e.Paused(0, 1, ref(0, 2))) == (ref(0, 1),)
    assert retention.apply(e.Paused(0, 2, ref(0, 2))) == ()
    assert retention.apply(reported(0, 3)) == (ref(0, 2),)


def test_one_that_a_clone_goes_on_from_stays_until_the_clone_has_its_own() -> None:
    retention = Retention()
    retention.apply(e.Saved(0, 1, ref(0, 1)))
    assert retention.apply(cloned(1, 0, 1)) == ()
    assert retention.apply(cloned(2, 0, 1)) == ()
    assert retention.apply(e.Saved(0, 1, ref(0, 2))) == ()
    assert retention.apply(e.Placed(1, 2, Allocation(Resources()), ref(0, 1))) == ()
    assert retention.apply(e.Saved(1, 2, ref(1, 2))) == ()
    assert retention.apply(reported(2, 2)) == (ref(0, 1),)


def test_a_clones_own_state_is_not_needed_any_more() -> None:
    retention = Retention()
    retention.apply(e.Saved(0, 1, ref(0, 1)))
    retention.apply(e.Saved(1, 1, ref(1, 1)))
    assert retention.apply(cloned(1, 0, 1)) == (ref(1, 1),)


def test_what_was_saved_after_the_point_that_a_trial_goes_back_to_is_dropped() -> None:
    retention = Retention(keep=5)
    for iteration in (1, 2, 3):
        retention.apply(reported(0, iteration))
    assert set(retention.apply(e.Placed(0, 2, Allocation(Resources()), ref(0, 1)))) == {ref(0, 2), ref(0, 3)}
