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
        metric: in the place of `reward_attr`, and `mode` with it.
        n_initial_points: so many trials are drawn at random first.
        random_state_seed: makes the suggestions the same in every run.
        gamma: which share of the trials are those that are good.
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
        n_initial_points: int = 20,
        random_state_seed: int | None = None,
        gamma: float = 0.25,
    ) -> None:
        if not isinstance(max_concurrent, int) or max_concurrent <= 0:
            raise AssertionError("`max_concurrent` must be a positive whole number!")
        if points_to_evaluate is not None and not isinstance(points_to_evaluate, (list, tuple)):
            raise AssertionError("`points_to_evaluate` must be a list of dicts!")
        self.max_concurrent = max_concurrent
        self._objective = Objective(metric or reward_attr or "episode_reward_mean", mode or "max")  # type: ignore[arg-type]  # checked by it
        self._space = space
        self._points = list(reversed(points_to_evaluate or ()))
        self._settings = {"n_initial_points": n_initial_points, "gamma": gamma}
        self._random_state_seed = random_state_seed
        Search(space, self._points, **self._settings)  # type: ignore[arg-type]  # so that what is wrong is told here

    def searcher(self) -> Search:
        """Return a searcher for a run."""
        search = _WithObjective(self._space, self._points, **self._settings)  # type: ignore[arg-type]  # as above
        search.own_objective, search.own_seed = self._objective, self._random_state_seed
        return search


class _WithObjective(Search):
    """HyperOpt's search with an objective of its own, as the run has none, and maybe a seed."""

    own_objective: Objective
    own_seed: int | None

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        """Take the problem."""
        super().setup(space, self.own_objective, seed if self.own_seed is None else self.own_seed, num_samples)
