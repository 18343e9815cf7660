"""Random search, grid search, and their product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.objective import Objective
from tunesmith.points import check_point
from tunesmith.searchers.protocol import Past
from tunesmith.space import Space


class VariantSearcher:
    """Go through the grid, with every other variable drawn at random, as often as `num_samples` says.

    Trial ``i`` is at grid point ``i`` modulo the grid's size; the first grid by path varies fastest. What is drawn
    depends on the seed and the trial's number alone. With ``num_samples=-1`` there is no end, but for a space in
    which nothing is random: it ends after one pass.

    Args:
        points_to_evaluate: values for the first trials, which are among the `num_samples`: such as
            ``{"lr": 0.1, "model": {"width": 64}}``, or by path, ``{"model/width": 64}``. What they leave open is drawn.
            An option that holds domains is named by its index, ``{"model?": 1}``.

    Raises:
        ArgumentError: when it is set up, if a point is outside of the space.

    >>> from tunesmith.domains import uniform
    >>> searcher = VariantSearcher(points_to_evaluate=[{"lr": 0.5}])
    >>> searcher.setup(Space({"lr": uniform(0, 1)}), None, seed=1, num_samples=2)
    >>> searcher.ask(0, 1)
    [{'lr': 0.5}]
    """

    eager = True

    def __init__(self, points_to_evaluate: Sequence[Mapping[str, Any]] | None = None) -> None:
        self._points = list(points_to_evaluate or ())
        self._first: list[dict[str, Any]] = []
        self._space = Space({})
        self._seed = 0
        self._num_samples = 1

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        """Take the problem; needs no objective."""
        self._space, self._seed, self._num_samples = space, seed, num_samples
        self._first = [check_point(space, point, f"points_to_evaluate[{i}]") for i, point in enumerate(self._points)]

    def learn(self, past: Past) -> None:
        """Try the best of an older experiment after the points that were given."""
        self._first += [observation.values for observation in past.observations[: past.best]]

    def total(self) -> int | None:
        """Return the size of the grid times `num_samples`."""
        if self._num_samples >= 0:
            return self._space.grid_size * self._num_samples
        return None if self._space.is_random else self._space.grid_size

    def ask(self, first: int, count: int) -> list[dict[str, Any]]:
        """Return the values of the next trials; fewer when the end is reached."""
        total = self.total()
        last = first + count if total is None else min(first + count, total)
        return [self._values(number) for number in range(first, last)]

    def _values(self, number: int) -> dict[str, Any]:
        given = self._first[number] if number < len(self._first) else None
        return self._space.sample(self._seed, number, number % self._space.grid_size, given)

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        """Learn nothing."""
