"""Keeps large objects where all processes of a run find them: in files that go away with the script."""

from __future__ import annotations

import atexit
import pickle
import shutil
import tempfile
import uuid
from functools import cache
from pathlib import Path
from typing import Any

from tunesmith.compat.ray.errors import TuneError
from tunesmith.worker import by_value


def keep(value: Any) -> str:
    """Keep an object and return the place."""
    path = _folder() / uuid.uuid4().hex
    path.write_bytes(by_value.dumps(value))
    return str(path)


def find(place: str) -> Any:
    """Return the object of a place.

    Raises:
        TuneError: it is gone.
    """
    try:
        return pickle.loads(Path(place).read_bytes())
    except OSError as error:
        raise TuneError(f"The pinned object is gone, as the script that pinned it has ended: {error}.") from error


@cache
def _folder() -> Path:
    """Return the folder of this process; it is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="tune_pinned_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
