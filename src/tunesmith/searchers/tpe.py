"""Tree-structured Parzen estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Proposal, usual_initial
from tunesmith.searchers.known import Known
from tunesmith.searchers.mixture import Layout, Mixture
from tunesmith.searchers.modelled import ModelSearcher
from tunesmith.searchers.ranks import best_by_rank


@dataclass
class Settings:
    gamma: float = 0.1
    most: int = 25
    ei: bool = False
    ramp: bool = False
    candidates: int = 24
    liars: float = 0.3
    floor: str = "optuna"
    factor: float = 1.0
    factor_above: float = 1.0
    cat_prior: float = 1.0
    level_gap: bool = True
    kept: int = 2000
    prior: float = 1.0
    elites: float = 0.0
    initial: int = 0
    power: float = 0.0
    crossed: float = 0.0
    solo: float = 0.0
    solo_cat: float = 0.0
    cross_cat: float = 0.0
    cap: float = 1e9


class TPESearch(ModelSearcher):
    def __init__(self, space=None, metric=None, mode=None, *, settings=None, **options) -> None:
        super().__init__(TPEEngine(settings or Settings()), space, metric, mode, **options)


class TPEEngine:
    name = "tpe"

    def __init__(self, settings=Settings()) -> None:
        self._settings = settings
        self._layout: Layout | None = None

    def check(self, encoding: Encoding, objective: Objective) -> None:
        self._layout = Layout(encoding)

    def initial(self, known: Known) -> int:
        return self._settings.initial or usual_initial(known)

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        s = self._settings
        below, above = split(known, s.gamma, s.most)
        n = known.count
        if s.elites and self._layout.is_conditional:
            extra, ew = self.elites(known, below, s)
        weights = np.ones(len(below))
        prior = s.prior
        if s.ei and len(below) and known.scores.shape[1] == 1 and len(above):
            score = known.scores[:, 0]
            y = score[below]
            rest = score[above]
            rest = rest[~np.isnan(rest)]
            t = rest.max() if len(rest) else y.min()
            weights = np.maximum(y - t, 0)
            if weights.max() > 0:
                weights = np.maximum(weights / weights.max(), 1e-12)
            else:
                weights = np.ones(len(below))
            if s.power:
                weights **= s.power
            prior = s.prior * weights.mean()
        elif s.power and len(below):
            # by rank
            weights = (np.arange(len(below), 0, -1) / len(below)) ** s.power
            prior = s.prior * weights.mean()
        rows_b = known.rows[below]
        if s.elites and self._layout.is_conditional and len(extra):
            rows_b = np.concatenate([rows_b, known.rows[extra]])
            weights = np.concatenate([weights, ew * weights.mean()])
        good = Mixture(self._layout, rows_b, weights, prior, self.widths(len(rows_b), s.factor, n), smoothing=self.smoothing(len(rows_b)))
        if len(above) > s.kept:
            half = s.kept // 2
            old = np.unique(rng.integers(0, len(above) - half, half))
            above = np.concatenate([above[old], above[-half:]])
        wa = np.ones(len(above))
        if s.ramp and len(above) > 25:
            wa[:-25] = np.linspace(1 / len(above), 1, len(above) - 25)
        rows_a = known.rows[above]
        pending = known.pending[-1000:]
        if len(pending):
            p = len(pending)
            w = min(1.0, s.liars * max(len(above), 1) / ((1 - s.liars) * p)) if s.liars < 1 else 1.0
            rows_a = np.concatenate([rows_a, pending])
            wa = np.concatenate([wa, np.full(p, w)])
        bad = Mixture(self._layout, rows_a, wa, s.prior, self.widths(len(rows_a), s.factor_above, n), smoothing=self.smoothing(len(rows_a)))
        rows = good.sample(s.candidates, rng, crossed=int(s.crossed * s.candidates), only=[j for j, c in enumerate(known.encoding.columns) if c.is_category] if s.cross_cat else None)
        gain = good.log_density(rows) - bad.log_density(rows)
        if s.solo_cat:
            cats = [j for j, c in enumerate(known.encoding.columns) if c.is_category]
            gain = gain + s.solo_cat * (good.log_marginals(rows) - bad.log_marginals(rows))[:, cats].sum(axis=1)
        if s.solo:
            gain = (1 - s.solo) * gain + s.solo * (good.log_marginals(rows) - bad.log_marginals(rows)).sum(axis=1)
        return Proposal(rows[np.argsort(-gain, kind="stable")])

    def elites(self, known, below, s):
        enc = known.encoding
        rows = known.rows
        taken = set(below.tolist())
        extra = []
        score = np.where(known.feasible, known.scores[:, 0], -np.inf)
        for parent, code in {(c.parent, c.code) for c in enc.columns if c.parent is not None}:
            here = np.flatnonzero((rows[:, parent] == code) & np.isfinite(score))
            if len(here) < 5:
                continue
            k = ceil(s.gamma * len(here))
            best = here[np.argsort(-score[here], kind="stable")[:k]]
            extra += [b for b in best.tolist() if b not in taken]
        extra = sorted(set(extra))
        if not extra:
            return np.array([], int), np.array([])
        w = s.elites * len(below) / len(extra)
        return np.array(extra), np.full(len(extra), min(w, 1.0))

    def widths(self, count: int, factor: float, n: int) -> Widths:
        s = self._settings
        d = max(1, self._layout.encoding.dimensions)
        if s.floor == "optuna":
            floor = 1 / min(100, count + 2)
        elif s.floor == "magic":
            floor = max(0.03, 1 / (count + 2) ** 2)
        elif s.floor == "scott":
            floor = max(0.2 * max(count, 1) ** (-1 / (d + 4)), 0.01)
        elif s.floor == "scott5":
            floor = max(0.1 * max(count, 1) ** (-1 / (d + 4)), 0.01)
        else:
            floor = float(s.floor)
        return floor

    def smoothing(self, count):
        return np.minimum(self._settings.cat_prior / max(count, 1), self._settings.cap / self._layout.options)


def split(known: Known, share: float, most: int) -> tuple[Array, Array]:
    feasible = known.feasible
    n = known.count
    several = known.scores.shape[1] > 1
    count = ceil(share * n)
    if not several:
        count = min(count, most)
    index = np.flatnonzero(feasible)
    if len(index) <= count:
        best = index
        if len(index) < count:
            others = np.flatnonzero(~feasible & ~np.isnan(known.scores).any(axis=1))
            if len(others):
                v = np.nan_to_num(np.maximum(known.violations[others], 0.0), nan=0.0)
                v = (v / np.maximum(v.max(axis=0), 1e-300)).sum(axis=1)
                best = np.concatenate([index, others[np.argsort(v, kind="stable")[: count - len(index)]]])
    elif several:
        best = index[best_by_rank(known.scores[index], count)]
    else:
        score = known.scores[index, 0]
        best = index[top(score, count)]
    is_below = np.zeros(n, bool)
    is_below[best] = True
    return best, np.flatnonzero(~is_below)


def top(score: Array, count: int) -> Array:
    """Indices of the largest, the best first, the earliest of equals."""
    edge = -np.partition(-score, count - 1)[count - 1]
    sure = np.flatnonzero(score > edge)
    ties = np.flatnonzero(score == edge)[: count - len(sure)]
    chosen = np.concatenate([sure, ties])
    return chosen[np.argsort(-score[chosen], kind="stable")]
