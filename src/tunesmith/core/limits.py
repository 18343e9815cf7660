"""The bounds of a run."""

from __future__ import annotations

import msgspec

from tunesmith.core.retention import Keep


class Limits(msgspec.Struct, frozen=True):
    """The bounds of a run. None means that there is none; times are seconds.

    `trial_timeout_s` is for how long a trial may hold workers, in all of its starts together; `heartbeat_timeout_s`
    for how long nothing may be heard of one that runs. `on_nan` is what becomes of a trial whose objective is not
    finite: ``worst`` lets it go on with the worst of all values, ``fail`` and ``stop`` end it. `fail_fast` ends the
    run with the first trial that has failed for good.
    """

    max_trials: int | None = None
    max_concurrent: int | None = None
    time_budget_s: float | None = None
    trial_timeout_s: float | None = None
    heartbeat_timeout_s: float | None = None
    fail_fast: bool = False
    on_nan: str = "worst"
    keep_checkpoints: Keep = Keep()
    stop_grace_s: float = 5.0
    pause_grace_s: float = 30.0
