"""Searches with Ax: Bayesian optimisation by BoTorch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tunesmith.errors import ArgumentError, MissingPackageError
from tunesmith.integrations.coordinates import from_place, kind_of, to_place
from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.columns import Column
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Proposal, usual_initial
from tunesmith.searchers.known import Known
from tunesmith.searchers.modelled import PlainSearcher

_METRIC = "score"


class AxSearch(PlainSearcher):
    """Suggest configurations by the Gaussian processes of Ax and BoTorch: ``pip install "tunesmith[ax]"``.

    For few and long trials: a suggestion takes seconds, and PyTorch some to load. Ax sees each variable as a number
    between 0 and 1, a step, or an option; it is given what is known anew each time, and a seed that depends on the
    run's and the trial's number. Failed trials, and those that break a constraint, count as the worst result.

    Args:
        space: for bare use, without a run.
        metric: for bare use.
        mode: for bare use.
        constraints: for bare use.
        points_to_evaluate: values for the first trials; see `ModelSearcher`.
        evaluated_rewards: the metric's values at the first of these points.
        n_initial_points: how many trials cover the space evenly at first; None for a number that suits it.
        seed: for bare use.

    Raises:
        MissingPackageError: Ax is not installed, which needs Python 3.11.

    Source: Balandat et al., BoTorch: A Framework for Efficient Monte-Carlo Bayesian Optimization, NeurIPS 2020.

    Example:
        >>> search = AxSearch()  # doctest: +SKIP
        >>> tune.run(train, space, metric="loss", mode="min", search_alg=search)  # doctest: +SKIP
    """

    def _make_engine(self) -> AxEngine:
        return AxEngine()


class AxEngine:
    """Proposes what Ax generates for an experiment that is made of what is known."""

    name = "ax"

    def __init__(self) -> None:
        self._ax = _import()

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Raise ArgumentError if there are several objectives."""
        if objective.others:
            raise ArgumentError("AxSearch has one metric to optimise. GPSearch takes several.")

    def initial(self, known: Known) -> int:
        """Return how many trials are to cover the space first."""
        return usual_initial(known)

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose the best candidate of a model of all results."""
        columns = known.encoding.columns
        if not columns or not known.feasible.any():
            return Proposal(np.empty((0, len(columns))))  # one is drawn instead
        ax = self._ax
        with _quietly(), ax.manual_seed(int(rng.integers(2**31))):
            experiment = self._experiment(known)
            is_mixed = any(column.is_category for column in columns)
            make = ax.Generators.BO_MIXED if is_mixed else ax.Generators.BOTORCH_MODULAR
            model = make(experiment=experiment, data=experiment.lookup_data())
            found = model.gen(n=1, pending_observations=ax.pending(experiment))
        rows = [[to_place(column, arm.parameters[str(j)]) for j, column in enumerate(columns)] for arm in found.arms]
        return Proposal(np.array(rows))

    def _experiment(self, known: Known) -> Any:
        ax = self._ax
        objective = ax.Objective(metric=ax.Metric(_METRIC), minimize=False)
        experiment = ax.Experiment(
            search_space=ax.SearchSpace([_parameter(ax, j, c) for j, c in enumerate(known.encoding.columns)]),
            optimization_config=ax.OptimizationConfig(objective),
            name="tunesmith",
        )
        losses = known.losses(np.arange(known.count))
        scores = -np.minimum(losses, losses[known.feasible].max())
        for row, score in zip(known.rows, scores, strict=True):
            trial = self._trial(experiment, known, row)
            results = {"trial_index": trial.index, "arm_name": trial.arm.name, "metric_name": _METRIC}
            results |= {"metric_signature": _METRIC, "mean": float(score), "sem": float("nan")}
            experiment.attach_data(ax.Data(df=ax.DataFrame([results])))
            trial.mark_completed()
        for row in known.pending:
            self._trial(experiment, known, row)
        return experiment

    def _trial(self, experiment: Any, known: Known, row: Array) -> Any:
        values = {str(j): from_place(column, row[j]) for j, column in enumerate(known.encoding.columns)}
        trial = experiment.new_trial().add_arm(self._ax.Arm(parameters=values))
        trial.mark_running(no_runner_required=True)
        return trial


def _parameter(ax: Any, index: int, column: Column) -> Any:
    kinds = ax.ParameterType
    kind = kind_of(column)
    if kind == "option":
        inactive = 1 if column.parent is not None else 0  # an option more
        options = list(range(column.levels + inactive))
        return ax.ChoiceParameter(str(index), kinds.INT, options, is_ordered=False, sort_values=False)
    if kind == "step":
        return ax.RangeParameter(str(index), kinds.INT, 0, column.levels - 1)
    return ax.RangeParameter(str(index), kinds.FLOAT, 0.0, 1.0)


@contextmanager
def _quietly() -> Iterator[None]:
    """Run without what Ax and BoTorch have to say on the way."""
    loggers = [logging.getLogger(name) for name in ("ax", "botorch")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Ax:
    """What is used of Ax."""

    def __init__(self) -> None:
        from ax.adapter.registry import Generators
        from ax.core.arm import Arm
        from ax.core.data import Data
        from ax.core.experiment import Experiment
        from ax.core.metric import Metric
        from ax.core.objective import Objective as AxObjective
        from ax.core.optimization_config import OptimizationConfig
        from ax.core.parameter import ChoiceParameter, ParameterType, RangeParameter
        from ax.core.search_space import SearchSpace
        from ax.core.utils import get_pending_observation_features
        from botorch.utils.sampling import manual_seed
        from pandas import DataFrame

        self.Generators, self.Arm, self.Data, self.Experiment, self.Metric = Generators, Arm, Data, Experiment, Metric
        self.Objective, self.OptimizationConfig, self.SearchSpace = AxObjective, OptimizationConfig, SearchSpace
        self.ChoiceParameter, self.ParameterType, self.RangeParameter = ChoiceParameter, ParameterType, RangeParameter
        self.pending, self.manual_seed, self.DataFrame = get_pending_observation_features, manual_seed, DataFrame


def _import() -> _Ax:
    try:
        with _quietly():
            return _Ax()
    except ImportError as error:
        raise MissingPackageError('AxSearch needs Ax and Python 3.11: pip install "tunesmith[ax]"') from error
