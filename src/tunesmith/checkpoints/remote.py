"""Checkpoints elsewhere, as the driver sees them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tunesmith.checkpoints.folder import Standing
from tunesmith.remote.files import Files
from tunesmith.trial import CheckpointRef
from tunesmith.worker.checkpoint import SHEET

_OURS: Final = re.compile(r"checkpoint_\d{6,}(\.\d+)?-\d{6,}")  # as a worker names what it sends
_WHOLE: Final = re.compile(r"checkpoint_\d{6,}(\.\d+)?(-\d+)?")
_ASIDE: Final = re.compile(r".*\.part-[0-9a-f]{8}|\.probe-[0-9a-f]{12}(\.part-[0-9a-f]{8})?")


def discard(files: Files, checkpoint: CheckpointRef) -> None:
    """Delete a checkpoint; one that is gone already is no error.

    Raises:
        StorageError: the server is away.
    """
    files.delete(checkpoint.path)


def leftovers(files: Files, folders: Iterable[str], standing: Standing) -> list[str]:
    """Return what deaths have left below the trials' `folders`: parts of checkpoints, and those that no log knows of.

    Also files that were not given their names any more. To be called before any worker writes, whose work no log knows
    of yet.

    Raises:
        StorageError: the server is away.
    """
    trials, doomed, sheets, found = set(folders), set(), set(), set()
    for name in files.sizes():
        folder, _, rest = name.partition("/")
        inner, _, relative = rest.partition("/")
        if _ASIDE.fullmatch(rest or folder) and (folder in trials or not rest or folder == "sessions"):
            doomed.add(name)
        elif folder in trials and relative and _WHOLE.fullmatch(inner) and f"{folder}/{inner}" not in standing:
            found.add(f"{folder}/{inner}")
            if relative == SHEET:
                sheets.add(f"{folder}/{inner}")
    doomed |= {path for path in found if path in sheets or _OURS.fullmatch(path.rpartition("/")[2])}
    return sorted(doomed)


def sweep(files: Files, paths: Iterable[str]) -> None:
    """Delete `leftovers`.

    Raises:
        StorageError: the server is away.
    """
    for path in paths:
        files.delete(path)
