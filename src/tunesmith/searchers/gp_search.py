"""The search for the configuration that promises most, among numbers and options alike."""

from __future__ import annotations

from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.gp_acquisition import Acquisition
from tunesmith.searchers.gp_ascent import Climb
from tunesmith.searchers.gp_moves import Moves
from tunesmith.searchers.gp_region import Region

_DRAWN = 1024
_NEAR = 60  # neighbours of each base
_STARTS = 5
_TOP = 50  # from which the starts are drawn
_CLIMBS, _STEPS = 2, 30
_NEIGHBOURS, _ROUNDS = 40, 6
_GAIN = 1e-4


class Search:
    """Looks for what maximises an acquisition.

    Args:
        moves: of the encoding.
        acquisition: what to maximise.
        region: where.
        scale: shape (dimensions,): how far in each column the acquisition is about the same.
        seen: the keys of rows that are not wanted again; looked at only where there is an end of configurations.
    """

    def __init__(self, moves: Moves, acquisition: Acquisition, region: Region, scale: Array, seen: set[bytes]) -> None:
        self._moves, self._acquisition, self._region = moves, acquisition, region
        self._scale, self._seen = scale, seen
        self._is_countable = moves.encoding.size is not None
        self._has_steps = any(column.levels for column in moves.encoding.columns)

    def best(self, bases: Array, rng: Generator) -> Array:
        """Return rows, the most promising first.

        Args:
            bases: shape (k, dimensions): rows whose neighbours are looked at as well.
            rng: for the candidates.
        """
        moves = self._moves
        candidates = self._unseen(np.concatenate([self._region.draw(_DRAWN, rng), moves.around(bases, _NEAR, rng)]))
        if not len(candidates):
            return candidates
        scores = self._acquisition.score(candidates)
        order = np.argsort(-scores, kind="stable")[:_TOP]
        candidates, scores = candidates[order], scores[order]
        starts = _roulette(scores, rng)
        rows, values = self._improve(candidates[starts], scores[starts], rng)
        rows, values = np.concatenate([rows, candidates]), np.concatenate([values, scores])
        return rows[np.argsort(-values, kind="stable")]

    def _improve(self, rows: Array, values: Array, rng: Generator) -> tuple[Array, Array]:
        smooth = self._moves.is_smooth
        for _ in range(1 if smooth.all() else _CLIMBS):
            if smooth.any():
                rows, values = self._climb(rows, values)
            if not smooth.all():
                rows, values = self._walk(rows, values, rng)
        return rows, values

    def _climb(self, rows: Array, values: Array) -> tuple[Array, Array]:
        encoding = self._moves.encoding
        free = self._moves.is_smooth & encoding.active(rows)
        low, high = self._region.bounds(rows)
        bounds = np.where(free, np.minimum(low, rows), rows), np.where(free, np.maximum(high, rows), rows)
        climb = Climb(self._acquisition.slopes, rows, bounds, self._scale)
        climb.go(_STEPS)
        if not self._has_steps:
            return climb.points, climb.values
        found = encoding.canonical(climb.points)
        return self._better(rows, values, found, self._acquisition.score(found))

    def _walk(self, rows: Array, values: Array, rng: Generator) -> tuple[Array, Array]:
        """Go to the best of some neighbours, again and again."""
        for _ in range(_ROUNDS):
            around = self._moves.around(rows, _NEIGHBOURS, rng)
            scores = self._acquisition.score(around)
            if self._is_countable:
                scores = np.where(self._is_new(around), scores, -np.inf)
            scores = scores.reshape(len(rows), _NEIGHBOURS)
            best = scores.argmax(axis=1)
            here = np.arange(len(rows))
            found, there = around.reshape(len(rows), _NEIGHBOURS, -1)[here, best], scores[here, best]
            gain = float((there - values).max())
            rows, values = self._better(rows, values, found, there)
            if gain < _GAIN:
                break
        return rows, values

    def _better(self, rows: Array, values: Array, found: Array, there: Array) -> tuple[Array, Array]:
        better = there > values
        if self._is_countable:
            better &= self._is_new(found)
        return np.where(better[:, None], found, rows), np.where(better, there, values)

    def _is_new(self, rows: Array) -> Array:
        key = self._moves.encoding.key
        return np.array([key(row) not in self._seen for row in rows], dtype=bool)

    def _unseen(self, rows: Array) -> Array:
        return rows[self._is_new(rows)] if self._is_countable else rows


def _roulette(scores: Array, rng: Generator) -> Array:
    """Return the places of the best score, and of some others, as likely as the logarithms `scores` say."""
    lots = scores + rng.gumbel(size=len(scores))
    lots[0] = np.inf
    return np.argsort(-lots, kind="stable")[:_STARTS]
