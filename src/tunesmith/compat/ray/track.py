"""``tune.track``: how a function of the configuration alone reports."""

from __future__ import annotations

import os
import uuid
from typing import Any

from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.loggers import UnifiedLogger
from tunesmith.compat.ray.reporter import StatusReporter
from tunesmith.worker.session import AMBIENT


class TrackSession:
    """Where what is logged goes: to the run, or, on its own, to files in a folder."""

    def __init__(
        self,
        trial_name: str = "",
        experiment_dir: str | None = None,
        upload_dir: str | None = None,
        trial_config: dict[str, Any] | None = None,
        _tune_reporter: StatusReporter | None = None,
    ) -> None:
        self._reporter = _tune_reporter
        self._logger: UnifiedLogger | None = None
        self._iteration = -1
        if _tune_reporter is not None:
            return
        from tunesmith.compat.ray.result import DEFAULT_RESULTS_DIR

        self.trial_name = trial_name or uuid.uuid1().hex[:10]
        self.logdir = os.path.join(os.path.expanduser(experiment_dir or DEFAULT_RESULTS_DIR), self.trial_name)  # noqa: PTH111, PTH118 - text
        os.makedirs(self.logdir, exist_ok=True)  # noqa: PTH103 - as above
        self._logger = UnifiedLogger(dict(trial_config or {}), self.logdir, upload_dir)

    def metric(self, iteration: int | None = None, **metrics: Any) -> None:
        """Log metrics; without `iteration` they are counted."""
        self._iteration = self._iteration + 1 if iteration is None else max(iteration, self._iteration + 1)
        if self._reporter is not None:
            self._reporter(**metrics)
        elif self._logger is not None:
            self._logger.on_result({"training_iteration": self._iteration, "trial_name": self.trial_name, **metrics})

    log = metric

    def close(self) -> None:
        """Close the files."""
        if self._logger is not None:
            self._logger.close()


_SESSION: list[TrackSession] = []  # the one that `init` or a trial has begun


def begin(reporter: StatusReporter) -> None:
    """Let what is logged in this trial go to the run."""
    _SESSION[:] = [TrackSession(_tune_reporter=reporter)]


def init(ignore_reinit_error: bool = False, **arguments: Any) -> None:
    """Begin to log to files, outside of a run.

    Raises:
        ValueError: something is logged already, and that is not to be ignored.
    """
    if _SESSION:
        if ignore_reinit_error:
            return
        raise ValueError("A trial already exists in the current context. Call tune.track.shutdown() first.")
    _SESSION.append(TrackSession(**arguments))


def shutdown() -> None:
    """End what `init` has begun."""
    if _SESSION:
        _SESSION.pop().close()


def get_session() -> TrackSession:
    """Return where what is logged goes.

    Raises:
        ValueError: nothing has begun.
    """
    if not _SESSION:
        raise ValueError(
            "Session not detected. You should not be calling this function outside `tune.run` or `tune.track.init`."
        )
    return _SESSION[0]


def log(**metrics: Any) -> None:
    """Report metrics, such as ``tune.track.log(mean_accuracy=0.9)``."""
    get_session().metric(**metrics)


metric = log


def trial_dir() -> str:
    """Return the folder of this trial.

    Raises:
        TuneError: nothing has begun.
    """
    if AMBIENT.session is not None:
        return AMBIENT.session.folder
    if not _SESSION:
        raise TuneError("There is no trial here: call this in a trainable, or after tune.track.init().")
    return _SESSION[0].logdir


def trial_name() -> str:
    """Return the name of this trial.

    Raises:
        TuneError: nothing has begun.
    """
    if AMBIENT.session is not None:
        return AMBIENT.session.order.name
    if not _SESSION:
        raise TuneError("There is no trial here: call this in a trainable, or after tune.track.init().")
    return _SESSION[0].trial_name
