"""What loggers have in common that keep files in each trial's folder: when they write, and how they mend."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from tunesmith import events as e
from tunesmith.callbacks.following import ENDING, FollowedTrial
from tunesmith.callbacks.protocol import Callback
from tunesmith.core.experiment import Experiment
from tunesmith.trial import Status

_CHUNK = 2000  # events of the past that are read before what they say is written


class TrialFiles(Callback):
    """A reader that writes what each trial reports to a file of that trial.

    What happens is collected, and written every `flush_s` seconds, in quiet moments, and at the end. No file stays
    open. The files tell what stands: when a trial goes back to a checkpoint, the reports after it are
    taken out. When a run is resumed, each file is compared with the record, and one that differs is made anew: it may
    have been cut off, or the disk was full, or there was no logger before.

    Args:
        flush_s: seconds that a report may wait before it is written; 0 writes at once.
        clock: seconds of a monotonic clock.
    """

    def __init__(self, *, flush_s: float = 0.5, clock: Callable[[], float] = time.monotonic) -> None:
        self._flush_s = flush_s
        self._clock = clock
        self._due = 0.0
        self._path = Path()
        self._experiment = Experiment()
        self._trials: dict[int, FollowedTrial] = {}
        self._events: list[e.Event] = []

    # -- what a kind of file has to say

    def _begin(self, trial: FollowedTrial) -> None:
        """Take note that a trial starts, or goes on, maybe with another configuration."""

    def _append(self, trial: FollowedTrial, reports: Sequence[e.Reported]) -> None:
        """Write reports to the trial's file."""
        raise NotImplementedError

    def _cut(self, trial: FollowedTrial, results: int) -> None:
        """Keep the first `results` reports only."""
        raise NotImplementedError

    def _finish(self, trial: FollowedTrial, *, failed: bool) -> None:
        """Take note that a trial has ended."""

    def _is_whole(self, trial: FollowedTrial, *, ended: bool) -> bool:
        """Whether the file holds what it should: `trial.results` reports, the last one being `trial.last`."""
        raise NotImplementedError

    def _discard(self, trial: FollowedTrial) -> None:
        """Delete the trial's file, if there is one."""
        raise NotImplementedError

    # -- the run

    def on_start(self, path: Path, experiment: Experiment, total: int | None) -> None:
        """Remember where the trials' folders are."""
        self._path, self._experiment = path, experiment
        self._trials.clear()
        self._events.clear()

    def on_resume(self, past: Iterable[e.Event]) -> None:
        """Compare the files with the record, and make those anew that differ."""
        damaged = self._damaged(past)
        if not damaged:
            return
        for event in past:
            if isinstance(event, e.TrialEvent) and event.trial in damaged:
                if type(event) is e.Reported and len(self._events) >= _CHUNK:  # a decision stays with its report
                    self._take_up()
                self._events.append(event)
        self._take_up()
        self._finish_ended(damaged)

    def on_events(self, events: Sequence[e.Event]) -> None:
        """Collect the events, and write what they tell when it is time."""
        self._events += events
        if self._clock() >= self._due:
            self.flush()

    def on_idle(self) -> None:
        """Write what was collected."""
        self.flush()

    def on_end(self) -> None:
        """Write what was collected."""
        self.flush()

    def flush(self) -> None:
        """Write what was collected."""
        if self._events:
            self._finish_ended(self._take_up())
        self._due = self._clock() + self._flush_s

    def _take_up(self) -> set[int]:
        """Follow the events and write all reports; return the trials to which something happened beside reports."""
        events, self._events = self._events, []
        trials, changed = self._trials, set()
        for event in events:
            if type(event) is e.Reported:
                trials[event.trial].waiting.append(event)
            elif isinstance(event, e.TrialEvent):
                self._turn(event)
                changed.add(event.trial)
        for number in {event.trial for event in events if isinstance(event, e.TrialEvent)}:
            self._write(trials[number])
        return changed

    def _write(self, trial: FollowedTrial) -> None:
        if trial.waiting:
            reports, trial.waiting = trial.waiting, []
            trial.count(reports)
            self._append(trial, reports)

    def _turn(self, event: e.TrialEvent) -> None:
        if type(event) is e.Suggested:
            self._trials[event.trial] = FollowedTrial(event, self._path, self._experiment.created)
        elif isinstance(event, (e.Placed, e.Started, e.Cloned, e.Changed)):
            trial = self._trials[event.trial]
            self._write(trial)  # what waits was reported before this
            before = trial.results
            trial.apply(event)
            if trial.results < before:
                self._cut(trial, trial.results)
            if type(event) is not e.Placed:
                self._begin(trial)
        elif type(event) is e.Judged and event.action in ENDING:
            waiting = self._trials[event.trial].waiting
            if waiting and waiting[-1].iteration == event.iteration:
                waiting[-1] = msgspec.structs.replace(waiting[-1], done=True)

    def _finish_ended(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            status = self._experiment.trials[number].status
            if status.is_final and number in self._trials:
                self._finish(self._trials.pop(number), failed=status is Status.ERROR)

    def _damaged(self, past: Iterable[e.Event]) -> set[int]:
        """Follow the past, forget the trials that have ended with a whole file, and return those with another one."""
        for event in past:
            if type(event) is e.Reported:
                self._trials[event.trial].count([event])
            elif type(event) is e.Suggested:
                self._turn(event)
            elif isinstance(event, e.TrialEvent):
                self._trials[event.trial].apply(event)
        damaged = set()
        for number, trial in tuple(self._trials.items()):
            ended = self._experiment.trials[number].status.is_final
            if not self._is_whole(trial, ended=ended):
                damaged.add(number)
                self._discard(trial)
            elif ended:
                del self._trials[number]
        return damaged


def write_aside(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all."""
    aside = path.with_name(f"{path.name}.tmp")
    try:
        aside.write_bytes(content)
    except FileNotFoundError:  # the trial's folder is made by its worker, or here
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
    aside.replace(path)


def append(path: Path, content: bytes) -> None:
    """Write to the end of a file, which is made if need be, in one piece."""
    try:
        with path.open("ab", buffering=0) as file:
            file.write(content)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            file.write(content)
