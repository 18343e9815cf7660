"""What a searcher knows of its trials, as arrays that models compute with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from math import isfinite, nan
from typing import Any, NamedTuple

from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Array, np
from tunesmith.searchers.encoding import Encoding

_FAR = 0.5  # of the farthest trial's steps: what has not come so far is not comparable with it
_NEWS = 1.25  # times as many steps as before are reason to look at a trial's result again


class Known:
    """What is known of the trials: those with a result, in the order of their ends, and those that are under way.

    Where a scheduler ends or pauses trials early, results are not comparable: of two trials that differ in their
    training, the better one may have the worse result. With `by_progress` a trial has a result as soon as it has come
    half as far as the farthest one, whether it is under way, paused or has ended; one that was ended before is known to
    have been tried, and of its result nothing is taken. A trial that ended by itself, or for a limit, has its result
    however far it came.

    Attributes:
        encoding: what the columns of a row mean.
        rows: shape (n, dimensions): the configurations of the trials with a result.
        scores: shape (n, m): by objective, larger is better; NaN for a trial that failed or whose result is no finite
            number: an observation that here is nothing to be had.
        violations: shape (n, c): by constraint, by how much it is broken; 0 or less where it holds, NaN if unknown.
        steps: shape (n,): the ``training_iteration`` of the last result; 0 without one.
        numbers: the n trials' numbers; below 0 for those of an older experiment.
        pending: shape (p, dimensions): the configurations that are under way and have not reported yet, in the order of
            their beginnings; without `by_progress` all that are under way.
        aside: shape (a, dimensions): those of trials that have not come far enough for a result.
        memo: what the searcher was last reminded of by a suggestion of its model; None without one.
        memos: by the number of a trial, what came with its suggestion, in the order of the beginnings; only of trials
            with a memo.
        started: how many trials were begun in this experiment.
        num_samples: how many trials there will be; None for no limit.
        seed: the experiment's, for what is to be the same in all proposals.
    """

    def __init__(
        self, encoding: Encoding, objective: Objective, num_samples: int | None, seed: int, *, by_progress: bool = False
    ) -> None:
        self.encoding, self.num_samples, self.seed = encoding, num_samples, seed
        self.by_progress = by_progress
        self.memo: Any = None
        self.memos: dict[int, Any] = {}
        self.started = 0
        self._objective = objective
        self._under_way: dict[int, Array] = {}
        self._facts: dict[int, _Fact] = {}  # with `by_progress`: of each trial that has reported or ended
        self._farthest = 0.0  # step of any trial
        self._places: dict[int, int] = {}  # of the trials with a result, in the arrays
        self._rows = _Growing(encoding.dimensions)
        self._results = _Growing(len(objective.goals) + len(objective.constraints) + 2)
        self.numbers: list[int] = []
        self._pending: Array | None = None
        self._aside: Array | None = None
        self.version = 0  # grows with each trial that has a result, and with each whose result is told anew

    @property
    def count(self) -> int:
        """How many trials have a result, n."""
        return len(self.numbers)

    @property
    def rows(self) -> Array:
        """The configurations of the trials with a result."""
        return self._rows.array

    @property
    def scores(self) -> Array:
        """By objective, larger is better; NaN for nothing to be had."""
        return self._results.array[:, : len(self._objective.goals)]

    @property
    def violations(self) -> Array:
        """By constraint, by how much it is broken."""
        return self._results.array[:, len(self._objective.goals) : -2]

    @property
    def steps(self) -> Array:
        """The last ``training_iteration``."""
        return self._results.array[:, -2]

    def durations(self, count: int) -> Array:
        """Return the last ``time_total_s`` of the first trials that were heard of, `count` at most; NaN without one.

        With `by_progress` those are among them that a scheduler has ended early.
        """
        if not self._facts:
            return self._results.array[:count, -1]
        return np.array([fact.result[-1] for fact in islice(self._facts.values(), count)])

    @property
    def pending(self) -> Array:
        """The configurations that are under way."""
        if self._pending is None:
            self._pending = self._table(row for number, row in self._under_way.items() if number not in self._facts)
        return self._pending

    @property
    def aside(self) -> Array:
        """The configurations of trials that have not come far enough for a result."""
        if self._aside is None:
            self._aside = self._table(fact.row for number, fact in self._facts.items() if number not in self._places)
        return self._aside

    def _table(self, rows: Iterable[Array]) -> Array:
        found = list(rows)
        return np.array(found) if found else np.empty((0, self.encoding.dimensions))

    @property
    def feasible(self) -> Array:
        """Which of the n trials have a result and are known to break no constraint: booleans."""
        # What is unknown compares as false.
        found: Array = np.logical_and(~np.isnan(self.scores).any(axis=1), (self.violations <= 0).all(axis=1))
        return found

    def losses(self, places: Array) -> Array:
        """Return numbers to minimise, of the first objective, for those of the n trials that are at `places`.

        Failures are the worst, before them come trials that break a constraint, the more the worse and the worst those
        of which that is unknown, and all of these are above all others. Numbers of 1e150 and more are scaled, so that
        differences and squares stay finite.
        """
        scores, violations = self.scores[places, 0], np.maximum(self.violations[places], 0.0)
        failed = np.isnan(scores)
        broken = np.where(np.isnan(violations), np.inf, violations).sum(axis=1)
        good = ~failed & (broken <= 0)
        losses = np.where(failed, 0.0, -scores)
        if len(losses) and np.abs(losses).max() > 1e150:
            losses = losses * 1e-160
        worst, best = (losses[good].max(), losses[good].min()) if good.any() else (0.0, 0.0)
        step = max(float(worst - best), abs(float(worst)) * 1e-6, 1e-6)
        bad = np.flatnonzero(~good)
        ranks = np.empty(len(bad))
        ranks[np.lexsort((broken[bad], failed[bad]))] = np.arange(1, len(bad) + 1)
        ranks[failed[bad]] = len(bad) + 1
        losses[bad] = worst + step * ranks
        return losses

    def has(self, number: int) -> bool:
        """Return whether a trial has begun."""
        return number in self._under_way or number in self._places or number in self._facts

    def row_of(self, number: int) -> Array:
        """Return the configuration of a trial that has begun; KeyError if it has not."""
        if number in self._under_way:
            return self._under_way[number]
        place = self._places.get(number)
        return self._facts[number].row if place is None else self.rows[place]

    def begin(self, number: int, row: Array, memo: Any) -> None:
        """Learn that a trial is under way."""
        self.started = max(self.started, number + 1)
        self._under_way[number] = row
        self._pending = None
        if memo is not None:
            self.memo = self.memos[number] = memo

    def correct(self, number: int, row: Array) -> None:
        """Learn that a trial under way is made of another row; of others nothing is learnt."""
        if number not in self._under_way:
            return
        self._under_way[number] = row
        self._pending = None
        if number in self._facts:
            self._facts[number] = self._facts[number]._replace(row=row)
            self._rebuild()

    def report(self, number: int, metrics: Mapping[str, Any]) -> None:
        """Learn a result of a trial that is under way; it counts with `by_progress`, and where it is news."""
        row, before = self._under_way.get(number), self._facts.get(number)
        if row is None or not self.by_progress:
            return
        if before is None or _step(metrics) >= _NEWS * before.step:
            self._learn(number, _Fact(row, self._result(metrics, failed=False), is_whole=False))

    def end(self, number: int, metrics: Mapping[str, Any] | None, *, failed: bool, curtailed: bool = False) -> None:
        """Learn the end of a trial that is under way, or has ended before; others are ignored.

        `curtailed` says that it would have gone on if a scheduler had let it.
        """
        if not self.has(number):
            return
        row = self.row_of(number)
        if self._under_way.pop(number, None) is not None:
            self._pending = None
        is_whole = failed or metrics is None or not curtailed or not self.by_progress
        self._learn(number, _Fact(row, self._result(metrics, failed=failed), is_whole))

    def withdraw(self, number: int) -> None:
        """Forget a trial that is under way: nothing will be heard of it."""
        if self._under_way.pop(number, None) is not None:
            self._pending = None

    def _learn(self, number: int, fact: _Fact) -> None:
        if self.by_progress:
            self._facts[number] = fact
            self._pending = self._aside = None
            if fact.step > self._farthest:
                self._farthest = fact.step
                if any(not self._is_far(self._facts[other]) for other in self.numbers if other in self._facts):
                    self._rebuild()
                    return
        place = self._places.get(number)
        if place is not None and self._is_far(fact):
            self._results.array[place] = fact.result
            self.version += 1
        elif place is not None:
            self._rebuild()  # it has gone back to where it is no longer comparable
        elif self._is_far(fact):
            self.observe(number, fact.row, fact.result)

    def _is_far(self, fact: _Fact) -> bool:
        return fact.is_whole or fact.step >= _FAR * self._farthest

    def _rebuild(self) -> None:
        """Take anew what is comparable with the farthest trial, in the order in which trials were first heard of."""
        older = [(number, self.rows[i], self._results.array[i]) for i, number in enumerate(self.numbers) if number < 0]
        self._rows, self._results = _Growing(self._rows.width), _Growing(self._results.width)
        self._places, self.numbers, self._aside = {}, [], None
        self.version += 1
        for number, row, result in older:
            self.observe(number, row, result)
        for number, fact in self._facts.items():
            if self._is_far(fact):
                self.observe(number, fact.row, fact.result)

    def observe(self, number: int, row: Array, result: Array) -> None:
        """Take an observation: scores, violations, steps and seconds, in one array."""
        self._places[number] = len(self.numbers)
        self.numbers.append(number)
        self._rows.append(row)
        self._results.append(result)
        self.version += 1

    def observe_score(self, number: int, row: Array, score: float) -> None:
        """Take an older experiment's observation of the first objective; nothing else is known of it."""
        result = np.zeros(self._results.width)  # constraints count as just kept
        result[0], result[-1] = score, nan
        self.observe(number, row, result)

    def observe_metrics(self, number: int, row: Array, metrics: Mapping[str, Any]) -> None:
        """Take an older experiment's observation of all that is to be optimised and must hold."""
        self.observe(number, row, self._result(metrics, failed=False))

    def _result(self, metrics: Mapping[str, Any] | None, *, failed: bool) -> Array:
        goals, constraints = self._objective.goals, self._objective.constraints
        if metrics is None:
            metrics = {}
        scores = [nan if failed else _finite(goal.score_or_worst(metrics)) for goal in goals]
        violations = [constraint.violation(metrics) for constraint in constraints]
        return np.array([*scores, *violations, _step(metrics), _number(metrics.get("time_total_s"), nan)])


class _Fact(NamedTuple):
    """What is known of a trial: its configuration, its last result as in `Known`, and whether it is all there is."""

    row: Array
    result: Array
    is_whole: bool

    @property
    def step(self) -> float:
        """Its ``training_iteration``."""
        return float(self.result[-2])


class _Growing:
    """Rows that are added one by one."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._count = 0
        self._room = np.empty((64, width))

    @property
    def array(self) -> Array:
        """All rows so far; writing to it changes them."""
        return self._room[: self._count]

    def append(self, row: Array) -> None:
        """Add a row."""
        if self._count == len(self._room):
            self._room = np.concatenate([self._room, np.empty_like(self._room)])
        self._room[self._count] = row
        self._count += 1


def _finite(score: float) -> float:
    return score if isfinite(score) else nan


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise


def _step(metrics: Mapping[str, Any]) -> float:
    return _number(metrics.get("training_iteration"), 0.0)
