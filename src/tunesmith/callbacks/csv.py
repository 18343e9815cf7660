"""Results as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tunesmith import events as e
from tunesmith.callbacks.following import FollowedTrial, date, flat
from tunesmith.callbacks.trial_files import TrialFiles, alike, append, write_aside

_NAME = "progress.csv"
_WIDEST_CELL = 1 << 30
# What says whose result it is and when: no report can replace it. All but the date is the same in many results.
_IDENTITY = ("date", "pid", "hostname", "node_ip", "trial_id", "trial_name", "experiment_id")
# The first columns of each file, in this order.
_MEASURED = (
    "training_iteration", "time_this_iter_s", "time_total_s", "timestamp", "time_since_restore",
    "iterations_since_restore", "done",
)  # fmt: skip
_MANY = 100  # kinds of rows that are remembered of a trial
_SPECIAL = frozenset(',"\r\n')
_encode = msgspec.json.Encoder().encode


class CSVLogger(TrialFiles):
    """Write each result as a row of ``progress.csv`` in the trial's folder.

    The columns are the reported metrics and what was measured, then who reported, then the configuration of that moment
    as ``config/...``. Names of nested values are joined by slashes. A metric that comes up later gets its column then,
    empty in the rows before. A missing value is empty, NaN is ``nan``, infinity ``inf``, a truth value ``true`` or
    ``false``, a list is JSON.

    Args:
        flush_s: seconds that a result may wait before it is written; 0 writes at once.
        clock: seconds of a monotonic clock.

    Example:
        >>> tune.run(train, space, callbacks=[tune.CSVLogger()])  # doctest: +SKIP
        >>> pandas.read_csv(results.best_trial.path / "progress.csv")  # doctest: +SKIP
    """

    def _begin(self, trial: FollowedTrial) -> None:
        if trial.page is not None:
            trial.page.forget()

    def _file(self, trial: FollowedTrial) -> Path:
        return trial.path / _NAME

    def _rows(self, trial: FollowedTrial, reports: Sequence[e.Reported]) -> bytes:
        page = trial.page or self._open(trial)
        rows: list[bytes] = []
        for group in alike(reports):
            quick = page.quick_rows(group)
            if quick is not None:
                rows.append(quick)
                continue
            for report in group:
                rows.append(page.quick_rows([report]) or self._slow_row(trial, page, report, rows))
        return b"".join(rows)

    def _slow_row(self, trial: FollowedTrial, page: _Page, report: e.Reported, before: list[bytes]) -> bytes:
        result = _flat_result(trial, report)
        if not page.known.issuperset(result):
            if before:
                append(trial.path / _NAME, b"".join(before))
                before.clear()
            self._grow(trial, page, result)
        row = _written([[_cell(result.get(name)) for name in page.columns]])
        page.learn(report, result)
        return row

    def _open(self, trial: FollowedTrial) -> _Page:
        """Return the columns that the file has; none if there is no file yet."""
        rows = self._read(trial)
        trial.page = page = _Page(rows[0] if rows else [])
        return page

    def _read(self, trial: FollowedTrial) -> list[list[str]]:
        try:
            return _parsed((trial.path / _NAME).read_bytes())
        except FileNotFoundError:
            return []

    def _grow(self, trial: FollowedTrial, page: _Page, result: dict[str, Any]) -> None:
        """Make room for new columns: all that is there is written once more, with the longer header."""
        header, *old = self._read(trial) or [page.columns]
        page.grow(result)
        moved = [dict(zip(header, row, strict=True)) for row in old]
        content = [page.columns, *([row.get(name, "") for name in page.columns] for row in moved)]
        write_aside(trial.path / _NAME, _written(content))

    def _cut(self, trial: FollowedTrial, results: int) -> None:
        write_aside(trial.path / _NAME, _written(self._read(trial)[: results + 1]))

    def _is_whole(self, trial: FollowedTrial, *, ended: bool) -> bool:
        rows = self._read(trial)
        if len(rows) - bool(rows) != trial.results:
            return False
        if trial.last is None or not trial.results:
            return not rows
        last = dict(zip(rows[0], rows[-1], strict=False)) | {"done": ""}
        result = _flat_result(trial, trial.last)
        known = set(rows[0]).issuperset(result) and len(rows[0]) == len(rows[-1])
        return known and last == {name: _cell(result.get(name)) for name in rows[0]} | {"done": ""}

    def _discard(self, trial: FollowedTrial) -> None:
        (trial.path / _NAME).unlink(missing_ok=True)


class _Kind(NamedTuple):
    """What rows have in common that report the same names, all of them with plain numbers."""

    columns: Sequence[str]  # of the metrics
    absent: int  # how many of the columns are empty
    tail: bytes


class _Page:
    """The columns of a file, and how a row is made quickly that is like one of before."""

    def __init__(self, columns: list[str]) -> None:
        self.columns = columns
        self.known = set(columns)
        self._kinds: dict[frozenset[str], _Kind] = {}

    def forget(self) -> None:
        """Take note that the rows to come may be of another kind."""
        self._kinds.clear()

    def grow(self, result: dict[str, Any]) -> None:
        """Add the columns that the result needs: what was measured, metrics, and what is constant."""
        names = dict.fromkeys([*(name for name in _MEASURED if name not in self.known), *self.columns, *result])
        varying = [name for name in names if not _is_constant(name)]
        self.columns = [*varying, "date", *(name for name in names if _is_constant(name) and name != "date")]
        self.known = set(self.columns)
        self.forget()

    def learn(self, report: e.Reported, result: dict[str, Any]) -> None:
        """Remember what rows have in common with this one if they report the same names."""
        names = report.metrics.keys()
        columns = [name for name in self.columns[len(_MEASURED) :] if not _is_constant(name)]
        if not names <= set(columns) or len(self._kinds) > _MANY:
            return  # some are nested, or are called as what is in every result
        constants = [name for name in self.columns if _is_constant(name) and name != "date"]
        tail = b"," + _written([[_cell(result.get(name)) for name in constants]])
        self._kinds[frozenset(names)] = _Kind(columns, len(set(columns) - names), tail)

    def quick_rows(self, reports: Sequence[e.Reported]) -> bytes | None:
        """Return the rows of reports that are alike, or None if they are of a new kind, or hold more than numbers."""
        kind = self._kinds.get(frozenset(reports[0].metrics))
        if kind is None:
            return None
        columns, second = kind.columns, int(reports[0].timestamp)
        rows = _encode(
            [
                (
                    r.iteration,
                    r.time_this_iter_s,
                    r.time_total_s,
                    second,
                    r.time_since_restore,
                    r.iterations_since_restore,
                    r.done,
                    *map(r.metrics.get, columns),
                )
                for r in reports
            ]
        )
        count = len(reports)
        is_plain = rows.count(b"[") == count + 1 and b'"' not in rows and b"{" not in rows
        if not is_plain or rows.count(b"null") != kind.absent * count:  # NaN is null, too
            return None
        end = b",%b%b" % (date(second).encode(), kind.tail)
        return rows[2:-2].replace(b"null", b"").replace(b"],[", end) + end


def _is_constant(name: str) -> bool:
    return name in _IDENTITY or name.startswith("config/")


def _flat_result(trial: FollowedTrial, report: e.Reported) -> dict[str, Any]:
    result = trial.result(report)
    config = {f"config/{name}": value for name, value in flat(result.pop("config")).items()}
    return flat(result) | config


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float) and value - value != 0:  # NaN or infinite
        return str(value)
    return json.dumps(value) if isinstance(value, (list, dict)) else _encode(value).decode()


def _written(rows: Iterable[Sequence[str]]) -> bytes:
    return "".join([",".join(map(_quoted, row)) + "\n" for row in rows]).encode()


def _quoted(cell: str) -> str:
    """Return the cell as RFC 4180 has it; the csv module leaves a lone carriage return bare (before Python 3.13)."""
    return cell if _SPECIAL.isdisjoint(cell) else '"' + cell.replace('"', '""') + '"'


def _parsed(content: bytes) -> list[list[str]]:
    """Return the rows; a last one that was cut off is a row, too."""
    limit = csv.field_size_limit(_WIDEST_CELL)
    try:
        return list(csv.reader(io.StringIO(content.decode(errors="replace"), newline="")))
    finally:
        csv.field_size_limit(limit)
