"""Ray, as far as RLlib needs it in the process of a trial."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from typing import Any, Final

from tunesmith.errors import MissingPackageError

_STORE_BYTES = 200_000_000  # for what processes send each other; Ray spills what is beyond
_CPUS = (
    1000  # how many processes a trial may start was decided when it was granted its share: Ray is not to decide again
)
_LONGEST = 20  # characters of the temporary folder: the paths of Ray's sockets have room for about a hundred


class Engine:
    """The Ray of this process: the one that is there, such as a cluster's, or a small one of its own.

    RLlib asks for Ray even where it starts no other process. Ours has no dashboard and no address that anybody else
    would join, and is gone when the last trial of this process has left, or with the process: a worker takes along
    what it has started.
    """

    def __init__(self) -> None:
        self._users = 0  # of our own; without any there is none
        self._folder: str | None = None

    def join(self) -> None:
        """Be sure that there is a Ray.

        Raises:
            MissingPackageError: it is not installed.
        """
        ray = import_ray()
        if ray.is_initialized() and not self._users:
            return
        if not self._users:
            self._start()
        self._users += 1

    def leave(self) -> None:
        """End our own Ray when nobody is left who uses it."""
        if not self._users:
            return
        self._users -= 1
        if not self._users:
            import_ray().shutdown()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def _start(self) -> None:
        if len(tempfile.gettempdir()) <= _LONGEST:
            self._folder = tempfile.mkdtemp(prefix="rllib_")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import_ray().init(
            address="local",
            num_cpus=_CPUS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_STORE_BYTES,
            _temp_dir=self._folder,
        )


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
