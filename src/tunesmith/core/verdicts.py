"""What ends a trial before its scheduler is asked: an unusable report, the trial itself, a stopper, a model's end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunesmith import events as e
from tunesmith.core.experiment import TrialRecord
from tunesmith.errors import MetricError
from tunesmith.objective import Objective
from tunesmith.schedulers.protocol import Decision
from tunesmith.stoppers.protocol import Stopper


class Verdicts:
    """Looks at each report before the scheduler does.

    Args:
        objective: what a report must hold; None if nothing is optimised.
        stopper: the user's rules; None without any.
        on_nan: what becomes of a trial whose metric is not finite: ``"fail"``, ``"stop"``, or ``"worst"`` to go on.
        trials: those of the experiment, which grow.
    """

    def __init__(
        self, objective: Objective | None, stopper: Stopper | None, on_nan: str, trials: Sequence[TrialRecord]
    ) -> None:
        self._objective, self._stopper, self._on_nan, self._trials = objective, stopper, on_nan, trials

    def observe(self, report: e.Reported) -> None:
        """Show the stopper a report, which it may have judged before a crash."""
        if self._stopper is not None:
            self._stopper.observe(report.trial, self._result(report))

    def on(self, report: e.Reported, trial: TrialRecord) -> tuple[Decision, str] | None:
        """Return what ends the trial and who says so; None to ask the scheduler."""
        return self._of_the_report(report) or self._of_its_model(trial)

    def on_all(self) -> str | None:
        """Return why the whole run is to end; None to go on."""
        return self._stopper.judge_all() if self._stopper is not None else None

    def _of_the_report(self, report: e.Reported) -> tuple[Decision, str] | None:
        try:
            if self._objective is not None and (report.metrics or report.checkpoint is None):
                odd = self._objective.check(report.metrics)
                if self._on_nan != "worst" and odd is not None:
                    story = f"{odd[0]} is {odd[1]}, and on_nan={self._on_nan!r} ends the trial"
                    return Decision(self._on_nan, story), "trial"
        except MetricError as error:
            return Decision("fail", str(error)), "trial"
        if report.done:
            return Decision("stop", "the trainable reported that it is done"), "trial"
        if self._stopper is None:
            return None
        try:
            reason = self._stopper.judge(report.trial, self._result(report))
        except MetricError as error:
            return Decision("fail", str(error)), "stopper"
        except Exception as error:  # noqa: BLE001 - a user's function; its fault must end one trial, not the run
            return Decision("fail", f"The stop rule raised {type(error).__name__}: {error}"), "stopper"
        return (Decision("stop", reason), "stopper") if reason else None

    def _of_its_model(self, trial: TrialRecord) -> tuple[Decision, str] | None:
        """End a confirmation where the trial was stopped that it confirms."""
        if trial.confirms is None:
            return None
        model = self._trials[trial.confirms]
        if not model.reason or trial.iteration < model.iteration:
            return None
        return Decision("stop", f"was trained for as long as trial {model.number}, which it confirms"), "run"

    def _result(self, report: e.Reported) -> dict[str, Any]:
        return {"trial_id": self._trials[report.trial].trial_id, **report.result()}
