"""The complete result: what a trial reported, and what every result of Tune carries besides."""

from __future__ import annotations

from typing import Any

import msgspec

from tunesmith.events import Reported, Started


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
