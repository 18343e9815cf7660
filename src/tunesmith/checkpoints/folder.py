"""Checkpoints in the experiment's own folder."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from tunesmith import events as e
from tunesmith.trial import CheckpointRef
from tunesmith.worker.checkpoint import read_sheet

_DOOMED: Final = ".deleted"
_WHOLE: Final = re.compile(r"checkpoint_\d{6,}(\.\d+)?(-\d+)?")
_PART: Final = re.compile(rf"{_WHOLE.pattern}(\.tmp-\d+|{re.escape(_DOOMED)})")


class CheckpointFolder:
    """Deletes checkpoints below `path`, the experiment's folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def discard(self, checkpoint: CheckpointRef) -> None:
        """Delete a checkpoint; one that is gone already is no error. It disappears whole: renamed, then removed.

        One that can't be deleted stays until the experiment is opened again.
        """
        with suppress(OSError):
            _delete(self._path / checkpoint.path)

    def sweep(self, folders: Iterable[str], standing: Standing) -> None:
        """Delete what a crash has left in the trials' `folders`: parts of checkpoints, and those that no log knows of.

        Only directories go that carry the names of checkpoints, and of those that are whole, only the ones with this
        library's own sheet inside: a user's directory may have such a name, too.
        """
        for folder in folders:
            for entry in _directories(self._path / folder):
                leftover = _WHOLE.fullmatch(entry.name) and f"{folder}/{entry.name}" not in standing
                with suppress(OSError):
                    if _PART.fullmatch(entry.name):
                        shutil.rmtree(entry)
                    elif leftover and read_sheet(entry) is not None:
                        _delete(entry)


class Standing:
    """The checkpoints that a log says are there, by their paths. Damaged ones are: they are the user's to look at."""

    def __init__(self) -> None:
        self._paths: set[str] = set()

    def see(self, event: e.Event) -> None:
        """Follow the log."""
        if isinstance(event, e.Discarded):
            self._paths.discard(event.checkpoint.path)
        elif isinstance(event, e.WorkerEvent) and (checkpoint := getattr(event, "checkpoint", None)) is not None:
            self._paths.add(checkpoint.path)

    def __contains__(self, path: str) -> bool:
        return path in self._paths


def _directories(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            yield from [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return


def _delete(folder: Path) -> None:
    doomed = folder.with_name(f"{folder.name}{_DOOMED}")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed)
