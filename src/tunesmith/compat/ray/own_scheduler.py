"""Schedulers that users of 2019 have written, and what lets them decide about a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tunesmith.compat.ray.resources import Resources
from tunesmith.compat.ray.trial import Trial
from tunesmith.events import Completed, Event, Judged, Reported, Stopped, Suggested
from tunesmith.schedulers.protocol import CONTINUE, Decision, Scheduler, TrialView, View
from tunesmith.trial import Status


class TrialScheduler:
    """Subclass it and define `on_trial_result`. All methods are given the runner first, see `Runner`."""

    CONTINUE: Final = "CONTINUE"
    PAUSE: Final = "PAUSE"
    STOP: Final = "STOP"

    def on_trial_add(self, trial_runner: Runner, trial: Trial) -> None:
        """Take note of a new trial."""

    def on_trial_error(self, trial_runner: Runner, trial: Trial) -> None:
        """Take note that a trial has failed."""

    def on_trial_result(self, trial_runner: Runner, trial: Trial, result: dict[str, Any]) -> str:
        """Decide about a trial after a result: CONTINUE, PAUSE or STOP."""
        return TrialScheduler.CONTINUE

    def on_trial_complete(self, trial_runner: Runner, trial: Trial, result: dict[str, Any]) -> None:
        """Take note that a trial has come to its end."""

    def on_trial_remove(self, trial_runner: Runner, trial: Trial) -> None:
        """Take note that a trial was stopped before it ran."""

    def choose_trial_to_run(self, trial_runner: Runner) -> Trial | None:
        """Return the trial to start next, or None."""
        for status in (Trial.PENDING, Trial.PAUSED):
            for trial in trial_runner.get_trials():
                if trial.status == status and trial_runner.has_resources(trial.resources):
                    return trial
        return None

    def debug_string(self) -> str:
        """Return the line of the status."""
        return f"Using {type(self).__name__}."


class FIFOScheduler(TrialScheduler):
    """Starts trials in their order and lets all of them go on."""

    def debug_string(self) -> str:
        """Return the line of the status."""
        return "Using FIFO scheduling algorithm."


class Runner:
    """The run as such a scheduler sees it.

    Args:
        find: returns the trial of a number.
    """

    def __init__(self, find: Callable[[int], Trial]) -> None:
        self._find = find
        self.view: View | None = None
        self.to_stop: list[Trial] = []

    def get_trials(self) -> list[Trial]:
        """Return all trials."""
        return [] if self.view is None else [self._find(trial.number) for trial in self.view.trials]

    def has_resources(self, resources: Resources) -> bool:
        """Whether there is room for a trial that asks for this."""
        view = self.view
        if view is None:
            return False
        waiting = [*view.pending, *view.paused]
        return any(view.fits(number) for number in waiting if self._find(number).resources == resources)

    def stop_trial(self, trial: Trial) -> None:
        """Stop another trial than the one that is decided about."""
        self.to_stop.append(trial)


class OwnScheduler(Scheduler):
    """Asks a scheduler of 2019. What it remembers is not rebuilt when a run is resumed, as in 2019."""

    needs_objective = False

    def __init__(self, theirs: TrialScheduler, find: Callable[[int], Trial]) -> None:
        super().__init__()
        self._theirs = theirs
        self._find = find
        self._runner = Runner(find)
        self._ended: set[int] = set()

    def apply(self, event: Event, trial: TrialView | None) -> None:
        """Tell it who comes and who goes."""
        if trial is None:
            return
        theirs = self._find(trial.number)
        if isinstance(event, Suggested):
            theirs.follow(trial)  # type: ignore[arg-type]  # views are the records themselves
            self._theirs.on_trial_add(self._runner, theirs)
        elif trial.status.is_final and trial.number not in self._ended:
            self._ended.add(trial.number)
            if trial.status is Status.ERROR:
                self._theirs.on_trial_error(self._runner, theirs)
            elif isinstance(event, Judged):
                self._theirs.on_trial_remove(self._runner, theirs)
            elif isinstance(event, (Completed, Stopped)) and not theirs.stopped_by_scheduler:
                self._theirs.on_trial_complete(self._runner, theirs, theirs.last_result or {})

    def judge(self, report: Reported, view: View) -> Decision:
        """Ask what shall become of a trial."""
        trial = self._find(report.trial)
        self._runner.view = view
        result = {"timesteps_total": None, "episodes_total": None, **report.result(), "config": trial.config}
        answer = self._theirs.on_trial_result(self._runner, trial, result)
        if answer == TrialScheduler.STOP:
            trial.stopped_by_scheduler = True
            return Decision("stop", f"{type(self._theirs).__name__} said so")
        if answer == TrialScheduler.PAUSE:
            return Decision("pause", f"{type(self._theirs).__name__} said so")
        return CONTINUE

    def review(self, view: View) -> Sequence[tuple[int, Decision]]:
        """Stop the trials that it has stopped beside the one it was asked about."""
        wanted, self._runner.to_stop = self._runner.to_stop, []
        reason = f"{type(self._theirs).__name__} said so"
        return [
            (trial.number, Decision("stop", reason))
            for trial in wanted
            if not view.trials[trial.number].status.is_final and view.trials[trial.number].status is not Status.STOPPING
        ]

    def choose(self, view: View) -> int | None:
        """Ask which trial to start."""
        self._runner.view = view
        trial = self._theirs.choose_trial_to_run(self._runner)
        return trial.number if trial is not None and view.fits(trial.number) else None

    def describe(self, view: View) -> str:
        """Return its line of the status."""
        self._runner.view = view
        return self._theirs.debug_string()
