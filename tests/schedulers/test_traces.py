"""What Ray Tune 0.6.5 decided on known inputs, decision by decision."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.schedulers.world import World, traced_rewards
from tunesmith.objective import Objective
from tunesmith.schedulers.asha import ASHAScheduler
from tunesmith.schedulers.fifo import FIFOScheduler
from tunesmith.schedulers.median import MedianStoppingRule
from tunesmith.schedulers.protocol import Scheduler
from tunesmith.schedulers.rules import RULES_2019

TRACES = json.loads((Path(__file__).parent / "traces.json").read_text())
SCHEDULERS: dict[str, Callable[[], Scheduler]] = {
    "fifo": FIFOScheduler,
    "asha_g5_m100_rf3_b1": lambda: ASHAScheduler(max_t=100, grace_period=5, reduction_factor=3, rules=RULES_2019),
    "median_grace5": lambda: MedianStoppingRule(grace_period=5, rules=RULES_2019),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_decisions_of_2019_are_reproduced(name: str) -> None:
    trace = TRACES[name]
    world = World(
        SCHEDULERS[name](),
        trace["n"],
        trace["slots"],
        traced_rewards(trace["n"], trace["rewards_seed"]),
        stop_at=trace["stop_t"],
        errors=trace["errors"],
        objective=Objective("episode_reward_mean", "max"),
    ).run()
    assert [[*entry[:2], entry[2].upper()] for entry in world.log] == trace["result"]["log"]
    assert [[trial.status.value, trial.iteration] for trial in world.trials] == trace["result"]["final"]
    assert world.scheduler.describe(world) == trace["result"]["debug"]
