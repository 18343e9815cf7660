"""What every worker of a run has to know: the same for all trials, sent once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:  # where no URL is used it is not imported
    from tunesmith.remote.storage import RemoteStorage


class Job(msgspec.Struct, frozen=True):
    """The unchanging part of every trial.

    `trainable` is a function of one argument, the configuration, or a subclass of `tunesmith.Trainable`; `parameters`
    are the big objects of `tune.with_parameters`, passed by keyword (to ``setup`` for a class). `path` is the
    experiment's folder, absolute. `checkpoint_freq` counts iterations, 0 is off; it and `checkpoint_at_end` apply to
    class trainables. `chdir` makes the trial's folder its working directory.

    `metric` is the name under which a bare number that a function returns or yields is reported. `threads` is the
    limit for numeric libraries (OpenMP, BLAS) while the user's modules are imported, for trials that all ask for the
    same number of CPUs; None leaves their own default. From `seed`, the experiment's, comes that of each trial.
    `remote` is where the experiment's checkpoints are kept, if that is not in `path`.
    """

    trainable: Callable[..., Any]
    parameters: dict[str, Any]
    path: str
    experiment_id: str
    experiment_name: str
    checkpoint_freq: int = 0
    checkpoint_at_end: bool = False
    chdir: bool = True
    metric: str | None = None
    threads: int | None = None
    seed: int = 0
    remote: RemoteStorage | None = None
