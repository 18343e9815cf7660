"""Results as TensorBoard shows them: curves, and the table and the plots of its HParams plugin."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any

from tunesmith import events as e
from tunesmith.callbacks.following import FollowedTrial, flat
from tunesmith.callbacks.trial_files import TrialFiles, append
from tunesmith.core.experiment import Experiment
from tunesmith.errors import MissingPackageError

_START, _END = "_hparams_/session_start_info", "_hparams_/session_end_info"  # tags of the HParams plugin
_FILES = "events.out.tfevents.*.tunesmith"  # TensorBoard knows them by the beginning, we by the end
_NO_CURVES = frozenset({"training_iteration", "timestamp", "timesteps_total"})  # they are the axis, or would be


class TensorBoardLogger(TrialFiles):
    """Write each trial's curves and configuration for TensorBoard; ``tensorboard --logdir`` the experiment's folder.

    Every number that a trial reports is a curve; names of nested values are joined by slashes. A point's step is
    ``timesteps_total`` where that is reported, else the training iteration. ``time_this_iter_s`` and ``time_total_s``
    are curves, too. The HParams tab has a row for each trial, with the configuration that it began with and the last
    value of each curve.

    Args:
        prefix: goes before the name of each curve, such as ``"ray/tune/"``.
        flush_s: seconds that a result may wait before it is written; 0 writes at once.
        clock: seconds of a monotonic clock.

    Raises:
        MissingPackageError: TensorBoard is not installed.

    Example:
        >>> tune.run(train, space, callbacks=[tune.TensorBoardLogger()])  # doctest: +SKIP
    """

    def __init__(self, *, prefix: str = "", flush_s: float = 0.5, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(flush_s=flush_s, clock=clock)
        self._prefix = prefix
        try:
            if find_spec("tensorboard") is not None:
                return
        except ValueError:  # somebody has put it off limits
            pass
        raise MissingPackageError('TensorBoardLogger needs TensorBoard: pip install "tunesmith[tensorboard]"')

    def on_start(self, path: Path, experiment: Experiment, total: int | None) -> None:
        """Load what is needed, while the first worker is being prepared."""
        super().on_start(path, experiment, total)
        self._format = _Format()

    def _begin(self, trial: FollowedTrial) -> None:
        page = trial.page = trial.page or _Page(self._next_file(trial))
        if not page.begun:
            begun = self._experiment.created.at if self._experiment.created else 0.0
            append(page.path, self._format.opening(begun) + self._format.session_start(trial, begun))
            page.begun = True

    def _file(self, trial: FollowedTrial) -> Path:
        path: Path = trial.page.path
        return path

    def _rows(self, trial: FollowedTrial, reports: Sequence[e.Reported]) -> bytes:
        self._begin(trial)
        steps, new = trial.page.steps, [*map(_step, reports)]
        steps[trial.results - len(reports) :] = array("q", new)
        point, prefix, curves = self._format.point, self._prefix, self._curves
        pairs = zip(new, reports, strict=True)
        return b"".join([point(step, report.timestamp, curves(report), prefix) for step, report in pairs])

    def _curves(self, report: e.Reported) -> dict[str, Any]:
        """Return what becomes curves, as far as it is numbers, by name."""
        values = {"time_this_iter_s": report.time_this_iter_s, "time_total_s": report.time_total_s, **report.metrics}
        return {name: value for name, value in values.items() if name not in _NO_CURVES}

    def _cut(self, trial: FollowedTrial, results: int) -> None:
        steps, last = trial.page.steps, trial.last
        # TensorBoard may be reading the file, and does not expect it to shrink: it is told to forget.
        append(trial.page.path, self._format.restart(last.timestamp if last else 0.0, steps[results]))
        del steps[results:]

    def _finish(self, trial: FollowedTrial, *, failed: bool) -> None:
        if trial.page is not None:
            at = trial.last.timestamp if trial.last else 0.0
            append(trial.page.path, self._format.session_end(at, failed=failed))

    def _is_whole(self, trial: FollowedTrial, *, ended: bool) -> bool:
        files = sorted(trial.path.glob(_FILES))
        if not files:
            return trial.started is None
        return ended and self._format.has_ended(files[-1].read_bytes())

    def _discard(self, trial: FollowedTrial) -> None:
        trial.page = _Page(self._next_file(trial))  # a TensorBoard that is running takes up the new file by itself
        for path in trial.path.glob(_FILES):
            path.unlink()

    def _next_file(self, trial: FollowedTrial) -> Path:
        """Return a name behind those that are there: TensorBoard reads a folder's files in the order of names."""
        found = sorted(trial.path.glob(_FILES))
        begun = int(self._experiment.created.at) if self._experiment.created else 0
        number = int(found[-1].name.split(".")[3]) + 1 if found else begun
        return trial.path / _FILES.replace("*", f"{number:010d}")


