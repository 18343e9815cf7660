"""How far each rung is to be trusted to say what is good at the highest one."""

from __future__ import annotations

from collections.abc import Mapping

from tunesmith.errors import MissingPackageError
from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.known import Known

try:
    from scipy.linalg import cho_factor, cho_solve
    from scipy.special import ndtri
except ImportError as error:
    raise MissingPackageError('This searcher needs SciPy: pip install "tunesmith[search]".') from error

LEAST = 6  # results that a rung needs, to be asked
_SAMPLES = 100
_COMPARED = 64  # trials of the highest rung, the newest, whose order is to be foretold
_MODELLED = 160  # trials that a rung's model is made of
_DROPPED = 0.01
_LENGTHS = (0.3, 0.7, 1.5)  # in square roots of the number of dimensions
_NOISES = (0.01, 0.1, 0.5)


def rung_weights(levels: Mapping[int, Known], is_category: Array, rng: Generator) -> dict[int, float]:
    """Return for each rung the chance that it foretells the order at the highest rung best; they add up to 1.

    Rungs with fewer than `LEAST` results are left out, and so are those with next to no chance. With one rung, or none,
    there is nothing to weigh.

    Each rung's model foretells, for the trials that have got to the highest rung, what it would have been at its own,
    had it not seen them there; so a low rung, which has seen many, may know more than the highest, which has seen few.

    Source: Li et al., Hyper-Tune: Towards Efficient Hyper-parameter Tuning at Scale, VLDB 2022, section 4.1.
    """
    asked = sorted(level for level, known in levels.items() if known.count >= LEAST)
    if len(asked) < 2:
        return dict.fromkeys(asked, 1.0)
    top = levels[asked[-1]]
    numbers = top.numbers[-_COMPARED:]
    actual = _ranks(top.scores[-_COMPARED:, 0])
    losses = np.stack([_losses(levels[level], numbers, actual, is_category, rng) for level in asked])
    is_least = losses == losses.min(axis=0)
    shares = (is_least / is_least.sum(axis=0)).mean(axis=1)
    shares[shares < _DROPPED] = 0.0
    return {level: float(share) for level, share in zip(asked, shares / shares.sum(), strict=True) if share}


def _losses(known: Known, numbers: list[int], actual: Array, is_category: Array, rng: Generator) -> Array:
    """Return, for each of some samples of what a rung foretells, how many pairs are in the wrong order."""
    where = {number: index for index, number in enumerate(known.numbers)}
    found = [where.get(number, -1) for number in numbers]
    places = np.array([index for index in found if index >= 0], dtype=int)
    is_here = np.array(found) >= 0
    others = np.setdiff1d(np.arange(known.count), places)[-max(_MODELLED - len(places), 0) :]
    chosen = np.concatenate([places, others])
    mean, sd = left_out(known.rows[chosen], _ranks(known.scores[chosen, 0]), is_category)
    # What a rung has not seen it knows nothing of.
    means, sds = np.zeros(len(numbers)), np.ones(len(numbers))
    means[is_here], sds[is_here] = mean[: len(places)], sd[: len(places)]
    samples = means + sds * rng.standard_normal((_SAMPLES, len(numbers)))
    first, second = np.triu_indices(len(numbers), 1)
    is_below = samples[:, first] < samples[:, second]
    wrong: Array = (is_below != (actual[first] < actual[second])) & (actual[first] != actual[second])
    losses: Array = wrong.sum(axis=1)
    return losses


def _ranks(scores: Array) -> Array:
    """Return scores as quantiles of the normal distribution; failures are the worst, and equals are equal."""
    values = np.where(np.isnan(scores), -np.inf, scores)
    _, back, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    found: Array = ndtri(middle / len(values))[back]
    return found


def left_out(rows: Array, values: Array, is_category: Array) -> tuple[Array, Array]:
    """Return what a Gaussian process says of each row, had it not seen it: means and standard deviations.

    Of a few length scales and noises, those are taken that make the values the likeliest. Source: Rasmussen and
    Williams, Gaussian Processes for Machine Learning, 2006, equations 5.8 and 5.12.
    """
    squares = _squares(rows, is_category)
    centred = values - values.mean()
    best: tuple[float, Array, Array] | None = None
    for length in _LENGTHS:
        distance = np.sqrt(5.0 * squares) / (length * np.sqrt(max(rows.shape[1], 1)))
        kernel = (1.0 + distance + distance**2 / 3.0) * np.exp(-distance)
        for noise in _NOISES:
            factor = cho_factor(kernel + (noise + 1e-8) * np.eye(len(rows)), lower=True)
            weights = cho_solve(factor, centred)
            scale = max(float(centred @ weights) / len(rows), 1e-12)
            likelihood = -0.5 * len(rows) * np.log(scale) - np.log(np.diag(factor[0])).sum()
            if best is None or likelihood > best[0]:
                precision = np.diag(cho_solve(factor, np.eye(len(rows))))
                best = likelihood, values - weights / precision, np.sqrt(scale / precision)
    assert best is not None
    return best[1], best[2]


def _squares(rows: Array, is_category: Array) -> Array:
    numbers, codes = rows[:, ~is_category], rows[:, is_category]
    norms = (numbers**2).sum(axis=1)
    squares = np.maximum(norms[:, None] + norms - 2.0 * numbers @ numbers.T, 0.0)
    for column in codes.T:
        squares += 0.5 * (column[:, None] != column)
    found: Array = squares
    return found
