"""BOHB: densities of the best and the worst trials at the highest rung that has enough of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Proposal, usual_initial
from tunesmith.searchers.known import Known
from tunesmith.searchers.mixture import Layout, Mixture
from tunesmith.searchers.modelled import ModelSearcher
from tunesmith.searchers.rungs import Rungs
from tunesmith.searchers.split import split

_GOOD = 0.15
_CANDIDATES = 64
_RANDOM = 1 / 3
_WIDER = 3.0  # candidates are drawn with bumps that are so much wider
_NARROWEST = 1e-3
_PRIOR = 1e-6  # so that no density is 0


class BOHBSearch(ModelSearcher):
    """Search as BOHB does, below a scheduler that ends bad trials early; needs SciPy.

    The results at the highest rung that has at least two more of them than there are variables decide what is good: the
    best 15 % there. One suggestion in three is random. The rungs are those of the scheduler if it is given the same
    `time_attr`, `grace_period` and `reduction_factor`; other rungs do no harm as long as trials report that often.

    Args:
        space: for bare use, without a run.
        metric: for bare use.
        mode: for bare use.
        time_attr: the measure of progress, as the scheduler's.
        grace_period: the lowest rung, above 0, in units of `time_attr`.
        reduction_factor: above 1: each rung is so many times the one below it.
        points_to_evaluate: values for the first trials; see `ModelSearcher`.
        n_initial_points: how many trials cover the space before the model is asked; None for a usual number.
        seed: for bare use.

    Raises:
        ArgumentError: an argument is wrong.
        MissingPackageError: SciPy is not installed.

    Source: Falkner, Klein and Hutter, BOHB: Robust and Efficient Hyperparameter Optimization at Scale, ICML 2018.

    >>> from tunesmith.domains import uniform
    >>> search = BOHBSearch({"x": uniform(0, 1)}, "loss", "min")
    >>> asked = search.ask()
    >>> search.tell(asked.number, {"loss": 0.5, "training_iteration": 1}, final=False)
    """

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        *,
        time_attr: str = "training_iteration",
        grace_period: float = 1,
        reduction_factor: float = 3,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        n_initial_points: int | None = None,
        seed: int = 0,
    ) -> None:
        rungs = Rungs(time_attr, grace_period, reduction_factor)
        super().__init__(
            BOHBEngine(rungs), space, metric, mode, points_to_evaluate=points_to_evaluate,
            n_initial_points=n_initial_points, rungs=rungs, seed=seed,
        )  # fmt: skip


class BOHBEngine:
    """Proposes where good results are dense and bad ones are not."""

    name = "bohb"

    def __init__(self, rungs: Rungs) -> None:
        self._rungs = rungs

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Accept any space and any objective."""
        self._layout = Layout(encoding)

    def initial(self, known: Known) -> int:
        """Return how many trials are to cover the space."""
        return usual_initial(known)

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose rows by the highest rung that has enough results; none, for a random one, once in three times."""
        least = known.encoding.dimensions + 1
        level = self._rungs.best_known(least + 1)
        if rng.random() < _RANDOM or level is None:
            return Proposal(np.empty((0, known.encoding.dimensions)), why="at random")
        here = self._rungs.levels[level]
        good, _ = split(here, max(least, int(_GOOD * here.count)))
        _, bad = split(here, here.count - max(least, int((1 - _GOOD) * here.count)))
        if not len(good):
            return Proposal(np.empty((0, known.encoding.dimensions)), why="at random, as all results are the same")
        wide = self._density(here.rows[good], _WIDER)
        rows = wide.sample(_CANDIDATES, rng)
        gain = self._density(here.rows[good]).log_density(rows) - self._density(here.rows[bad]).log_density(rows)
        return Proposal(rows[np.argsort(-gain, kind="stable")], why=f"by rung {self._rungs.at(level):g}")

    def _density(self, rows: Array, factor: float = 1.0) -> Mixture:
        """Return a density with the same width for all bumps, by the rule for normal distributions."""
        active = self._layout.encoding.active(rows)
        count = np.maximum(active.sum(axis=0), 1)
        mean = np.where(active, rows, 0.0).sum(axis=0) / count
        sd = np.sqrt((np.where(active, rows - mean, 0.0) ** 2).sum(axis=0) / count)
        widths = np.maximum(1.06 * sd * count ** (-1 / (4 + rows.shape[1])), _NARROWEST)
        # Of a category, the width is the chance of leaving one's own option.
        options = self._layout.options
        leaving = np.minimum(widths[self._layout.categories], 0.99 * (options - 1) / options)
        smoothing = leaving / (options - 1 - leaving * options)
        return Mixture(
            self._layout, rows, np.ones(len(rows)), _PRIOR, 0.0, widths=widths * factor, smoothing=smoothing
        )  # fmt: skip
