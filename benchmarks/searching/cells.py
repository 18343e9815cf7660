"""Keeps what was measured in a file, so that a measurement can be interrupted, continued, and merged with others."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from tasks import Array

EVERY = 20.0  # seconds between two times that the file is written
ABOUT = "about"  # the member of a file that says how it was measured
PACKAGES = ("numpy", "scipy", "scikit-learn", "onnxruntime", "optuna", "torch", "hyperopt", "syne-tune")


class Cell(NamedTuple):
    """One run."""

    family: str
    task: str
    workers: int
    side: str
    seed: int


Logs: TypeAlias = "dict[Cell, Array]"


class About(NamedTuple):
    """How runs were begun, which is to be the same in all that are compared, and with what they were measured."""

    design: str
    versions: dict[str, list[str]]

    def joined(self, other: About) -> About:
        """Of both.

        Raises:
            ValueError: runs that are begun in different ways can't be compared.
        """
        if self.design != other.design:
            raise ValueError(f"These runs can't be compared: some begin with {self.design}, some with {other.design}.")
        names = sorted(self.versions.keys() | other.versions.keys())
        return About(self.design, {n: sorted({*self.versions.get(n, ()), *other.versions.get(n, ())}) for n in names})


def here(design: str) -> About:
    """What is measured with now."""
    versions = {"Python": [platform.python_version()]}
    for name in PACKAGES:
        try:
            versions[name] = [version(name)]
        except PackageNotFoundError:
            continue
    return About(design, versions)


def load(path: Path) -> tuple[Logs, About]:
    with np.load(path) as file:
        logs = {Cell(*json.loads(key)): file[key] for key in file.files if key != ABOUT}
        return logs, About(*json.loads(str(file[ABOUT])))


def merged(paths: Iterable[Path], logs: Logs, about: About) -> tuple[Logs, About]:
    """All runs of some files and these; of one that is in several, that of the last."""
    every: Logs = {}
    for path in paths:
        found, other = load(path)
        every |= found
        about = other.joined(about)
    return {**every, **logs}, about


class Keeper:
    """The runs of a file; `add` writes it now and then, `close` for good. Without a path nothing is kept."""

    def __init__(self, path: Path | None, about: About) -> None:
        self._path = path
        self.logs: Logs = {}
        self.about = about
        if path and path.exists():
            self.logs, old = load(path)
            self.about = old.joined(about)
        self._written = time.monotonic()

    def add(self, cell: Cell, log: Array) -> None:
        self.logs[cell] = log
        if time.monotonic() - self._written > EVERY:
            self.close()

    def close(self) -> None:
        if self._path is None:
            return
        beside = self._path.with_suffix(".part.npz")
        members = {json.dumps(cell): log for cell, log in self.logs.items()}
        np.savez_compressed(beside, **members, **{ABOUT: np.array(json.dumps(self.about))})
        beside.replace(self._path)  # whole or not at all
        self._written = time.monotonic()
