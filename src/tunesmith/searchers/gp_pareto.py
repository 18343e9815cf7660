"""What promises to enlarge the volume that the best compromises between several objectives dominate."""

from __future__ import annotations

from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.gp_posterior import Posterior

_DIRECTIONS = 64
_BOLD = 1.8  # standard deviations above the mean that are hoped for
_SOFT = 0.02  # of a gain that counts in part although there is none, so that there is a slope everywhere


def directions(objectives: int, rng: Generator) -> Array:
    """Draw ways to weigh objectives, shape (64, objectives): positive, of length 1."""
    found = np.abs(rng.standard_normal((_DIRECTIONS, objectives)))
    found /= np.linalg.norm(found, axis=1)[:, None]
    return found


def is_undominated(values: Array) -> Array:
    """Return which of the rows, shape (n, objectives), are at least as good as each other one somewhere: booleans."""
    as_good = (values[:, None] >= values[None]).all(axis=2)
    better = (values[:, None] > values[None]).any(axis=2)
    found: Array = np.logical_not((as_good & better).any(axis=0))
    return found


def reference(values: Array) -> Array:
    """Return a point, shape (objectives,), that is a tenth worse than the worst of the best compromises."""
    front = values[is_undominated(values)]
    worst = front.min(axis=0)
    spread = front.max(axis=0) - worst
    found: Array = worst - 0.1 * np.where(spread > 0, spread, values.std(axis=0) + 1e-9)
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
