"""Search by the tree-structured Parzen estimator: where good results are dense and bad ones are not."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Proposal, usual_initial
from tunesmith.searchers.known import Known
from tunesmith.searchers.mixture import Layout, Mixture
from tunesmith.searchers.modelled import PlainSearcher
from tunesmith.searchers.ranks import shares_of_area
from tunesmith.searchers.split import split


class Manner(NamedTuple):
    """How the densities are made and asked.

    Attributes:
        good: the share of the trials that are good ones.
        by_gain: whether a good trial counts by how much it exceeds the others, with one objective.
        candidates: how many configurations are drawn from the good ones' density.
        crossed: how many of these take each variable from another one.
        alone: how much each variable by itself counts, from 0 to 1, beside all of them together.
    """

    good: float
    by_gain: bool
    candidates: int
    crossed: int
    alone: float


# Where there are options, few trials have much in common, and more candidates or weights would dwell on the same ones.
NUMBERS = Manner(0.15, by_gain=True, candidates=64, crossed=0, alone=0.0)
DOUBTS = Manner(0.15, by_gain=False, candidates=24, crossed=0, alone=0.0)
OPTIONS = Manner(0.1, by_gain=False, candidates=24, crossed=12, alone=0.5)
_MOST = 25  # good ones, with one objective
_MOST_OF_SEVERAL = 100
_NARROWEST = 0.01  # bump
_LEAST = 1e-12  # weight
_KEPT = 2000  # trials that the density of the others is made of
_LIARS = 0.3  # of the mass of that density, at most, is of trials under way
_SLIM = 128  # trials are enough for the density of a single variable


class TPESearch(PlainSearcher):
    """Search by two densities, of the good trials and of the others; needs SciPy: ``pip install "tunesmith[search]"``.

    For any space and any number of trials: a suggestion takes one to a few milliseconds, whatever there is to be known.
    Good where there are options and options within options, and where there are too many trials for `GPSearch`.

    The best 15 % of the trials, 25 at most, are the good ones: with several objectives those that no others dominate,
    with constraints those first that break none; failed trials are the worst. Each density is a sum of bumps around its
    trials, over all variables together; a good trial counts by how much it exceeds the others. Of some configurations
    that are drawn from the good ones' density, the one is suggested at which it exceeds the other density the most.
    Where there are options, 10 % are good and count the same, half of the candidates take every variable from another
    good trial, and each variable by itself counts half, since in such spaces few trials have much in common. Trials
    under way are taken for bad ones, but for no more than 30 % of those, so that many workers do not flee from where
    the good ones are.

    Args:
        space: for bare use, without a run.
        metric: for bare use, what to optimise; a list for several metrics.
        mode: for bare use, ``"min"`` or ``"max"``, or a list.
        constraints: for bare use, what must hold: ``{"memory_mb": "<= 4000"}``.
        points_to_evaluate: values for the first trials; see `ModelSearcher`.
        evaluated_rewards: the metric's values at the first of them.
        n_initial_points: how many trials cover the space before the densities are asked; None for a usual number.
        seed: for bare use.

    Raises:
        ArgumentError: an argument is wrong.
        MissingPackageError: SciPy is not installed.

    Source: Bergstra, Bardenet, Bengio and Kegl, Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; Watanabe,
    Tree-Structured Parzen Estimator: Understanding Its Algorithm Components, arXiv 2304.11127.

    >>> from tunesmith.domains import uniform
    >>> search = TPESearch({"x": uniform(0, 1)}, "loss", "min")
    >>> for _ in range(40):
    ...     asked = search.ask()
    ...     search.tell(asked.number, {"loss": (asked.config["x"] - 0.3) ** 2})
    >>> abs(asked.config["x"] - 0.3) < 0.2
    True
    """

    def _make_engine(self) -> TPEEngine:
        return TPEEngine()


class TPEEngine:
    """Proposes where the density of the good trials exceeds that of the others the most.

    Args:
        doubtful: whether results may mislead, as those of trials that were hardly trained do. Then as many trials as
            there are variables and one more are good ones, if that is not more than half of all; they count the same,
            and fewer candidates are drawn.
    """

    name = "tpe"
    by_progress = True

    def __init__(self, *, doubtful: bool = False) -> None:
        self._doubtful = doubtful

    @classmethod
    def of_rungs(cls) -> TPEEngine:
        """Return one for results at a rung."""
        return cls(doubtful=True)

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Accept any space and any objective."""
        self._layout = Layout(encoding)
        numbers = DOUBTS if self._doubtful else NUMBERS
        self._manner = OPTIONS if len(self._layout.categories) else numbers

    def initial(self, known: Known) -> int:
        """Return how many trials are to cover the space."""
        return usual_initial(known)

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose some rows, the most promising first."""
        manner = self._manner
        most = _MOST if known.scores.shape[1] == 1 else _MOST_OF_SEVERAL
        count = min(ceil(manner.good * known.count), most)
        if self._doubtful:
            count = max(count, min(known.encoding.dimensions + 1, known.count // 2))
        best, others = split(known, count)
        good = self._density(known.rows[best], _gains(known, best, others) if manner.by_gain else np.ones(len(best)))
        rows, weights = _others(known, others, rng)
        bad = self._density(rows, weights)
        found = good.sample(manner.candidates, rng, crossed=manner.crossed)
        gain = good.log_density(found) - bad.log_density(found)
        if manner.alone:
            if len(rows) > _SLIM:
                every = np.linspace(0, len(rows) - 1, _SLIM).astype(int)
                bad = self._density(rows[every], weights[every])
            alone = good.log_marginals(found).sum(axis=1) - bad.log_marginals(found).sum(axis=1)
            gain = (1 - manner.alone) * gain + manner.alone * alone
        return Proposal(found[np.argsort(-gain, kind="stable")])

    def _density(self, rows: Array, weights: Array) -> Mixture:
        prior = float(weights.mean()) if len(weights) else 1.0
        return Mixture(self._layout, rows, weights, prior, max(_NARROWEST, 1.0 / (len(rows) + 2)))


def _gains(known: Known, best: Array, others: Array) -> Array:
    """Return the weights of the good trials: how much better each is than the best of the others, above 0.

    With two objectives, the area that it alone dominates. With more, or where constraints are broken, all are the same.
    """
    feasible = known.feasible
    if known.scores.shape[1] == 2 and len(best) and feasible[best].all():
        shares = shares_of_area(known.scores[best], known.scores[feasible])
        found: Array = np.maximum(shares / shares.max(), _LEAST)
        return found
    weights = np.ones(len(best))
    scores = known.scores[:, 0]
    rest = scores[others][feasible[others]]
    if known.scores.shape[1] == 1 and len(rest) and feasible[best].all():
        gains = scores[best] / 2 - rest.max() / 2  # halves, since a difference may be too large for a float
        if len(gains) and gains.max() > 0:
            weights = np.maximum(gains / gains.max(), _LEAST)
    return weights


def _others(known: Known, others: Array, rng: Generator) -> tuple[Array, Array]:
    """Return the rows that are no good ones, finished or under way, and their weights.

    Of very many, the newest are taken and some of the older ones.
    """
    pending = np.concatenate([known.aside, known.pending])[-_KEPT // 2 :]
    room = _KEPT - len(pending)
    if len(others) > room:
        older = np.unique(rng.integers(0, len(others) - room // 2, room - room // 2))
        others = np.concatenate([others[older], others[-(room // 2) :]])
    weights = np.ones(len(others) + len(pending))
    if len(pending):
        # The share of a weight w for each of p, beside N ones, is pw / (pw + N).
        weights[len(others) :] = min(1.0, _LIARS * max(len(others), 1) / ((1 - _LIARS) * len(pending)))
    return np.concatenate([known.rows[others], pending]), weights
