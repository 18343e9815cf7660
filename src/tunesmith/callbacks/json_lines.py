"""Results as JSON, one object a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

import msgspec

from tunesmith import events as e
from tunesmith.callbacks.following import FollowedTrial, date
from tunesmith.callbacks.trial_files import TrialFiles, append, write_aside

_RESULTS = "result.json"
_PARAMS = "params.json"
_encode = msgspec.json.Encoder().encode
# What says whose result it is and when: no report can replace it. All but the date is the same in many results.
_CONSTANT = ("pid", "hostname", "node_ip", "trial_id", "trial_name", "experiment_id", "config")
_IDENTITY = frozenset({"date", *_CONSTANT})
_NULLS = (("timesteps_total", b',"timesteps_total":null'), ("episodes_total", b',"episodes_total":null'))


class JSONLogger(TrialFiles):
    """Write each result as an object on a line of ``result.json``, and the configuration to ``params.json``.

    Both are in the trial's folder. A result has what `tunesmith.load` shows of it: the metrics as they were reported,
    nested ones too, and what was measured, with the configuration of that moment under ``config``. As Tune and Python's
    ``json`` have it, NaN and infinities are written as ``NaN``, ``Infinity`` and ``-Infinity``; Python and pandas read
    them, a strict reader does not. ``done`` is true when the trial ended with the result: one that ends later, by
    itself, has said so nowhere in this file.

    Args:
        flush_s: seconds that a result may wait before it is written; 0 writes at once.
        clock: seconds of a monotonic clock.

    Example:
        >>> tune.run(train, space, callbacks=[tune.JSONLogger()])  # doctest: +SKIP
        >>> pandas.read_json(results.best_trial.path / "result.json", lines=True)  # doctest: +SKIP
    """

    def _begin(self, trial: FollowedTrial) -> None:
        trial.page = None
        write_aside(trial.path / _PARAMS, _params(trial))

    def _append(self, trial: FollowedTrial, reports: Sequence[e.Reported]) -> None:
        append(trial.path / _RESULTS, b"".join([_line(trial, report) for report in reports]))

    def _cut(self, trial: FollowedTrial, results: int) -> None:
        path = trial.path / _RESULTS
        write_aside(path, b"".join(path.read_bytes().splitlines(keepends=True)[:results]))

    def _is_whole(self, trial: FollowedTrial, *, ended: bool) -> bool:
        try:
            lines = (trial.path / _RESULTS).read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            lines = []
        if len(lines) != trial.results:
            return False
        if not lines:
            return True
        assert trial.last is not None
        done = msgspec.structs.replace(trial.last, done=True)
        return lines[-1] in (_line(trial, trial.last), _line(trial, done))

    def _discard(self, trial: FollowedTrial) -> None:
        (trial.path / _RESULTS).unlink(missing_ok=True)


def _params(trial: FollowedTrial) -> bytes:
    return json.dumps(trial.config, indent=2, sort_keys=True).encode() + b"\n"


def _line(trial: FollowedTrial, report: e.Reported) -> bytes:
    """Return the result as a line: quickly, or, when it has something special, slowly."""
    if trial.page is None:
        result = trial.result(report)
        trial.page = json.dumps({key: result[key] for key in _CONSTANT}).encode()[1:-1] + b"}\n"
    metrics = report.metrics
    if _IDENTITY.isdisjoint(metrics):
        result = report.result()
        result["done"] = bool(result["done"])
        result["date"] = date(int(report.timestamp))
        line = _encode(result)
        if b"null" not in line:  # else there may be a NaN, which msgspec writes like that
            nulls = b"".join([null for name, null in _NULLS if name not in metrics])
            return line[:-1] + nulls + b"," + cast("bytes", trial.page)
    return json.dumps(trial.result(report)).encode() + b"\n"
