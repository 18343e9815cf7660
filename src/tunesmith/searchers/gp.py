"""Search by a Gaussian process: a model of the results that knows what it does not know."""

from __future__ import annotations

from math import exp

from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Proposal
from tunesmith.searchers.gp_acquisition import Acquisition, Feasible, LogImprovement
from tunesmith.searchers.gp_crowd import Crowd
from tunesmith.searchers.gp_model import Memo, Model, Modeller, best_feasible, is_due, lengths, own_generator
from tunesmith.searchers.gp_moves import Moves
from tunesmith.searchers.gp_pareto import AreaImprovement, VolumeGain
from tunesmith.searchers.gp_prior import Prior
from tunesmith.searchers.gp_region import Box, Everywhere, Region, length
from tunesmith.searchers.gp_search import Search
from tunesmith.searchers.gp_subset import MOST
from tunesmith.searchers.known import Known
from tunesmith.searchers.modelled import PlainSearcher
from tunesmith.searchers.ranks import is_undominated

CROWD = 32  # pending trials from which a suggestion is one of many guesses
_BLIND = 0.02  # of the suggestions are random, in case that the model is wrong
_BASES = 5
_SAME = 1e-3  # of the range
_INITIAL = 5
ASIDE = 256  # trials without a comparable result that are taken as known to the model's doubts


class GPSearch(PlainSearcher):
    """Search with a Gaussian process; needs SciPy: ``pip install "tunesmith[search]"``.

    The best choice for up to about 500 trials, in spaces of numbers, options and options within options, with noise,
    with many trials at a time, with several objectives, and with constraints. A suggestion takes some milliseconds to
    some hundredths of a second.

    Args:
        space: for bare use, without a run.
        metric: for bare use.
        mode: for bare use.
        constraints: for bare use.
        points_to_evaluate: values for the first trials; see `ModelSearcher`.
        evaluated_rewards: the metric's values at the first of them.
        n_initial_points: how many trials cover the space before the model is asked; None for a usual number.
        seed: for bare use.

    Raises:
        MissingPackageError: SciPy is not installed.

    Source: Jones, Schonlau and Welch, Efficient Global Optimization of Expensive Black-Box Functions, 1998, and the
    papers that the parts name.

    >>> from tunesmith.domains import uniform
    >>> search = GPSearch({"x": uniform(0, 1)}, "loss", "min")
    >>> for _ in range(12):
    ...     asked = search.ask()
    ...     search.tell(asked.number, {"loss": (asked.config["x"] - 0.3) ** 2})
    >>> abs(asked.config["x"] - 0.3) < 0.05
    True
    """

    def _make_engine(self) -> GPEngine:
        return GPEngine()


class GPEngine:
    """Proposes what promises most by Gaussian processes of the objectives and the constraints."""

    name = "gp"
    by_progress = True

    def __init__(self) -> None:
        self._moves: Moves | None = None
        self._modeller: Modeller | None = None
        self._model: tuple[bytes, list[Memo | None], Model] | None = None
        self._crowd: tuple[Model, Crowd] | None = None

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Accept any space and any objective."""

    def initial(self, known: Known) -> int:
        """Return how many trials are to cover the space: few, since the model itself looks at what is unknown."""
        return _INITIAL if known.num_samples is None else max(2, min(_INITIAL, known.num_samples // 5))

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose what promises most, as far as it is not known or under way."""
        if self._moves is None or self._moves.encoding is not known.encoding:
            self._moves, self._modeller = Moves(known.encoding), Modeller(Prior(known.encoding))
        moves = self._moves
        if not _says_something(known.scores):
            return Proposal(_farthest(known, moves.random(64, rng), moves.is_category), why="nothing to go by yet")
        is_crowded = len(known.pending) >= CROWD
        outputs = known.scores.shape[1] + known.violations.shape[1]
        before = Memo.read(known.memo, outputs, known.encoding.dimensions + 2)
        model = self._current(known, before, is_crowded)
        memo = None if before is not None and not _is_news(before, model.memo, is_crowded) else model.memo.plain()
        if rng.random() < _BLIND:
            return Proposal(moves.random(1, rng), memo, "at random, in case that the model is wrong")
        if is_crowded:
            return Proposal(self._guess(known, model, moves, rng), memo, "one of many guesses")
        acquisition = _acquisition(model, np.concatenate([known.aside[-ASIDE:], known.pending]), rng)
        scale = np.clip(lengths(model.objectives), 0.05, 2.0)
        search = Search(moves, acquisition, _region(known, model, moves), scale, _seen(known))
        rows = _apart(search.best(_bases(model), rng), known.pending, moves.is_category)
        return Proposal(rows, memo, "the most promising")

    def _current(self, known: Known, before: Memo | None, is_crowded: bool) -> Model:
        is_old_enough = before is not None and is_crowded and not is_due(before, known)
        count = before.count if before is not None and is_old_enough else known.count
        results = known.scores[:count].tobytes() + known.violations[:count].tobytes()
        if self._model is None or self._model[0] != results or before not in self._model[1]:
            assert self._modeller is not None
            model = self._modeller.make(known, before, count)
            # The memo comes back with the next proposal, and makes the same model.
            self._model = results, [before, model.memo], model
        return self._model[2]

    def _guess(self, known: Known, model: Model, moves: Moves, rng: Generator) -> Array:
        if self._crowd is None or self._crowd[0] is not model:
            own = own_generator(known, "crowd", model.memo.count)
            self._crowd = model, Crowd(model, moves, _region(known, model, moves), _bases(model), own)
        return self._crowd[1].guess(rng)


