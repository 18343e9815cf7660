"""Searchers that work with a model of what has been found: all but the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, overload

import msgspec

from tunesmith.errors import ArgumentError, SearchError
from tunesmith.linear_algebra import one_thread
from tunesmith.objective import Objective, parse_objective
from tunesmith.points import check_point
from tunesmith.searchers.arrays import Array, Generator, generator, np
from tunesmith.searchers.design import latin_hypercube
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Engine, Proposal
from tunesmith.searchers.known import Known
from tunesmith.searchers.protocol import Past, Suggestion
from tunesmith.searchers.rungs import Rungs
from tunesmith.space import Space
from tunesmith.streams import stream

_TRIES = 64  # random rows that are looked at for one that is new
_SMALL = 4096  # a space of at most so many configurations is gone through for one that is left


class Asked(msgspec.Struct, frozen=True):
    """A configuration that a searcher suggests in bare use; tell the result by its `number`."""

    number: int
    config: dict[str, Any]


class _Chosen(NamedTuple):
    row: Array
    memo: Any
    why: str


class ModelSearcher:
    """Suggests what an engine proposes, and takes care of all the rest.

    The first trials are `points_to_evaluate`, then ones that cover the space evenly, then the engine's. None is
    suggested that has been before, finished or under way, unless the user names it; where all have been, the search is
    over. A suggestion depends on the seed, its number, and what was known when it was asked for.

    Args:
        engine: the model.
        space: for bare use, without a run: a search space as for `tunesmith.run`.
        metric: for bare use, what to optimise; a list for several metrics.
        mode: for bare use, ``"min"`` or ``"max"``; for several metrics one for all, or a list.
        constraints: for bare use, what must hold: ``{"memory_mb": "<= 4000"}``.
        points_to_evaluate: values for the first trials, such as ``{"lr": 0.1, "model": {"width": 64}}``; what they
            leave open is drawn.
        evaluated_rewards: the metric's values at the first of these points, which are then known and not tried.
        n_initial_points: how many trials cover the space evenly; None lets the engine say.
        rungs: where the trials' values are to be kept while they are under way, if the engine goes by them.
        seed: for bare use.

    Raises:
        ArgumentError: an argument is wrong, or the engine can't search this space.
    """

    eager = False

    def __init__(
        self,
        engine: Engine,
        space: Mapping[str, Any] | None = None,
        metric: str | Sequence[str] | None = None,
        mode: str | Sequence[str] | None = None,
        *,
        constraints: Mapping[str, str] | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        evaluated_rewards: Sequence[float] | None = None,
        n_initial_points: int | None = None,
        rungs: Rungs | None = None,
        seed: int = 0,
    ) -> None:
        if n_initial_points is not None and (not isinstance(n_initial_points, int) or n_initial_points < 0):
            raise ArgumentError(f"n_initial_points must be a whole number from 0, got {n_initial_points!r}.")
        self._engine = engine
        self._points = list(points_to_evaluate or ())
        self._rewards = list(evaluated_rewards or ())
        self._n_initial = n_initial_points
        self._rungs = rungs
        if len(self._rewards) > len(self._points):
            raise ArgumentError(
                f"evaluated_rewards has {len(self._rewards)} values for {len(self._points)} points_to_evaluate."
            )
        self._one_thread: Callable[[], AbstractContextManager[object]] = nullcontext
        self._is_bare = space is not None
        if space is not None:
            if metric is None or mode is None:
                raise ArgumentError(f"{type(self).__name__} needs metric= and mode= beside the space.")
            self._setup(Space(space), parse_objective(metric, mode, constraints), seed, -1)

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        """Take the problem.

        Raises:
            ArgumentError: there is no objective.
            SpaceError: the engine can't search this space.
        """
        name = type(self).__name__
        if self._is_bare:
            raise ArgumentError(f"This {name} was made with a space of its own; give the space to run() instead.")
        if objective is None:
            raise ArgumentError(f"{name} needs to know what is good: give metric= and mode= to run().")
        self._setup(space, objective, seed, num_samples)

    def _setup(self, space: Space, objective: Objective, seed: int, num_samples: int) -> None:
        space.refuse_grid(type(self).__name__)
        self._space, self._objective, self._seed = space, objective, seed
        self._encoding = Encoding(space)
        self._engine.check(self._encoding, objective)
        self._learnt = 0  # observations that are not of this experiment
        self._curtailed: set[int] = set()
        # Several objectives have no order by which a trial that went on could be told from one that ended early.
        by_progress = getattr(self._engine, "by_progress", False) and not objective.others
        total = None if num_samples < 0 else num_samples
        self._known = Known(self._encoding, objective, total, seed, by_progress=by_progress)
        if self._rungs is not None:
            self._rungs.setup(self._encoding, objective, self._known.num_samples, seed)
        self._seen: set[bytes] = set()
        self._one_thread = one_thread()
        if self._rewards and objective.others:
            raise ArgumentError("evaluated_rewards are values of one metric, and there are several. Leave them out.")
        points = [check_point(space, point, f"points_to_evaluate[{i}]") for i, point in enumerate(self._points)]
        for point, reward in zip(points, self._rewards, strict=False):
            self._learn(point, reward)
        self._first = points[len(self._rewards) :]

    def learn(self, past: Past) -> None:
        """Learn what an older experiment has found, and try the best of it after the points that were given."""
        for observation in past.observations:
            self._learn(observation.values, observation.value, observation.metrics)
        self._first += [observation.values for observation in past.observations[: past.best]]

    def _learn(self, values: Mapping[str, Any], value: float, metrics: Mapping[str, float] | None = None) -> None:
        row = self._encoding.encode(values, partly=True)
        assert row is not None
        self._seen.add(self._encoding.key(row))
        self._learnt += 1
        if metrics:
            self._known.observe_metrics(-self._learnt, row, metrics)
            return
        score = self._objective.score_of(value)
        self._known.observe_score(-self._learnt, row, score if score > -np.inf else np.nan)

    def total(self) -> int | None:
        """Return how many trials there will be; None for no limit."""
        return self._known.num_samples

    @overload
    def ask(self) -> Asked: ...

    @overload
    def ask(self, first: int, count: int) -> list[Suggestion]: ...

    def ask(self, first: int | None = None, count: int = 1) -> Asked | list[Suggestion]:
        """Suggest values for trials number `first` to ``first + count - 1``, or, in bare use, one configuration.

        Raises:
            SearchError: in bare use, all configurations have been tried.
        """
        if first is None:
            return self._ask_bare()
        found = []
        with self._one_thread():
            for number in range(first, first + count):
                suggestion = self._suggest(number)
                if suggestion is None:
                    break
                found.append(suggestion)
        return found

    def _ask_bare(self) -> Asked:
        number = self._known.started
        found = self.ask(number, 1)
        if not found:
            raise SearchError("Every configuration of the search space has been suggested.")
        return Asked(number, self._space.build(found[0].values))

    def _suggest(self, number: int) -> Suggestion | None:
        if number < len(self._first):
            given, memo, why = (
                self._first[number],
                None,
                "points: named by the user, or the best of an older experiment",
            )
        else:
            chosen = self._choose(number)
            if chosen is None:
                return None
            given, memo, why = self._encoding.decode(chosen.row), chosen.memo, chosen.why
        values = self._space.sample(self._seed, number, given=given)
        self.remind(number, values, memo)
        return Suggestion(values, memo, why=why)

    def _choose(self, number: int) -> _Chosen | None:
        if self._encoding.size is not None and len(self._seen) >= self._encoding.size:
            return None
        known, engine, rng = self._known, self._engine, self._rng("suggest", number)
        initial = engine.initial(known) if self._n_initial is None else self._n_initial
        initial = max(0, initial - self._learnt)
        proposal = Proposal(np.empty((0, self._encoding.dimensions)))
        if number < len(self._first) + initial:
            rows = self._cover(number - len(self._first), initial)
            proposal = Proposal(rows, why=f"design: one of {initial} trials that cover the space")
        elif known.count > 1 or self._rungs is not None or not initial:
            proposal = engine.propose(known, number, rng)
        rows = self._encoding.canonical(proposal.rows)
        index = self._new(rows)
        if index is not None:
            memo = proposal.memos[index] if proposal.memos else proposal.memo
            return _Chosen(rows[index], memo, proposal.why or engine.name)
        rows = self._encoding.draw(rng.random((_TRIES, self._encoding.dimensions)))
        index = self._new(rows)
        row = self._left(rng) if index is None else rows[index]
        return _Chosen(row, proposal.memo, f"random: {engine.name} had nothing new to propose")

    def _cover(self, index: int, count: int) -> Array:
        design = latin_hypercube(count, self._encoding.dimensions, self._rng("initial"))
        return self._encoding.draw(design[index : index + 1])

    def _new(self, rows: Array) -> int | None:
        """Return the index of the first row that has not been suggested; None if all have."""
        key = self._encoding.key
        return next((i for i, row in enumerate(rows) if key(row) not in self._seen), None)

    def _left(self, rng: Generator) -> Array:
        """Return a configuration of a nearly exhausted space that has not been, or any one where it is too large."""
        encoding = self._encoding
        if encoding.size is not None and encoding.size <= _SMALL:
            rows = encoding.canonical(encoding.all_rows())
            index = self._new(rows)
            if index is not None:
                left: Array = rows[index]
                return left
        last: Array = encoding.draw(rng.random((1, encoding.dimensions)))[0]
        return last

    def _rng(self, *path: str | int) -> Generator:
        return generator(stream(self._seed, *path).getrandbits(128))

    def remind(self, trial: int, values: Mapping[str, Any], memo: Any) -> None:
        """Learn that a trial is under way."""
        if self._known.has(trial):
            return  # since it was asked for
        row = self._encoding.encode(values, partly=True)
        assert row is not None
        self._seen.add(self._encoding.key(row))
        self._known.begin(trial, row, memo)
        if self._rungs is not None:
            self._rungs.begin(trial, row)

    def correct(self, trial: int, values: Mapping[str, Any]) -> None:
        """Learn that a trial under way is made of other values than were suggested, or of a part of them."""
        row = self._encoding.encode(values, partly=True)
        assert row is not None
        self._seen.add(self._encoding.key(row))
        self._known.correct(trial, row)
        if self._rungs is not None:
            self._rungs.correct(trial, row)

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool = True, failed: bool = False) -> None:
        """Learn a trial's result, or with `final` its end: ``tell(asked.number, {"loss": 0.3})``."""
        if final:
            self._known.end(trial, metrics, failed=failed, curtailed=trial in self._curtailed)
            self._curtailed.discard(trial)
            if self._rungs is not None:
                self._rungs.end(trial, metrics, failed=failed)
        elif metrics is not None:
            self._known.report(trial, metrics)
            if self._rungs is not None:
                self._rungs.report(trial, metrics)

    def curtail(self, trial: int) -> None:
        """Learn that the end of a trial, which is told next, is not its own: it would have gone on."""
        self._curtailed.add(trial)


class PlainSearcher(ModelSearcher):
    """A searcher that has nothing to set but what all of them have; the arguments are those of `ModelSearcher`."""

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | Sequence[str] | None = None,
        mode: str | Sequence[str] | None = None,
        *,
        constraints: Mapping[str, str] | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        evaluated_rewards: Sequence[float] | None = None,
        n_initial_points: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            self._make_engine(), space, metric, mode, constraints=constraints, points_to_evaluate=points_to_evaluate,
            evaluated_rewards=evaluated_rewards, n_initial_points=n_initial_points, seed=seed,
        )  # fmt: skip

    def _make_engine(self) -> Engine:
        raise NotImplementedError
