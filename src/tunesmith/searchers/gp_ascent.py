"""Climbing from several points at once, each within a box of its own."""

from __future__ import annotations

from collections.abc import Callable

from tunesmith.searchers.arrays import Array, np

_HALVINGS = 8
_ENOUGH = 1e-4  # by how much of it a slope says that a step would raise the value; the end


def climb(
    slopes: Callable[[Array], tuple[Array, Array]], starts: Array, low: Array, high: Array, scale: Array, steps: int
) -> tuple[Array, Array]:
    """Return points, shape (k, dimensions), at or above the starts, and their values, shape (k,).

    The climbers do not know of each other, but each step computes all their slopes in one go, which costs little more
    than one. Columns whose `low` is their `high` stay.

    Args:
        slopes: returns the values and the gradients of rows.
        starts: shape (k, dimensions).
        low: where each one's box begins, shape (k, dimensions).
        high: and ends.
        scale: shape (dimensions,): how far in each column the function is about the same.
        steps: at most.

    Source: BFGS with projection on the box, Bertsekas, Projected Newton Methods for Optimization Problems with Simple
    Constraints, 1982.
    """
    spread = high - low
    x = np.clip(starts, low, high)
    value, gradient = slopes(x)
    first = np.diag(scale**2)
    hessian = np.repeat(first[None], len(x), axis=0)  # the inverse of minus the Hessian, as far as is known
    fresh = np.ones(len(x), dtype=bool)
    for _ in range(steps):
        blocked = ((x <= low) & (gradient < 0)) | ((x >= high) & (gradient > 0)) | (spread <= 0)
        slope = np.where(blocked, 0.0, gradient)
        move = np.einsum("kij,kj->ki", hessian, slope)
        move[blocked] = 0.0
        wrong = np.einsum("ki,ki->k", move, slope) <= 0
        if wrong.any():
            hessian[wrong], fresh[wrong] = first, True
            move[wrong] = slope[wrong] * scale**2
        far = np.max(np.abs(move) / scale, axis=1)
        limit = np.where(fresh, 0.3, 2.0)
        move *= np.minimum(1.0, limit / np.maximum(far, 1e-300))[:, None]
        if not (np.einsum("ki,ki->k", move, slope) > _ENOUGH).any():
            break
        x_new, value_new, gradient_new = _line_search(slopes, x, value, gradient, move, low, high)
        if not (value_new > value).any():
            break
        step, change = x_new - x, gradient - gradient_new
        step[blocked], change[blocked] = 0.0, 0.0
        _learn(hessian, fresh, step, change)
        x, value, gradient = x_new, value_new, gradient_new
    return x, value


def _line_search(
    slopes: Callable[[Array], tuple[Array, Array]], x: Array, value: Array, gradient: Array, move: Array, low: Array,
    high: Array,
) -> tuple[Array, Array, Array]:  # fmt: skip
    best, best_value, best_gradient = x.copy(), value.copy(), gradient.copy()
    size = np.ones(len(x))
    left = np.arange(len(x))
    for _ in range(_HALVINGS):
        tried = np.clip(x[left] + size[left, None] * move[left], low[left], high[left])
        found, slope = slopes(tried)
        promised = np.einsum("ki,ki->k", gradient[left], tried - x[left])
        good = (found >= value[left] + 1e-4 * promised) & (found > value[left])
        done = left[good]
        best[done], best_value[done], best_gradient[done] = tried[good], found[good], slope[good]
        left = left[~good & (size[left] * np.abs(promised) > 1e-9)]
        if not len(left):
            break
        size[left] *= 0.3
    return best, best_value, best_gradient


def _learn(hessian: Array, fresh: Array, step: Array, change: Array) -> None:
    """Learn the curvature that a step has shown: the BFGS update of the inverse, where it is positive."""
    along = np.einsum("ki,ki->k", step, change)
    sizes = np.einsum("ki,ki->k", change, change)
    good = along > 1e-10 * np.sqrt(np.einsum("ki,ki->k", step, step) * sizes) + 1e-300
    if not good.any():
        return
    rho = 1.0 / along[good]
    s, y, h = step[good], change[good], hessian[good]
    hy = np.einsum("kij,kj->ki", h, y)
    outer = np.einsum("ki,kj->kij", s, hy)
    weight = (rho * (1 + rho * np.einsum("ki,ki->k", y, hy)))[:, None, None]
    h += weight * np.einsum("ki,kj->kij", s, s) - rho[:, None, None] * (outer + outer.transpose(0, 2, 1))
    hessian[good] = h
    fresh[good] = False
