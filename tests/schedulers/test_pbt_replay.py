from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.schedulers.world import World
from tunesmith import events as e
from tunesmith.errors import ArgumentError
from tunesmith.schedulers.pbt_replay import PopulationBasedTrainingReplay, Step
from tunesmith.trial import Status

POLICY = [
    ["train_4", "train_1", 8, 6, {"x": 1.0, "y": "same"}, {"x": 2.0, "y": "same"}],
    ["train_0", "train_4", 9, 12, {"x": 2.0, "y": "same"}, {"x": 4.0, "y": "same"}],
]


def replaying(policy: Any = POLICY, trials: int = 1, **values: Any) -> World:
    world = World(PopulationBasedTrainingReplay(policy), 0, 2, lambda trial, t: {}, stop_at=15, max_failures=3)
    for trial in range(trials):
        world.suggest(trial, **{"x": 7.0, "y": "same", **values})
    return world


def configurations(world: World) -> list[tuple[int, float]]:
    """What `x` was in each report."""
    told: list[tuple[int, float]] = []
    x = 7.0
    for event in world.events:
        if isinstance(event, e.Changed) and event.overrides:
            x = event.overrides["x"]
        elif isinstance(event, e.Reported):
            told.append((event.iteration, x))
    return told


def test_one_trial_goes_through_the_configurations_at_their_iterations() -> None:
    world = replaying().run()
    assert configurations(world) == [(t, 1.0 if t <= 6 else 2.0 if t <= 12 else 4.0) for t in range(1, 16)]
    assert world.reasons == [
        "begins as the first donor: x becomes 1.0",
        "change 1 of 2, at iteration 6: x becomes 2.0",
        "change 2 of 2, at iteration 12: x becomes 4.0",
    ]
    assert world.trials[0].overrides == {"x": 4.0}
    assert world.trials[0].status is Status.TERMINATED
    assert world.scheduler.describe(world) == "PopulationBasedTrainingReplay: 2 of 2 changes made"


def test_who_begins_as_the_first_donor_is_not_changed_before() -> None:
    world = replaying(x=1.0)
    world.review()
    assert world.log == []


def test_it_goes_on_from_its_own_state() -> None:
    world = replaying().run()
    placed = [
        event.checkpoint.iteration if event.checkpoint else 0 for event in world.events if isinstance(event, e.Placed)
    ]
    assert placed == [0, 6, 12]


def test_constants_that_were_written_as_something_else_are_left_as_they_are() -> None:
    class Data:
        def __repr__(self) -> str:
            return "<data>"

    constants = {"data": "<data>", "sizes": [8, [4, 4]]}
    policy = [["a", "b", 1, 2, {"x": 1.0, **constants}, {"x": 2.0, **constants}]]
    world = replaying(policy, data=Data(), sizes=(8, (4, 4))).run()
    assert world.trials[0].overrides == {"x": 2.0}


def test_other_trials_are_refused_with_the_way_out() -> None:
    world = replaying(trials=3).run()
    assert [trial.status for trial in world.trials] == [Status.TERMINATED, Status.ERROR, Status.ERROR]
    assert world.trials[2].failure is not None
    assert "replays one trial only: set num_samples=1" in world.trials[2].failure.message
    assert world.trials[0].overrides == {"x": 4.0}


def test_a_failure_between_changes_repeats_none_of_them() -> None:
    world = replaying()
    world.errors = {(0, 9), (0, 14)}
    world.run()
    assert [event.overrides for event in world.events if isinstance(event, e.Changed)] == [
        {"x": 1.0}, {"x": 2.0}, {"x": 4.0},
    ]  # fmt: skip


def test_a_replay_of_the_events_goes_on_with_the_next_change() -> None:
    world = replaying()
    for _ in range(9):
        world.turn()
    scheduler = PopulationBasedTrainingReplay(POLICY)
    scheduler.setup(None, 0)
    for event in world.events:
        scheduler.apply(event, world.trials[event.trial] if isinstance(event, e.TrialEvent) else None)
    world.scheduler = scheduler
    world.run()
    assert configurations(world)[-1] == (15, 4.0)


def test_a_file_has_to_be_read_first() -> None:
    for path in ("pbt_policy_0.txt", Path("pbt_policy_0.txt")):
        scheduler = PopulationBasedTrainingReplay(path)
        assert scheduler.is_file
        with pytest.raises(ArgumentError, match=r"pbt_policy_0.txt was not read"):
            scheduler.setup(None, 0)
        scheduler.take(POLICY)
        scheduler.setup(None, 0)
        assert scheduler.steps[1] == Step(12, {"x": 4.0, "y": "same"})


@pytest.mark.parametrize("policy", [[], [[1, 2]], [["a", "b", 1, "2", {}, {}]], 5])
def test_what_is_no_policy_is_refused(policy: Any) -> None:
    with pytest.raises(ArgumentError, match=r"policy"):
        PopulationBasedTrainingReplay(policy)
