"""Copies the folders of trials to another place."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any, Final

from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.log import log
from tunesmith.compat.ray.markers import function as literal

_EVERY_S: Final = 300.0
_COMMANDS: Final = {
    "s3://": ("aws", "aws s3 sync {local_dir} {remote_dir}"),
    "gs://": ("gsutil", "gsutil rsync -r {local_dir} {remote_dir}"),
}


def validate_sync_function(sync_function: Any) -> None:
    """Raise AssertionError or ValueError if it is neither a template nor a function."""
    if sync_function is None or isinstance(sync_function, literal) or callable(sync_function):
        return
    if not isinstance(sync_function, str):
        raise ValueError(  # noqa: TRY004 - as in 2019
            f"Sync function {sync_function!r} must be a string or a tune.function(...)."
        )
    for part in ("{remote_dir}", "{local_dir}"):
        if part not in sync_function:
            raise AssertionError(f"Sync template must contain '{part}': {sync_function!r}.")


def _from_template(template: str) -> Callable[[str, str], None]:
    def run(local_dir: str, remote_dir: str) -> None:
        command = template.format(local_dir=shlex.quote(local_dir), remote_dir=shlex.quote(remote_dir))
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TuneError(f"The command {command!r} failed with {done.returncode}: {done.stderr.strip()[-500:]}")

    return run


class Syncer:
    """Copies one folder, at most every five minutes, and when it is told to."""

    def __init__(self, local_dir: str, remote_dir: str, copy: Callable[[str, str], Any]) -> None:
        self.local_dir, self.remote_dir = local_dir, remote_dir
        self._copy = copy
        self._last = time.monotonic()

    def sync_if_needed(self) -> None:
        """Copy if that is due."""
        if time.monotonic() - self._last > _EVERY_S:
            self.sync_now()

    def sync_now(self) -> None:
        """Copy."""
        self._last = time.monotonic()
        try:
            self._copy(self.local_dir, self.remote_dir)
        except Exception as error:  # noqa: BLE001 - a copy that fails must not end the run; the files are here
            log("ERROR", f"{self.local_dir} could not be copied to {self.remote_dir}: {type(error).__name__}: {error}")


def get_syncer(local_dir: str, remote_dir: str, sync_function: Any = None) -> Syncer:
    """Return what copies `local_dir` to `remote_dir`.

    Raises:
        TuneError: the place needs a program that is not there, or is of a kind that nobody knows.
    """
    if isinstance(sync_function, literal):
        return Syncer(local_dir, remote_dir, sync_function.func)
    if isinstance(sync_function, str):
        return Syncer(local_dir, remote_dir, _from_template(sync_function))
    if callable(sync_function):
        return Syncer(local_dir, remote_dir, sync_function)
    for prefix, (program, template) in _COMMANDS.items():
        if remote_dir.startswith(prefix):
            if shutil.which(program) is None:
                raise TuneError(f"Upload uri starting with '{prefix}' requires {program} to be installed.")
            return Syncer(local_dir, remote_dir, _from_template(template))
    raise TuneError(
        f"Upload uri must start with one of: {list(_COMMANDS)}, or a sync_function must be given; got {remote_dir!r}."
    )
