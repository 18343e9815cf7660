"""The model behind PB2: a Gaussian process of what a configuration gains in an interval, which forgets with time."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, sqrt
from random import Random
from typing import Any, Final

import msgspec

from tunesmith.errors import MissingPackageError

try:
    import numpy as np
    from scipy.linalg import cho_factor, cho_solve, solve_triangular
    from scipy.optimize import minimize
    from scipy.special import ndtri
except ImportError as error:
    raise MissingPackageError(
        f"PB2 needs NumPy and SciPy, and {error}. Install them: pip install numpy scipy."
    ) from error

_FIT_ROWS: Final = 200  # the kernel's parameters are fitted to the last ones only, as a fit costs their number cubed
_START: Final = (log(0.5), log(0.1), log(0.05))  # the logarithms of length, noise and forgetting
_BOUNDS: Final = ((log(0.05), log(5.0)), (log(1e-3), log(1.0)), (log(1e-5), log(0.5)))
_CANDIDATES: Final = 500
_REFINED: Final = 60


class Row(msgspec.Struct, frozen=True):
    """What was gained from `t` on, in an interval's time, by the configuration `x`, a point of the unit cube."""

    t: float
    x: tuple[float, ...]
    gain: float


class Kernel(msgspec.Struct, frozen=True):
    """``exp(-|x - x'|^2 / 2 length^2) * (1 - forgetting)^(|t - t'| / 2)``; `noise` is the variance of a gain."""

    length: float
    noise: float
    forgetting: float

    def __call__(self, x: Any, t: Any, other_x: Any, other_t: Any) -> Any:
        """Return the covariances of points with other points, a row for each of the first."""
        squares = ((x[:, None, :] - other_x[None, :, :]) ** 2).sum(axis=2)
        return np.exp(-squares / (2 * self.length**2)) * (1 - self.forgetting) ** (
            np.abs(t[:, None] - other_t[None, :]) / 2
        )

    def of_rows(self, x: Any, t: Any) -> Any:
        """Return the covariances of noisy observations."""
        return self(x, t, x, t) + (self.noise + 1e-8) * np.eye(len(t))


def suggest(rows: Sequence[Row], t: float, running: Sequence[tuple[float, tuple[float, ...]]], rng: Random) -> Any:
    """Return the point of the unit cube with the highest upper confidence bound of the gain from `t` on.

    Args:
        rows: what was observed, one at least, in the order of observation.
        t: in units of the interval.
        running: time and configuration of those whose gain is not known yet: near them, there is less to be learned.
        rng: draws the candidates.

    Source: Parker-Holder et al., Provably Efficient Online Hyperparameter Optimization with Population-Based Bandits,
    arXiv 2002.02518 (2020), equations 5 to 8 and algorithm 1; with the standard deviation, not the variance,
    and with ranks instead of the gains themselves.
    """
    x, times = np.array([row.x for row in rows]), np.array([row.t for row in rows])
    gains = _normalised(np.array([row.gain for row in rows]))
    kernel = _fitted(x[-_FIT_ROWS:], times[-_FIT_ROWS:], gains[-_FIT_ROWS:])
    weights = cho_solve(cho_factor(kernel.of_rows(x, times), lower=True), gains)
    all_x = np.vstack([x, *(np.array([point]) for _, point in running)])
    all_t = np.concatenate([times, [moment for moment, _ in running]])
    factor = np.linalg.cholesky(kernel.of_rows(all_x, all_t))
    breadth = sqrt(0.2 + max(0.0, log(0.4 * len(rows))))

    def bound(points: Any) -> Any:
        now = np.full(len(points), t)
        mean = kernel(points, now, x, times) @ weights
        explained = solve_triangular(factor, kernel(points, now, all_x, all_t).T, lower=True)
        return mean + breadth * np.sqrt(np.maximum(1 - (explained**2).sum(axis=0), 0.0))

    return _maximised(bound, x.shape[1], rng)


def _normalised(gains: Any) -> Any:
    """Return the gains as normal quantiles of their ranks.

    A loss that falls by orders of magnitude gains next to nothing at its end, when the differences matter as much as at
    the beginning: ranks keep them apart.
    """
    _, places, counts = np.unique(gains, return_inverse=True, return_counts=True)
    return ndtri((counts.cumsum() - counts / 2) / len(gains))[places]


def _fitted(x: Any, t: Any, gains: Any) -> Kernel:
    """Return the kernel under which the gains are the most likely."""

    def loss(parameters: Any) -> float:
        factor = np.linalg.cholesky(Kernel(*map(exp, parameters)).of_rows(x, t))
        whitened = solve_triangular(factor, gains, lower=True)
        return float(whitened @ whitened / 2 + np.log(np.diag(factor)).sum())

    return Kernel(*map(exp, minimize(loss, _START, method="L-BFGS-B", bounds=_BOUNDS, options={"maxiter": 30}).x))


def _maximised(bound: Any, dimensions: int, rng: Random) -> Any:
    """Return the best of random points, moved a little, several times, to where it is better."""
    points = np.array([[rng.random() for _ in range(dimensions)] for _ in range(_CANDIDATES)])
    best = points[bound(points).argmax()]
    for scale in (0.1, 0.03, 0.01):
        steps = np.array([[rng.gauss(0.0, scale) for _ in range(dimensions)] for _ in range(_REFINED)])
        points = np.vstack([best, np.clip(best + steps, 0.0, 1.0)])
        best = points[bound(points).argmax()]
    return best
