from __future__ import annotations

from typing import Any

import pytest

from tests.schedulers.world import World
from tunesmith import events as e
from tunesmith.errors import ArgumentError
from tunesmith.objective import Objective
from tunesmith.resources import Pool, Resources
from tunesmith.schedulers.asha import ASHAScheduler
from tunesmith.schedulers.resource_changing import (
    DistributeResources,
    DistributeResourcesToTopJob,
    ResourceChangingScheduler,
)
from tunesmith.trial import Status

SCORE = Objective("score", "max")


class Machine(World):
    """A machine of `total` on which each trial takes what it asks for."""

    def __init__(self, scheduler: ResourceChangingScheduler, trials: int, total: Resources, **options: Any) -> None:
        self.machine = total
        given = {"objective": SCORE, "stop_at": 10, **options}
        super().__init__(scheduler, trials, 10_000, lambda trial, t: {"score": float(trial)}, **given)
        self.total = total

    def free(self) -> Pool:
        pool = Pool(self.machine)
        for number in self.running:
            allocation = pool.acquire(self.trials[number].resources or self.request)
            assert allocation is not None, "more is taken than there is"
        return pool

    def fits(self, trial: int) -> bool:
        return self.free().room(self.trials[trial].resources or self.request) > 0

    def cpus(self) -> list[float]:
        return [(trial.resources or self.request).cpu for trial in self.trials]


def changing(allocate: Any = None, base: Any = None) -> ResourceChangingScheduler:
    return ResourceChangingScheduler(base, allocate)


def test_what_is_free_is_shared_evenly() -> None:
    world = Machine(changing(), 2, Resources(cpu=8))
    world.turn()
    world.turn()
    assert world.cpus() == [4, 4]
    assert world.reasons == ["goes on with 4 CPUs, 0 GPUs instead of 1 CPUs, 0 GPUs"] * 2
    world.run()
    assert all(trial.status is Status.TERMINATED and trial.iteration == 10 for trial in world.trials)


def test_those_that_are_left_share_what_the_others_had() -> None:
    world = Machine(changing(), 4, Resources(cpu=8))
    world.turn()
    world.turn()
    assert world.cpus() == [2] * 4
    for trial in (2, 3):
        world.emit(e.Completed(trial, world.trials[trial].incarnation))
    world.turn()
    world.turn()
    assert world.cpus()[:2] == [4, 4]


def test_nobody_gets_more_while_others_wait() -> None:
    world = Machine(changing(), 12, Resources(cpu=4))
    for _ in range(5):
        world.turn()
    assert world.cpus() == [1] * 12
    world.run()
    assert all(trial.status is Status.TERMINATED for trial in world.trials)


def test_more_trials_take_it_back() -> None:
    world = Machine(changing(), 1, Resources(cpu=4), complete=False)
    world.turn()
    world.turn()
    assert world.cpus() == [4]
    world.suggest(1)
    world.run()
    assert [entry for entry in world.log if entry[2] == "COMPLETE"] != []
    assert world.trials[1].status is Status.TERMINATED


@pytest.mark.parametrize(
    ("options", "total", "expected"),
    [
        ({"increase_by": {"cpu": 3}}, Resources(cpu=8), Resources(cpu=7)),
        ({"increase_by_times": 2}, Resources(cpu=8), Resources(cpu=3)),
        ({"reserve_resources": {"cpu": 5}}, Resources(cpu=8), Resources(cpu=3)),
        ({"reserve_resources": {"cpu": 50}}, Resources(cpu=8), Resources(cpu=1)),
        ({"increase_by": {"cpu": 1, "gpu": 1}}, Resources(cpu=8, gpu=2), Resources(cpu=3, gpu=2)),
        ({"increase_by": {"gpu": 1}}, Resources(cpu=8), Resources(cpu=1)),
        ({"increase_by": {"licence": 2}}, Resources(cpu=8, named={"licence": 5}), Resources(named={"licence": 4})),
    ],
)
def test_amounts_grow_by_steps_within_the_share(options: dict[str, Any], total: Resources, expected: Resources) -> None:
    world = Machine(changing(DistributeResources(**options)), 1, total)
    world.turn()
    assert (world.trials[0].resources or world.request) == expected


def test_the_best_gets_all_that_is_free() -> None:
    world = Machine(changing(DistributeResourcesToTopJob()), 3, Resources(cpu=8))
    for _ in range(3):
        world.turn()
    assert world.cpus() == [1, 1, 6]
    world.run()
    assert all(trial.status is Status.TERMINATED for trial in world.trials)


def test_the_best_of_what_is_up_to_the_user() -> None:
    allocate = DistributeResourcesToTopJob(metric="score", mode="min")
    world = Machine(changing(allocate), 3, Resources(cpu=8))
    for _ in range(3):
        world.turn()
    assert world.cpus() == [6, 1, 1]


def test_nobody_asks_for_more_than_the_machine_has() -> None:
    world = Machine(changing(lambda *_: Resources(cpu=100, gpu=3, named={"none": 1})), 1, Resources(cpu=4, gpu=1.0))
    world.turn()
    assert world.trials[0].resources == Resources(cpu=4, gpu=1)
    world.run()
    assert world.trials[0].status is Status.TERMINATED


def test_the_function_sees_the_trial_and_the_base_scheduler_and_none_leaves_all_as_it_is() -> None:
    seen: list[Any] = []
    base = ASHAScheduler(max_t=5)
    world = Machine(changing(lambda *given: seen.append(given), base), 1, Resources(cpu=4))
    world.turn()
    view, trial, result, scheduler = seen[0]
    assert (view, trial) == (world, world.trials[0])
    assert result["training_iteration"] == 1
    assert scheduler is base
    assert not any(isinstance(event, e.Changed) for event in world.events)


def test_the_base_scheduler_decides_all_the_rest() -> None:
    base = ASHAScheduler(max_t=5, grace_period=1, reduction_factor=2)
    world = Machine(changing(None, base), 6, Resources(cpu=3)).run()
    assert all(trial.status is Status.TERMINATED for trial in world.trials)
    assert base.num_stopped > 0
    assert world.scheduler.describe(world).startswith("Using AsyncHyperBand")
    assert world.scheduler.objective == SCORE


@pytest.mark.parametrize(
    ("allocate", "message"),
    [
        (lambda *_: 1 / 0, "resources_allocation_function raised ZeroDivisionError"),
        (lambda *_: {"cpu": 2}, "must return Resources or None"),
    ],
)
def test_a_function_that_fails_fails_its_trial_with_its_message(allocate: Any, message: str) -> None:
    world = Machine(changing(allocate), 1, Resources(cpu=2)).run()
    assert world.trials[0].status is Status.ERROR
    assert message in world.reasons[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: DistributeResources(add_bundles=True),
        lambda: DistributeResources(increase_by={"cpu": 0}),
        lambda: DistributeResources(increase_by={"cpu": -1}),
        lambda: DistributeResources(increase_by_times=-2),
        lambda: DistributeResourcesToTopJob(metric="loss"),
        lambda: ResourceChangingScheduler("fifo"),  # type: ignore[arg-type]
        lambda: ResourceChangingScheduler(None, 5),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_refused(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make()
