"""What the controller expects of a stopper, and the class that users extend."""

from __future__ import annotations

from typing import Any


class Stopper:
    """Ends trials, or the run, by a rule. Extend it and override what you need.

    A stopper with a state folds it in `observe`, which is called for every report, in a replay too; `judge` and
    `judge_all` are questions that change nothing and are asked only while the run is live.
    """

    def observe(self, trial: int, result: dict[str, Any]) -> None:
        """Learn a result of trial number `trial`."""

    def judge(self, trial: int, result: dict[str, Any]) -> str | None:
        """Return why the trial has to stop after `result`, as a sentence, or None to let it go on."""
        return None

    def judge_all(self) -> str | None:
        """Return why the whole run has to end, as a sentence, or None."""
        return None
