"""Search by evolution, for several metrics at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isnan
from typing import Any, Final

from tunesmith.errors import ArgumentError
from tunesmith.objective import Objective
from tunesmith.pareto import Merit, standings
from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.columns import Column
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Proposal
from tunesmith.searchers.known import Known
from tunesmith.searchers.modelled import ModelSearcher

_CHILDREN: Final = 8  # of which the first one that is new is taken


class NSGA2Search(ModelSearcher):
    """Search by evolution: new configurations are crossed and mutated from the best ones, by their fronts.

    For several metrics, and for many trials: it needs some hundreds to be better than random search by much, and a
    suggestion costs next to nothing however many there have been. Constraints are respected: of two configurations
    that break them the one is better that breaks them less. It never waits: a child is made of those that have ended so
    far, and takes the place of the worst of them when it ends and is better.

    Args:
        space: for bare use, without a run.
        metric: for bare use; a list for several metrics.
        mode: for bare use; for several metrics one for all, or a list.
        constraints: for bare use, such as ``{"memory_mb": "<= 4000"}``.
        population_size: how many of the best are the parents, 4 or more; by default one in 20 trials, 10 to 50.
        crossover_probability: how often a child has two parents rather than one, from 0 to 1.
        crossover_eta: how near the numbers of a child are to those of its parents, above 0; larger is nearer.
        mutation_probability: how likely each of a child's variables is changed, from 0 to 1; by default one in all.
        mutation_eta: how small the changes are, above 0; larger is smaller.
        points_to_evaluate: values for the first trials; see `ModelSearcher`.
        seed: for bare use.

    Raises:
        ArgumentError: a number is out of its range.

    Source: Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE TEC 6(2), 2002. One child at
    a time: Durillo et al., On the Effect of the Steady-State Selection Scheme in Multi-Objective Genetic Algorithms,
    EMO 2009. Crossover and mutation of numbers: Deb and Agrawal, Simulated Binary Crossover, Complex Systems 9, 1995;
    Deb, Multi-Objective Optimization using Evolutionary Algorithms, 2001, section 4.3.

    >>> search = NSGA2Search({"x": {"y": 1}}, ["loss", "latency"], "min")
    >>> search.ask().config
    {'x': {'y': 1}}
    """

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | Sequence[str] | None = None,
        mode: str | Sequence[str] | None = None,
        *,
        constraints: Mapping[str, str] | None = None,
        population_size: int | None = None,
        crossover_probability: float = 0.9,
        crossover_eta: float = 15.0,
        mutation_probability: float | None = None,
        mutation_eta: float = 20.0,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        seed: int = 0,
    ) -> None:
        if population_size is not None and (not isinstance(population_size, int) or population_size < 4):
            raise ArgumentError(f"population_size must be a whole number from 4, got {population_size!r}.")
        shares = {"crossover_probability": crossover_probability, "mutation_probability": mutation_probability}
        for name, value in shares.items():
            if value is not None and not 0 <= value <= 1:
                raise ArgumentError(f"{name} must be from 0 to 1, got {value!r}.")
        for name, value in {"crossover_eta": crossover_eta, "mutation_eta": mutation_eta}.items():
            if not 0 < value < inf:
                raise ArgumentError(f"{name} must be a number above 0, got {value!r}.")
        variation = Variation(crossover_probability, crossover_eta, mutation_probability, mutation_eta)
        super().__init__(
            NSGA2Engine(population_size, variation),
            space,
            metric,
            mode,
            constraints=constraints,
            points_to_evaluate=points_to_evaluate,
            seed=seed,
        )


class NSGA2Engine:
    """Proposes children of the best that have ended.

    The population is a fold of the results in the order in which they came: each new one takes part, and the worst
    leaves. What has been folded is kept; a result that changed afterwards begins the fold anew.
    """

    name = "nsga2"

    def __init__(self, size: int | None = None, variation: Variation | None = None) -> None:
        self._size, self._variation = size, variation or Variation()
        self._bounds: list[float] = []
        self._population: list[tuple[int, Merit]] = []
        self._folded = self._version = 0

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Take the bounds of the constraints, by which violations are measured."""
        self._bounds = [abs(bound.bound) or 1.0 for bound in objective.constraints]

    def initial(self, known: Known) -> int:
        """Return as many trials as the population has, but no more than a quarter of all."""
        size = self.size(known)
        return size if known.num_samples is None else max(2, min(size, known.num_samples // 4))

    def size(self, known: Known) -> int:
        """Return how many are in the population."""
        if self._size is not None:
            return self._size
        return 50 if known.num_samples is None else min(max(10, known.num_samples // 20), 50)

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose children of the population, each of parents that have won a tournament of two."""
        population = self._fold(known)
        places = standings([merit for _, merit in population])
        rows = known.rows[[index for index, _ in population]]
        children = [
            self._variation.child(known.encoding, rows[_tournament(places, rng)], rows[_tournament(places, rng)], rng)
            for _ in range(_CHILDREN)
        ]
        return Proposal(np.array(children).reshape(_CHILDREN, known.encoding.dimensions))

    def _fold(self, known: Known) -> list[tuple[int, Merit]]:
        if known.version - self._version != known.count - self._folded:
            self._population, self._folded = [], 0
        size = self.size(known)
        for index in range(self._folded, known.count):
            self._population.append((index, self._merit(known, index)))
            if len(self._population) > size:
                places = standings([merit for _, merit in self._population])
                del self._population[max(range(size + 1), key=lambda i: (places[i], i))]
        self._folded, self._version = known.count, known.version
        return self._population

    def _merit(self, known: Known, index: int) -> Merit:
        scores = tuple(map(float, known.scores[index]))
        if any(map(isnan, scores)):
            return Merit(inf, (-inf,) * len(scores))
        broken = zip(map(float, known.violations[index]), self._bounds, strict=True)
        return Merit(sum(inf if isnan(v) else max(v, 0.0) / bound for v, bound in broken), scores)


def _tournament(places: Sequence[tuple[int, float]], rng: Generator) -> int:
    one, other = (int(rng.integers(len(places))) for _ in range(2))
    return one if places[one] <= places[other] else other


class Variation:
    """How a child comes of its parents. The arguments are those of `NSGA2Search`."""

    def __init__(
        self,
        crossing: float = 0.9,
        crossing_eta: float = 15.0,
        mutation: float | None = None,
        mutation_eta: float = 20.0,
    ) -> None:
        self._crossing, self._crossing_eta = crossing, crossing_eta
        self._mutation, self._mutation_eta = mutation, mutation_eta

    def child(self, encoding: Encoding, mother: Array, father: Array, rng: Generator) -> Array:
        """Return a row of both parents, or of one, in which about one variable is changed.

        A choice stands before what belongs to its options: a variable that is active in the child but in neither parent
        is drawn.
        """
        parents = np.array([mother, father if rng.random() < self._crossing else mother])
        active = encoding.active(parents)
        chance = self._mutation if self._mutation is not None else 1 / max(1.0, float(active.sum(axis=1).mean()))
        child = encoding.neutral.copy()
        for j, column in enumerate(encoding.columns):
            if column.parent is not None and child[column.parent] != column.code:
                continue
            owners = parents[active[:, j], j]
            place = self._cross(column, owners, rng) if len(owners) else _drawn(column, rng)
            if rng.random() < chance:
                place = self._changed(column, place, rng)
            child[j] = column.snap(np.array([place]))[0]
        return child

    def _cross(self, column: Column, owners: Array, rng: Generator) -> float:
        """Return what a child has of one or two parents: of numbers one near theirs, beyond them too."""
        own = float(owners[rng.integers(len(owners))])
        if column.is_category or len(owners) == 1 or owners[0] == owners[1] or rng.random() < 0.5:
            return own
        low, high = sorted(map(float, owners))
        upward = bool(rng.random() < 0.5)
        room = 1 - high if upward else low
        beta = 1 + 2 * room / (high - low)
        spread = _spread(float(rng.random()), beta, self._crossing_eta)
        return 0.5 * (low + high + (spread if upward else -spread) * (high - low))

    def _changed(self, column: Column, place: float, rng: Generator) -> float:
        """Return another value: of numbers one nearby, at least the next one where there are steps."""
        if column.is_category:
            return float((int(place) + 1 + rng.integers(column.levels - 1)) % column.levels)
        moved = _mutated(place, float(rng.random()), self._mutation_eta)
        if column.is_coarse and column.snap(np.array([moved]))[0] == place:
            steps = column.grid()
            at = int(np.abs(steps - place).argmin())
            moved = float(steps[min(max(at + (1 if rng.random() < 0.5 else -1), 0), len(steps) - 1)])
        return moved


def _drawn(column: Column, rng: Generator) -> float:
    return float(column.draw(rng.random(1))[0])


def _spread(share: float, beta: float, eta: float) -> float:
    """Return how far a child is from its parents' middle, in halves of their distance, so that it stays in bounds."""
    alpha = 2 - beta ** -(eta + 1)
    if share <= 1 / alpha:
        return float((share * alpha) ** (1 / (eta + 1)))
    return float((1 / (2 - share * alpha)) ** (1 / (eta + 1)))


def _mutated(place: float, share: float, eta: float) -> float:
    """Return a place near `place`, within 0 and 1: the polynomial mutation."""
    power = 1 / (eta + 1)
    if share < 0.5:
        return float(place + (2 * share + (1 - 2 * share) * (1 - place) ** (eta + 1)) ** power - 1)
    return float(place + 1 - (2 * (1 - share) + (2 * share - 1) * place ** (eta + 1)) ** power)
