"""What a scheduler may see of an experiment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tunesmith.core.experiment import Experiment, TrialRecord
from tunesmith.core.places import Places
from tunesmith.resources import Allocation, Resources


class ExperimentView:
    """The `tunesmith.schedulers.protocol.View` of a controller's own parts.

    Args:
        request: what a trial asks for that has no request of its own.
        configure: builds a trial's present configuration.
        is_complete: whether no more trials will be made.
    """

    __slots__ = ("_configure", "_experiment", "_is_complete", "_places", "request")

    def __init__(
        self,
        experiment: Experiment,
        places: Places,
        request: Resources,
        configure: Callable[[TrialRecord], dict[str, Any]],
        is_complete: Callable[[], bool],
    ) -> None:
        self._experiment = experiment
        self._places = places
        self.request = request
        self._configure = configure
        self._is_complete = is_complete

    @property
    def trials(self) -> Sequence[TrialRecord]:
        """All trials, by number."""
        return self._experiment.trials

    @property
    def pending(self) -> deque[int]:
        """Those that wait for their turn."""
        return self._places.pending

    @property
    def paused(self) -> dict[int, None]:
        """Those that were paused."""
        return self._places.paused

    @property
    def running(self) -> dict[int, Allocation]:
        """Those that hold resources."""
        return self._places.granted

    @property
    def complete(self) -> bool:
        """Whether no more trials will be made."""
        return self._is_complete()

    @property
    def total(self) -> Resources:
        """The resources of the machine."""
        return self._places.pool.total

    def fits(self, trial: int) -> bool:
        """Whether what the trial asks for is free, and it need not wait until it is tried again."""
        places, request = self._places, self._experiment.trials[trial].resources or self.request
        return trial not in places.resting and places.pool.room(request) > 0

    def config(self, trial: int) -> dict[str, Any]:
        """Return a copy of the trial's configuration."""
        return self._configure(self._experiment.trials[trial])
