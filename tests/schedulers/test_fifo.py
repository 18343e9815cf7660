from __future__ import annotations

from tests.schedulers.world import World
from tunesmith.schedulers.fifo import FIFOScheduler
from tunesmith.trial import Status


def test_the_first_that_fits_starts_and_paused_ones_come_last() -> None:
    world = World(FIFOScheduler(), 3, 1, lambda trial, t: {})
    assert world.scheduler.choose(world) == 0
    world.pending[:], world.paused = [], {2: None, 1: None}
    assert world.scheduler.choose(world) == 2
    world.running = {0: None}
    assert world.scheduler.choose(world) is None


def test_every_trial_runs_to_its_own_end() -> None:
    world = World(FIFOScheduler(), 7, 3, lambda trial, t: {"loss": float("nan")}, stop_at=10).run()
    assert [(t.status, t.iteration) for t in world.trials] == [(Status.TERMINATED, 10)] * 7
    assert world.scheduler.describe(world) == "Using FIFO scheduling algorithm."
