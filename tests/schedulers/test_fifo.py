from __future__ import annotations

from collections.abc import Collection

from tunesmith.events import Reported
from tunesmith.schedulers.fifo import FIFOScheduler
from tunesmith.schedulers.protocol import CONTINUE


class Waiting:
    def __init__(self, pending: Collection[int], paused: Collection[int], fitting: set[int]) -> None:
        self.pending, self.paused, self.fitting = pending, paused, fitting

    def fits(self, trial: int) -> bool:
        return trial in self.fitting


def test_the_first_that_fits_starts_and_paused_ones_come_last() -> None:
    scheduler = FIFOScheduler()
    assert scheduler.choose(Waiting([3, 1, 2], [0], {1, 2, 0})) == 1
    assert scheduler.choose(Waiting([3], [5, 4], {4, 5})) == 5
    assert scheduler.choose(Waiting([3], [5], set())) is None


def test_every_trial_goes_on() -> None:
    report = Reported(0, 1, 1, {"loss": float("nan")}, 0.0, 0.0, 0.0, 0.0, 1)
    assert FIFOScheduler().judge(report) is CONTINUE
