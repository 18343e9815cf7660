"""The hyperparameters of a Gaussian process: the most likely ones, given priors that suit any search space."""

from __future__ import annotations

from collections.abc import Iterable

from tunesmith.searchers.algebra import cholesky, inverse_from, minimise
from tunesmith.searchers.arrays import Array, np
from tunesmith.searchers.gp_kernel import Kernel
from tunesmith.searchers.gp_prior import Prior

_STEPS = 60


class Fit:
    """The posterior density of the hyperparameters `theta` (see `Kernel`), as a loss with its gradient.

    Args:
        prior: their density before.
        rows: shape (n, dimensions).
        values: shape (n,), of about zero mean and unit variance.
    """

    def __init__(self, prior: Prior, rows: Array, values: Array) -> None:
        self._prior, self._values = prior, values
        self._numeric = np.flatnonzero(~prior.is_category)
        self._categories = np.flatnonzero(prior.is_category)
        self._numbers = np.ascontiguousarray(rows[:, self._numeric])
        self._differ = np.array([rows[:, j, None] != rows[:, j] for j in self._categories], dtype=float)

    def loss(self, theta: Array) -> tuple[float, Array]:
        """Return the negative logarithm of the density, up to a constant, and its gradient, shape (dimensions + 2,)."""
        kernel = Kernel(self._prior.is_category, theta)
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
        off = theta - self._prior.mean
        loss = 0.5 * self._values @ weights + np.log(np.diag(root)).sum() + 0.5 * (self._prior.precision * off) @ off
        surplus = np.outer(weights, weights)
        surplus -= inverse
        gradient = self._prior.precision * off
        pull = surplus * slope  # times the scaled squared distance in a column: twice its part of the gradient
        gradient[self._numeric] += scaled.T**2 @ pull.sum(axis=1) - np.einsum("ij,ij->j", scaled, pull @ scaled)
        if len(self._differ):
            gradient[self._categories] += 0.5 * inverse_squares * np.tensordot(self._differ, pull, 2)
        gradient[-2] -= 0.5 * np.einsum("ij,ij->", surplus, smooth)
        gradient[-1] -= 0.5 * float(np.trace(surplus)) * kernel.noise
        return float(loss), gradient

    def best(self, starts: Iterable[Array]) -> Array:
        """Return the most likely hyperparameters that are found from any of the starts."""
        prior = self._prior
        found = prior.usual, np.inf
        for start in starts:
            try:
                here = minimise(self.loss, np.clip(start, prior.low, prior.high), prior.low, prior.high, _STEPS)
            except ValueError:  # no root, even with jitter
                continue
            if here[1] < found[1]:
                found = here
        return found[0]
