"""What promises to enlarge the volume that the best compromises between several objectives dominate."""

from __future__ import annotations

from tunesmith.searchers.algebra import log_ndtr
from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.gp_acquisition import LOG_ROOT_2PI, log_improvement
from tunesmith.searchers.gp_posterior import Posterior
from tunesmith.searchers.ranks import is_undominated

_DIRECTIONS = 64
_BOLD = 1.8  # standard deviations above the mean that are hoped for
_SOFT = 0.02  # of a gain that counts in part although there is none, so that there is a slope everywhere


def directions(objectives: int, rng: Generator) -> Array:
    """Draw ways to weigh objectives, shape (64, objectives): positive, of length 1."""
    found = np.abs(rng.standard_normal((_DIRECTIONS, objectives)))
    found /= np.linalg.norm(found, axis=1)[:, None]
    return found


def reference(values: Array) -> Array:
    """Return a point, shape (objectives,), that is in each objective worse than the best compromises and the median.

    Without the median, compromises that lie close together would leave no volume to be gained far from them.
    """
    worst = np.minimum(values[is_undominated(values)].min(axis=0), np.median(values, axis=0))
    found: Array = worst - 0.1 * (np.ptp(values, axis=0) + 1e-9)
    return found


class VolumeGain:
    """The logarithm of the volume that is hoped to be gained, as an average over directions.

    In a direction `w` a result `y` reaches as far as ``min_j (y_j - reference_j) / w_j``; the m-th powers of how far
    the best ones reach are, on average over all directions, the volume that they dominate, up to a constant.

    Args:
        posteriors: one for each objective, larger is better.
        known: shape (n, objectives): what has been reached.
        rng: for the directions.

    Source: Golovin and Zhang, Random Hypervolume Scalarizations for Provable Multi-Objective Black Box Optimization,
    2020; Song et al., The Vizier Gaussian Process Bandit Algorithm, 2024.
    """

    def __init__(self, posteriors: list[Posterior], known: Array, rng: Generator) -> None:
        self._posteriors = posteriors
        self._weights = directions(len(posteriors), rng)
        self._reference = reference(known)
        self._best = self._reach(known)[0].max(axis=0)
        self._scale = _SOFT * max(float(np.abs(self._best).mean()), 1e-9)

    def score(self, rows: Array) -> Array:
        """Return the logarithm of the gain."""
        hoped = np.column_stack([mean + _BOLD * np.sqrt(variance) for mean, variance in self._each(rows)])
        return self._gain(self._reach(hoped)[0])[0]

    def slopes(self, rows: Array) -> tuple[Array, Array]:
        """Return it with its gradient."""
        parts = [posterior.slopes(rows) for posterior in self._posteriors]
        sds = [np.sqrt(variance) for _, variance, _, _ in parts]
        hoped = np.column_stack([part[0] + _BOLD * sd for part, sd in zip(parts, sds, strict=True)])
        reach, nearest, by_hoped = self._reach(hoped)
        found, by_reach = self._gain(reach)
        pull = by_reach * by_hoped
        gradient = np.zeros(rows.shape)
        for j, (part, sd) in enumerate(zip(parts, sds, strict=True)):
            by_rows = part[2] + part[3] * (_BOLD / (2 * sd))[:, None]
            gradient += (pull * (nearest == j)).sum(axis=1)[:, None] * by_rows
        return found, gradient

    def _each(self, rows: Array) -> list[tuple[Array, Array]]:
        return [posterior.at(rows) for posterior in self._posteriors]

    def _reach(self, values: Array) -> tuple[Array, Array, Array]:
        """Return how far values reach in each direction, by which objective, and the slope by that: (k, 64) each."""
        ratios = [np.outer(values[:, j] - self._reference[j], 1 / self._weights[:, j]) for j in range(values.shape[1])]
        least, nearest = ratios[0], np.zeros(ratios[0].shape, dtype=int)
        for j, other in enumerate(ratios[1:], start=1):
            nearest[other < least] = j
            least = np.minimum(least, other)
        power = len(ratios) - 1
        above = np.maximum(least, 0.0) ** power
        # Below the reference, where there is no volume, it goes on falling.
        reach = np.where(least > 0, above * least, least)
        slope = np.where(least > 0, (power + 1) * above, 1.0)
        return reach, nearest, slope / self._weights[np.arange(len(self._weights)), nearest]

    def _gain(self, reach: Array) -> tuple[Array, Array]:
        """Return the logarithm of the mean soft gain, shape (k,), and its slope by `reach`, (k, 64)."""
        z = (reach - self._best) / self._scale
        bend = np.log1p(np.exp(-np.abs(z)))
        soft = np.maximum(z, 0.0) + bend  # log(1 + e^z)
        logs = np.where(z > -30, np.log(np.maximum(soft, 1e-300)), z)
        most = logs.max(axis=1)
        total = most + np.log(np.exp(logs - most[:, None]).sum(axis=1))
        slope = np.exp(np.minimum(z, 0.0) - bend - total[:, None]) / self._scale
        return total, slope


