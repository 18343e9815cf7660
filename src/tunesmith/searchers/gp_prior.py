"""What is believed of a function on a search space before anything is known of it."""

from __future__ import annotations

from math import log, sqrt

from tunesmith.searchers.arrays import Array, np
from tunesmith.searchers.encoding import Encoding

# Half the diagonal of the cube; the source has e^sqrt(2) instead of the half, for a smoother kernel.
_LENGTH, _VARIANCE = 0.5, 3.0
# Options that have variables of their own are less alike than others.
_BRANCH, _BRANCH_VARIANCE = 0.5, 0.25
_NOISE, _NOISE_VARIANCE = -8.0, 9.0


class Prior:
    """Normal distributions of the logarithms of the lengths, the variance and the noise's variance.

    The lengths grow with the root of the number of variables that are active at the same time, so that a function of
    many is not thought to be rougher than one of few.

    Args:
        encoding: the space.

    Attributes:
        is_category: shape (dimensions,).
        mean: shape (dimensions + 2,).
        precision: the same, one over the variances.
        low: the same: below that, nothing is believed.
        high: the same.

    Source: Hvarfner, Hellsten and Nardi, Vanilla Bayesian Optimization Performs Great in High Dimensions, 2024.
    """

    def __init__(self, encoding: Encoding) -> None:
        columns = encoding.columns
        self.is_category: Array = np.array([column.is_category for column in columns], dtype=bool)
        share: list[float] = []  # of the space in which a variable is active
        for column in columns:
            above = column.parent
            share.append(1.0 if above is None else share[above] / columns[above].levels)
        length, parents = log(_LENGTH * sqrt(max(sum(share), 1.0))), {column.parent for column in columns}
        is_branch = [j in parents for j in range(len(columns))]
        self.mean: Array = np.array([*(log(_BRANCH) if branch else length for branch in is_branch), 0.0, _NOISE])
        variances = [*(_BRANCH_VARIANCE if branch else _VARIANCE for branch in is_branch), 1.0, _NOISE_VARIANCE]
        self.precision: Array = 1 / np.array(variances)
        self.low: Array = np.log([*[0.025] * len(columns), 0.05, 1e-6])
        self.high: Array = np.log([*[100.0] * len(columns), 20.0, 1.0])

    @property
    def usual(self) -> Array:
        """Hyperparameters to begin a fit with."""
        found = self.mean.copy()
        found[-1] = -4.0
        return found
