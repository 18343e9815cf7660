"""SciPy for the searchers that compute with it, an extra: linear algebra, a minimiser and the normal distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tunesmith.errors import MissingPackageError
from tunesmith.searchers.arrays import Array, np

try:
    from scipy.linalg.lapack import dpotrf, dpotri, dtrtri
    from scipy.optimize import minimize
    from scipy.special import erfcx, log_ndtr, ndtr, ndtri
except ImportError as error:
    raise MissingPackageError('This searcher needs NumPy and SciPy: pip install "tunesmith[search]".') from error

__all__ = [
    "cholesky", "erfcx", "inverse_from", "log_ndtr", "minimise", "ndtr", "ndtri",
    "triangular_inverse",
]  # fmt: skip


def cholesky(matrix: Array) -> Array:
    """Return the lower triangle L, shape (n, n), with ``L @ L.T`` the symmetric `matrix`.

    A little is added to the diagonal where rounding has left the matrix without a root.

    Raises:
        ValueError: the matrix is not nearly positive definite, or not finite.
    """
    size = len(matrix)
    mean = float(np.trace(matrix)) / max(size, 1)
    for jitter in (0.0, *(10.0**k for k in range(-8, -1))):
        root: Array
        root, failed = dpotrf(matrix + jitter * mean * np.eye(size) if jitter else matrix, lower=1, clean=1)
        if not failed and np.isfinite(root[-1:, -1:]).all():
            return root
    raise ValueError("The matrix is not positive definite.")


def inverse_from(root: Array) -> Array:
    """Return the inverse, shape (n, n), of the matrix whose Cholesky root is `root`."""
    found: Array
    found, _ = dpotri(root, lower=1)
    return np.tril(found) + np.tril(found, -1).T


def triangular_inverse(root: Array) -> Array:
    """Return the inverse, shape (n, n), of a lower triangle."""
    found: Array
    found, _ = dtrtri(root, lower=1)
    return found


def minimise(
    loss: Callable[[Array], tuple[float, Array]], start: Array, low: Array, high: Array, steps: int
) -> tuple[Array, float]:
    """Return where in a box a function is least, and how much it is there.

    `loss` returns a value and the gradient. Source: Byrd, Lu, Nocedal and Zhu, A Limited Memory Algorithm for Bound
    Constrained Optimization, 1995 (L-BFGS-B).
    """
    bounds = list(zip(low, high, strict=True))
    options: dict[str, Any] = {"maxiter": steps, "ftol": 1e-6, "gtol": 1e-4}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(found.x), float(found.fun)
