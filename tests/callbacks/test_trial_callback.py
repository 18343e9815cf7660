from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.callbacks.stories import Story
from tests.conftest import Run
from tunesmith import TrialCallback
from tunesmith import events as e
from tunesmith.trial import CheckpointRef


class Diary(TrialCallback):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_trial_start(self, trial: Any) -> None:
        self.told.append(("start", trial.number))

    def on_trial_result(self, trial: Any, result: dict[str, Any]) -> None:
        self.told.append((trial.number, result["training_iteration"], result["loss"], result["done"]))

    def on_trial_restore(self, trial: Any) -> None:
        self.told.append(("restore", trial.number, trial.results))

    def on_trial_complete(self, trial: Any) -> None:
        self.told.append(("complete", trial.number))

    def on_trial_error(self, trial: Any) -> None:
        self.told.append(("error", trial.number))


def test_a_life_is_told_in_order(tmp_path: Path) -> None:
    diary = Diary()
    story = Story(tmp_path, diary)
    story.begin(0)
    story.report(0, 0.5, 0.4)
    story.fail(0)
    story.begin(0, CheckpointRef("c", 1))
    story.tell(*story.reports(0, 0.3, first=2), e.Judged(0, "stop", "enough", 2))
    story.tell(e.Stopped(0, 2))
    assert diary.told == [
        ("start", 0), (0, 1, 0.5, False), (0, 2, 0.4, False), ("restore", 0, 1), ("start", 0), (0, 2, 0.3, True),
        ("complete", 0),
    ]  # fmt: skip


def test_after_a_resume_only_what_is_new_is_told(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.begin(0)
    story.report(0, 0.5, 0.4)
    diary = Diary()
    story.resume(diary)
    story.begin(0, CheckpointRef("c", 1))
    story.report(0, 0.3, first=2)
    assert diary.told == [("restore", 0, 1), ("start", 0), (0, 2, 0.3, False)]


def test_a_real_run_is_told(run: Run) -> None:
    def train(config: dict[str, Any]) -> float:
        if config["x"] < 0:
            raise ValueError("negative")
        return 0.5

    from tunesmith import grid_search

    diary = Diary()
    run(train, {"x": grid_search([1, -1])}, callbacks=[diary], max_concurrent_trials=1)
    assert diary.told == [("start", 0), (0, 1, 0.5, False), ("complete", 0), ("start", 1), ("error", 1)]
