"""What becomes of a trial that has failed: a policy, kept in the record so that every reader decides alike."""

from __future__ import annotations

from typing import Final

import msgspec

from tunesmith.trial import Failure

NOT_CHARGED: Final = frozenset({"lost", "preempted"})  # kinds that are no fault of the trial
FOR_GOOD: Final = frozenset({"timeout"})  # kinds that are never tried again
PATIENCE: Final = 3  # so many failures in a row, without getting further, are not charged if their kind is not
LONGEST_PAUSE_S: Final = 300.0


class FailurePolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which failures are tried again, how often, and after which pause.

    `max_failures` is how many failures of a trial are forgiven; -1 forgives all of them. `retry_on` names those that
    are tried again, by kind (see `tunesmith.trial.Failure`) or by the name of an exception's class or of one that it
    extends, with its module or without; None is all of them. `retry_pause_s` is the pause after the first failure, in
    seconds; it doubles with each one in a row after which the trial got no further, up to 300.

    >>> policy = FailurePolicy(max_failures=3, retry_on=("OSError",), retry_pause_s=1.0)
    >>> policy.allows(Failure("error", "no route", types=("ConnectionError", "OSError", "Exception")), failures=1)
    True
    >>> [policy.pause_s(failures_in_a_row=n) for n in (1, 2, 3)]
    [1.0, 2.0, 4.0]
    """

    max_failures: int = 0
    retry_on: tuple[str, ...] | None = None
    retry_pause_s: float = 0.0

    def charges(self, failure: Failure, *, failures_in_a_row: int) -> bool:
        """Whether a failure counts as the trial's own. One that is not must not be repeated for ever."""
        return failure.kind not in NOT_CHARGED or failures_in_a_row > PATIENCE

    def allows(self, failure: Failure, *, failures: int) -> bool:
        """Whether a trial is tried again after a failure that is charged to it, its `failures`-th."""
        if failure.kind in FOR_GOOD or not (self.max_failures < 0 or failures <= self.max_failures):
            return False
        return self.retry_on is None or any(_is_called(failure, name) for name in self.retry_on)

    def pause_s(self, *, failures_in_a_row: int) -> float:
        """Return how long a trial waits before it is tried again, in seconds."""
        doublings = min(failures_in_a_row - 1, 60)  # beyond that the number has long become too large
        return min(self.retry_pause_s * 2.0**doublings, LONGEST_PAUSE_S)


def type_name(kind: type[BaseException]) -> str:
    """Return the name by which an exception's class is recorded: with its module, unless it is built in.

    >>> type_name(ValueError), type_name(msgspec.ValidationError)
    ('ValueError', 'msgspec.ValidationError')
    """
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _is_called(failure: Failure, name: str) -> bool:
    return name == failure.kind or any(name in (own, own.rpartition(".")[2]) for own in failure.types)
