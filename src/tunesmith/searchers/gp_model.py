"""What a Gaussian process searcher takes from its trials: a posterior for each objective and each constraint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tunesmith.searchers.arrays import Array, generator, np
from tunesmith.searchers.gp_fit import Fit
from tunesmith.searchers.gp_kernel import Kernel
from tunesmith.searchers.gp_posterior import Posterior
from tunesmith.searchers.gp_subset import MOST, subset
from tunesmith.searchers.gp_warp import warp
from tunesmith.searchers.known import Known
from tunesmith.streams import stream

_EACH = 64  # trials up to which each one is reason enough for new hyperparameters
_GROWTH = 1.05
_SURPRISE = 3.0
_RESTART = 10  # every so many fits, some starts are random
_SLACK = 32  # so many pending trials for one that the model need not know of yet


class Memo(msgspec.Struct, frozen=True):
    """What is kept from one proposal to the next.

    Attributes:
        count: how many trials the model has seen.
        fitted: how many trials its hyperparameters are fitted to.
        fits: how often they have been.
        thetas: the hyperparameters, of each objective and then of each constraint.
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
        return found if len(found.thetas) == outputs and all(len(theta) == size for theta in found.thetas) else None

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
        constraints: those of the margins by which constraints are kept, above 0 where they are.
        feasible: shape (k,): which of the posteriors' rows are results that break no constraint.
        values: shape (k, m): the warped scores.
    """

    memo: Memo
    objectives: list[Posterior]
    constraints: list[Posterior]
    feasible: Array
    values: Array

    @property
    def rows(self) -> Array:
        """The configurations that it is made of."""
        return self.objectives[0].rows


def is_due(memo: Memo | None, known: Known) -> bool:
    """Return whether the model is to see the trials that have ended since; with many under way it need not at once."""
    return memo is None or memo.count > known.count or known.count - memo.count >= max(1, len(known.pending) // _SLACK)


def make(known: Known, is_category: Array, memo: Memo | None, count: int) -> Model:
    """Make the model of the first `count` trials, with new hyperparameters where it is time for them."""
    fitted = memo.fitted if memo is not None and memo.fitted <= count else 0
    must_fit = fitted == 0 or (count != fitted and count < _EACH) or count >= max(_GROWTH * fitted, fitted + 1)
    if memo is not None and not must_fit:
        model = _given(known, is_category, memo, count)
        if not _is_surprised(model, fitted):
            return model
    return _given(known, is_category, _fitted(known, is_category, memo, count), count)


def _given(known: Known, is_category: Array, memo: Memo, count: int) -> Model:
    memo = Memo(count, memo.fitted, memo.fits, memo.thetas)
    places = _places(known, is_category, memo.fitted, count)
    rows, outputs = known.rows[places], _outputs(known, places)
    posteriors = []
    for theta, values in zip(memo.thetas, outputs, strict=True):
        posteriors.append(Posterior(Kernel(is_category, np.array(theta)), rows, values))
    goals = known.scores.shape[1]
    return Model(memo, posteriors[:goals], posteriors[goals:], known.feasible[places], np.array(outputs[:goals]).T)


def _fitted(known: Known, is_category: Array, memo: Memo | None, count: int) -> Memo:
    places = _places(known, is_category, count, count)
    fits = 0 if memo is None else memo.fits
    thetas = []
    for index, values in enumerate(_outputs(known, places)):
        fit = Fit(is_category, known.rows[places], values)
        starts = [fit.usual] if memo is None else [np.array(memo.thetas[index]), fit.usual]
        if memo is not None and count >= _EACH:
            starts = [min(starts, key=lambda start, fit=fit: fit.loss(start)[0])]  # type: ignore[misc]
        if fits % _RESTART == _RESTART - 1:
            rng = generator(stream(known.seed, "gp", "fit", count, index).getrandbits(128))
            starts += [fit.usual + rng.standard_normal(len(fit.usual)) for _ in range(2)]
        thetas.append([float(x) for x in fit.best(starts)])
    return Memo(count, count, fits + 1, thetas)


def _is_surprised(model: Model, fitted: int) -> bool:
    new = len(model.rows) - (model.memo.count - fitted)  # the first place of those that are not in the fit
    return any((p.surprises()[new:] > _SURPRISE).any() for p in (*model.objectives, *model.constraints))


def _places(known: Known, is_category: Array, fitted: int, count: int) -> Array:
    """Return which of the first `count` trials the model is made of: a choice among those of the fit, all later."""
    if count <= MOST:
        return np.arange(count)
    values = np.min([warp(scores) for scores in known.scores[:fitted].T], axis=0)
    values = np.where(known.feasible[:fitted], values, values - 10.0)
    rng = generator(stream(known.seed, "gp", "subset", fitted).getrandbits(128))
    chosen = subset(known.rows[:fitted], values, is_category, rng)
    return np.concatenate([chosen, np.arange(fitted, count)])


def _outputs(known: Known, places: Array) -> list[Array]:
    """Return what is to be modelled: the warped scores, and the margins of the constraints."""
    scores = known.scores[places]
    failed: Array = np.isnan(scores).any(axis=1)  # type: ignore[assignment]
    margins = [_margin(violations, failed) for violations in known.violations[places].T]
    return [*(warp(column) for column in scores.T), *margins]


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
