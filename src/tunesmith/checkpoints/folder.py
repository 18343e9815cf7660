"""Checkpoints in the experiment's own folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from tunesmith.trial import CheckpointRef


class CheckpointFolder:
    """Deletes checkpoints below `path`, the experiment's folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def discard(self, checkpoint: CheckpointRef) -> None:
        """Delete a checkpoint; one that is gone already is no error. It disappears whole: renamed, then removed."""
        folder = self._path / checkpoint.path
        doomed = folder.with_name(f"{folder.name}.deleted")
        try:
            folder.rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)
