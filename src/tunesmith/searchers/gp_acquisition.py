"""How much a configuration promises, by what a model says of it."""

from __future__ import annotations

from math import log, pi, sqrt
from typing import Protocol

from tunesmith.searchers.algebra import erfcx, log_ndtr, ndtr
from tunesmith.searchers.arrays import Array, np
from tunesmith.searchers.gp_posterior import Posterior

LOG_ROOT_2PI = 0.5 * log(2 * pi)


class Acquisition(Protocol):
    """What is to be made as large as possible."""

    def score(self, rows: Array) -> Array:
        """Return how much rows, shape (k, dimensions), promise: shape (k,)."""
        ...

    def slopes(self, rows: Array) -> tuple[Array, Array]:
        """Return the score and its gradient, shape (k, dimensions); 0 for categories."""
        ...


def log_improvement(z: Array) -> Array:
    """Return ``log(pdf(z) + z cdf(z))`` of the standard normal distribution, exact however small it is.

    Source: Ament et al., Unexpected Improvements to Expected Improvement for Bayesian Optimization, 2023.

    >>> log_improvement(np.array([0.0, -40.0])).round(3).tolist()
    [-0.919, -808.299]
    """
    found = np.empty(z.shape)
    near, far = z > -1.0, z < -1000.0
    here = z[near]
    found[near] = np.log(np.exp(-0.5 * here * here - LOG_ROOT_2PI) + here * ndtr(here))
    here = z[~near & ~far]
    ratio = sqrt(pi / 2) * np.abs(here) * erfcx(-here / sqrt(2))
    found[~near & ~far] = -0.5 * here * here - LOG_ROOT_2PI + np.log1p(-ratio)
    here = z[far]
    found[far] = -0.5 * here * here - LOG_ROOT_2PI - 2 * np.log(-here)
    return found


class LogImprovement:
    """The logarithm of the improvement that is to be expected over `best`.

    Source: Jones, Schonlau and Welch, Efficient Global Optimization of Expensive Black-Box Functions, 1998.
    """

    def __init__(self, posterior: Posterior, best: float) -> None:
        self._posterior, self._best = posterior, best

    def score(self, rows: Array) -> Array:
        """Return the logarithm of the expected improvement."""
        mean, variance = self._posterior.at(rows)
        sd = np.sqrt(variance)
        found: Array = log_improvement((mean - self._best) / sd) + np.log(sd)
        return found

    def slopes(self, rows: Array) -> tuple[Array, Array]:
        """Return it with its gradient."""
        mean, variance, by_mean, by_variance = self._posterior.slopes(rows)
        sd = np.sqrt(variance)
        by_sd = by_variance / (2 * sd)[:, None]
        z = (mean - self._best) / sd
        logs = log_improvement(z)
        by_z = (by_mean - z[:, None] * by_sd) / sd[:, None]
        # The derivative of pdf(z) + z cdf(z) is cdf(z).
        gradient = np.exp(log_ndtr(z) - logs)[:, None] * by_z + by_sd / sd[:, None]
        return logs + np.log(sd), gradient


class Feasible:
    """Another acquisition, and the logarithm of the probability that models of constraints are above 0."""

    def __init__(self, inner: Acquisition | None, constraints: list[Posterior]) -> None:
        self._inner, self._constraints = inner, constraints

    def score(self, rows: Array) -> Array:
        """Return the sum."""
        found = np.zeros(len(rows)) if self._inner is None else self._inner.score(rows)
        for posterior in self._constraints:
            mean, variance = posterior.at(rows)
            found = found + log_ndtr(mean / np.sqrt(variance + posterior.kernel.noise))
        return found

    def slopes(self, rows: Array) -> tuple[Array, Array]:
        """Return the sum with its gradient."""
        found, gradient = np.zeros(len(rows)), np.zeros(rows.shape)
        if self._inner is not None:
            found, gradient = self._inner.slopes(rows)
        for posterior in self._constraints:
            mean, variance, by_mean, by_variance = posterior.slopes(rows)
            variance = variance + posterior.kernel.noise
            sd = np.sqrt(variance)
            z = mean / sd
            logs = log_ndtr(z)
            by_z = by_mean / sd[:, None] - (0.5 * z / variance)[:, None] * by_variance
            found = found + logs
            gradient = gradient + np.exp(-0.5 * z * z - LOG_ROOT_2PI - logs)[:, None] * by_z
        return found, gradient
