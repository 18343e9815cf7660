"""The searcher that chooses among the others by what is to be searched, and by what a trial costs."""

from __future__ import annotations

from math import inf, isnan

import msgspec

from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Generator, np
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Engine, Proposal
from tunesmith.searchers.known import Known
from tunesmith.searchers.modelled import PlainSearcher

_SHARE = 0.05  # of a trial's time that a suggestion may take
_FREE_S = 0.005  # what a suggestion may take whatever a trial takes: to start one takes as long
_GUESS_S = 0.003  # what one of many guesses takes
_LOOKED_AT = 16  # so many first trials say how long one takes: what was chosen is not to change with each of them
# So many of the trials are the runner-up's: better than a tenth or a half in most classes of benchmarks/search.md.
_HEDGE = 1 / 3
_HEDGE_OF_SEVERAL = 1 / 2  # the same with several objectives, of which a process takes each for itself
_MODEL = 500  # up to so many trials a Gaussian process knows all of them
_MANY_MODEL = 300  # the same with several objectives
_POPULATION = 5000  # from so many on a population does as well, with several objectives


class AutoSearch(PlainSearcher):
    """Search by what suits the problem; needs SciPy: ``pip install "tunesmith[search]"``.

    A Gaussian process up to 500 trials, or 300 with several objectives, and TPE beyond. Each third suggestion or so is
    the other one's, with several objectives each second, since none is the best for all problems. TPE alone where
    trials are so short that a suggestion of the process would take more than 5 % of a trial's time. From 5,000 trials
    on, with several objectives, NSGA-II and TPE. What was chosen for a trial, and why, is in ``trial.why``; to pin a
    choice, name it: ``search_alg="gp"``.

    Args:
        space: for bare use, without a run.
        metric: for bare use.
        mode: for bare use.
        constraints: for bare use.
        points_to_evaluate: values for the first trials; see `ModelSearcher`.
        evaluated_rewards: the metric's values at the first of them.
        n_initial_points: how many trials cover the space before a model is asked; None for a usual number.
        seed: for bare use.

    Raises:
        MissingPackageError: NumPy or SciPy is not installed.

    Example:
        >>> tune.run(train, space, metric="loss", mode="min", search_alg="auto")  # doctest: +SKIP
    """

    def _make_engine(self) -> AutoEngine:
        return AutoEngine()


class Choice(msgspec.Struct, frozen=True):
    """The engine that is to propose, the one that does so now and then, and the reason."""

    engine: str
    runner_up: str
    why: str


def choose(known: Known) -> Choice:
    """Return which engine suits what is known; the same for the same facts."""
    count, objectives = known.count, known.scores.shape[1]
    if objectives > 1 and count >= _POPULATION:
        return Choice("nsga2", "tpe", f"{objectives} objectives and more than {_POPULATION} trials")
    seconds, allowed = _allowed(known)
    if gp_seconds(known) > allowed:
        return Choice("tpe", "tpe", f"trials take {seconds:.2g} s, and a Gaussian process more than its part of that")
    limit = _MODEL if objectives == 1 else _MANY_MODEL
    if count < limit:
        return Choice("gp", "tpe", f"fewer than {limit} trials")
    return Choice("tpe", "gp", f"{limit} trials and more")


def gp_seconds(known: Known) -> float:
    """Return about how long a suggestion of a Gaussian process takes (benchmarks/search.md)."""
    from tunesmith.searchers.gp import ASIDE, CROWD
    from tunesmith.searchers.gp_model import SLACK

    pending, rows = len(known.pending), min(known.count, _MODEL)
    is_crowd = pending >= CROWD
    if not is_crowd:
        rows += pending + min(len(known.aside), ASIDE)
    alone = 0.015 + 1e-7 * rows**2 + 3e-4 * known.encoding.dimensions
    # Of a crowd each is a guess, and the model is made once for many of them.
    return _GUESS_S + 2 * alone / (pending // SLACK) if is_crowd else alone


def _allowed(known: Known) -> tuple[float, float]:
    """Return how long a trial takes, in seconds, and how long a suggestion may take; NaN and inf if nobody knows."""
    taken = known.durations(_LOOKED_AT)
    seconds = float(np.nanmedian(taken)) if not np.isnan(taken).all() else np.nan
    if isnan(seconds):
        return seconds, inf
    return seconds, max(_FREE_S, min(_SHARE * seconds, seconds / (1 + len(known.pending))))


class AutoEngine:
    """Passes each question on to the engine that suits it."""

    name = "auto"
    by_progress = True

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Accept any space and any objective."""
        from tunesmith.searchers.gp import GPEngine
        from tunesmith.searchers.nsga2 import NSGA2Engine
        from tunesmith.searchers.tpe import TPEEngine

        self._engines = {"gp": GPEngine(), "tpe": TPEEngine(), "nsga2": NSGA2Engine()}
        for engine in self._engines.values():
            engine.check(encoding, objective)

    def initial(self, known: Known) -> int:
        """Return how many trials are to cover the space."""
        return self._engines["gp"].initial(known)

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose what the engine does that suits what is known, or now and then the runner-up."""
        choice = choose(known)
        hedged = rng.random() < (_HEDGE if known.scores.shape[1] == 1 else _HEDGE_OF_SEVERAL)
        name = choice.runner_up if hedged else choice.engine
        why = f"{name}: the runner-up, since none is always the best" if hedged else f"{name}: {choice.why}"
        proposal = self._engines[name].propose(known, number, rng)  # of these only the process has memos
        return msgspec.structs.replace(proposal, why=why)
