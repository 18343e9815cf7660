"""The errors of 2019 by their names. Each is one of Tunesmith's too."""

from __future__ import annotations

from tunesmith.errors import SpaceError, TunesmithError


class RayError(TunesmithError):
    """The root of the errors that Ray raised."""


class TuneError(RayError):
    """A run can't be started, or trials of it did not complete."""


class RecursiveDependencyError(SpaceError):
    """Functions of `sample_from` depend on each other in a circle."""


class NotHereError(RayError, ImportError):
    """A name of Ray that this layer does not have."""


class AbortTrialExecution(TuneError):  # noqa: N818 - its name in 2019
    """A trial's worker can't go on."""
