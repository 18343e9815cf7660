"""Searches with nevergrad's optimizers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from tunesmith.errors import ArgumentError, MissingPackageError, nearest
from tunesmith.integrations.coordinates import from_place, kind_of, to_place
from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.columns import Column
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Proposal
from tunesmith.searchers.known import Known
from tunesmith.searchers.modelled import ModelSearcher
from tunesmith.streams import stream

_KEY = "nevergrad"  # of a memo
_BUDGET = 1000  # where nobody knows how many trials there will be
# Others choose among many by the problem, some of which run in threads that never end, or know no number of trials.
OPTIMIZERS = (
    "CMA", "DE", "DiagonalCMA", "DiscreteOnePlusOne", "OnePlusOne", "PSO", "PortfolioDiscreteOnePlusOne",
    "RandomSearch", "TBPSA", "TwoPointsDE",
)  # fmt: skip


class NevergradSearch(ModelSearcher):
    """Suggest configurations by an optimizer of nevergrad, an extra: ``pip install "tunesmith[nevergrad]"``.

    The optimizer sees each variable as a number between 0 and 1, a step, or an option. Those of nevergrad keep state
    that can't be written down, so a run that is resumed asks them all over again, in the order of the events and with
    the same seeds, which takes milliseconds a trial.

    Args:
        space: for bare use, without a run.
        metric: for bare use.
        mode: for bare use.
        optimizer: its name in nevergrad, one of `OPTIMIZERS`. Not among them are those that choose for themselves, such
            as ``NGOpt``: some that they choose run in threads that keep the process from ending.
        points_to_evaluate: values for the first trials; see `ModelSearcher`.
        evaluated_rewards: the metric's values at the first of these points.
        seed: for bare use.

    Raises:
        ArgumentError: there is no such optimizer.
        MissingPackageError: nevergrad is not installed.

    Source: Bennet et al., Nevergrad: black-box optimization platform, SIGEVOlution 14, 2021.

    Example:
        >>> search = NevergradSearch(optimizer="TwoPointsDE")  # doctest: +SKIP
        >>> tune.run(train, space, metric="loss", mode="min", search_alg=search)  # doctest: +SKIP
    """

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        *,
        optimizer: str = "PortfolioDiscreteOnePlusOne",
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        evaluated_rewards: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            NevergradEngine(optimizer),
            space,
            metric,
            mode,
            points_to_evaluate=points_to_evaluate,
            evaluated_rewards=evaluated_rewards,
            seed=seed,
        )


class NevergradEngine:
    """Proposes what an optimizer of nevergrad asks for, which is told what is known."""

    name = "nevergrad"

    def __init__(self, optimizer: str) -> None:
        if optimizer not in OPTIMIZERS:
            raise ArgumentError(
                f"optimizer must be one of {', '.join(OPTIMIZERS)}; "
                f"got {optimizer!r}.{nearest(str(optimizer), OPTIMIZERS)}"
            )
        self._nevergrad, self._optimizer = _import(), optimizer
        self._history: _History | None = None

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Raise ArgumentError if there are several objectives."""
        if objective.others:
            raise ArgumentError("NevergradSearch has one metric to optimise. OptunaSearch takes several.")
        self._history = None

    def initial(self, known: Known) -> int:
        """Return 0: optimizers begin by themselves."""
        return 0

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose what the optimizer asks for."""
        if not known.encoding.columns:
            return Proposal(np.empty((1, 0)))
        if self._history is None or not self._history.is_of(known):
            self._history = _History(self._nevergrad, self._optimizer, known)
        with _quietly():
            row = self._history.ask(number)
        taken, other = ({_KEY: {"known": known.count, "taken": taken}} for taken in (True, False))
        return Proposal(row[None], memo=other, memos=[taken])


class _History:
    """An optimizer that was asked and told what the memos and the results say, in their order."""

    def __init__(self, nevergrad: Any, name: str, known: Known) -> None:
        self._known, self._errors = known, nevergrad.errors
        self._revisions = known.version - known.count
        parameters = [_parameter(nevergrad.p, column) for column in known.encoding.columns]
        space = nevergrad.p.Instrumentation(*parameters)
        budget = known.num_samples or _BUDGET
        with _quietly():
            self._optimizer = nevergrad.optimizers.registry[name](parametrization=space, budget=budget, num_workers=1)
        self._candidates: dict[int, Any] = {}  # by trial, as far as they were taken
        self._memos = self._told = 0  # how many have been looked at
        self._asked: tuple[int, Any] | None = None  # what was not begun yet

    def is_of(self, known: Known) -> bool:
        """Whether it can go on with this: nothing was told anew, and what was asked for has begun."""
        return (
            self._known is known
            and self._revisions == known.version - known.count
            and (self._asked is None or known.has(self._asked[0]))
        )

    def ask(self, number: int) -> Array:
        """Return the row that the optimizer asks for, after it was told all that is known."""
        known = self._known
        for other, memo in islice(known.memos.items(), self._memos, None):
            if isinstance(memo, dict) and _KEY in memo:
                self._repeat(other, memo[_KEY])
        self._memos = len(known.memos)
        self._tell(known.count)
        candidate = self._next(number)
        self._asked = number, candidate
        columns = known.encoding.columns
        return np.array([to_place(column, value) for column, value in zip(columns, candidate.args, strict=True)])

    def _repeat(self, number: int, memo: Mapping[str, Any]) -> None:
        self._tell(memo["known"])
        is_here = self._asked is not None and self._asked[0] == number
        candidate = self._asked[1] if self._asked is not None and is_here else self._next(number)
        if memo["taken"]:
            self._candidates[number] = candidate
        self._asked = None

    def _next(self, number: int) -> Any:
        state = np.random.RandomState(stream(self._known.seed, "nevergrad", number).getrandbits(32))
        self._optimizer.parametrization.random_state = state
        return self._optimizer.ask()

    def _tell(self, count: int) -> None:
        known = self._known
        for place in range(self._told, count):
            candidate = self._candidates.pop(known.numbers[place], None)
            if candidate is None:
                values = self._values(known.rows[place])
                candidate = self._optimizer.parametrization.spawn_child(new_value=(values, {}))
            loss = float(known.losses(np.arange(place + 1))[place])
            try:
                self._optimizer.tell(candidate, loss)
            except self._errors.TellNotAskedNotSupportedError:
                pass  # this optimizer learns only from what it has asked for
        self._told = max(self._told, count)

    def _values(self, row: Array) -> tuple[float | int, ...]:
        columns = self._known.encoding.columns
        last = [column.levels - 1 if column.is_category else 1.0 for column in columns]  # not what is not active
        return tuple(from_place(column, x) for column, x in zip(columns, np.minimum(row, last), strict=True))


def _parameter(p: Any, column: Column) -> Any:
    kind = kind_of(column)
    if kind == "option":
        return p.Choice(list(range(column.levels)))
    if kind == "step":
        return p.Scalar(init=(column.levels - 1) // 2, lower=0, upper=column.levels - 1).set_integer_casting()
    return p.Scalar(init=0.5, lower=0.0, upper=1.0)


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _import() -> Any:
    try:
        with _quietly():
            import nevergrad
    except ImportError as error:
        raise MissingPackageError('NevergradSearch needs nevergrad: pip install "tunesmith[nevergrad]"') from error
    return nevergrad
