from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.schedulers.test_pbt import SCORE, pbt
from tests.schedulers.world import World
from tunesmith import events as e
from tunesmith.callbacks.pbt_policies import PolicyFiles, read_policy
from tunesmith.core.experiment import Experiment
from tunesmith.errors import ArgumentError, StorageError
from tunesmith.resources import Allocation, Resources
from tunesmith.trial import CheckpointRef


def created(**space: Any) -> e.Created:
    return e.Created("id", "name", 0, "score", "max", 0.0, "1", {"space": space})


class Story:
    """Events, folded and read one after another."""

    def __init__(self, path: Path) -> None:
        self.experiment, self.files = Experiment(), PolicyFiles()
        self.files.on_start(path, self.experiment, None)
        self.tell(created(x="Float()", net={"sizes": {"$tuple": [8, 8]}}))

    def tell(self, *events: e.Event) -> None:
        for event in events:
            self.experiment.apply(event)
        self.files.on_events(events)

    def begin(self, number: int, x: float) -> None:
        self.tell(
            e.Suggested(number, f"id{number}", f"train_{number}", f"f{number}", {"x": x}),
            e.Placed(number, 1, Allocation(Resources())),
            e.Started(number, 1, 1, "host", "ip"),
        )

    def report(self, number: int, t: int) -> None:
        checkpoint = CheckpointRef(f"f{number}/{t}", t)
        incarnation = self.experiment.trials[number].incarnation
        self.tell(e.Reported(number, incarnation, t, {"score": 1.0}, 0.0, 1.0, t, t, t, checkpoint))

    def clone(self, number: int, donor: int, x: float, iteration: int | None = None) -> None:
        record = self.experiment.trials[donor]
        assert record.checkpoint is not None
        overrides = {**record.overrides, "x": x}
        name = f"train_{number}@perturbed[x={x}]"
        incarnation = self.experiment.trials[number].incarnation
        self.tell(
            e.Cloned(number, donor, record.checkpoint, record.values, overrides, name, "why", iteration),
            e.Paused(number, incarnation),
            e.Placed(number, incarnation + 1, Allocation(Resources()), record.checkpoint),
            e.Started(number, incarnation + 1, 1, "host", "ip"),
        )


@pytest.fixture
def story(tmp_path: Path) -> Story:
    story = Story(tmp_path)
    for number in range(3):
        story.begin(number, 0.5 + number)
        story.report(number, 10 + number)
    return story


def test_a_line_tells_who_took_over_what_from_whom(story: Story, tmp_path: Path) -> None:
    story.clone(0, donor=2, x=3.0, iteration=10)
    sizes = {"$tuple": [8, 8]}
    line = ["train_0", "train_2", 10, 12, {"x": 2.5, "net": {"sizes": sizes}}, {"x": 3.0, "net": {"sizes": sizes}}]
    for name in ("pbt_global.txt", "pbt_policy_0.txt"):
        assert [json.loads(text) for text in (tmp_path / name).read_text().splitlines()] == [line]
    assert read_policy(tmp_path / "pbt_policy_0.txt")[0][5] == {"x": 3.0, "net": {"sizes": (8, 8)}}


def test_the_file_of_a_trial_begins_with_that_of_its_donor(story: Story, tmp_path: Path) -> None:
    story.clone(1, donor=2, x=9.0, iteration=11)
    story.clone(0, donor=2, x=3.0, iteration=10)
    story.report(0, 20)
    story.clone(1, donor=0, x=4.0)
    policy = read_policy(str(tmp_path / "pbt_policy_1.txt"))
    assert [(line[0], line[1], line[2], line[3], line[4]["x"], line[5]["x"]) for line in policy] == [
        ("train_0", "train_2", 10, 12, 2.5, 3.0),
        ("train_1", "train_0", 12, 20, 3.0, 4.0),
    ]
    assert len(read_policy(tmp_path / "pbt_global.txt")) == 3


def test_a_run_that_is_resumed_goes_on_writing(story: Story, tmp_path: Path) -> None:
    story.clone(0, donor=2, x=3.0, iteration=10)
    story.report(0, 20)
    story.files = PolicyFiles()
    story.files.on_start(tmp_path, story.experiment, None)
    story.clone(1, donor=0, x=4.0)
    assert [line[2:4] for line in read_policy(tmp_path / "pbt_policy_1.txt")] == [[10, 12], [11, 20]]


def test_a_whole_run_is_written_although_its_events_come_in_batches(tmp_path: Path) -> None:
    world = World(pbt(), 8, 8, lambda trial, t: {"score": 9 * trial + t}, objective=SCORE, stop_at=20).run()
    files = PolicyFiles()
    files.on_start(tmp_path, world.experiment, None)
    files.on_events(world.events)
    lines = read_policy(tmp_path / "pbt_global.txt")
    cloned = [event for event in world.events if isinstance(event, e.Cloned)]
    assert [line[3] for line in lines] == [event.checkpoint.iteration for event in cloned]
    assert [line[5]["x"] for line in lines] == [event.overrides["x"] for event in cloned]


def test_what_is_no_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="can't be read"):
        read_policy(tmp_path / "none.txt")
    for text, message in (("[1, 2]", "must be a list of 6 values"), ("no", "Line 1 of the policy .* is not JSON")):
        (tmp_path / "bad.txt").write_text(text)
        with pytest.raises(ArgumentError, match=message):
            read_policy(tmp_path / "bad.txt")


def test_a_clone_that_had_to_be_taken_back_is_not_in_its_policy(tmp_path: Path) -> None:
    story = Story(tmp_path)
    for number in (0, 1, 2):
        story.begin(number, 0.1 * number)
        story.report(number, 4)
    story.clone(1, 0, 0.5, 4)
    story.report(1, 8)
    told = (tmp_path / "pbt_policy_1.txt").read_text()
    story.clone(1, 2, 0.7, 8)
    assert (tmp_path / "pbt_policy_1.txt").read_text() != told
    story.tell(e.Damaged(1, 3, CheckpointRef("f2/4", 4), "torn"))
    assert (tmp_path / "pbt_policy_1.txt").read_text() == told
    story.clone(0, 1, 0.9, 4)  # its donor's configuration is the one of before
    assert json.loads((tmp_path / "pbt_policy_0.txt").read_text().splitlines()[-1])[4]["x"] == 0.5
