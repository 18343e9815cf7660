"""What a Gaussian process says of any configuration after it has seen some."""

from __future__ import annotations

from copy import copy

from tunesmith.searchers.algebra import cholesky, triangular_inverse
from tunesmith.searchers.arrays import Array, np
from tunesmith.searchers.gp_kernel import Kernel

_LEAST = 1e-12  # of a variance, relative to the function's


class Root:
    """The covariance of noisy observations at some rows, as the inverse of its Cholesky root.

    Args:
        kernel: the covariance.
        rows: shape (n, dimensions).

    Attributes:
        inverse: shape (n, n), a lower triangle; the inverse of the covariance is ``inverse.T @ inverse``.
    """

    def __init__(self, kernel: Kernel, rows: Array) -> None:
        self.kernel, self.rows = kernel, rows
        covariance = kernel.covariance(rows, rows)
        covariance.flat[:: len(rows) + 1] = kernel.variance + kernel.noise
        self.inverse: Array = triangular_inverse(cholesky(covariance))

    def extended(self, rows: Array) -> Root:
        """Return that of these rows and further ones, shape (p, dimensions), for p n^2 operations."""
        if not len(rows):
            return self
        kernel, n = self.kernel, len(self.rows)
        across = self.inverse @ kernel.covariance(self.rows, rows)
        rest = kernel.covariance(rows, rows) - across.T @ across
        rest.flat[:: len(rows) + 1] += kernel.noise
        corner = triangular_inverse(cholesky(rest))
        found = copy(self)
        found.rows = np.concatenate([self.rows, rows])
        found.inverse = np.zeros((n + len(rows), n + len(rows)))
        found.inverse[:n, :n] = self.inverse
        found.inverse[n:, n:] = corner
        found.inverse[n:, :n] = -(corner @ across.T) @ self.inverse
        return found

    def solve(self, values: Array) -> Array:
        """Return the inverse of the covariance times values of shape (n,)."""
        found: Array = self.inverse.T @ (self.inverse @ values)
        return found


class Posterior:
    """Mean and variance of a function that has been seen with noise at some rows.

    Args:
        root: of the covariance of what was seen.
        values: shape (n,), what was seen.

    Attributes:
        weights: shape (n,): the mean anywhere is the covariance with the rows times these.
        fitted: shape (n,): the mean at the rows.

    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1.
    """

    def __init__(self, root: Root, values: Array) -> None:
        self.kernel, self.root = root.kernel, root
        self.weights: Array = root.solve(values)
        # (K + noise I) weights = values, so K weights is the rest.
        self.fitted: Array = values - self.kernel.noise * self.weights

    def with_pending(self, rows: Array) -> Posterior:
        """Return what is known once the values at further rows, shape (p, dimensions), are: the variance shrinks there.

        The mean remains, as these values are not known. Source: Desautels, Krause and Burdick, Parallelizing
        Exploration-Exploitation Tradeoffs in Gaussian Process Bandit Optimization, 2014.
        """
        found = copy(self)
        found.root = self.root.extended(rows)
        return found

    def surprises(self) -> Array:
        """Return by how many standard deviations each value is off what the model says without it: shape (n,)."""
        inverse = self.root.inverse
        found: Array = np.abs(self.weights) / np.sqrt(np.einsum("ij,ij->j", inverse, inverse))
        return found

    def at(self, rows: Array) -> tuple[Array, Array]:
        """Return means and variances, without noise, at rows of shape (k, dimensions): both of shape (k,)."""
        near = self.kernel.covariance(self.root.rows, rows)
        return self.weights @ near[: len(self.weights)], self._variance(self.root.inverse @ near)

    def slopes(self, rows: Array) -> tuple[Array, Array, Array, Array]:
        """Return means and variances, and their gradients, shape (k, dimensions); 0 for categories."""
        kernel, n = self.kernel, len(self.weights)
        near, slope = kernel.from_squares(kernel.squares(rows, self.root.rows))
        half = near @ self.root.inverse.T
        pull = half @ self.root.inverse
        pull *= slope
        pull *= -2.0
        by_mean, by_variance = self._by_rows(slope[:, :n] * self.weights, rows), self._by_rows(pull, rows)
        return near[:, :n] @ self.weights, self._variance(half.T), by_mean, by_variance

    def _variance(self, half: Array) -> Array:
        least = _LEAST * self.kernel.variance
        found: Array = np.maximum(self.kernel.variance - np.einsum("ij,ij->j", half, half), least)
        return found

    def _by_rows(self, pull: Array, rows: Array) -> Array:
        """Return ``sum_i pull_i (x_j - X_ij) / l_j^2`` for each row and column."""
        numeric = self.kernel.numeric
        found = np.zeros(rows.shape)
        known = self.root.rows[: pull.shape[1], numeric]
        found[:, numeric] = pull.sum(axis=1)[:, None] * rows[:, numeric] - pull @ known
        found[:, numeric] /= self.kernel.lengths[numeric] ** 2
        return found
