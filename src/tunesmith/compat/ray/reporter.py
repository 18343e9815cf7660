"""What a function of 2019 reports with."""

from __future__ import annotations

from typing import Any

from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.result import add_loss
from tunesmith.worker.reporting import report
from tunesmith.worker.session import AMBIENT


class StatusReporter:
    """What a function reports with, from whatever thread: ``reporter(mean_loss=0.5, timesteps_total=3)``.

    The call returns when the trial may go on. When the trial is to end, it does not return: it raises what no ``except
    Exception`` catches.
    """

    def __init__(self) -> None:
        self.has_reported = False
        self._timesteps = 0

    def __call__(self, **kwargs: Any) -> None:
        """Report metrics.

        Raises:
            TuneError: the trial has ended, or this is not inside a trial.
        """
        if AMBIENT.session is None:
            raise TuneError(
                "reporter(...) was called where no trial is running: after the trial's function had returned, from a "
                "thread that went on, or outside of a run. Wait for such threads before the function returns."
            )
        self._timesteps += kwargs.get("timesteps_this_iter") or 0
        result = {"timesteps_since_restore": self._timesteps, **kwargs}
        add_loss(result)
        report(result)
        self.has_reported = True
