"""Search of spaces that nobody has written down: what a trainable asks for while it runs is what is searched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tunesmith.domains import Choice, Domain, Float, Integer
from tunesmith.errors import ArgumentError
from tunesmith.objective import Objective
from tunesmith.paths import join
from tunesmith.searchers.modelled import ModelSearcher
from tunesmith.searchers.names import by_name
from tunesmith.searchers.protocol import Suggestion
from tunesmith.space import Space
from tunesmith.streams import stream

PARAMS = "params"  # the metric that holds, by name, the values that a trial has asked for
RANGES = "ranges"  # the metric that holds from where they come, of those that were not reported before
SEED = "suggest_seed"  # what is added to a configuration, for the trial's own draws
_STEPS = 1000  # of so many steps that start anywhere, a choice is made


class Range(msgspec.Struct, frozen=True, omit_defaults=True):
    """From where a trial asks for a value: numbers from `low` to `high`, or one of `options`.

    Steps are counted from `low`. It is reported as a dict, by `msgspec.to_builtins`.

    >>> Range(low=1, high=9, step=4, is_whole=True).domain()
    Choice(options=(1, 5, 9))
    """

    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    is_whole: bool = False
    options: list[Any] | None = None

    def domain(self) -> Domain:
        """Return what it is in a search space."""
        if self.options is not None:
            return Choice(tuple(self.options))
        if self.low == self.high:
            return Choice((self.fit(self.low),))
        if self.step is not None and (self.step != 1 or not self.is_whole):
            count = round((self.high - self.low) / self.step) + 1
            if count <= _STEPS:
                return Choice(tuple(self.fit(self.low + i * self.step) for i in range(count)))
        if self.is_whole:
            return Integer(int(self.low), int(self.high), log=self.log)
        return Float(self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Return whether a value lies within."""
        if self.options is not None:
            return any(type(option) is type(value) and option == value for option in self.options)
        return isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high

    def fit(self, value: Any) -> Any:
        """Return a value that lies within as the trial may have it: on the nearest step."""
        if self.options is not None:
            return value
        if self.step is not None:
            value = float(f"{self.low + round((value - self.low) / self.step) * self.step:.12g}")
        return round(value) if self.is_whole else float(value)

    def joined(self, other: Range) -> Range:
        """Return a range that holds this one and `other`, or `other` if they have nothing in common."""
        if self.options is not None and other.options is not None:
            more = [option for option in other.options if not self.holds(option)]
            return Range(options=[*self.options, *more])
        if (
            self.options is not None
            or other.options is not None
            or (self.log, self.is_whole) != (other.log, other.is_whole)
        ):
            return other
        step = self.step if self.step == other.step and self.low == other.low else None
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Range(low, high, 1 if self.is_whole and step is None else step, self.log, self.is_whole)


