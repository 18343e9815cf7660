"""Search below a scheduler that ends bad trials early: by the rungs that foretell the highest one best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from operator import attrgetter
from typing import Any, Literal

from tunesmith.errors import ArgumentError, nearest
from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Array, Generator, generator, np
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Engine, Proposal, usual_initial
from tunesmith.searchers.known import Known
from tunesmith.searchers.modelled import ModelSearcher
from tunesmith.searchers.rung_weights import LEAST, rung_weights
from tunesmith.searchers.rungs import Rungs
from tunesmith.streams import stream

_RANDOM = 0.2  # of the suggestions, in case that low rungs mislead
_MODELS = {"tpe": "tpe.TPEEngine.of_rungs", "gp": "gp.GPEngine"}  # where each is; imported on use


def _maker(model: str) -> Callable[[], Engine]:
    if model not in _MODELS:
        raise ArgumentError(
            f"model must be one of {', '.join(map(repr, _MODELS))}, got {model!r}.{nearest(str(model), _MODELS)}"
        )
    module, name = _MODELS[model].split(".", 1)
    found: Callable[[], Engine] = attrgetter(name)(import_module(f"tunesmith.searchers.{module}"))
    return found


class HyperTuneSearch(ModelSearcher):
    """Search with a model for each rung, below a scheduler that ends bad trials early; needs SciPy.

    Low rungs have many results that may mislead, high ones few that do not. Each suggestion is made by the model of one
    rung, drawn with the chance that this rung foretells the order at the highest one best; one in five is random, in
    case that all low rungs mislead. The rungs are those of the scheduler if it is given the same `time_attr`,
    `grace_period` and `reduction_factor`; others do no harm as long as trials report that often.

    Args:
        space: for bare use, without a run.
        metric: for bare use.
        mode: for bare use.
        model: what is made of a rung's results: ``"tpe"``, or ``"gp"``, which takes longer.
        time_attr: the measure of progress, as the scheduler's.
        grace_period: the lowest rung, above 0, in units of `time_attr`.
        reduction_factor: above 1: each rung is so many times the one below it.
        points_to_evaluate: values for the first trials; see `ModelSearcher`.
        n_initial_points: how many trials cover the space before a model is asked; None for a usual number.
        seed: for bare use.

    Raises:
        ArgumentError: an argument is wrong.
        MissingPackageError: SciPy is not installed.

    Source: Li et al., Hyper-Tune: Towards Efficient Hyper-parameter Tuning at Scale, VLDB 2022.

    >>> from tunesmith.domains import uniform
    >>> search = HyperTuneSearch({"x": uniform(0, 1)}, "loss", "min")
    >>> asked = search.ask()
    >>> search.tell(asked.number, {"loss": 0.5, "training_iteration": 1}, final=False)
    """

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        *,
        model: Literal["tpe", "gp"] = "tpe",
        time_attr: str = "training_iteration",
        grace_period: float = 1,
        reduction_factor: float = 3,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        n_initial_points: int | None = None,
        seed: int = 0,
    ) -> None:
        rungs = Rungs(time_attr, grace_period, reduction_factor)
        super().__init__(
            HyperTuneEngine(rungs, _maker(model)), space, metric, mode, points_to_evaluate=points_to_evaluate,
            n_initial_points=n_initial_points, rungs=rungs, seed=seed,
        )  # fmt: skip


class HyperTuneEngine:
    """Proposes what another engine does, by what is known at one rung.

    Args:
        rungs: what is known at each.
        make: makes an engine; each rung has one of its own.
    """

    name = "hyper-tune"

    def __init__(self, rungs: Rungs, make: Callable[[], Engine]) -> None:
        self._rungs, self._make = rungs, make

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Raise what the other engine raises."""
        self._engines: dict[int, Engine] = {}
        self._weights: tuple[Any, dict[int, float]] | None = None
        self._is_category: Array = np.array([column.is_category for column in encoding.columns], dtype=bool)
        self._problem = encoding, objective
        self._make().check(encoding, objective)

    def initial(self, known: Known) -> int:
        """Return how many trials are to cover the space."""
        return usual_initial(known)

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose by the rung that is drawn; nothing, for a random suggestion, once in five times."""
        weights = self._current_weights(known)
        if not weights or rng.random() < _RANDOM:
            return Proposal(np.empty((0, known.encoding.dimensions)), why="at random")
        level = int(rng.choice(list(weights), p=list(weights.values())))
        here = self._rungs.levels[level]
        memos = known.memo or {}
        here.memo, here.started = memos.get(str(level)), known.started
        proposal = self._engine(level).propose(here, number, rng)
        memo = None if proposal.memo is None else {**memos, str(level): proposal.memo}
        return Proposal(proposal.rows, memo, f"by rung {self._rungs.at(level):g}")

    def _engine(self, level: int) -> Engine:
        if level not in self._engines:
            self._engines[level] = self._make()
            self._engines[level].check(*self._problem)
        return self._engines[level]

    def _current_weights(self, known: Known) -> dict[int, float]:
        levels = self._rungs.levels
        state = {level: here.version for level, here in levels.items() if here.count >= LEAST}
        if self._weights is None or self._weights[0] != state:
            rng = generator(stream(known.seed, "rungs", *sorted(state.values())).getrandbits(128))
            self._weights = state, rung_weights(levels, self._is_category, rng)
        return self._weights[1]