class AreaImprovement:
    """The logarithm of the area that is to be expected to be gained between two objectives.

    The area that a result adds is a sum over the steps of the staircase that the best compromises make: in each its
    share of the step's width, by how far it is above the step. Its two values are independent, so that the expectation
    of each term is a product of improvements to be expected.

    Args:
        posteriors: two, larger is better.
        known: shape (n, 2): what has been reached.

    Source: Emmerich, Deutz and Klinkenberg, Hypervolume-based Expected Improvement: Monotonicity Properties and Exact
    Computation, 2011; in logarithms as Ament et al., Unexpected Improvements to Expected Improvement, 2023.
    """

    def __init__(self, posteriors: list[Posterior], known: Array) -> None:
        self._posteriors = posteriors
        low = reference(known)
        front = np.unique(known[is_undominated(known)], axis=0)  # by the first, from the smallest on
        front = front[(front > low).all(axis=1)]
        self._edges = np.concatenate([low[:1], front[:, 0]])  # where steps begin, each as far as the next one
        self._heights = np.concatenate([front[:, 1], low[1:]])

    def score(self, rows: Array) -> Array:
        """Return the logarithm of the gain."""
        first, second = (posterior.at(rows) for posterior in self._posteriors)
        wide, high = _Improvements(*first, self._edges), _Improvements(*second, self._heights)
        return _log_sum(_log_widths(wide.logs) + high.logs)

    def slopes(self, rows: Array) -> tuple[Array, Array]:
        """Return it with its gradient."""
        parts = [posterior.slopes(rows) for posterior in self._posteriors]
        wide = _Improvements(parts[0][0], parts[0][1], self._edges)
        high = _Improvements(parts[1][0], parts[1][1], self._heights)
        widths = _log_widths(wide.logs)
        logs = widths + high.logs
        total = _log_sum(logs)
        of_width, of_height = high.logs - total[:, None], widths - total[:, None]
        found = np.zeros(rows.shape)
        for part, (by_mean, by_sd) in (
            (parts[0], wide.slopes_of_widths(of_width)),
            (parts[1], high.slopes(of_height)),
        ):
            found += by_mean[:, None] * part[2] + (by_sd / (2 * np.sqrt(part[1])))[:, None] * part[3]
        return total, found


class _Improvements:
    """The improvements to be expected over some values: logarithms, shape (k, values)."""

    def __init__(self, mean: Array, variance: Array, values: Array) -> None:
        self._sd = np.sqrt(variance)
        self._z = (mean[:, None] - values) / self._sd[:, None]
        self.logs = log_improvement(self._z) + np.log(self._sd)[:, None]

    def slopes(self, weights: Array) -> tuple[Array, Array]:
        """Return the slopes of the sum, weighted by exponentials, by the mean and by the standard deviation: (k,)."""
        by_mean, by_sd = self._slopes(weights)
        return by_mean.sum(axis=1), by_sd.sum(axis=1)

    def slopes_of_widths(self, weights: Array) -> tuple[Array, Array]:
        """Return the same for the differences between each improvement and the next one."""
        # Exponents are added before they are raised: a slope is no larger than its width allows, its factors may be.
        one, other = self._slopes(weights), self._slopes(weights[:, :-1], 1)
        by_mean, by_sd = (left.sum(axis=1) - right.sum(axis=1) for left, right in zip(one, other, strict=True))
        return by_mean, by_sd

    def _slopes(self, weights: Array, start: int = 0) -> tuple[Array, Array]:
        z = self._z[:, start:]
        return np.exp(weights + log_ndtr(z)), np.exp(weights - 0.5 * z**2 - LOG_ROOT_2PI)


def _log_widths(logs: Array) -> Array:
    """Return the logarithms of the differences between each improvement and the next, and of the last."""
    found = logs.copy()
    apart = np.minimum(logs[:, 1:] - logs[:, :-1], -1e-12)
    found[:, :-1] += np.log(-np.expm1(apart))
    return found


def _log_sum(logs: Array) -> Array:
    most = logs.max(axis=1)
    found: Array = most + np.log(np.exp(logs - most[:, None]).sum(axis=1))
    return found
