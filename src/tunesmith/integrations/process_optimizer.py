"""Searches with ProcessOptimizer, which carries scikit-optimize on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.errors import ArgumentError, MissingPackageError
from tunesmith.integrations.coordinates import from_place, kind_of, to_place
from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Generator, np
from tunesmith.searchers.columns import Column
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Proposal, usual_initial
from tunesmith.searchers.known import Known
from tunesmith.searchers.modelled import ModelSearcher

_ACQUISITIONS = ("EI", "LCB", "PI", "gp_hedge")
_MODELS = ("GP", "RF", "ET", "GBRT")


class ProcessOptimizerSearch(ModelSearcher):
    """Suggest configurations by scikit-optimize's successor: ``pip install "tunesmith[process-optimizer]"``.

    Its models are given what is known anew for each suggestion, which takes a second or so. Each variable is a number
    between 0 and 1 to them, a step, or an option. Trials that are under way count with the mean of all results, failed
    ones and those that break a constraint with the worst.

    Args:
        space: for bare use, without a run.
        metric: for bare use.
        mode: for bare use.
        model: ``"GP"``, a Gaussian process; ``"RF"``, ``"ET"`` or ``"GBRT"``, forests and boosted trees.
        acquisition: ``"EI"``, ``"LCB"``, ``"PI"``, or ``"gp_hedge"``, which chooses among them.
        points_to_evaluate: values for the first trials; see `ModelSearcher`.
        evaluated_rewards: the metric's values at the first of these points.
        n_initial_points: how many trials cover the space evenly at first; None for a number that suits it.
        seed: for bare use.

    Raises:
        ArgumentError: there is no such model or acquisition.
        MissingPackageError: ProcessOptimizer is not installed.

    Example:
        >>> search = ProcessOptimizerSearch(model="ET")  # doctest: +SKIP
        >>> tune.run(train, space, metric="loss", mode="min", search_alg=search)  # doctest: +SKIP
    """

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        *,
        model: str = "GP",
        acquisition: str = "EI",
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        evaluated_rewards: Sequence[float] | None = None,
        n_initial_points: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            ProcessOptimizerEngine(model, acquisition),
            space,
            metric,
            mode,
            points_to_evaluate=points_to_evaluate,
            evaluated_rewards=evaluated_rewards,
            n_initial_points=n_initial_points,
            seed=seed,
        )


class ProcessOptimizerEngine:
    """Proposes what an optimizer asks for that is told all that is known."""

    name = "process_optimizer"

    def __init__(self, model: str = "GP", acquisition: str = "EI") -> None:
        if model not in _MODELS:
            raise ArgumentError(f"model must be one of {', '.join(_MODELS)}; got {model!r}.")
        if acquisition not in _ACQUISITIONS:
            raise ArgumentError(f"acquisition must be one of {', '.join(_ACQUISITIONS)}; got {acquisition!r}.")
        self._package, self._model, self._acquisition = _import(), model, acquisition

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Raise ArgumentError if there are several objectives."""
        if objective.others:
            raise ArgumentError("ProcessOptimizerSearch has one metric to optimise. OptunaSearch takes several.")

    def initial(self, known: Known) -> int:
        """Return how many trials are to cover the space first."""
        return usual_initial(known)

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose the best point of a model of all results."""
        columns = known.encoding.columns
        if not columns or not known.feasible.any():
            return Proposal(np.empty((0, len(columns))))  # one is drawn instead
        losses = known.losses(np.arange(known.count))
        losses = np.minimum(losses, losses[known.feasible].max())
        if np.ptp(losses) > 0:
            losses = (losses - losses.mean()) / losses.std()
        rows = [*known.rows, *known.pending]
        told = [*map(float, losses), *[float(losses.mean())] * len(known.pending)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer = self._package.Optimizer(
                [_dimension(self._package.space, column) for column in columns],
                base_estimator=self._model,
                acq_func=self._acquisition,
                n_initial_points=1,
                random_state=int(rng.integers(2**31)),
            )
            points = [[from_place(column, x) for column, x in zip(columns, row, strict=True)] for row in rows]
            optimizer.tell(points, told)
            found = optimizer.ask()
        return Proposal(np.array([[to_place(column, x) for column, x in zip(columns, found, strict=True)]]))


def _dimension(space: Any, column: Column) -> Any:
    kind = kind_of(column)
    if kind == "option":
        inactive = 1 if column.parent is not None else 0  # an option more
        return space.Categorical(list(range(column.levels + inactive)))
    return space.Integer(0, column.levels - 1) if kind == "step" else space.Real(0.0, 1.0)


def _import() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ProcessOptimizer
    except ImportError as error:
        raise MissingPackageError(
            'ProcessOptimizerSearch needs ProcessOptimizer: pip install "tunesmith[process-optimizer]"'
        ) from error
    return ProcessOptimizer
