"""Scores as a Gaussian process can take them: the bad half counts by its ranks, the best are spread."""

from __future__ import annotations

from math import log

from tunesmith.searchers.algebra import ndtri
from tunesmith.searchers.arrays import Array, np

_SPREAD = 1.5  # by how much more the best differences count than the worst ones
_TINY = 1e-9


def warp(scores: Array, *, spread: bool = True) -> Array:
    """Return values of about zero mean and unit spread in the order of the scores; the median one for failures.

    Args:
        scores: shape (n,), larger is better; NaN for a failure. Any finite size.
        spread: whether differences between the best are to count more. Not where areas are to be gained between several
            objectives: what a difference is worth there depends on the other objectives.

    A failure neither attracts nor makes a cliff beside which the function would seem rough: that trials fail is for
    another model to know. All zeros where all scores are equal or there are none. Source: Song et al., The Vizier
    Gaussian Process Bandit Algorithm, 2024, section 3.1.

    >>> warp(np.array([1.0, 2.0, 3.0, -1e300])).round(2).tolist()
    [0.05, 0.86, 1.96, -0.74]
    """
    found = np.zeros(len(scores))
    good = ~np.isnan(scores)
    values = scores[good]
    if not len(values) or values.min() == values.max():
        return found
    values = _half_ranks(values / 4)  # differences of a quarter can't overflow
    if spread:
        values = _spread(values)
    # The mean is taken as if half a trial more had been very bad, so that what is unknown is thought a little worse.
    bad = float(values.min()) - (0.5 * float(np.ptp(values)) + 1.0)
    values -= (float(values.sum()) + 0.5 * (bad + float(values.mean()))) / (1.0 + len(values))
    values /= max(float(values.std()), _TINY)
    found[good], found[~good] = values, np.median(values)
    return found


def _half_ranks(values: Array) -> Array:
    """Replace what is below the median by the normal quantiles of its ranks, so that outliers there do no harm."""
    median = float(np.median(values))
    below = values < median
    above = values[~below] - median
    apart = above if above.any() else values - median
    largest = float(np.abs(apart).max())
    spread = largest * float(np.sqrt(np.mean((apart / largest) ** 2)))
    distinct, ranks = np.unique(values[below], return_inverse=True)
    slots = len(distinct) + (0.5 if (values == median).any() else 0.0)
    found = values.copy()
    found[below] = median + spread * ndtri(0.5 * (ranks + 0.5) / slots)
    return found


def _spread(values: Array) -> Array:
    """Make differences between good values larger than those between bad ones."""
    best = float(values.max())
    shares = (best - values) / (best - float(values.min()))
    found: Array = 0.5 - np.log1p((_SPREAD - 1) * shares) / log(_SPREAD)
    return found