def _says_something(scores: Array) -> bool:
    """Return whether any objective has two different values."""
    good = scores[~np.isnan(scores).any(axis=1)]
    return len(good) > 1 and bool((good != good[0]).any())


def _farthest(known: Known, rows: Array, is_category: Array) -> Array:
    """Return rows, those first that are the farthest from all that are known or under way."""
    others = np.concatenate([known.rows, known.aside, known.pending])[-MOST:]
    if not len(others):
        return rows
    apart = np.abs(rows[:, None] - others[None])
    apart[:, :, is_category] = apart[:, :, is_category] != 0
    found: Array = rows[np.argsort(-(apart**2).sum(axis=2).min(axis=1), kind="stable")]
    return found


def _apart(rows: Array, pending: Array, is_category: Array) -> Array:
    """Return rows, those last that are all but the same as one that is under way, which would tell next to nothing."""
    differences = np.abs(rows[:, None] - pending[None])
    differences[:, :, is_category] = differences[:, :, is_category] != 0
    is_near = (differences < _SAME).all(axis=2).any(axis=1)
    return np.concatenate([rows[~is_near], rows[is_near]])


def _is_news(before: Memo, after: Memo, is_crowded: bool) -> bool:
    return before.fits != after.fits or (is_crowded and before.count != after.count)


def _seen(known: Known) -> set[bytes]:
    encoding = known.encoding
    if encoding.size is None:
        return set()  # no configuration comes twice by chance
    return {encoding.key(row) for row in (*known.rows, *known.aside, *known.pending)}


def _acquisition(model: Model, pending: Array, rng: Generator) -> Acquisition:
    objectives = [posterior.with_pending(pending) for posterior in model.objectives]
    constraints = [posterior.with_pending(pending) for posterior in model.constraints]
    best = best_feasible(model)
    if best is None:
        return Feasible(None, constraints)  # until something is good at all
    if len(objectives) == 1:
        inner: Acquisition = LogImprovement(objectives[0], best)
    else:
        known = np.column_stack([posterior.fitted for posterior in objectives])
        reached = known[model.feasible]
        inner = AreaImprovement(objectives, reached) if len(objectives) == 2 else VolumeGain(objectives, reached, rng)
    return Feasible(inner, constraints) if constraints else inner


def _bases(model: Model) -> Array:
    """Return the rows that are best by the model."""
    if len(model.objectives) == 1:
        merit = model.objectives[0].fitted
    else:
        known = np.column_stack([posterior.fitted for posterior in model.objectives])
        merit = np.where(is_undominated(known), 10.0, 0.0) + known.min(axis=1)
    merit = np.where(model.feasible, merit, merit - 100.0)
    return model.rows[np.argsort(-merit, kind="stable")[:_BASES]]


def _region(known: Known, model: Model, moves: Moves) -> Region:
    """Return where to look: everywhere while the model has all trials, then in a box around the best one."""
    count = model.memo.count
    if count <= MOST or len(model.objectives) > 1 or not moves.is_smooth.any():
        return Everywhere(moves)
    scores = np.where(known.feasible[:count], known.scores[:count, 0], -np.inf)
    size = length(scores, int(moves.is_smooth.sum()))
    scale = lengths(model.objectives)[moves.is_smooth]
    sides = np.ones(len(moves.is_smooth))
    sides[moves.is_smooth] = size * scale / exp(float(np.mean(np.log(scale))))
    return Box(moves, _bases(model)[0], sides)
