"""What user code calls from inside a trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import ArgumentError, TunesmithError
from tunesmith.streams import stream
from tunesmith.worker.checkpoint import Checkpoint
from tunesmith.worker.session import AMBIENT, Session


def report(metrics: Mapping[str, Any] | None = None, /, *, checkpoint: Checkpoint | None = None, **kwargs: Any) -> None:
    """Report metrics, as a mapping or by keyword, and a checkpoint; return when the trial may go on.

    The call ends the trial, by an exception that no ``except Exception`` catches, when the run has decided to stop or
    to pause it; ``finally`` blocks run. A true ``done`` among the metrics ends the trial as well. What is given
    as ``training_iteration``, ``time_this_iter_s``, ``timesteps_total`` or ``episodes_total`` replaces what would be
    counted; ``timesteps_this_iter`` and ``episodes_this_iter`` are summed up.

    Raises:
        ArgumentError: the report is empty, is no mapping, or has a name that is no string.
        StorageError: the checkpoint can't be copied.
        TunesmithError: the caller is not inside a trial.

    Example::

        def train(config):
            for epoch in range(10):
                tune.report(loss=1 / (epoch + 1))
    """
    session = _session("report")
    if metrics is None:
        metrics = kwargs
    elif kwargs:
        if not isinstance(metrics, Mapping):
            raise ArgumentError(f"A report must be a mapping of names to values, got {type(metrics).__name__}.")
        metrics = {**metrics, **kwargs}
    session.report(metrics, checkpoint)


def get_checkpoint() -> Checkpoint | None:
    """Return the latest checkpoint of this trial, or None: what a trial that goes on has to load.

    Raises:
        StorageError: the checkpoint is gone or damaged.
        TunesmithError: the caller is not inside a trial.
    """
    return _session("get_checkpoint").checkpoint()


def get_context() -> Context:
    """Return what a trial may know of itself.

    Raises:
        TunesmithError: the caller is not inside a trial.
    """
    return Context(_session("get_context"))


class Context:
    """A trial's own identity, place and share. Every property is also there as a method, ``get_trial_id()``."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def trial_id(self) -> str:
        """The trial's id."""
        return self._session.order.trial_id

    @property
    def trial_name(self) -> str:
        """The trial's name."""
        return self._session.order.name

    @property
    def trial_number(self) -> int:
        """The trial's number, from 0."""
        return self._session.order.trial

    @property
    def trial_seed(self) -> int:
        """A number from 0 to 2**32 - 1 for the trial's own random generators: another one for each trial of a run.

        The same in each start of the trial, and in each run with the same seed.
        """
        return stream(self._session.job.seed, "trial", self.trial_number).getrandbits(32)

    @property
    def trial_dir(self) -> str:
        """The trial's folder, an absolute path."""
        return self._session.folder

    @property
    def experiment_name(self) -> str:
        """The name of the run."""
        return self._session.job.experiment_name

    @property
    def experiment_id(self) -> str:
        """The id of the run."""
        return self._session.job.experiment_id

    @property
    def trial_resources(self) -> dict[str, float]:
        """What the trial was granted, such as ``{"cpu": 1.0, "gpu": 0.5}``."""
        return dict(self._session.resources)

    @property
    def iteration(self) -> int:
        """How many reports the trial has made, those before a restore included."""
        return self._session.iteration

    def get_trial_id(self) -> str:
        """Return the trial's id."""
        return self.trial_id

    def get_trial_name(self) -> str:
        """Return the trial's name."""
        return self.trial_name

    def get_trial_number(self) -> int:
        """Return the trial's number, from 0."""
        return self.trial_number

    def get_trial_seed(self) -> int:
        """Return a number for the trial's own random generators."""
        return self.trial_seed

    def get_trial_dir(self) -> str:
        """Return the trial's folder, an absolute path."""
        return self.trial_dir

    def get_experiment_name(self) -> str:
        """Return the name of the run."""
        return self.experiment_name

    def get_trial_resources(self) -> dict[str, float]:
        """Return what the trial was granted."""
        return self.trial_resources


def _session(name: str) -> Session:
    session = AMBIENT.session
    if session is None:
        raise TunesmithError(
            f"{name}() must be called inside a trial, by the function that tune.run runs. "
            "To try a function out in this process, run it with executor='inline'."
        )
    return session