class _Page:
    """A trial's file, and the steps of the points in it that stand."""

    __slots__ = ("begun", "path", "steps")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begun = False
        self.steps = array("q")


def _step(report: e.Reported) -> int:
    total = report.metrics.get("timesteps_total")
    return int(total) if isinstance(total, (int, float)) and isfinite(total) else report.iteration


class _Format:
    """Makes the records of an event file."""

    def __init__(self) -> None:
        # TensorBoard's messages, and no more of it: its writers import what takes several times as long.
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

        self._events, self._summaries = event_pb2, summary_pb2
        self._status, self._data = api_pb2, plugin_data_pb2
        nothing = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=0)])
        self._value = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=nothing)

    def opening(self, at: float) -> bytes:
        """Return the beginning of a file. What other files said before of the same run is to be forgotten."""
        version = self._events.Event(wall_time=at, file_version="brain.Event:2")
        return self._record(version) + self.restart(at, 0)

    def restart(self, at: float, step: int) -> bytes:
        """Return the record that takes back all points from `step` on."""
        start = self._events.SessionLog(status=self._events.SessionLog.START)
        return self._record(self._events.Event(wall_time=at, step=step, session_log=start))

    def point(self, step: int, at: float, curves: dict[str, Any], prefix: str) -> bytes:
        """Return a record with a point of each curve."""
        values = [
            self._summaries.Summary.Value(tag=f"{prefix}{name}", simple_value=value)
            for name, value in flat(curves).items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        ]
        summary = self._summaries.Summary(value=values)
        return self._record(self._events.Event(wall_time=at, step=step, summary=summary))

    def session_start(self, trial: FollowedTrial, at: float) -> bytes:
        """Return the record of a trial's configuration."""
        info = self._data.SessionStartInfo(group_name=trial.trial_id, start_time_secs=at)
        for name, value in flat(trial.config).items():
            hparam = info.hparams[name]
            if isinstance(value, bool):
                hparam.bool_value = value
            elif isinstance(value, (int, float)):
                hparam.number_value = value
            else:
                hparam.string_value = str(value)
        data = self._data.HParamsPluginData(session_start_info=info)
        return self._hparams_record(at, _START, data)

    def session_end(self, at: float, *, failed: bool) -> bytes:
        """Return the record of a trial's end."""
        status = self._status.STATUS_FAILURE if failed else self._status.STATUS_SUCCESS
        info = self._data.SessionEndInfo(status=status, end_time_secs=at)
        data = self._data.HParamsPluginData(session_end_info=info)
        return self._hparams_record(at, _END, data)

    def has_ended(self, content: bytes) -> bool:
        """Whether the last record of a file is whole and says that the trial has ended."""
        return _END.encode() in content[_last_record(content) :]

    def _hparams_record(self, at: float, tag: str, data: Any) -> bytes:
        meta = self._summaries.SummaryMetadata()
        meta.plugin_data.plugin_name = "hparams"
        meta.plugin_data.content = data.SerializeToString()  # version 0
        value = self._summaries.Summary.Value(tag=tag, metadata=meta, tensor=self._value)
        return self._record(self._events.Event(wall_time=at, summary=self._summaries.Summary(value=[value])))

    def _record(self, event: Any) -> bytes:
        content: bytes = event.SerializeToString()
        length = len(content).to_bytes(8, "little")
        return b"".join((length, _checksum(length), content, _checksum(content)))


@cache
def _crc_table() -> tuple[int, ...]:
    """Return what each byte does to a CRC-32C (Castagnoli, reflected)."""
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)  # noqa: PLW2901 - eight steps of the same number
        table.append(crc)
    return tuple(table)


def _checksum(content: bytes) -> bytes:
    """Return the masked CRC-32C that TFRecord files have behind each part."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")


def _last_record(content: bytes) -> int:
    """Return where the last record begins; the end of the content when that record is cut off."""
    begin = end = 0
    while end < len(content):
        begin = end
        # a length of 8 bytes, its checksum of 4, the event, its checksum of 4
        end += 16 + int.from_bytes(content[begin : begin + 8], "little")
    return begin if end == len(content) else len(content)
