"""Searchers around other searchers: several seeds for each configuration, and no more than so many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any

from tunesmith.errors import ArgumentError
from tunesmith.objective import Objective
from tunesmith.searchers.names import by_name
from tunesmith.searchers.protocol import LATER, Past, Reminded, Searcher, Suggestion, Warned
from tunesmith.space import Space


class Wrapper:
    """A searcher that passes everything on to another one."""

    eager = False

    def __init__(self, searcher: Searcher | str) -> None:
        self.searcher: Searcher = by_name(searcher) if isinstance(searcher, str) else searcher
        missing = [name for name in ("setup", "total", "ask", "tell") if not callable(getattr(searcher, name, None))]
        if isinstance(searcher, type) or (missing and not isinstance(searcher, str)):
            raise ArgumentError(f"{type(self).__name__} needs a searcher or the name of one, got {searcher!r}.")

    @property
    def title(self) -> str:
        """What it is, for comparisons with what an experiment was begun with."""
        inner = self.searcher
        return f"{type(self).__name__} of {getattr(inner, 'title', type(inner).__name__)}"

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        """Take the problem."""
        self.searcher.setup(space, objective, seed, num_samples)

    def learn(self, past: Past) -> None:
        """Learn what an older experiment has found.

        Raises:
            ArgumentError: the searcher within can't.
        """
        learn = getattr(self.searcher, "learn", None)
        if learn is None:
            name = type(self.searcher).__name__
            raise ArgumentError(f"{name} has no learn() and can't be started warm. Drop warm_start=.")
        learn(past)

    def total(self) -> int | None:
        """Return how many trials there will be at most."""
        return self.searcher.total()

    def remind(self, trial: int, values: Mapping[str, Any], memo: Any) -> None:
        """Learn that a suggestion is a fact."""
        if isinstance(self.searcher, Reminded):
            self.searcher.remind(trial, values, memo)

    def curtail(self, trial: int) -> None:
        """Learn that the end of a trial, which is told next, is not its own."""
        if isinstance(self.searcher, Warned):
            self.searcher.curtail(trial)

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        """Learn a trial's result or its end."""
        self.searcher.tell(trial, metrics, final, failed)

    def _ask_for_one(self, number: int) -> Suggestion | None:
        """Ask the searcher within; None when it has nothing more."""
        answers = self.searcher.ask(number, 1)
        if not answers:
            return None
        return answers[0] if isinstance(answers[0], Suggestion) else Suggestion(answers[0])


class ConcurrencyLimiter(Wrapper):
    """Let a searcher have no more than `max_concurrent` trials under way: it suggests the next when one has ended.

    For searchers that learn from every result and are misled by many that are missing. Paused trials count too, as they
    have no result yet. To leave workers free for other reasons use ``max_concurrent_trials`` of `tunesmith.run`.

    Args:
        searcher: any searcher, or the name of one.
        max_concurrent: 1 or more.

    Raises:
        ArgumentError: `max_concurrent` is no such number.

    >>> limited = ConcurrencyLimiter("random", max_concurrent=4)
    """

    def __init__(self, searcher: Searcher | str, max_concurrent: int) -> None:
        super().__init__(searcher)
        if isinstance(max_concurrent, bool) or not isinstance(max_concurrent, int) or max_concurrent < 1:
            raise ArgumentError(f"max_concurrent must be a whole number from 1, got {max_concurrent!r}.")
        self.max_concurrent = max_concurrent
        self._under_way: set[int] = set()

    def ask(self, first: int, count: int) -> Sequence[Mapping[str, Any] | Suggestion]:
        """Suggest values for the next trials, as many as may begin."""
        room = min(count, self.max_concurrent - len(self._under_way))
        if room <= 0:
            return [LATER]
        found = list(self.searcher.ask(first, room))
        made = len(found) - (bool(found) and found[-1] is LATER)
        self._under_way.update(range(first, first + made))
        return [*found, LATER] if made == room < count else found

    def remind(self, trial: int, values: Mapping[str, Any], memo: Any) -> None:
        """Learn that a trial is under way."""
        self._under_way.add(trial)
        super().remind(trial, values, memo)

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        """Learn a trial's result or its end."""
        if final:
            self._under_way.discard(trial)
        super().tell(trial, metrics, final, failed)


