"""Names of trials' folders that users choose."""

from __future__ import annotations

import pytest

import tunesmith as tune
from tests.conftest import Run


def test_folders_are_the_users_when_wanted(run: Run) -> None:
    results = run(
        lambda c: 0.0, num_samples=2, trial_dirname_creator=lambda info: f"{info.trainable_name}-{info.number}"
    )
    assert [trial.path.name for trial in results] == ["lambda-0", "lambda-1"]
    assert all((trial.path / "stdout").exists() for trial in results)


@pytest.mark.parametrize(
    ("creator", "words"),
    [
        (lambda info: "the_same", "must return another name for each trial, but 'the_same' is taken"),
        (lambda info: f"a/{info.number}", "must return the name of a folder, not a path"),
        (lambda info: "", "must return a name, a text"),
        (lambda info: 7, "must return a name, a text"),
    ],
)
def test_a_folder_that_can_not_be_is_refused(run: Run, creator: object, words: str) -> None:
    with pytest.raises(tune.SearchError, match=words):
        run(lambda c: 0.0, num_samples=2, trial_dirname_creator=creator)