class DefineByRunSearch:
    """Search what a trainable asks for while it runs, such as one that `integrations.optuna.objective` makes.

    The first trials draw for themselves, and report what they have drawn from where. As soon as something is known of
    the space, another searcher suggests values for what has been asked for so far; a trial takes those that fit and
    draws the rest. When trials ask for something new, or for more of it, the searcher goes on in the larger space with
    all that was found before. What a trial has asked for is in its results, as ``params``.

    Args:
        search: the searcher that suggests: its name, or what makes it when called, such as ``TPESearch`` or
            ``lambda: GPSearch(n_initial_points=5)``. One that works with a model of the space.
        points_to_evaluate: values for the first trials, by name; what they leave open is drawn.

    Raises:
        ArgumentError: when it is set up, if `search` is no such searcher, or there is no objective.
        SpaceError: when it is set up, if the space has a grid.

    >>> search = DefineByRunSearch("sobol", points_to_evaluate=[{"lr": 0.1}])
    >>> search.setup(Space({}), Objective("loss", "min"), seed=1, num_samples=10)
    >>> search.ask(0, 1)[0].values["lr"]
    0.1
    """

    eager = False

    def __init__(
        self,
        search: str | Callable[[], ModelSearcher] = "auto",
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self._make = search
        self._points = [dict(point) for point in points_to_evaluate or ()]

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        """Take the problem; `space` holds what is known beforehand, constants too."""
        if objective is None:
            raise ArgumentError("DefineByRunSearch needs to know what is good: give metric= and mode= to run().")
        space.refuse_grid("DefineByRunSearch")
        self._space, self._objective, self._seed, self._num_samples = space, objective, seed, num_samples
        self._ranges: dict[str, Range] = {}
        self._version = 0  # how often the known space has grown
        self._inner: ModelSearcher | None = None
        self._begun: dict[int, tuple[dict[str, Any], Any, int]] = {}  # values, memo and version by trial
        self._used: dict[int, dict[str, Any]] = {}  # what trials have asked for, by path
        self._curtailed: set[int] = set()
        self._ends: list[tuple[int, Mapping[str, Any] | None, bool]] = []
        self._made()

    def _made(self) -> ModelSearcher:
        made = by_name(self._make) if isinstance(self._make, str) else self._make()
        if not isinstance(made, ModelSearcher):
            raise ArgumentError(
                f"search must be a searcher that works with a model, or make one when called; got {made!r}."
            )
        return made

    def total(self) -> int | None:
        """Return how many trials there will be; None for no limit."""
        return None if self._num_samples < 0 else self._num_samples

    def ask(self, first: int, count: int) -> list[Suggestion]:
        """Suggest values for what is known of the space, and a seed for the rest."""
        found = []
        for number in range(first, first + count):
            suggestion = self._suggest(number)
            if suggestion is None:
                break
            self.remind(number, suggestion.values, suggestion.memo)
            found.append(suggestion)
        return found

    def _suggest(self, number: int) -> Suggestion | None:
        seed = {SEED: stream(self._seed, "define-by-run", number).getrandbits(31)}
        if number < len(self._points):
            point = {join((name,)): value for name, value in self._points[number].items()}
            return Suggestion({**self._space.sample(self._seed, number, given=point), **seed})
        if not self._ranges and not self._space.variables:
            return Suggestion({**self._space.sample(self._seed, number), **seed})
        suggested = self._searcher().ask(number, 1)
        if not suggested:
            return None
        memo = {"version": self._version, "inner": suggested[0].memo}
        return Suggestion({**suggested[0].values, **seed}, memo, why=suggested[0].why)

    def _searcher(self) -> ModelSearcher:
        """Return the searcher of the space as it is known, with all that has been found before."""
        if self._inner is None:
            template = {**self._space.template}
            for name, asked in self._ranges.items():
                template.setdefault(name, asked.domain())
            inner = self._inner = self._made()
            inner.setup(Space(template), self._objective, self._seed, self._num_samples)
            for trial, (values, memo, version) in self._begun.items():
                inner.remind(trial, values, memo if version == self._version else None)
            for trial, metrics, failed in self._ends:
                self._end(inner, trial, metrics, failed=failed)
        return self._inner

    def remind(self, trial: int, values: Mapping[str, Any], memo: Any) -> None:
        """Learn that a trial is under way."""
        if trial in self._begun:
            return
        version, inner = (memo["version"], memo["inner"]) if isinstance(memo, dict) else (-1, None)
        known = {path: value for path, value in values.items() if path != SEED}
        self._begun[trial] = known, inner, version
        if self._inner is not None:
            self._inner.remind(trial, known, inner if version == self._version else None)

    def curtail(self, trial: int) -> None:
        """Learn that the end of a trial, which is told next, is not its own."""
        self._curtailed.add(trial)

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        """Learn what a trial has asked for, and of its end."""
        if metrics is not None:
            self._learn(trial, metrics)
        if not final:
            return
        self._ends.append((trial, metrics, failed))
        if self._inner is not None:
            self._end(self._inner, trial, metrics, failed=failed)

    def _learn(self, trial: int, metrics: Mapping[str, Any]) -> None:
        for name, plain in (metrics.get(RANGES) or {}).items():
            asked = msgspec.convert(plain, Range)
            known = self._ranges.get(name)
            joined = asked if known is None else known.joined(asked)
            if joined != known:
                self._ranges[name] = joined
                self._version += 1
                self._inner = None
        if isinstance(metrics.get(PARAMS), Mapping):
            self._used[trial] = {join((name,)): value for name, value in metrics[PARAMS].items()}

    def _end(self, inner: ModelSearcher, trial: int, metrics: Mapping[str, Any] | None, *, failed: bool) -> None:
        if trial in self._used:
            inner.correct(trial, self._used[trial])
        if trial in self._curtailed:
            inner.curtail(trial)
        inner.tell(trial, metrics, final=True, failed=failed)
