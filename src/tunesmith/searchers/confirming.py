"""When the search is over, its best configurations once more: the best of many noisy values is a lucky one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import inf
from typing import Any, Final

from tunesmith.errors import ArgumentError
from tunesmith.objective import Objective
from tunesmith.pareto import Merit, best_first
from tunesmith.searchers.protocol import ALL_TRIED, LATER, Searcher, Suggestion
from tunesmith.searchers.wrapping import Wrapper
from tunesmith.space import Space

_CONFIRMS: Final = "$confirms"  # in the memo of a confirmation: the trial that it confirms


class Confirm(Wrapper):
    """Let a searcher search; when all of its trials have ended, suggest the `best` of them `repeats` times each.

    The searcher within is shown its own trials only, under numbers that count these. What is best is told as in the
    results: by the best value of a trial's history, or by the fronts of the last results where there are several
    metrics. Of equal configurations one is confirmed. An experiment that searches on later confirms those of its best
    that are not confirmed yet.

    >>> confirm = Confirm("random", best=3, repeats=5)
    """

    def __init__(self, searcher: Searcher | str, best: int, repeats: int) -> None:
        super().__init__(searcher)
        self.best, self.repeats = best, repeats
        self._numbers: dict[int, int] = {}  # by trial: the number that the searcher knows it by
        self._values: dict[int, Mapping[str, Any]] = {}
        self._under_way: set[int] = set()
        self._merits: dict[int, Merit] = {}  # of the trials that have not failed and have a finite result
        self._confirmed: Counter[int] = Counter()
        self._confirmations: set[int] = set()

    @property
    def title(self) -> str:
        """That of the searcher within: with or without confirmations, the search is the same."""
        inner = self.searcher
        return str(getattr(inner, "title", type(inner).__name__))

    @property
    def ending(self) -> str:
        """Why there is no more: nothing to be said where the search has come to its own end."""
        total = self.searcher.total()
        found: str = getattr(self.searcher, "ending", ALL_TRIED)
        return found if total is None or len(self._numbers) < total else ""

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        """Take the problem.

        Raises:
            ArgumentError: there is no objective.
        """
        if objective is None:
            raise ArgumentError("confirm= needs to know what is good: give metric= and mode= to run().")
        self._objective = objective
        super().setup(space, objective, seed, num_samples)

    def total(self) -> int | None:
        """Return how many trials there will be, confirmations included."""
        total = self.searcher.total()
        return None if total is None else total + min(self.best, total) * self.repeats

    def ask(self, first: int, count: int) -> list[Suggestion]:
        """Suggest what the searcher suggests, and when all of that has ended, the best once more."""
        found: list[Suggestion] = []
        for trial in range(first, first + count):
            suggestion = self._search() or self._confirm()
            if suggestion is LATER:
                return [*found, LATER]
            if suggestion is None:
                break
            found.append(suggestion)
            self._begin(trial, suggestion.values, suggestion.memo)
        return found

    def _search(self) -> Suggestion | None:
        total, number = self.searcher.total(), len(self._numbers)
        return self._ask_for_one(number) if total is None or number < total else None

    def _confirm(self) -> Suggestion | None:
        if self._under_way:
            return LATER if self.best else None
        for trial in self._winners():
            if self._confirmed[trial] < self.repeats:
                return Suggestion(self._values[trial], {_CONFIRMS: trial}, confirms=trial)
        return None

    def _winners(self) -> list[int]:
        """Return the trials with the best configurations, the best first."""
        trials = sorted(self._merits)
        order = [trials[place] for place in best_first([self._merits[trial] for trial in trials])]
        different: dict[str, int] = {}
        for trial in order:
            if self._merits[trial].is_feasible:
                different.setdefault(repr(sorted(self._values[trial].items())), trial)
        return list(different.values())[: self.best]

    def _begin(self, trial: int, values: Mapping[str, Any], memo: Any) -> None:
        confirmed = memo.get(_CONFIRMS) if isinstance(memo, dict) else None
        if confirmed is not None:
            if trial not in self._confirmations:
                self._confirmations.add(trial)
                self._confirmed[confirmed] += 1
            return
        self._numbers.setdefault(trial, len(self._numbers))
        self._values[trial] = values
        self._under_way.add(trial)

    def remind(self, trial: int, values: Mapping[str, Any], memo: Any) -> None:
        """Learn that a suggestion is a fact."""
        self._begin(trial, values, memo)
        if trial in self._numbers:
            super().remind(self._numbers[trial], values, memo)

    def curtail(self, trial: int) -> None:
        """Learn that the end of a trial, which is told next, is not its own."""
        if trial in self._numbers:
            super().curtail(self._numbers[trial])

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        """Learn a trial's result or its end."""
        if trial not in self._numbers:
            return
        if final:
            self._under_way.discard(trial)
        if failed:
            self._merits.pop(trial, None)
        elif metrics is not None:
            self._weigh(trial, metrics)
        super().tell(self._numbers[trial], metrics, final, failed)

    def _weigh(self, trial: int, metrics: Mapping[str, Any]) -> None:
        if self._objective.others:
            self._merits[trial] = self._objective.merit(metrics)
            return
        score, known = self._objective.score_or_worst(metrics), self._merits.get(trial)
        if score > (-inf if known is None else known.scores[0]):
            self._merits[trial] = Merit(0.0, (score,))
