"""What loggers have in common that keep files in each trial's folder: when they write, and how they mend."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from tunesmith import events as e
from tunesmith.callbacks.following import ENDING, FollowedTrial
from tunesmith.callbacks.protocol import Callback
from tunesmith.core.experiment import Experiment
from tunesmith.trial import Status

_TURNS = (e.Placed, e.Started, e.Cloned, e.Changed, e.Refitted, e.Damaged)  # after these a file may go on otherwise
_MANY = 250  # reports of a trial that wait at most: so few that they are still in the processor's cache


class TrialFiles(Callback):
    """A reader that writes what each trial reports to a file of that trial.

    Reports are written together, every `flush_s` seconds, in quiet moments, and when the trial ends or changes: many
    rows at once cost a fraction of what each would cost alone. No file stays open. The files tell what stands: when a
    trial goes back to a checkpoint, what it reported after that is taken out. When a run is resumed, each file is
    compared with the record, and one that differs is made anew: it may have been cut off, or the disk was full, or
    there was no logger before.

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
        self._waiting: dict[int, FollowedTrial] = {}

    # -- what a kind of file has to say

    def _begin(self, trial: FollowedTrial) -> None:
        """Take note that a trial starts, or goes on, maybe with another configuration."""

    def _file(self, trial: FollowedTrial) -> Path:
        """Return the file that the trial's reports go to."""
        raise NotImplementedError

    def _rows(self, trial: FollowedTrial, reports: Sequence[e.Reported]) -> bytes:
        """Return reports as they are written. They are the trial's last ones, and counted already."""
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
        self._waiting.clear()

    def on_resume(self, past: Iterable[e.Event]) -> None:
        """Compare the files with the record, and make those anew that differ."""
        damaged = self._damaged(past)
        if not damaged:
            return
        for event in past:
            if not isinstance(event, e.TrialEvent) or event.trial not in damaged:
                continue
            if type(event) is e.Reported:
                self._report(event)
            else:
                self._turn(event)
        self._finish_ended(damaged)
        self.flush()

    def on_events(self, events: Sequence[e.Event]) -> None:
        """Take note of what was reported, and write it when it is time."""
        changed = []
        for event in events:
            if type(event) is e.Reported:
                self._report(event)
            elif isinstance(event, e.TrialEvent):
                self._turn(event)
                changed.append(event.trial)
        if changed:
            self._finish_ended(changed)
        if self._clock() >= self._due:
            self.flush()

    def on_idle(self) -> None:
        """Write what waits."""
        self.flush()

    def on_end(self) -> None:
        """Write what waits."""
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, {}
        for trial in waiting.values():
            self._write(trial)
        self._due = self._clock() + self._flush_s

    def _write(self, trial: FollowedTrial) -> None:
        if trial.waiting:
            reports, trial.waiting = trial.waiting, []
            rows = self._rows(trial, reports)
            append(self._file(trial), rows)

    def _report(self, report: e.Reported) -> None:
        trial = self._trials[report.trial]
        trial.count(report)
        waiting = trial.waiting
        if not waiting:
            self._waiting[report.trial] = trial
        waiting.append(report)
        if len(waiting) > _MANY:  # the past, all at once, or a world without time
            self._write(trial)

    def _turn(self, event: e.TrialEvent) -> None:
        if type(event) is e.Suggested:
            before = self._trials.get(event.trial)  # there is one if its file is made anew
            trial = self._trials[event.trial] = FollowedTrial(event, self._path, self._experiment)
            trial.page = before.page if before is not None else None
        elif isinstance(event, _TURNS):
            trial = self._trials[event.trial]
            self._write(trial)  # what waits was reported before this
            told = trial.results
            changed = trial.apply(event)
            if trial.results < told:
                self._cut(trial, trial.results)
            if changed or type(event) is e.Started:
                self._begin(trial)
        elif isinstance(event, e.Judged) and event.action in ENDING:
            trial = self._trials[event.trial]
            if trial.waiting and trial.last is not None and trial.last.iteration == event.iteration:
                trial.waiting[-1] = msgspec.structs.replace(trial.last, done=True)

    def _finish_ended(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            status = self._experiment.trials[number].status
            if status.is_final and number in self._trials:
                trial = self._trials.pop(number)
                self._write(trial)
                self._finish(trial, failed=status is Status.ERROR)

    def _damaged(self, past: Iterable[e.Event]) -> set[int]:
        """Follow the past, forget the trials that have ended with a whole file, and return those with another one."""
        for event in past:
            if type(event) is e.Reported:
                self._trials[event.trial].count(event)
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


def alike(reports: Iterable[e.Reported]) -> Iterator[list[e.Reported]]:
    """Yield reports together that follow each other, name the same metrics, and are of one second and not the last."""
    group: list[e.Reported] = []
    names: Collection[str] = ()
    begin = end = 0
    for report in reports:
        if not begin <= report.timestamp < end or report.done or report.metrics.keys() != names:
            if group:
                yield group
            group = []
            names = report.metrics.keys()
            begin = int(report.timestamp)
            end = begin if report.done else begin + 1
        group.append(report)
    if group:
        yield group


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
