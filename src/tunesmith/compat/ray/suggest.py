"""Searchers in the words of 2019, and what turns them into Tunesmith's."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.compat.ray import naming
from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.markers import Marked
from tunesmith.objective import Objective
from tunesmith.paths import join
from tunesmith.space import Space


class SearchAlgorithm:
    """What suggests configurations. Extend `SuggestionAlgorithm` to write one."""

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take note of a result."""

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,
        early_terminated: bool = False,
    ) -> None:
        """Take note that a trial has ended."""


class BasicVariantGenerator(SearchAlgorithm):
    """Goes through grids and draws the rest: the default.

    Args:
        shuffle: go through them in random order.
    """

    def __init__(self, shuffle: bool = False) -> None:
        self.shuffle = shuffle


class SuggestionAlgorithm(SearchAlgorithm):
    """Subclass it and define `_suggest`. ``max_concurrent`` limits how many trials there are at once."""

    max_concurrent: int | None = None

    def _suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return what is to be merged into the configuration of a trial."""
        raise NotImplementedError(f"{type(self).__name__} must define _suggest(trial_id), which returns a dict.")


class Variants:
    """The searcher behind `BasicVariantGenerator`. All trials are made at once, before the first one starts."""

    eager = True

    def __init__(self, marked: Marked, *, shuffle: bool) -> None:
        self._marked = marked
        self._shuffle = shuffle
        self._seed = 0
        self._total = 0
        self._ready: dict[int, dict[str, Any]] = {}

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        """Take the problem."""
        self._seed, self._total = seed, space.grid_size * num_samples

    def total(self) -> int:
        """Return how many trials there will be."""
        return self._total

    def ask(self, first: int, count: int) -> list[dict[str, Any]]:
        """Return the values of trials; all those that are left are computed at the first call."""
        if first not in self._ready:
            order = list(range(self._total))
            if self._shuffle:
                random.Random(self._seed).shuffle(order)
            self._ready = {n: self._marked.sample(self._seed, order[n]) for n in range(first, self._total)}
        return [self._ready.pop(n) for n in range(first, min(first + count, self._total))]

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        """Learn nothing."""


class Suggestions:
    """The searcher behind a user's own `SuggestionAlgorithm`."""

    eager = False

    def __init__(self, algorithm: Any, marked: Marked) -> None:
        self._algorithm = algorithm
        self._marked = marked
        self._seed = 0
        self._num_samples = 1

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        """Take the problem."""
        self._seed, self._num_samples = seed, num_samples

    def total(self) -> int:
        """Return how many trials there will be."""
        return self._num_samples

    def ask(self, first: int, count: int) -> list[dict[str, Any]]:
        """Ask for a dict and return its values by path, with what is drawn for the rest of the configuration."""
        answers = []
        for number in range(first, first + count):
            suggested = self._algorithm._suggest(naming.trial_id(self._seed, number))
            if suggested is None:
                raise TuneError(
                    f"{type(self._algorithm).__name__}._suggest returned None, to be asked later. Give the searcher "
                    "max_concurrent instead, the most trials at once: it is not asked while there are so many."
                )
            answers.append(self._marked.sample(self._seed, number, flat(suggested)))
        return answers

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        """Pass on what became of a trial."""
        trial_id = naming.trial_id(self._seed, trial)
        result = None if metrics is None else dict(metrics)
        if final:
            self._algorithm.on_trial_complete(trial_id, result=result, error=failed)
        elif result is not None:
            self._algorithm.on_trial_result(trial_id, result)


def flat(suggested: Mapping[str, Any], path: Sequence[Any] = ()) -> dict[str, Any]:
    """Return nested dicts as one of paths.

    >>> flat({"model": {"width": 8}})
    {'model/width': 8}
    """
    found: dict[str, Any] = {}
    for key, value in suggested.items():
        if isinstance(value, Mapping) and value:
            found.update(flat(value, [*path, key]))
        else:
            found[join([*path, key])] = value
    return found
