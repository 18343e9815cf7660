"""Where trials come from: what the searcher is asked, and whether any more will come."""

from __future__ import annotations

from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.core.experiment import Experiment
from tunesmith.core.limits import Limits
from tunesmith.core.places import Places
from tunesmith.resources import Resources

_AHEAD = 32  # eager suggestions are asked for in batches of this size


class Supply:
    """Keeps the books of the questions to the searcher; the fold of its answers.

    Args:
        experiment: has the trials that were made.
        places: how many of them wait, and what is free.
        limits: how many trials there may be, and how many at once.
        request: what a trial asks for.
        eager: whether the searcher may be asked ahead.
    """

    def __init__(
        self, experiment: Experiment, places: Places, limits: Limits, request: Resources, *, eager: bool
    ) -> None:
        self._experiment, self._places, self._limits, self._request = experiment, places, limits, request
        self._eager = eager
        self._asked = 0
        self._deferred = False  # the searcher waits for a trial to end
        self._ended = 0  # of how many ends it has been told

    def made(self, number: int) -> None:
        """Learn that a trial was suggested."""
        self._asked = max(self._asked, number + 1)

    def answered(self, event: e.Event) -> None:
        """Learn that nothing more comes of what was asked: an answer says so, or a new session has begun."""
        self._asked = len(self._experiment.trials)
        self._deferred = type(event) is e.Deferred and event.ended >= self._ended

    def told_of_an_end(self) -> None:
        """Learn that a trial has ended."""
        self._deferred = False
        if not self._eager:
            self._ended += 1

    def is_complete(self) -> bool:
        """Return whether all trials that there will be were made, or no more are unless those that wait are decided."""
        if self._asked != len(self._experiment.trials):
            return False
        return self._closed() or (self._deferred and not self._places.granted and not self._places.pending)

    def order(self, sees_all: bool) -> c.Ask | None:
        """Return what the searcher is to be asked now, and take it as asked; None for nothing.

        `sees_all` says that the scheduler wants to know all trials at the start.
        """
        if self._closed() or self._deferred or self._asked > len(self._experiment.trials):
            return None
        limit = self._limits.max_trials
        count = _AHEAD if self._eager else self._room()
        if self._eager and limit is not None and sees_all:
            count = limit
        elif self._eager and self._places.ready > _AHEAD // 4:
            return None
        if limit is not None:
            count = min(count, limit - self._asked)
        if count <= 0:
            return None
        asked = c.Ask(self._asked, count)
        self._asked += count
        return asked

    def _closed(self) -> bool:
        """Whether no more trials will be made."""
        experiment, limit = self._experiment, self._limits.max_trials
        return (
            experiment.exhausted is not None
            or experiment.search_failure is not None
            or (limit is not None and self._asked >= limit)
        )

    def _room(self) -> int:
        """How many more trials could start right now."""
        places, most = self._places, self._limits.max_concurrent
        room = places.pool.room(self._request)
        if most is not None:
            room = min(room, most - len(places.granted))
        return room - places.ready
