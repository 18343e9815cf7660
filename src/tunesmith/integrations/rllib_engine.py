"""Ray, as far as RLlib needs it in the process of a trial."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from math import ceil
from typing import Any, Final

from tunesmith.errors import MissingPackageError, ResourceError

_STORE_BYTES = 80_000_000  # about the least that Ray takes
_STORE_BYTES_SHARED = 200_000_000  # where other processes send what they have sampled; Ray spills beyond
_LONGEST = 20  # characters of the temporary folder: the paths of Ray's sockets have room for about a hundred


class Engine:
    """The Ray of this process: the one that is there, such as a cluster's, or a small one of its own.

    RLlib asks for Ray even where it starts no other process. Ours has no dashboard and no address that anybody else
    would join, and is gone when the last trial of this process has left, or with the process: a worker takes along
    what it has started.
    """

    def __init__(self) -> None:
        self._users = 0
        self._cpus = -1  # of our own; below 0 there is none
        self._folder: str | None = None

    def join(self, cpus: float) -> None:
        """Be sure that there is a Ray that can start processes with so many CPUs in all, beside this one.

        Raises:
            MissingPackageError: Ray is not installed.
            ResourceError: it is in use by another trial of this process, and too small for this one.
        """
        ray = import_ray()
        if ray.is_initialized() and self._cpus < 0:
            return
        wanted = ceil(cpus)
        if self._cpus >= 0 and wanted > self._cpus:
            if self._users:
                raise ResourceError(
                    f"The Ray of this process has {self._cpus} CPUs, and this trial's processes need {wanted}: give all"
                    " trials the same number of env runners, or each a process of its own with executor='local'."
                )
            self._end()
        if self._cpus < 0:
            self._start(wanted)
        self._users += 1

    def leave(self) -> None:
        """End our own Ray when nobody is left who uses it."""
        if self._cpus < 0:
            return
        self._users -= 1
        if self._users <= 0:
            self._end()

    def _start(self, cpus: int) -> None:
        ray = import_ray()
        if len(tempfile.gettempdir()) <= _LONGEST:
            self._folder = tempfile.mkdtemp(prefix="rllib_")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_STORE_BYTES_SHARED if cpus else _STORE_BYTES,
            _temp_dir=self._folder,
        )
        self._cpus, self._users = cpus, 0

    def _end(self) -> None:
        import_ray().shutdown()
        self._cpus, self._users = -1, 0
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def import_ray() -> Any:
    """Return the package.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise missing(error) from error
    return ray


def missing(error: ImportError) -> MissingPackageError:
    """Return the error that says what to install."""
    return MissingPackageError(
        f'RLlib\'s algorithms need RLlib, PyTorch and Gymnasium: pip install "tunesmith[rllib]" ({error}).'
    )


ENGINE: Final = Engine()
