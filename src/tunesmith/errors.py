"""Every error a user can meet, named by what has to be done about it."""

from __future__ import annotations

from collections.abc import Iterable


class TunesmithError(Exception):
    """The root of every error raised on purpose by this library."""


class ArgumentError(TunesmithError, ValueError):
    """A call has to be changed: an argument is wrong, unknown or contradicts another."""


class UnknownArgumentError(ArgumentError, TypeError):
    """An argument that does not exist was passed."""


class SpaceError(ArgumentError):
    """The search space has to be changed: a bad range, an empty choice, a dependency cycle."""


class MetricError(ArgumentError):
    """What a trial reported has no usable value for the metric that the run optimises."""


class ResourceError(ArgumentError):
    """A trial asks for more than there is: ask for less, or run on a larger machine."""


class NotPicklableError(ArgumentError):
    """The trainable or a configuration can't be sent to a worker process."""


class StorageError(TunesmithError, OSError):
    """The experiment's folder can't be read or written."""


class DamagedCheckpointError(StorageError):
    """A checkpoint is not there, or is not what was written: go on from an earlier one."""


class ExperimentExistsError(StorageError):
    """The name is taken: resume the experiment or choose another name."""


class ExperimentBusyError(StorageError):
    """Another driver is running this experiment right now."""


class ExperimentDamagedError(StorageError):
    """The experiment's database can't be read as it is: recover what is whole, by the command in the message."""


class MissingPackageError(TunesmithError, ImportError):
    """An optional package has to be installed."""


class TrialError(TunesmithError):
    """A trial failed.

    `traceback` is the worker's, as text; `kind` says what sort of failure it was (see `tunesmith.trial.Failure`).
    """

    def __init__(self, message: str, *, traceback: str = "", kind: str = "error") -> None:
        super().__init__(message)
        self.traceback = traceback
        self.kind = kind


class SearchError(TunesmithError):
    """The searcher could not suggest anything, so that there is no trial; the message has its reason."""


class WorkerError(TunesmithError):
    """The worker processes can't be started or have all gone."""


class IllegalMoveError(TunesmithError, RuntimeError):
    """An event that the state machine has no move for. A defect of this library: please report it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name closest to `name`, or an empty string.

    >>> nearest("metrc", ["metric", "mode"])
    " Did you mean 'metric'?"
    """
    from difflib import get_close_matches  # slow to import, and rarely wanted

    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