class _Group:
    """The trials of one configuration, and what those of them have reported last that have ended."""

    def __init__(self, suggestion: Suggestion) -> None:
        self.suggestion = suggestion
        self.trials: list[int] = []
        self.results: dict[int, Mapping[str, Any] | None] = {}


class Repeater(Wrapper):
    """Run each configuration `repeat` times, and tell the searcher the mean of the results.

    For objectives with noise: the trials of a configuration differ in ``tune.get_context().trial_seed``. `num_samples`
    counts configurations. A failed trial is left out of the mean; where all have failed, so has the configuration.
    ``results.repeated`` has each configuration's mean and spread.

    Args:
        searcher: any searcher, or the name of one.
        repeat: 1 or more.

    Raises:
        ArgumentError: `repeat` is no such number.

    >>> repeated = Repeater("random", repeat=5)
    """

    def __init__(self, searcher: Searcher | str, repeat: int = 3) -> None:
        super().__init__(searcher)
        if isinstance(repeat, bool) or not isinstance(repeat, int) or repeat < 1:
            raise ArgumentError(f"repeat must be a whole number from 1, got {repeat!r}.")
        self.repeat = repeat
        self._groups: list[_Group] = []
        self._of: dict[int, int] = {}  # the group of each trial

    def total(self) -> int | None:
        """Return how many trials there will be: `repeat` for each configuration."""
        total = self.searcher.total()
        return None if total is None else total * self.repeat

    def ask(self, first: int, count: int) -> list[Suggestion]:
        """Suggest values for the next trials: those of the last configuration, until it has enough."""
        found: list[Suggestion] = []
        for trial in range(first, first + count):
            if not self._groups or len(self._groups[-1].trials) >= self.repeat:
                suggestion = self._ask_for_one(len(self._groups))
                if suggestion is None:
                    break
                if suggestion is LATER:
                    return [*found, LATER]
                self._groups.append(_Group(suggestion))
            index, group = len(self._groups) - 1, self._groups[-1]
            own = None if group.trials else group.suggestion.memo
            repeats = group.trials[0] if group.trials else None
            found.append(
                Suggestion(
                    group.suggestion.values, {"configuration": index, "memo": own}, repeats, why=group.suggestion.why
                )
            )
            self._join(trial, index)
        return found

    def _join(self, trial: int, index: int) -> None:
        self._of[trial] = index
        self._groups[index].trials.append(trial)

    def remind(self, trial: int, values: Mapping[str, Any], memo: Any) -> None:
        """Learn that a trial is a fact, and if it is the first of its configuration, that this is one, too."""
        index = memo["configuration"]
        if index == len(self._groups):
            self._groups.append(_Group(Suggestion(values, memo["memo"])))
        if trial not in self._of:
            self._join(trial, index)
        if self._groups[index].trials[0] == trial:
            super().remind(index, values, memo["memo"])

    def curtail(self, trial: int) -> None:
        """Learn nothing: a configuration's mean is the searcher's only result."""

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        """Learn a trial's end; when all of its configuration have ended, pass the mean on."""
        index = self._of.get(trial)
        if not final or index is None:
            return
        group = self._groups[index]
        group.results[trial] = None if failed else metrics
        if len(group.results) == self.repeat:
            results = [result for result in group.results.values() if result is not None]
            super().tell(index, _mean(results) if results else None, final=True, failed=not results)


def _mean(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the means of the numbers that all results have."""
    found: dict[str, Any] = {}
    for name in results[0]:
        values = [result.get(name) for result in results]
        if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
            found[name] = fsum(values) / len(values)  # type: ignore[arg-type]  # by the line above
    return found
