"""A trial's story, as readers follow it: with what configuration it reported, and which of its reports stand."""

from __future__ import annotations

from tunesmith import events as e
from tunesmith.core.experiment import TrialRecord


class Story:
    """The fold of one trial's events for those who tell of its reports.

    `trial` has its name and configuration as of the last event, and nothing of its state. `last` is the last report,
    `results` counts those that stand: a trial that goes back to a checkpoint takes back what came after it. What it
    reported before it became a clone stands whatever it goes back to, unless it becomes what it was before.
    """

    __slots__ = ("_before", "_first", "_floor", "last", "results", "trial")

    def __init__(self, made: e.Suggested) -> None:
        self.trial = TrialRecord(made)
        self.results = 0
        self.last: e.Reported | None = None
        self._floor = 0  # so many reports stand whatever the trial goes back to
        self._first = 1  # the iteration of the first report above the floor
        self._before = (0, 1)  # floor and first, of before it became a clone

    def count(self, report: e.Reported) -> None:
        """Take note of a report."""
        if self.results == self._floor:
            self._first = report.iteration
        self.results += 1
        self.last = report

    def apply(self, event: e.TrialEvent) -> bool:
        """Take note of anything else; return whether it may have changed the name or the configuration."""
        trial = self.trial
        match event:
            case e.Placed(parked=False):
                kept = event.checkpoint.iteration if event.checkpoint else 0
                self.results = min(self.results, self._floor + max(0, kept - self._first + 1))
            case e.Cloned():
                trial.give_up(event)
                self._before, self._floor = (self._floor, self._first), self.results
                return True
            case e.Changed():
                trial.name = event.name or trial.name
                trial.overrides = trial.overrides if event.overrides is None else event.overrides
                return True
            case e.Refitted():
                trial.values = event.values
                return True
            case e.Damaged():
                was_clone = trial.former is not None
                trial.forget(event.checkpoint.path)
                if was_clone and trial.former is None:
                    self._floor, self._first = self._before
                    return True
        return False
