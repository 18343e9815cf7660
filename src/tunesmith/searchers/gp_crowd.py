"""Suggestions for a crowd of workers: each is the best by another guess at the truth."""

from __future__ import annotations

from collections.abc import Callable

from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.gp_model import Model
from tunesmith.searchers.gp_moves import Moves
from tunesmith.searchers.gp_pareto import reference
from tunesmith.searchers.gp_region import Region
from tunesmith.searchers.gp_thompson import Path, Paths

_CANDIDATES, _NEAR = 1024, 120
_NEIGHBOURS, _ROUNDS = 48, 2
_BROKEN = 1e3  # how far a guess that breaks a constraint is below all others, for each unit by which it does


class Crowd:
    """What all guesses have in common: the candidates, and what of the model does not depend on the guess.

    Source: Kandasamy et al., Parallelised Bayesian Optimisation via Thompson Sampling, 2018.

    Args:
        model: the state of knowledge.
        moves: of the encoding.
        region: where to look.
        bases: rows whose neighbours are candidates too.
        rng: for the candidates and the frequencies; the same in all suggestions from this state.
    """

    def __init__(self, model: Model, moves: Moves, region: Region, bases: Array, rng: Generator) -> None:
        self._moves, self._goals = moves, len(model.objectives)
        self._candidates = np.concatenate([region.draw(_CANDIDATES, rng), moves.around(bases, _NEAR, rng)])
        self._paths = [Paths(posterior, rng) for posterior in (*model.objectives, *model.constraints)]
        self._reference = reference(model.values)
        self._parts = [paths.parts(self._candidates) for paths in self._paths]

    def guess(self, rng: Generator) -> Array:
        """Return rows, the best by a guess first."""
        drawn = [paths.draw(rng) for paths in self._paths]
        weigh = self._weigher(rng)
        scores = weigh([path.of(*parts) for path, parts in zip(drawn, self._parts, strict=True)])
        order = np.argsort(-scores, kind="stable")[:20]
        best = self._candidates[order]
        return np.concatenate([self._refine(best[0], float(scores[order[0]]), drawn, weigh, rng)[None], best])

    def _refine(
        self, row: Array, score: float, drawn: list[Path], weigh: Callable[[list[Array]], Array], rng: Generator
    ) -> Array:
        for _ in range(_ROUNDS):
            around = self._moves.around(row[None], _NEIGHBOURS, rng)
            scores = weigh([path.at(around) for path in drawn])
            best = int(scores.argmax())
            if scores[best] > score:
                row, score = around[best], float(scores[best])
        return row

    def _weigher(self, rng: Generator) -> Callable[[list[Array]], Array]:
        """Return what makes one number of the guesses at objectives and constraints."""
        goals, ideal = self._goals, self._reference
        weights = np.abs(rng.standard_normal(goals))
        weights /= np.linalg.norm(weights)

        def weigh(values: list[Array]) -> Array:
            if goals == 1:
                found = values[0]
            else:
                found = np.min([(values[j] - ideal[j]) / weights[j] for j in range(goals)], axis=0)
            for margin in values[goals:]:
                found = found + _BROKEN * np.minimum(margin, 0.0)
            return found

        return weigh
