"""The hyperparameters of a Gaussian process: the most likely ones, given priors that suit any search space."""

from __future__ import annotations

from collections.abc import Iterable
from math import log, sqrt

from tunesmith.searchers.algebra import cholesky, inverse_from, minimise
from tunesmith.searchers.arrays import Array, np
from tunesmith.searchers.gp_kernel import Kernel

_LENGTH_VARIANCE = 3.0
_NOISE_MEAN, _NOISE_VARIANCE = -4.0, 1.0
_STEPS = 60


class Fit:
    """The posterior density of the hyperparameters `theta` (see `Kernel`), as a loss with its gradient.

    The lengths have a log-normal prior that grows with the root of the number of dimensions, so that a function of many
    variables is not thought to be rougher than one of few; the variance's is about 1, the noise's about 2 %.

    Args:
        is_category: shape (dimensions,), booleans.
        rows: shape (n, dimensions).
        values: shape (n,), of about zero mean and unit variance.

    Source: Hvarfner, Hellsten and Nardi, Vanilla Bayesian Optimization Performs Great in High Dimensions, 2024.
    """

    def __init__(self, is_category: Array, rows: Array, values: Array) -> None:
        self._is_category, self._values = is_category, values
        self._numeric = np.flatnonzero(~is_category)
        self._categories = np.flatnonzero(is_category)
        self._numbers = np.ascontiguousarray(rows[:, self._numeric])
        self._differ = np.array([rows[:, j, None] != rows[:, j] for j in self._categories], dtype=float)
        dimensions = len(is_category)
        centre = sqrt(2.0) + 0.5 * log(max(dimensions, 1))
        self._mean = np.array([*[centre] * dimensions, 0.0, _NOISE_MEAN])
        self._precision = 1 / np.array([*[_LENGTH_VARIANCE] * dimensions, 1.0, _NOISE_VARIANCE])
        self._low = np.log([*[0.025] * dimensions, 0.05, 1e-6])
        self._high = np.log([*[100.0] * dimensions, 20.0, 1.0])

    def loss(self, theta: Array) -> tuple[float, Array]:
        """Return the negative logarithm of the density, up to a constant, and its gradient, shape (dimensions + 2,)."""
        kernel = Kernel(self._is_category, theta)
        scaled = self._numbers / kernel.lengths[self._numeric]
        inverse_squares = kernel.lengths[self._categories] ** -2
        squares = scaled @ scaled.T
        sizes = np.diag(squares).copy()
        squares *= -2.0
        squares += sizes
        squares += sizes[:, None]
        np.maximum(squares, 0.0, out=squares)
        np.fill_diagonal(squares, 0.0)
        if len(self._differ):
            squares += np.tensordot(inverse_squares, self._differ, 1)
        smooth, slope = kernel.from_squares(squares)
        covariance = smooth.copy()
        covariance.flat[:: len(covariance) + 1] += kernel.noise
        root = cholesky(covariance)
        inverse = inverse_from(root)
        weights = inverse @ self._values
        off = theta - self._mean
        loss = 0.5 * self._values @ weights + np.log(np.diag(root)).sum() + 0.5 * (self._precision * off) @ off
        surplus = np.outer(weights, weights)
        surplus -= inverse
        gradient = self._precision * off
        pull = surplus * slope  # times the scaled squared distance in a column: twice its part of the gradient
        gradient[self._numeric] += scaled.T**2 @ pull.sum(axis=1) - np.einsum("ij,ij->j", scaled, pull @ scaled)
        if len(self._differ):
            gradient[self._categories] += 0.5 * inverse_squares * np.tensordot(self._differ, pull, 2)
        gradient[-2] -= 0.5 * np.einsum("ij,ij->", surplus, smooth)
        gradient[-1] -= 0.5 * float(np.trace(surplus)) * kernel.noise
        return float(loss), gradient

    @property
    def usual(self) -> Array:
        """The hyperparameters to begin with: lengths of half the diagonal."""
        dimensions = len(self._is_category)
        return np.array([*[log(0.5 * sqrt(max(dimensions, 1)))] * dimensions, 0.0, _NOISE_MEAN])

    def best(self, starts: Iterable[Array]) -> Array:
        """Return the most likely hyperparameters that are found from any of the starts."""
        found = self.usual, np.inf
        for start in starts:
            try:
                here = minimise(self.loss, np.clip(start, self._low, self._high), self._low, self._high, _STEPS)
            except ValueError:  # no root, even with jitter
                continue
            if here[1] < found[1]:
                found = here
        return found[0]
