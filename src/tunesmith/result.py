"""What is told of a trial: complete results, and what was decided about it."""

from __future__ import annotations

from typing import Any

import msgspec

from tunesmith.events import Changed, Cloned, Damaged, Judged, Reopened, Reported, Started

DECISIONS = (Judged, Cloned, Changed, Damaged, Reopened)


class Origin(msgspec.Struct, frozen=True):
    """What is the same in all results of one trial."""

    trial_id: str
    trial_name: str
    experiment_id: str
    config: dict[str, Any]


def complete(report: Reported, started: Started | None, origin: Origin, *, date: str, done: bool) -> dict[str, Any]:
    """Return the result as a dict.

    It has, beside the reported metrics: ``training_iteration, time_this_iter_s, time_total_s, timestamp`` (whole
    seconds since the epoch), ``date`` (of the report, as ``%Y-%m-%d_%H-%M-%S``), ``done`` (true for the last result of
    a trial that has ended), ``time_since_restore, iterations_since_restore, timesteps_total, episodes_total`` (None if
    never reported), ``pid, hostname, node_ip, trial_id, trial_name, experiment_id, config``. What the user reported
    under one of the names of measured values wins; what says whose result it is can't be overridden.
    """
    result = {"timesteps_total": None, "episodes_total": None, **report.result()}
    result["done"] = bool(result["done"]) or done
    result["date"] = date
    result["pid"] = started.pid if started else None
    result["hostname"] = started.hostname if started else None
    result["node_ip"] = started.node_ip if started else None
    result["trial_id"] = origin.trial_id
    result["trial_name"] = origin.trial_name
    result["experiment_id"] = origin.experiment_id
    result["config"] = origin.config
    return result


class Decided(msgspec.Struct, frozen=True):
    """A decision about a trial.

    `action` is ``stop``, ``pause``, ``fail``, ``save``, ``hold``, ``continue``, ``clone``, ``change`` or ``reopen``, or
    ``go back`` to an earlier checkpoint, because the last one was found damaged; `reason` is a sentence. `iteration` is
    that of the report that led to it, None when it came at another moment. `donor` is the number of the trial whose
    state a clone goes on from, `config` what was changed in its configuration, by path. `by` is who decided:
    ``scheduler``, ``stopper``, ``trial``, ``run`` or ``user``.
    """

    action: str
    reason: str
    iteration: int | None = None
    donor: int | None = None
    config: dict[str, Any] = {}
    by: str = "scheduler"

    @classmethod
    def of(cls, event: Judged | Cloned | Changed | Damaged | Reopened) -> Decided:
        """Return the decision that an event recorded.

        >>> Decided.of(Judged(0, "stop", "0.5 is below the cutoff", 9)).action
        'stop'
        """
        if isinstance(event, Judged):
            return cls(event.action, event.reason, event.iteration, by=event.by)
        if isinstance(event, Damaged):
            return cls("go back", event.reason, by="run")
        if isinstance(event, Reopened):
            return cls("reopen", event.reason, by="user")
        if isinstance(event, Cloned):
            return cls("clone", event.reason, event.iteration, event.donor, event.overrides)
        return cls("change", event.reason, event.iteration, None, event.overrides or {})
