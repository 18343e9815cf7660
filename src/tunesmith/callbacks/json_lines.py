"""Results as JSON, one object a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tunesmith import events as e
from tunesmith.callbacks.following import FollowedTrial, date
from tunesmith.callbacks.trial_files import TrialFiles, alike, write_aside

_RESULTS = "result.json"
_PARAMS = "params.json"
_encode = msgspec.json.Encoder().encode
_CONSTANT = ("pid", "hostname", "node_ip", "trial_id", "trial_name", "experiment_id", "config")
_TOTALS = ("timesteps_total", "episodes_total")  # None in a result that does not report them
_MANY = 100  # kinds of reports that a trial may make before all of them are forgotten


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

    def _file(self, trial: FollowedTrial) -> Path:
        return trial.path / _RESULTS

    def _rows(self, trial: FollowedTrial, reports: Sequence[e.Reported]) -> bytes:
        lines: list[bytes] = []
        for group in alike(reports):
            quick = _quick_lines(trial, group)
            lines += [_line(trial, report) for report in group] if quick is None else [quick]
        return b"".join(lines)

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


class _Measured(msgspec.Struct, gc=False):
    """What is in every result beside the metrics and what says whose it is."""

    training_iteration: int
    time_this_iter_s: float
    time_total_s: float
    time_since_restore: float
    iterations_since_restore: int


_ALIKE = ("timestamp", "date", "done")  # of reports that are alike
_SPECIAL = frozenset({*_Measured.__struct_fields__, *_ALIKE, *_CONSTANT})  # metrics of these names need a closer look
_BETWEEN = b'},{"training_iteration":'  # the metrics and what was measured


def _line(trial: FollowedTrial, report: e.Reported) -> bytes:
    """Return the result as a line: quickly, or, when there is something special about it, slowly."""
    return _quick_lines(trial, [report]) or json.dumps(trial.result(report)).encode() + b"\n"


def _quick_lines(trial: FollowedTrial, reports: Sequence[e.Reported]) -> bytes | None:
    """Return the lines of reports that are alike, or None when there is something special about one of them."""
    first = reports[0]
    tail = trial.page.get(frozenset(first.metrics)) if trial.page else None
    if tail is None:
        tail = _tail(trial, first)
    if not tail:
        return None
    parts: list[Any] = []
    for r in reports:
        measured = _Measured(
            r.iteration, r.time_this_iter_s, r.time_total_s, r.time_since_restore, r.iterations_since_restore
        )
        parts += r.metrics, measured
    lines = _encode(parts)
    if b"null" in lines or lines.count(b"},{") != len(parts) - 1:  # a NaN, say, which msgspec writes like that
        return None
    second = int(first.timestamp)
    same = f',"timestamp":{second},"date":"{date(second)}","done":{"true" if first.done else "false"},'
    end = same.encode() + tail
    return lines[1:-2].replace(_BETWEEN, b"," + _BETWEEN[3:]).replace(b"},{", end + b"{") + end


def _tail(trial: FollowedTrial, report: e.Reported) -> bytes:
    """Return how a line ends if its metrics have the names of this report's; empty if such a line is special."""
    if not trial.page or len(trial.page) > _MANY:
        trial.page = {}
    metrics, result = report.metrics, trial.result(report)
    names = [name for name in (*_TOTALS, *_CONSTANT) if name not in metrics]
    tail = json.dumps({name: result[name] for name in names})[1:] + "\n"
    trial.page[frozenset(metrics)] = found = tail.encode() if metrics and _SPECIAL.isdisjoint(metrics) else b""
    return found
