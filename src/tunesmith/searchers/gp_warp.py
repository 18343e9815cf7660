"""Scores as a Gaussian process can take them: the bad half counts by its ranks, the best are spread."""

from __future__ import annotations

from math import log

from tunesmith.searchers.algebra import ndtri
from tunesmith.searchers.arrays import Array, np

_SPREAD = 1.5  # by how much more the best differences count than the worst ones
_TINY = 1e-9


def warp(scores: Array) -> Array:
    """Return values of about zero mean and unit spread in the order of the scores; failures below all others.

    Args:
        scores: shape (n,), larger is better; NaN for a failure. Any finite size.

    All zeros where all scores are equal or there are none. Source: Song et al., The Vizier Gaussian Process Bandit
    Algorithm, 2024, section 3.1.

    >>> warp(np.array([1.0, 2.0, 3.0, -1e300])).round(2).tolist()
    [0.33, 0.75, 1.33, -0.68]
    """
    found = np.zeros(len(scores))
    good = ~np.isnan(scores)
    if not good.any():
        return found
    values = scores[good]
    largest = float(np.abs(values).max())
    values = values / largest if largest > 0 else values  # before anything that could overflow
    if values.min() == values.max():
        values = np.zeros(len(values))
        if good.all():
            return found
    else:
        values = _spread(_half_ranks(values))
    bad = float(values.min()) - (0.5 * float(np.ptp(values)) + 1.0)
    share = (0.5 + len(values)) / (1.0 + len(scores))
    found[good] = values
    found[~good] = bad
    found -= share * float(values.mean()) + (1 - share) * bad
    return found / max(float(found.std()), _TINY)


def _half_ranks(values: Array) -> Array:
    """Replace what is below the median by the normal quantiles of its ranks, so that outliers there do no harm."""
    median = float(np.median(values))
    below = values < median
    above = values[~below] - median
    spread = float(np.sqrt(np.mean(above**2))) or float(np.mean(np.abs(values - median)))
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
