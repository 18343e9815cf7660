"""Which trials are the good ones, to a searcher that only tells good ones from bad."""

from __future__ import annotations

from tunesmith.searchers.arrays import Array, np
from tunesmith.searchers.known import Known
from tunesmith.searchers.ranks import best_by_rank


def split(known: Known, count: int) -> tuple[Array, Array]:
    """Return the indices of the best `count` trials that have ended, the best first, and those of the others, by age.

    Trials with a result that breaks no constraint come first, by their score or, with several objectives, by
    domination; then those that break one, by how much; the failed ones come last. Where all results are the same or
    all trials have failed, none is good.
    """
    feasible = np.flatnonzero(known.feasible)
    scores = known.scores[feasible]
    if len(feasible) > count:
        best = feasible[best_by_rank(scores, count) if scores.shape[1] > 1 else _largest(scores[:, 0], count)]
        if (scores == scores[0]).all():
            best = best[:0]
    else:
        best = np.concatenate([_in_order(feasible, scores), _least_broken(known, count - len(feasible))])
    is_rest = np.ones(known.count, dtype=bool)
    is_rest[best] = False
    return best, np.flatnonzero(is_rest)


def _in_order(indices: Array, scores: Array) -> Array:
    order = best_by_rank(scores, len(scores)) if scores.shape[1] > 1 else _largest(scores[:, 0], len(scores))
    return indices[order]


def _largest(scores: Array, count: int) -> Array:
    """Return the indices of the `count` largest, the best first and the earliest first of equals."""
    if not count:
        return np.empty(0, dtype=int)
    last = np.partition(scores, len(scores) - count)[len(scores) - count]
    sure = np.flatnonzero(scores > last)
    chosen = np.concatenate([sure, np.flatnonzero(scores == last)[: count - len(sure)]])
    found: Array = chosen[np.argsort(-scores[chosen], kind="stable")]
    return found


def _least_broken(known: Known, count: int) -> Array:
    """Return the indices of `count` trials that have a result but break a constraint, those by the least first."""
    indices = np.flatnonzero(~known.feasible & ~np.isnan(known.scores).any(axis=1))
    if not count or not len(indices):
        return np.empty(0, dtype=int)
    broken = np.maximum(known.violations[indices], 0.0)
    worst = np.nanmax(np.nan_to_num(broken), axis=0)
    shares = broken / np.where(worst > 0, worst, 1.0)  # of the worst, as units differ; what is unknown is worse
    total = np.where(np.isnan(shares), 2.0, shares).sum(axis=1)
    found: Array = indices[np.argsort(total, kind="stable")[:count]]
    return found
