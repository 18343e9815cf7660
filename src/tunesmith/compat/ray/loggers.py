"""The loggers of 2019: one object for each trial, with ``(config, logdir, upload_uri)``."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tunesmith.compat.ray.log import log
from tunesmith.compat.ray.sync import get_syncer
from tunesmith.worker import by_value


class Logger:
    """Subclass it and define `on_result`; each trial gets an object of its own, in the driver."""

    def __init__(self, config: dict[str, Any], logdir: str, upload_uri: str | None = None) -> None:
        self.config = config
        self.logdir = logdir
        self.uri = upload_uri
        self._init()

    def _init(self) -> None:
        """Prepare what is needed."""

    def on_result(self, result: dict[str, Any]) -> None:
        """Take a result."""
        raise NotImplementedError(f"{type(self).__name__} must define on_result(result).")

    def update_config(self, config: dict[str, Any]) -> None:
        """Take note of a new configuration."""

    def close(self) -> None:
        """Take note of the end."""

    def flush(self) -> None:
        """Write what has not been written."""


class NoopLogger(Logger):
    """Does nothing."""

    def on_result(self, result: dict[str, Any]) -> None:
        """Do nothing."""


class JsonLogger(Logger):
    """Writes a line for each result to ``result.json``, and ``params.json`` and ``params.pkl``."""

    def _init(self) -> None:
        self.update_config(self.config)
        self.local_file = os.path.join(self.logdir, "result.json")  # noqa: PTH118 - text as in 2019
        self.local_out = Path(self.local_file).open("a", encoding="utf-8")  # noqa: SIM115 - closed by `close`

    def update_config(self, config: dict[str, Any]) -> None:
        """Write the configuration."""
        self.config = config
        text = json.dumps(config, indent=2, sort_keys=True, default=in_json, skipkeys=True)
        Path(self.logdir, "params.json").write_text(text, encoding="utf-8")
        Path(self.logdir, "params.pkl").write_bytes(by_value.dumps(config))

    def on_result(self, result: dict[str, Any]) -> None:
        """Write a line."""
        self.local_out.write(json.dumps(result, default=in_json, skipkeys=True) + "\n")
        self.local_out.flush()

    def flush(self) -> None:
        """Write what has not been written."""
        self.local_out.flush()

    def close(self) -> None:
        """Close the file."""
        self.local_out.close()


class CSVLogger(Logger):
    """Writes a row for each result to ``progress.csv``; a name that comes up later gets its column then."""

    def _init(self) -> None:
        self._path = Path(self.logdir, "progress.csv")
        self._columns: list[str] = []
        if self._path.exists():
            with self._path.open(newline="", encoding="utf-8") as file:
                self._columns = next(csv.reader(file), [])
        self._file = self._path.open("a", newline="", encoding="utf-8")

    def on_result(self, result: dict[str, Any]) -> None:
        """Write a row."""
        row = {name: value for name, value in result.items() if name != "config"}
        if new := [name for name in row if name not in self._columns]:
            self._grow(new)
        csv.DictWriter(self._file, self._columns).writerow(row)
        self._file.flush()

    def _grow(self, new: Sequence[str]) -> None:
        self._file.close()
        with self._path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self._columns += new
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns)
        writer.writeheader()
        writer.writerows(rows)
        aside = self._path.with_suffix(".tmp")
        aside.write_text(text.getvalue(), newline="", encoding="utf-8")
        aside.replace(self._path)
        self._file = self._path.open("a", newline="", encoding="utf-8")

    def flush(self) -> None:
        """Write what has not been written."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TFLogger(NoopLogger):
    """Stands for the curves in TensorBoard, which `tunesmith.TensorBoardLogger` writes for all trials of a run."""


DEFAULT_LOGGERS: Final[tuple[type[Logger], ...]] = (JsonLogger, CSVLogger, TFLogger)


class UnifiedLogger(Logger):
    """Passes results on to several loggers. One that can't be made is left out; one that raises is switched off.

    With `upload_uri` the folder is copied there, by `sync_function` if that is given.
    """

    def __init__(
        self,
        config: dict[str, Any],
        logdir: str,
        upload_uri: str | None = None,
        loggers: Sequence[type[Logger]] | None = None,
        sync_function: Any = None,
    ) -> None:
        self._classes = DEFAULT_LOGGERS if loggers is None else tuple(loggers)
        self._syncer = get_syncer(logdir, upload_uri, sync_function) if upload_uri else None
        super().__init__(config, logdir, upload_uri)

    def _init(self) -> None:
        self._loggers: list[Logger] = []
        for cls in self._classes:
            try:
                self._loggers.append(cls(self.config, self.logdir, self.uri))
            except Exception as error:  # noqa: BLE001 - a logger's fault must not end the run
                if cls not in _SKIPPED:
                    _SKIPPED.add(cls)
                    log(
                        "WARNING", f"Could not instantiate {cls.__name__} - skipping. ({type(error).__name__}: {error})"
                    )

    def on_result(self, result: dict[str, Any]) -> None:
        """Pass a result on, and copy the folder if that is due."""
        self._each("on_result", result)
        if self._syncer is not None:
            self._syncer.sync_if_needed()

    def update_config(self, config: dict[str, Any]) -> None:
        """Pass a new configuration on."""
        self._each("update_config", config)

    def flush(self) -> None:
        """Let all of them write."""
        self._each("flush")

    def close(self) -> None:
        """Close all of them, and copy what they have written."""
        self._each("close")
        if self._syncer is not None:
            self._syncer.sync_now()

    def _each(self, method: str, *arguments: Any) -> None:
        for logger in tuple(self._loggers):
            try:
                getattr(logger, method)(*arguments)
            except Exception as error:  # noqa: BLE001 - as above
                self._loggers.remove(logger)
                text = f"{type(logger).__name__}.{method} raised {type(error).__name__}: {error}"
                if text not in _TOLD:
                    _TOLD.add(text)
                    log("ERROR", f"{text}. It is switched off for this trial.")


_SKIPPED: set[type[Logger]] = set()  # classes that could not be made, which were told of
_TOLD: set[str] = set()


def in_json(value: Any) -> Any:
    """Return what stands in JSON for a value that has no place there."""
    kind = type(value)
    if kind.__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else str(value)


def to_tf_values(result: Mapping[str, Any], path: Sequence[str]) -> list[tuple[str, float]]:
    """Return the numbers of a result, nested ones too, with their paths."""
    found = []
    for name, value in result.items():
        if isinstance(value, Mapping):
            found += to_tf_values(value, [*path, str(name)])
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found.append(("/".join([*path, str(name)]), float(value)))
    return found
