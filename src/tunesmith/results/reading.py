"""The fold of an experiment for its results."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from math import inf

from tunesmith import events as e
from tunesmith.core.experiment import Experiment
from tunesmith.objective import Objective, objective_of


class Reading:
    """The fold of an experiment for its results: its state, and the best report of each trial.

    Whoever folds the events anyway shares his `experiment`, and shows each event to `see` when that has folded it.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.objective: Objective | None = None
        self.best: list[e.Reported | None] = []  # by trial
        self.unsure: set[int] = set()  # the trials whose best has to be looked for in their histories
        self._scores = array("d")

    def see(self, event: e.Event) -> None:
        """Follow the best reports."""
        kind = type(event)
        if kind is e.Reported:
            self.compare(event)  # type: ignore[arg-type]  # narrowed by the line above
        elif kind is e.Suggested:
            self.best.append(None)
            self._scores.append(-inf)
        elif kind is e.Placed:
            self._placed(event)  # type: ignore[arg-type]  # as above
        elif isinstance(event, (e.Created, e.Redefined)):
            if event.metric is not None:
                settings = self.experiment.created.settings if self.experiment.created else {}
                self.objective = objective_of(event.metric, event.mode, settings)
            if isinstance(event, e.Redefined):  # it may be another result that is best by another objective
                self.unsure.update(range(len(self.experiment.trials)))

    def compare(self, report: e.Reported) -> None:
        """Compare a report with the best of its trial. With several metrics there is none."""
        objective = self.objective
        if objective is None or objective.others or objective.metric not in report.metrics:
            return
        score, trial = objective.score_or_worst(report.metrics), report.trial
        if score > self._scores[trial] or self.best[trial] is None:
            self.best[trial], self._scores[trial] = report, score

    def _placed(self, event: e.Placed) -> None:
        best = self.best[event.trial]
        if best is not None and not event.parked:
            kept = event.checkpoint.iteration if event.checkpoint else 0
            if best.iteration > kept:  # taken back
                self.unsure.add(event.trial)

    def settle(self, history: Callable[[int], Iterable[e.Reported]]) -> None:
        """Look for the best report of those trials that are `unsure`; `history` returns what stands of a trial."""
        for trial in sorted(self.unsure):
            self.best[trial], self._scores[trial] = None, -inf
            for report in history(trial):
                self.compare(report)
        self.unsure.clear()
