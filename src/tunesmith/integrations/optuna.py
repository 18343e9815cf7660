"""Searches with Optuna's samplers."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tunesmith.errors import ArgumentError, MissingPackageError, nearest
from tunesmith.integrations.coordinates import from_place, kind_of, to_place
from tunesmith.integrations.optuna_objective import objective
from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.columns import Column
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Proposal
from tunesmith.searchers.known import Known
from tunesmith.searchers.modelled import ModelSearcher

__all__ = ["OptunaEngine", "OptunaSearch", "objective"]

_KEY = "optuna"  # of a memo
_BY_NAME = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "nsgaii": "NSGAIISampler",
    "nsgaiii": "NSGAIIISampler",
    "qmc": "QMCSampler",
    "random": "RandomSampler",
}


class OptunaSearch(ModelSearcher):
    """Suggest configurations by one of Optuna's samplers, an extra: ``pip install "tunesmith[optuna]"``.

    The sampler sees each variable as a number between 0 and 1, or as one of so many steps or options, and a variable
    within an option of a choice only where that was chosen. It may have several metrics to optimise, and constraints.
    What it suggests depends on the run's seed, the trial's number and what was known, so a run that is resumed goes on
    with what it knew: for each suggestion a new sampler is made, and what the last one kept in its study is recorded.
    The CMA-ES of Optuna keeps a pickle there, which is loaded when such a run is resumed. Failed trials, and those
    without a finite result, are pruned ones to Optuna, and failed ones where there are several metrics.

    Args:
        space: for bare use, without a run.
        metric: for bare use.
        mode: for bare use.
        sampler: ``"tpe"`` (Optuna's default), ``"gp"``, ``"cmaes"``, ``"nsgaii"``, ``"nsgaiii"``, ``"qmc"``,
            ``"random"``, or what makes a sampler when it is called with ``seed=``: a class, or
            ``functools.partial(TPESampler, multivariate=True)``.
        points_to_evaluate: values for the first trials; see `ModelSearcher`.
        evaluated_rewards: the metric's values at the first of these points.
        seed: for bare use.

    Raises:
        ArgumentError: there is no such sampler, or an instance was given.
        MissingPackageError: Optuna, or what the sampler needs, is not installed.

    Source: Akiba et al., Optuna: A Next-generation Hyperparameter Optimization Framework, KDD 2019.

    Example:
        >>> search = OptunaSearch(sampler="gp")  # doctest: +SKIP
        >>> tune.run(train, space, metric="loss", mode="min", search_alg=search)  # doctest: +SKIP
    """

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        *,
        sampler: str | Callable[..., Any] = "tpe",
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        evaluated_rewards: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            OptunaEngine(sampler),
            space,
            metric,
            mode,
            points_to_evaluate=points_to_evaluate,
            evaluated_rewards=evaluated_rewards,
            seed=seed,
        )


class OptunaEngine:
    """Proposes what a sampler of Optuna suggests for the next trial of a study that is kept like what is known."""

    name = "optuna"

    def __init__(self, sampler: str | Callable[..., Any] = "tpe") -> None:
        self._optuna = _import()
        if isinstance(sampler, str):
            if sampler not in _BY_NAME:
                raise ArgumentError(
                    f"Optuna has no sampler {sampler!r}; there are: {', '.join(_BY_NAME)}.{nearest(sampler, _BY_NAME)}"
                )
            sampler = getattr(self._optuna.samplers, _BY_NAME[sampler])
        if isinstance(sampler, self._optuna.samplers.BaseSampler) or not callable(sampler):
            raise ArgumentError(
                f"sampler must be a name or what makes a sampler when called with seed=, got {sampler!r}. An instance "
                "holds random state that no crash survives: give its class, or functools.partial(TPESampler, ...)."
            )
        self._make: Callable[..., Any] = sampler
        self._constrained = False
        self._study: _Study | None = None

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Take any space; see how many objectives there are, and if the sampler takes constraints."""
        self._goals = len(objective.goals)
        self._constrained = bool(objective.constraints) and "constraints_func" in _parameters(self._make)
        self._study = None
        self._sampler(0)

    def initial(self, known: Known) -> int:
        """Return 0: samplers have first trials of their own."""
        return 0

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose what a sampler suggests, with what it has kept in the study."""
        if self._study is None or not self._study.is_of(known):
            self._study = _Study(self._optuna, known, self._goals)
        with _quietly():
            row, memo = self._study.ask(number, self._sampler(int(rng.integers(2**31))))
        memos = [{_KEY: {**memo, "taken": True}}]
        return Proposal(row[None], memo={_KEY: {**memo, "taken": False}}, memos=memos)

    def _sampler(self, seed: int) -> Any:
        options = {"constraints_func": _constraints} if self._constrained else {}
        try:
            with _quietly():
                return self._make(seed=seed, **options)
        except ImportError as error:
            raise MissingPackageError(f"This sampler of Optuna needs another package: {error}") from error


class _Study:
    """A study of Optuna that holds what is known, and goes on from where it was when more is known.

    Its trials are made in the order of their beginnings, from rows and memos alone, those included that a sampler
    suggested and that were not taken, since there was such a trial already.
    """

    def __init__(self, optuna: Any, known: Known, goals: int) -> None:
        self._optuna, self._known = optuna, known
        self._storage = optuna.storages.InMemoryStorage()
        with _quietly():
            self._study = optuna.create_study(storage=self._storage, directions=["maximize"] * goals)
        self._id = self._storage.get_study_id_from_name(self._study.study_name)
        self._revisions = known.version - known.count
        self._numbers: dict[int, int] = {}  # Optuna's, by ours
        self._begun = self._ended = 0
        self._asked: tuple[int, int] | None = None  # our number and Optuna's of what was not begun yet
        self._distributions = [_distribution(optuna, column) for column in known.encoding.columns]

    def is_of(self, known: Known) -> bool:
        """Whether it can go on with this: nothing was told anew, and what was asked for has begun."""
        return (
            self._known is known
            and self._revisions == known.version - known.count
            and (self._asked is None or known.has(self._asked[0]))
        )

    def ask(self, number: int, sampler: Any) -> tuple[Array, dict[str, Any]]:
        """Return the row that the sampler suggests, and what it has kept in the study."""
        self._catch_up()
        encoding, row = self._known.encoding, self._known.encoding.neutral.copy()
        before = self._kept()
        self._study.sampler = sampler
        trial = self._study.ask()
        for j, column in enumerate(encoding.columns):
            if column.parent is None or row[column.parent] == column.code:
                row[j] = to_place(column, _suggest(trial, str(j), self._distributions[j]))
        self._asked = number, trial.number
        found = self._study.get_trials(deepcopy=False)[trial.number]
        after = {name: value for name, value in self._kept().items() if before.get(name) != value}
        return row, {"params": dict(found.params), "trial": dict(found.system_attrs), "study": after}

    def _kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = self._storage.get_study_system_attrs(self._id)
        return dict(kept)

    def _catch_up(self) -> None:
        known = self._known
        while self._ended < known.count and known.numbers[self._ended] < 0:  # of an older experiment
            number = known.numbers[self._ended]
            self._add(number, self._params(known.rows[self._ended]), {})
            self._end(number, self._ended)
            self._ended += 1
        for number in range(self._begun, known.started):
            if known.has(number):
                self._begin(number)
        self._begun = known.started
        for place in range(self._ended, known.count):
            self._end(known.numbers[place], place)
        self._ended = known.count

    def _begin(self, number: int) -> None:
        memo = self._known.memos.get(number)
        memo = memo.get(_KEY) if isinstance(memo, dict) else None
        if memo is not None and self._asked is not None and self._asked[0] == number:
            self._numbers[number] = self._asked[1]
        elif memo is not None:
            self._add(number, memo["params"], memo["trial"])
            for name, value in memo["study"].items():
                self._storage.set_study_system_attr(self._id, name, value)
        if memo is not None and not memo["taken"]:
            self._study.tell(self._numbers[number], state=self._optuna.trial.TrialState.FAIL)
        if memo is None or not memo["taken"]:
            self._add(number, self._params(self._known.row_of(number)), {})
        self._asked = None

    def _add(self, number: int, params: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
        trial = self._optuna.trial.create_trial(
            state=self._optuna.trial.TrialState.RUNNING,
            params=dict(params),
            distributions={name: self._distributions[int(name)] for name in params},
            system_attrs=dict(kept),
        )
        self._numbers[number] = len(self._study.get_trials(deepcopy=False))
        self._study.add_trial(trial)

    def _params(self, row: Array) -> dict[str, Any]:
        encoding = self._known.encoding
        active = encoding.active(row[None])[0]
        return {str(j): from_place(column, row[j]) for j, column in enumerate(encoding.columns) if active[j]}

    def _end(self, number: int, place: int) -> None:
        known, state = self._known, self._optuna.trial.TrialState
        theirs, scores, violations = self._numbers[number], known.scores[place], known.violations[place]
        with _quietly():
            if np.isnan(scores).any():
                # As pruned ones they are the worst to TPE; as failed ones it would go on where nothing is to be had.
                self._study.tell(theirs, state=state.PRUNED if len(scores) == 1 else state.FAIL)
                return
            if len(violations):
                trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, theirs)
                bounds = [0.0 if np.isnan(violation) else float(violation) for violation in violations]
                self._storage.set_trial_user_attr(trial_id, "constraints", bounds)
            self._study.tell(theirs, [float(score) for score in scores])


def _constraints(trial: Any) -> Sequence[float]:
    found: Sequence[float] = trial.user_attrs["constraints"]
    return found


def _distribution(optuna: Any, column: Column) -> Any:
    kinds = optuna.distributions
    kind = kind_of(column)
    if kind == "option":
        return kinds.CategoricalDistribution(list(range(column.levels)))
    if kind == "step":
        return kinds.IntDistribution(0, column.levels - 1)
    return kinds.FloatDistribution(0.0, 1.0)


def _suggest(trial: Any, name: str, distribution: Any) -> float:
    kind = type(distribution).__name__
    if kind == "CategoricalDistribution":
        return float(trial.suggest_categorical(name, distribution.choices))
    if kind == "IntDistribution":
        return float(trial.suggest_int(name, distribution.low, distribution.high))
    return float(trial.suggest_float(name, distribution.low, distribution.high))


def _parameters(make: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return inspect.signature(make).parameters
    except (TypeError, ValueError):
        return {}


@contextmanager
def _quietly() -> Iterator[None]:
    """Run without Optuna's notices: of a study that is made, of what is experimental or drawn independently."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _import() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingPackageError('OptunaSearch needs Optuna: pip install "tunesmith[optuna]"') from error
    return optuna
