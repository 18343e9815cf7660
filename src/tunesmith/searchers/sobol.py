"""Search by a sequence that covers the space evenly, whatever the results are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.errors import MissingPackageError, SpaceError
from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Array, Generator, generator, np
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Proposal
from tunesmith.searchers.known import Known
from tunesmith.searchers.modelled import ModelSearcher
from tunesmith.streams import stream

_MOST = 21201  # the dimensions for which direction numbers are known


class SobolSearch(ModelSearcher):
    """Cover the search space evenly, by a scrambled Sobol sequence; needs SciPy: ``pip install "tunesmith[search]"``.

    A good first look at a space, and better than random search at the same price. Powers of two are good numbers of
    trials. In a space with choices within choices, only the variables that are active count.

    Args:
        space: for bare use, without a run.
        metric: for bare use.
        mode: for bare use.
        points_to_evaluate: values for the first trials; see `ModelSearcher`.
        seed: for bare use.

    Raises:
        MissingPackageError: SciPy is not installed.

    Source: Sobol, On the distribution of points in a cube, 1967; scrambled as by Owen, 1998.

    >>> search = SobolSearch({"x": {"y": 1}}, "loss", "min")
    >>> search.ask().config
    {'x': {'y': 1}}
    """

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        *,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(SobolEngine(), space, metric, mode, points_to_evaluate=points_to_evaluate, seed=seed)


class SobolEngine:
    """Proposes the sequence's points, one for each number."""

    name = "sobol"

    def __init__(self) -> None:
        try:
            from scipy.stats import qmc
        except ImportError as error:
            raise MissingPackageError('SobolSearch needs SciPy: pip install "tunesmith[search]".') from error
        self._qmc = qmc
        self._points: Array = np.empty((0, 0))

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Raise SpaceError if there are more dimensions than the sequence has."""
        if encoding.dimensions > _MOST:
            raise SpaceError(f"A Sobol sequence has at most {_MOST} dimensions; this space has {encoding.dimensions}.")

    def initial(self, known: Known) -> int:
        """Return 0."""
        return 0

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose point `number` of the sequence."""
        if number >= len(self._points):
            count = 1 << max(6, number.bit_length())
            seed = generator(stream(known.seed, "sobol").getrandbits(64))
            self._points = self._qmc.Sobol(max(known.encoding.dimensions, 1), seed=seed).random(count)
        shares = self._points[number : number + 1, : known.encoding.dimensions]
        return Proposal(known.encoding.draw(shares))
