"""Keeps what was measured in a file, so that a measurement can be interrupted, continued, and merged with others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from tasks import Array

EVERY = 20.0  # seconds between two times that the file is written


class Cell(NamedTuple):
    """One run."""

    family: str
    task: str
    workers: int
    side: str
    seed: int


Logs: TypeAlias = "dict[Cell, Array]"


def load(path: Path) -> Logs:
    with np.load(path) as file:
        return {Cell(*json.loads(key)): file[key] for key in file.files}


def merged(paths: Iterable[Path]) -> Logs:
    """All runs of some files; of one that is in several, that of the last."""
    return {cell: log for path in paths for cell, log in load(path).items()}


class Keeper:
    """The runs of a file; `add` writes it now and then, `close` for good. With None nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.logs: Logs = load(path) if path and path.exists() else {}
        self._written = time.monotonic()

    def add(self, cell: Cell, log: Array) -> None:
        self.logs[cell] = log
        if time.monotonic() - self._written > EVERY:
            self.close()

    def close(self) -> None:
        if self._path is None:
            return
        beside = self._path.with_suffix(".part.npz")
        np.savez_compressed(beside, **{json.dumps(cell): log for cell, log in self.logs.items()})
        beside.replace(self._path)  # whole or not at all
        self._written = time.monotonic()
