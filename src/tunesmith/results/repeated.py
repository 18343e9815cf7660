"""What came of running a configuration several times."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, nan
from statistics import fmean, stdev
from typing import NamedTuple

from tunesmith.objective import Objective
from tunesmith.results.trial import Trial


class Repeated(NamedTuple):
    """A trial and others of the same configuration.

    `value` is the trial's own; `values` are those of `trials`, which for a `Repeater` begin with it, without those that
    failed or were not finite. `mean` is theirs, NaN where there is none, and `sd` their standard deviation, NaN for
    fewer than two: the spread of one run, not the error of the mean.
    """

    trial: Trial
    value: float
    trials: list[Trial]
    values: list[float]
    mean: float
    sd: float

    @classmethod
    def of(cls, trial: Trial, trials: list[Trial], scores: Mapping[int, float], objective: Objective) -> Repeated:
        """Return what came of it; `scores` are by number, ``-inf`` for nothing."""
        sign = 1 if objective.mode == "max" else -1
        found = [sign * scores[each.number] for each in trials if scores[each.number] > -inf]
        mean = fmean(found) if found else nan
        sd = stdev(found) if len(found) > 1 else nan
        return cls(trial, sign * scores[trial.number], trials, found, mean, sd)
