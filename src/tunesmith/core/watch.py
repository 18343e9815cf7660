"""Notices trials that have used their time up, and trials that nothing was heard of for too long."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.core.experiment import TrialRecord
from tunesmith.trial import Failure

_BEATS = 4  # so many looks are taken within the time after which a trial is silent


class Watch:
    """The fold of who holds a worker since when, by the driver's clock; a Tick finds those who have to go.

    A report has no time of the driver's. What was heard is therefore noted at the next regular look, a quarter of
    `heartbeat_s` later at most. So a trial is given up between one and one and a quarter times `heartbeat_s` after the
    last that was heard of it; and a driver that was itself stopped for a while hears first what has come meanwhile. A
    trial whose report waits for an answer need not say more.

    Args:
        timeout_s: for how long a trial may hold workers in all its starts, from Started on; None for ever.
        heartbeat_s: for how long nothing may be heard of a trial; None for ever.
    """

    __slots__ = (
        "_beat",
        "_deadlines",
        "_heard",
        "_heartbeat_s",
        "_live",
        "_now",
        "_signs",
        "_since",
        "_timeout_s",
        "_used",
    )

    def __init__(self, timeout_s: float | None, heartbeat_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._heartbeat_s = heartbeat_s
        self._live: dict[int, TrialRecord] = {}
        self._since: dict[int, float] = {}
        self._deadlines: dict[int, float] = {}
        self._used: dict[int, float] = {}  # seconds of earlier starts, of those that have not ended for good
        self._signs: dict[int, float] = {}
        self._heard: set[int] = set()
        self._beat = inf  # when the next look is due
        self._now = 0.0

    def apply(self, event: e.Event, trial: TrialRecord | None) -> Iterator[c.Command]:
        """Fold an event, and yield the orders that follow from it."""
        kind = type(event)
        if kind is e.Reported:
            self._heard.add(event.trial)  # type: ignore[attr-defined]  # narrowed by the line above
            return
        if kind is e.SessionOpened:
            for other in list(self._live.values()):  # nobody knows since when its worker was gone
                self._end(other)
            self._beat = inf
        self._now = getattr(event, "at", 0.0) or self._now
        if trial is not None:
            if kind is e.Started:
                yield from self._begin(trial)
            elif trial.number in self._live:
                self._heard.add(trial.number)
                if not trial.status.is_live or trial.parked:
                    self._end(trial)
        elif kind is e.Tick:
            yield from self._look()

    def _begin(self, trial: TrialRecord) -> Iterator[c.Command]:
        number, now = trial.number, self._now
        self._live[number] = trial
        self._since[number] = self._signs[number] = now
        if self._timeout_s is not None:
            self._deadlines[number] = now + max(0.0, self._timeout_s - self._used.get(number, 0.0))
            yield c.WakeAt(self._deadlines[number])
        if self._heartbeat_s is not None and self._beat == inf:
            yield self._look_again(self._heartbeat_s)

    def _end(self, trial: TrialRecord) -> None:
        number = trial.number
        del self._live[number]
        self._deadlines.pop(number, None)
        self._heard.discard(number)
        del self._signs[number]
        spent = self._now - self._since.pop(number)
        if trial.status.is_final:
            self._used.pop(number, None)
        else:
            self._used[number] = self._used.get(number, 0.0) + max(0.0, spent)

    def _look(self) -> Iterator[c.Command]:
        for number, deadline in self._deadlines.items():
            if deadline <= self._now:
                story = f"The trial has used all of its time, {self._timeout_s:g} s (trial_timeout_s=), and was ended."
                yield c.Kill(number, self._live[number].incarnation, Failure("timeout", story))
        if self._heartbeat_s is not None and self._now >= self._beat:
            yield from self._listen(self._heartbeat_s)

    def _listen(self, heartbeat_s: float) -> Iterator[c.Command]:
        for number, trial in self._live.items():
            if number in self._heard or trial.held:
                self._signs[number] = self._now
            elif self._now - self._signs[number] >= heartbeat_s:
                story = f"Nothing was heard of the trial for {heartbeat_s:g} s (heartbeat_timeout_s=): it was given up."
                yield c.Kill(number, trial.incarnation, Failure("silent", story))
        self._heard.clear()
        self._beat = inf
        if self._live:
            yield self._look_again(heartbeat_s)

    def _look_again(self, heartbeat_s: float) -> c.WakeAt:
        self._beat = self._now + heartbeat_s / _BEATS
        return c.WakeAt(self._beat)
