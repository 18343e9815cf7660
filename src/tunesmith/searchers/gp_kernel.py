"""How alike two configurations are, for a Gaussian process: Matern 5/2 with a length for each column."""

from __future__ import annotations

from math import sqrt

from tunesmith.searchers.arrays import Array, np

_ROOT5 = sqrt(5.0)


class Kernel:
    """The covariance of a function's values at rows of an encoding.

    ``k(a, b) = s2 (1 + r + r^2/3) exp(-r)`` with ``r^2 = 5 sum_j d_j^2 / l_j^2``, where `d_j` is the difference of
    numbers in column j, and for categories 1 if they differ and 0 if not.

    Args:
        is_category: shape (dimensions,), booleans.
        theta: shape (dimensions + 2,): the logarithms of the lengths `l`, of the variance `s2` and of the noise's.

    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equation 4.17.
    """

    def __init__(self, is_category: Array, theta: Array) -> None:
        self.numeric = np.flatnonzero(~is_category)
        self.categories = np.flatnonzero(is_category)
        self.theta = theta
        self.lengths: Array = np.exp(theta[:-2])
        self.variance, self.noise = float(np.exp(theta[-2])), float(np.exp(theta[-1]))

    def squares(self, a: Array, b: Array) -> Array:
        """Return the scaled squared distances, shape (len(a), len(b)), of two sets of rows."""
        lengths = self.lengths[self.numeric]
        left, right = a[:, self.numeric] / lengths, b[:, self.numeric] / lengths
        found = left @ right.T
        found *= -2.0
        found += np.einsum("ij,ij->i", left, left)[:, None]
        found += np.einsum("ij,ij->i", right, right)
        np.maximum(found, 0.0, out=found)
        for j in self.categories:
            found += (a[:, j, None] != b[:, j]) * (1.0 / self.lengths[j] ** 2)
        return found

    def covariance(self, a: Array, b: Array) -> Array:
        """Return the covariances, shape (len(a), len(b)), without noise."""
        return self.from_squares(self.squares(a, b))[0]

    def from_squares(self, squares: Array) -> tuple[Array, Array]:
        """Return the covariances of scaled squared distances, and their slopes by half the square: both (n, m).

        The slope is ``-s2 5/3 (1 + r) exp(-r)``; times ``(a_j - b_j) / l_j^2`` it is the derivative by ``a_j``.
        """
        r = np.sqrt(squares)
        r *= _ROOT5
        falling = np.exp(-r)
        falling *= self.variance
        r += 1.0
        slope = r * falling
        found = squares * (5.0 / 3.0)
        found += r
        found *= falling
        slope *= -5.0 / 3.0
        return found, slope
