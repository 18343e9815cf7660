"""PriorBand: what the user believes, what was best so far, and chance, in shares that results decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.errors import ArgumentError, nearest
from tunesmith.objective import Objective
from tunesmith.points import check_point
from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Proposal
from tunesmith.searchers.known import Known
from tunesmith.searchers.mixture import Layout, Mixture
from tunesmith.searchers.modelled import ModelSearcher
from tunesmith.searchers.rungs import Rungs
from tunesmith.searchers.split import split

_WIDTHS = {"low": 0.5, "medium": 0.25, "high": 0.125}  # standard deviations, in shares of a variable's range
_RANDOM = 0.5  # of the suggestions: one in 1 + reduction_factor**k, and each begins at the rung k = 0
_CHANGED = 0.5  # of the variables of the best configuration
_CHANGE = 0.25  # by how much
_EVEN = 1e3  # a width of which nothing is left of the bump
_CANDIDATES = 16
_PRIOR = 1e-9  # so that no density is 0


class PriorBandSearch(ModelSearcher):
    """Search around a configuration that the user believes in, below a scheduler that ends bad trials early.

    Half of the suggestions are random, so that a wrong belief costs half of the search at most. The others are drawn
    around `prior`, and, as soon as there are results to go by, around the best configuration so far: the more, the
    likelier it made the good ones at the highest rung. The first trial is `prior` itself. Needs SciPy.

    Args:
        prior: values that are believed to be good, such as ``{"lr": 0.01, "model": {"width": 64}}``. Of variables that
            are left out nothing is believed.
        space: for bare use, without a run.
        metric: for bare use.
        mode: for bare use.
        confidence: ``"low"``, ``"medium"`` or ``"high"``, or a standard deviation as a share of a variable's range
            (on its own scale), above 0: 0.5, 0.25 and 0.125 by name. Or such a word or number by variable, such as
            ``{"lr": "high", "model/width": 0.3}``; others are then ``"medium"``.
        time_attr: the measure of progress, as the scheduler's.
        grace_period: the lowest rung, above 0, in units of `time_attr`.
        reduction_factor: above 1: each rung is so many times the one below it.
        seed: for bare use.

    Raises:
        ArgumentError: an argument is wrong.
        SpaceError: a value of `prior` lies outside the space.
        MissingPackageError: SciPy is not installed.

    Source: Mallik et al., PriorBand: Practical Hyperparameter Optimization in the Age of Deep Learning, NeurIPS 2023.

    >>> from tunesmith.domains import loguniform
    >>> search = PriorBandSearch({"lr": 0.01}, {"lr": loguniform(1e-5, 1)}, "loss", "min", confidence="high")
    >>> search.ask().config
    {'lr': 0.01}
    """

    def __init__(
        self,
        prior: Mapping[str, Any],
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        *,
        confidence: str | float | Mapping[str, str | float] = "medium",
        time_attr: str = "training_iteration",
        grace_period: float = 1,
        reduction_factor: float = 3,
        seed: int = 0,
    ) -> None:
        rungs = Rungs(time_attr, grace_period, reduction_factor)
        engine = PriorBandEngine(rungs, prior, confidence)
        super().__init__(engine, space, metric, mode, points_to_evaluate=[prior], rungs=rungs, seed=seed)


class PriorBandEngine:
    """Proposes a random configuration, one that the user's belief makes likely, or a change of the best one."""

    name = "priorband"

    def __init__(
        self, rungs: Rungs, prior: Mapping[str, Any], confidence: str | float | Mapping[str, str | float]
    ) -> None:
        if not isinstance(prior, Mapping):
            raise ArgumentError(f"prior must be a dict of values, such as {{'lr': 0.01}}, got {prior!r}.")
        self._rungs, self._prior = rungs, prior
        self._confidence = dict(confidence) if isinstance(confidence, Mapping) else None
        self._usual = _width("medium" if isinstance(confidence, Mapping) else confidence)

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Take the space, and raise ArgumentError or SpaceError if what is believed does not belong to it."""
        values = check_point(encoding.space, self._prior, "prior")
        paths = [column.path for column in encoding.columns]
        widths = {}
        for path, confidence in (self._confidence or {}).items():
            if path not in paths:
                raise ArgumentError(f"confidence names {path!r}, which the space does not vary.{nearest(path, paths)}")
            widths[path] = _width(confidence)
        self._layout = layout = Layout(encoding)
        row = encoding.encode(values, partly=True)
        assert row is not None
        is_given = [column.place(values) is not None for column in encoding.columns]
        every = [widths.get(path, self._usual) if given else _EVEN for path, given in zip(paths, is_given, strict=True)]
        self._belief = _around(layout, row, np.array(every))

    def initial(self, known: Known) -> int:
        """Return 0: chance has its share from the beginning."""
        return 0

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose rows of one of the three kinds."""
        nothing = np.empty((0, known.encoding.dimensions))
        best = self._best()
        share, kind = self._share_of_belief(best), rng.random()
        if kind < _RANDOM:
            return Proposal(nothing, why="at random")
        if best is None or kind < _RANDOM + (1 - _RANDOM) * share:
            return Proposal(self._belief.sample(_CANDIDATES, rng), why="as believed")
        changed = _around(self._layout, best[0], np.full(len(best[0]), _CHANGE)).sample(_CANDIDATES, rng)
        rows = np.where(rng.random(changed.shape) < _CHANGED, changed, best[0])
        return Proposal(rows, why="near the best so far")

    def _best(self) -> Array | None:
        """Return the best rows at the highest rung that has some, the best first; None while there is too little."""
        eta = self._rungs.reduction_factor
        level = self._rungs.best_known(max(2, round(eta)))
        if level is None or self._spent() < (level + 1) * eta**level:  # what one bracket costs
            return None
        known = self._rungs.levels[level]
        good, _ = split(known, max(1, int(known.count / eta)))
        return known.rows[good] if len(good) else None

    def _spent(self) -> float:
        """Return how much training there was, in units of the lowest rung."""
        eta = self._rungs.reduction_factor
        return sum(
            known.count * (eta**level - (eta ** (level - 1) if level else 0))
            for level, known in self._rungs.levels.items()
        )

    def _share_of_belief(self, best: Array | None) -> float:
        if best is None:
            return 1.0
        weights = np.arange(len(best), 0, -1, dtype=float)
        near = _around(self._layout, best[0], np.full(best.shape[1], _CHANGE))
        logs = np.stack([self._belief.log_density(best), near.log_density(best)])
        belief, nearness = (np.exp(logs - logs.max()) * weights).sum(axis=1)
        return float(belief / (belief + nearness))


def _width(confidence: Any) -> float:
    if isinstance(confidence, str) and confidence in _WIDTHS:
        return _WIDTHS[confidence]
    if isinstance(confidence, (int, float)) and not isinstance(confidence, bool) and 0 < confidence < np.inf:
        return float(confidence)
    raise ArgumentError(
        f"confidence must be one of {', '.join(map(repr, _WIDTHS))} or a number above 0, got {confidence!r}."
        f"{nearest(str(confidence), _WIDTHS)}"
    )


def _around(layout: Layout, row: Array, widths: Array) -> Mixture:
    """Return the density of one bump; an option is left about as often as a number leaves its part of the range."""
    options = layout.options
    leaving = np.minimum(2 * widths[layout.categories], 1.0) * (1 - 1 / options) * 0.999
    smoothing = leaving / (options - 1 - leaving * options)
    return Mixture(layout, row[None], np.ones(1), _PRIOR, 0.0, widths=widths, smoothing=smoothing)
