"""``HyperOptSearch`` of 2019, over Tunesmith's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.compat.ray.suggest import SearchAlgorithm
from tunesmith.integrations.hyperopt import HyperOptSearch as Search
from tunesmith.objective import Objective
from tunesmith.space import Space


class HyperOptSearch(SearchAlgorithm):
    """Suggests by HyperOpt's TPE.

    Args:
        space: a dict of HyperOpt's expressions; what it draws is merged into ``config``.
        max_concurrent: the most trials at once.
        reward_attr: what is to be maximised.
        points_to_evaluate: values for the first trials, by label; the last of the list comes first, as in 2019.
    """

    def __init__(
        self,
        space: Mapping[str, Any],
        max_concurrent: int = 10,
        reward_attr: str | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        *,
        metric: str | None = None,
        mode: str | None = None,
        **ignored: Any,
    ) -> None:
        if not isinstance(max_concurrent, int) or max_concurrent <= 0:
            raise AssertionError("`max_concurrent` must be a positive whole number!")
        if points_to_evaluate is not None and not isinstance(points_to_evaluate, (list, tuple)):
            raise AssertionError("`points_to_evaluate` must be a list of dicts!")
        self.max_concurrent = max_concurrent
        self._objective = Objective(metric or reward_attr or "episode_reward_mean", mode or "max")  # type: ignore[arg-type]  # checked by it
        self._space = space
        self._points = list(reversed(points_to_evaluate or ()))
        Search(space, self._points)  # so that what is missing is told here

    def searcher(self) -> Search:
        """Return a searcher for a run."""
        return _WithObjective(self._space, self._points, self._objective)


class _WithObjective(Search):
    """HyperOpt's search with an objective of its own, as the run has none."""

    def __init__(self, space: Mapping[str, Any], points: Sequence[Mapping[str, Any]], own_objective: Objective) -> None:
        super().__init__(space, points)
        self._own_objective = own_objective

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        """Take the problem."""
        super().setup(space, self._own_objective, seed, num_samples)
