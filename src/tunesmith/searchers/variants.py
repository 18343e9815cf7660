"""Random search, grid search, and their product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.errors import ArgumentError
from tunesmith.objective import Objective
from tunesmith.space import Space


class VariantSearcher:
    """Go through the grid, with every other variable drawn at random, as often as `num_samples` says.

    Trial ``i`` is at grid point ``i`` modulo the grid's size; the first grid by path varies fastest. What is drawn
    depends on the seed and the trial's number alone. With ``num_samples=-1`` there is no end, but for a space in
    which nothing is random: it ends after one pass.

    Args:
        points_to_evaluate: values by path, such as ``{"lr": 0.1, "model/width": 64}``, for the first trials; what
            they leave open is drawn. They come on top of nothing: they are among the `num_samples`.
    """

    eager = True

    def __init__(self, points_to_evaluate: Sequence[Mapping[str, Any]] | None = None) -> None:
        self._points = [dict(point) for point in points_to_evaluate or ()]
        self._space = Space({})
        self._seed = 0
        self._num_samples = 1

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        """Take the problem; needs no objective."""
        self._space, self._seed, self._num_samples = space, seed, num_samples
        known = {variable.path for variable in space.variables}
        for point in self._points:
            for path in point:
                if path not in known:
                    raise ArgumentError(
                        f"points_to_evaluate names {path!r}, which is no variable of the space; these are: "
                        f"{', '.join(sorted(known))}."
                    )

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
        values = self._space.sample(self._seed, number, number % self._space.grid_size)
        if number < len(self._points):
            values |= self._points[number]
        return values

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        """Learn nothing."""
