"""What a Gaussian process searcher takes from its trials: a posterior for each objective and each constraint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tunesmith.searchers.arrays import Array, Generator, generator, np
from tunesmith.searchers.gp_fit import Fit
from tunesmith.searchers.gp_kernel import Kernel
from tunesmith.searchers.gp_posterior import Posterior, Root
from tunesmith.searchers.gp_prior import Prior
from tunesmith.searchers.gp_subset import MOST, subset
from tunesmith.searchers.gp_warp import warp
from tunesmith.searchers.known import Known
from tunesmith.streams import stream

_EACH = 64  # trials up to which each one is reason enough for new hyperparameters
_GROWTH = 1.05
_FIT = 256  # trials that hyperparameters are fitted to; more would hardly change them
_SURPRISE = 3.0
_RESTART = 10  # every so many fits, some starts are random
SLACK = 8  # so many pending trials for one that the model need not know of yet


class Memo(msgspec.Struct, frozen=True):
    """What is kept from one proposal to the next.

    Attributes:
        count: how many trials the model has seen.
        fitted: how many trials its hyperparameters are fitted to.
        fits: how often they have been.
        thetas: the hyperparameters, of each objective, then of each constraint, then of failure.
    """

    count: int
    fitted: int
    fits: int
    thetas: list[list[float]]

    @staticmethod
    def read(memo: Any, outputs: int, size: int) -> Memo | None:
        """Return what a proposal's memo says; None if it is another's."""
        if not isinstance(memo, dict) or memo.get("engine") != "gp":
            return None
        found = Memo(memo["count"], memo["fitted"], memo["fits"], memo["thetas"])
        return (
            found
            if len(found.thetas) in (outputs, outputs + 1) and all(len(theta) == size for theta in found.thetas)
            else None
        )

    def plain(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "engine": "gp", "count": self.count, "fitted": self.fitted, "fits": self.fits, "thetas": self.thetas,
        }  # fmt: skip


class Model(msgspec.Struct, frozen=True):
    """A state of knowledge.

    Attributes:
        memo: what it is made by.
        objectives: the posteriors of the warped scores.
        constraints: those of the margins by which constraints are kept, above 0 where they are. If trials have failed,
            not to fail is the last constraint.
        rows: shape (k, dimensions): the configurations that the posteriors know.
        values: shape (k, m): the warped scores.
        feasible: shape (k,): which of them are results that break no constraint.
        surprise: by how many standard deviations the model is wrong on a trial after its fit, at most.
    """

    memo: Memo
    objectives: list[Posterior]
    constraints: list[Posterior]
    rows: Array
    values: Array
    feasible: Array
    surprise: float


def is_due(memo: Memo | None, known: Known) -> bool:
    """Return whether the model is to see the trials that have ended since; with many under way it need not at once."""
    return memo is None or memo.count > known.count or known.count - memo.count >= max(1, len(known.pending) // SLACK)


class Modeller:
    """Makes models of what is known.

    Args:
        prior: of the space.
    """

    def __init__(self, prior: Prior) -> None:
        self._prior = prior
        self._roots: dict[tuple[bytes, bytes], Root] = {}  # of the trials of a fit: they are the same until the next

    def make(self, known: Known, memo: Memo | None, count: int) -> Model:
        """Make the model of the first `count` trials, with new hyperparameters where it is time for them."""
        fitted = memo.fitted if memo is not None and memo.fitted <= count else 0
        must_fit = fitted == 0 or (count != fitted and count < _EACH) or count >= max(_GROWTH * fitted, fitted + 1)
        if memo is not None and not must_fit:
            model = self._given(known, memo, count)
            if model.surprise <= _SURPRISE:
                return model
        return self._given(known, self._fitted(known, memo, count), count)

    def _given(self, known: Known, memo: Memo, count: int) -> Model:
        memo = Memo(count, memo.fitted, memo.fits, memo.thetas)
        places = _places(known, self._prior, memo.fitted, count)
        outputs, new = _outputs(known, places), places >= memo.fitted
        # When the first trial fails, nothing is fitted for that yet.
        thetas = [np.array(theta) for theta in memo.thetas] + [self._prior.usual] * (len(outputs) - len(memo.thetas))
        posteriors, surprise, roots = [], 0.0, {}
        for theta, values in zip(thetas, outputs, strict=False):
            rows = known.rows[places[~new]]
            key = rows.tobytes(), theta.tobytes()
            roots[key] = self._roots.get(key) or Root(Kernel(self._prior.is_category, theta), rows)
            posteriors.append(Posterior(roots[key].extended(known.rows[places[new]]), values))
            surprise = max([surprise, *posteriors[-1].surprises()[new].tolist()])
        self._roots = roots
        goals = known.scores.shape[1]
        return Model(
            memo, posteriors[:goals], posteriors[goals:], known.rows[places], np.column_stack(outputs[:goals]),
            known.feasible[places], surprise,
        )  # fmt: skip

    def _fitted(self, known: Known, memo: Memo | None, count: int) -> Memo:
        prior, places = self._prior, _places(known, self._prior, count, count)
        rows, outputs = known.rows[places], _outputs(known, places)
        merit = np.min(outputs[: known.scores.shape[1]], axis=0)
        some = subset(rows, merit, prior.is_category, _FIT, own_generator(known, "some", count))
        fits = 0 if memo is None else memo.fits
        before = [] if memo is None else [np.array(theta) for theta in memo.thetas]
        thetas = []
        for index, values in enumerate(outputs):
            fit = Fit(prior, rows[some], values[some])
            starts = [*before[index : index + 1], prior.usual]
            if count >= _EACH:
                starts = [min(starts, key=lambda start, fit=fit: fit.loss(start)[0])]  # type: ignore[misc]
            if fits % _RESTART == _RESTART - 1:
                rng = own_generator(known, "fit", count, index)
                starts += [prior.usual + rng.standard_normal(len(prior.usual)) for _ in range(2)]
            thetas.append([float(x) for x in fit.best(starts)])
        return Memo(count, count, fits + 1, thetas)


def _places(known: Known, prior: Prior, fitted: int, count: int) -> Array:
    """Return which of the first `count` trials the model is made of: a choice among those of the fit, all later."""
    if count <= MOST:
        return np.arange(count)
    values = np.min([warp(scores) for scores in known.scores[:fitted].T], axis=0)
    values = np.where(known.feasible[:fitted], values, values - 10.0)
    chosen = subset(known.rows[:fitted], values, prior.is_category, MOST, own_generator(known, "subset", fitted))
    return np.concatenate([chosen, np.arange(fitted, count)])


def own_generator(known: Known, *path: str | int) -> Generator:
    """Return a source of randomness that is the same in all proposals of an experiment."""
    return generator(stream(known.seed, "gp", *path).getrandbits(128))


def _outputs(known: Known, places: Array) -> list[Array]:
    """Return what is to be modelled: warped scores, margins of constraints, and whether trials fail if some do."""
    scores = known.scores[places]
    failed: Array = np.isnan(scores).any(axis=1)  # type: ignore[assignment]
    found = [warp(np.where(failed, np.nan, column), spread=scores.shape[1] == 1) for column in scores.T]
    found += [_margin(violations, failed) for violations in known.violations[places].T]
    return [*found, np.where(failed, -1.0, 1.0)] if failed.any() else found


def _margin(violations: Array, failed: Array) -> Array:
    """Return by how much a constraint is kept, in units of its spread; a trial that failed breaks it."""
    good = ~np.isnan(violations)
    largest = float(np.abs(violations[good]).max()) if good.any() else 0.0
    margins = -violations / largest if largest > 0 else np.zeros(len(violations))
    spread = float(np.sqrt(np.mean(margins[good] ** 2))) if good.any() else 0.0
    margins = margins / spread if spread > 0 else margins
    # Far beyond the bound it matters little how far; what is unknown of a trial that did not fail is left open.
    margins = np.sign(margins) * np.log1p(np.abs(margins))
    return np.where(good, margins, np.where(failed, -1.0, 0.0))


def best_feasible(model: Model) -> float | None:
    """Return the largest mean of the first objective at rows that are feasible; None if none is."""
    fitted = model.objectives[0].fitted
    return float(fitted[model.feasible].max()) if model.feasible.any() else None


def lengths(posteriors: Sequence[Posterior]) -> Array:
    """Return the geometric means of the posteriors' lengths, shape (dimensions,)."""
    found: Array = np.exp(np.mean([posterior.kernel.theta[:-2] for posterior in posteriors], axis=0))
    return found
