from __future__ import annotations

from tests.core.test_controller import ONE_CPU, reported, suggested
from tunesmith import events as e
from tunesmith.core.story import Story
from tunesmith.trial import CheckpointRef

OWN, DONORS = CheckpointRef("folder0/c", 3), CheckpointRef("folder1/c", 1)


def told(*reports: int, story: Story | None = None, incarnation: int = 1) -> Story:
    story = story or Story(suggested(0))
    for iteration in reports:
        story.count(reported(0, iteration, incarnation))
    return story


def placed(incarnation: int, checkpoint: CheckpointRef | None) -> e.Placed:
    return e.Placed(0, incarnation, ONE_CPU, checkpoint)


def test_a_trial_that_goes_back_takes_back_what_came_after_its_checkpoint() -> None:
    story = told(1, 2, 3, 4, 5)
    assert not story.apply(placed(2, OWN))
    assert story.results == 3
    told(4, story=story)
    story.apply(placed(3, None))
    assert story.results == 0


def test_what_a_clone_reported_before_it_became_one_stands() -> None:
    story = told(1, 2, 3)
    assert story.apply(e.Cloned(0, 1, DONORS, {"x": 9.0}, {}, "clone", "better"))
    story.apply(placed(2, DONORS))
    told(2, 3, story=story)
    assert (story.results, story.trial.values, story.trial.name) == (5, {"x": 9.0}, "clone")
    story.apply(placed(3, DONORS))
    assert story.results == 3


def test_a_clone_that_becomes_what_it_was_before_has_its_own_reports_up_to_its_own_checkpoint() -> None:
    story = told(1, 2, 3, 4)
    before = story.trial.values
    story.trial.keep(OWN)
    story.apply(e.Cloned(0, 1, DONORS, {"x": 9.0}, {}, "clone", "better"))
    story.apply(placed(2, DONORS))
    told(2, story=story)
    assert story.apply(e.Damaged(0, 2, DONORS, "torn"))
    story.apply(placed(3, OWN))
    assert (story.results, story.trial.values) == (3, before)
