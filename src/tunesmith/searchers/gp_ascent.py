"""Climbing from several points at once, each within a box of its own."""

from __future__ import annotations

from collections.abc import Callable

from tunesmith.searchers.arrays import Array, np

_TRIES = 5
_ENOUGH = 1e-4  # by how much of it a slope says that a step would raise the value; the end
_FIRST, _FURTHER = 0.3, 2.0  # how far a step may go, in scales: before a curvature is known, and after


class Climb:
    """Goes up from points, shape (k, dimensions), within boxes; columns whose `low` is their `high` stay.

    The climbers do not know of each other, but each step computes all their slopes in one go, which costs little more
    than one.

    Args:
        slopes: returns the values, shape (k,), and the gradients, (k, dimensions), of rows.
        starts: shape (k, dimensions).
        bounds: where each one's box begins and ends: two of shape (k, dimensions).
        scale: shape (dimensions,): how far in each column the function is about the same.

    Attributes:
        points: where they are.
        values: the function's values there.

    Source: BFGS with projection on the box, Bertsekas, Projected Newton Methods for Optimization Problems with Simple
    Constraints, 1982.
    """

    def __init__(
        self, slopes: Callable[[Array], tuple[Array, Array]], starts: Array, bounds: tuple[Array, Array], scale: Array
    ) -> None:
        self._slopes, self._scale = slopes, scale
        self._low, self._high = bounds
        self.points: Array = np.clip(starts, self._low, self._high)
        self.values, self._gradients = slopes(self.points)
        self._first = np.diag(scale**2)
        # The inverses of minus the Hessians, as far as they are known.
        self._inverses = np.repeat(self._first[None], len(starts), axis=0)
        self._is_fresh = np.ones(len(starts), dtype=bool)

    def go(self, steps: int) -> None:
        """Take so many steps, or fewer where there is nothing to be gained any more."""
        climbing = np.ones(len(self.points), dtype=bool)
        for _ in range(steps):
            blocked = self._blocked()
            move, promised = self._move(blocked)
            climbing &= promised > _ENOUGH
            if not climbing.any():
                return
            points, values, gradients = self._try(move, climbing)
            stuck = climbing & (values <= self.values)
            climbing &= ~(stuck & self._is_fresh)  # what has led nowhere may do so by a curvature that is out of date
            self._forget(stuck)
            self._learn(
                np.where(blocked, 0.0, points - self.points), np.where(blocked, 0.0, self._gradients - gradients)
            )
            self.points, self.values, self._gradients = points, values, gradients

    def _blocked(self) -> Array:
        """Return which columns are at an end of the box that the slope leads out of."""
        out = ((self.points <= self._low) & (self._gradients < 0)) | (
            (self.points >= self._high) & (self._gradients > 0)
        )
        return out | (self._high <= self._low)

    def _move(self, blocked: Array) -> tuple[Array, Array]:
        """Return a step for each, and what the slope says that it gains."""
        slope = np.where(blocked, 0.0, self._gradients)
        move = np.where(blocked, 0.0, np.einsum("kij,kj->ki", self._inverses, slope))
        wrong = np.einsum("ki,ki->k", move, slope) <= 0
        self._forget(wrong)
        move[wrong] = slope[wrong] * self._scale**2
        far = np.max(np.abs(move) / self._scale, axis=1)
        limit = np.where(self._is_fresh, _FIRST, _FURTHER)
        move *= np.minimum(1.0, limit / np.maximum(far, 1e-300))[:, None]
        return move, np.einsum("ki,ki->k", move, slope)

    def _forget(self, which: Array) -> None:
        self._inverses[which], self._is_fresh[which] = self._first, True

    def _try(self, move: Array, climbing: Array) -> tuple[Array, Array, Array]:
        """Return where each one gets to, by a step that is made smaller until it leads up."""
        points, values, gradients = self.points.copy(), self.values.copy(), self._gradients.copy()
        size = np.ones(len(points))
        left = np.flatnonzero(climbing)
        for _ in range(_TRIES):
            here = self.points[left]
            tried = np.clip(here + size[left, None] * move[left], self._low[left], self._high[left])
            found, slope = self._slopes(tried)
            promised = np.einsum("ki,ki->k", self._gradients[left], tried - here)
            good = (found >= self.values[left] + 1e-4 * promised) & (found > self.values[left])
            done = left[good]
            points[done], values[done], gradients[done] = tried[good], found[good], slope[good]
            left = left[~good]
            if not len(left):
                break
            size[left] *= 0.3
        return points, values, gradients

    def _learn(self, step: Array, change: Array) -> None:
        """Learn the curvature that a step has shown: the BFGS update of the inverse, where it is positive."""
        along = np.einsum("ki,ki->k", step, change)
        sizes = np.sqrt(np.einsum("ki,ki->k", step, step) * np.einsum("ki,ki->k", change, change))
        good = along > 1e-10 * sizes + 1e-300
        if not good.any():
            return
        rho = 1.0 / along[good]
        s, y, inverse = step[good], change[good], self._inverses[good]
        hy = np.einsum("kij,kj->ki", inverse, y)
        outer = np.einsum("ki,kj->kij", s, hy)
        weight = (rho * (1 + rho * np.einsum("ki,ki->k", y, hy)))[:, None, None]
        inverse += weight * np.einsum("ki,kj->kij", s, s) - rho[:, None, None] * (outer + outer.transpose(0, 2, 1))
        self._inverses[good] = inverse
        self._is_fresh[good] = False
