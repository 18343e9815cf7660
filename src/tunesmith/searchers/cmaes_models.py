"""The distributions of CMA-ES over the rows of an encoding: those of the package `cmaes`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from tunesmith.errors import MissingPackageError
from tunesmith.searchers.arrays import Array, np
from tunesmith.searchers.columns import FINE
from tunesmith.searchers.encoding import Encoding

_SEPARABLE = 64  # beyond so many dimensions a full covariance costs too much, and too many results to be learnt
_WARM = 10  # from so many results on a distribution of good ones is estimated


class Start(msgspec.Struct, frozen=True):
    """Where a distribution begins.

    Attributes:
        population: how many results make a generation.
        sigma: the standard deviation in each dimension, as a share of its range.
        mean: a row.
        rows: of results so far, shape (n, dimensions), the best first: the distribution begins where the best tenth of
            them lies; empty for `mean` and `sigma`.
        noisy: whether to adapt the learning rate to noise.
    """

    population: int
    sigma: float
    mean: Array
    rows: Array
    noisy: bool = False


class Sample(msgspec.Struct, frozen=True):
    """A point that was drawn: its row, and the numbers that the model has to be told with the result, if others."""

    row: Array
    raw: list[float] | None = None


class Distribution(Protocol):
    """A search distribution that is moved by the results of one generation after another."""

    def sample(self, count: int, seed: int) -> list[Sample]:
        """Draw from the present distribution; the seed alone decides."""
        ...

    def update(self, samples: Sequence[Sample], losses: Array) -> None:
        """Move by the results of a generation, as many as its population; `losses` are not all alike."""
        ...

    def is_spent(self) -> bool:
        """Whether going on is of no use."""
        ...


def default_population(dimensions: int) -> int:
    """Return the usual size of a generation. Source: Hansen, The CMA Evolution Strategy: A Tutorial, 2016, table 1.

    >>> default_population(10)
    10
    """
    return 4 + int(3 * np.log(dimensions))


def distribution(encoding: Encoding, start: Start) -> Distribution:
    """Return the kind that suits the columns.

    Raises:
        MissingPackageError: the package `cmaes` is not installed.
    """
    package = load()
    if any(column.is_coarse for column in encoding.columns):
        return _Mixed(package, encoding, start)
    return _Continuous(package, encoding, start)


def load() -> Any:
    """Import the package `cmaes`."""
    try:
        import cmaes
    except ImportError as error:
        raise MissingPackageError('CMAESSearch needs the package cmaes: pip install "tunesmith[cmaes]"') from error
    return cmaes


class _Continuous:
    """A normal distribution over the unit cube, with a full covariance or, of many dimensions, a diagonal one."""

    def __init__(self, package: Any, encoding: Encoding, start: Start) -> None:
        self._broken = False
        dimensions = encoding.dimensions
        bounds = np.tile([0.0, 1.0], (dimensions, 1))
        mean, sigma, covariance = start.mean.copy(), start.sigma, None
        if dimensions > _SEPARABLE:
            if len(start.rows) >= _WARM:
                mean = start.rows[: len(start.rows) // _WARM].mean(axis=0)
            self._model = package.SepCMA(mean, sigma, bounds=bounds, population_size=start.population)
            return
        if len(start.rows) >= _WARM:
            mean, sigma, covariance = _warm(package, start.rows)
        self._model = package.CMA(
            mean, sigma, bounds=bounds, population_size=start.population, cov=covariance, lr_adapt=start.noisy
        )

    def sample(self, count: int, seed: int) -> list[Sample]:
        """Draw from the present distribution."""
        self._model.reseed_rng(seed)
        return [Sample(self._model.ask()) for _ in range(count)]

    def update(self, samples: Sequence[Sample], losses: Array) -> None:
        """Move by the results of a generation."""
        self._broken |= not _tell(self._model, [(s.row, float(loss)) for s, loss in zip(samples, losses, strict=True)])

    def is_spent(self) -> bool:
        """Whether going on is of no use."""
        return self._broken or bool(self._model.should_stop())


class _Mixed:
    """A normal distribution over what has an order, with a margin for steps, and one over the options of choices."""

    def __init__(self, package: Any, encoding: Encoding, start: Start) -> None:
        self._broken = False
        self._solution = package.CatCMAwM.Solution
        columns = list(enumerate(encoding.columns))
        self._steps = [j for j, c in columns if not c.is_category and 0 < c.levels <= FINE]
        self._smooth = [j for j, c in columns if not c.is_category and j not in self._steps]
        self._options = [j for j, c in columns if c.is_category]
        self._ordered = self._smooth + self._steps
        self._counts = [encoding.columns[j].levels for j in self._options]
        self._dimensions = encoding.dimensions
        mean, sigma, covariance, shares = start.mean[self._ordered], start.sigma, np.eye(len(self._ordered)), None
        if len(start.rows) >= _WARM:
            good = start.rows[: len(start.rows) // _WARM]
            shares = self._shares(good)
            if self._ordered and len(self._ordered) <= _SEPARABLE:
                mean, sigma, covariance = _warm(package, start.rows[:, self._ordered])
            elif self._ordered:
                mean = good[:, self._ordered].mean(axis=0)
        self._model = package.CatCMAwM(
            x_space=[[0.0, 1.0]] * len(self._smooth) or None,
            z_space=[[float(x) for x in encoding.columns[j].grid()] for j in self._steps] or None,
            c_space=self._counts or None,
            population_size=start.population,
            mean=mean if self._ordered else None,
            sigma=sigma,
            cov=covariance if self._ordered else None,
            cat_param=shares,
        )

    def _shares(self, good: Array) -> Array | None:
        """Return how often good rows have each option, with one more of each, shape (choices, most options)."""
        if not self._options:
            return None
        shares = np.zeros((len(self._options), max(self._counts)))
        for i, (j, count) in enumerate(zip(self._options, self._counts, strict=True)):
            found = np.bincount(good[:, j].astype(int), minlength=count)[:count] + 1.0
            shares[i, :count] = found / found.sum()
        return shares

    def sample(self, count: int, seed: int) -> list[Sample]:
        """Draw from the present distribution."""
        self._model.reseed_rng(seed)
        return [self._drawn(self._model.ask()) for _ in range(count)]

    def _drawn(self, solution: Any) -> Sample:
        row = np.empty(self._dimensions)
        if self._smooth:
            row[self._smooth] = solution.x
        if self._steps:
            row[self._steps] = solution.z
        if self._options:
            row[self._options] = solution.c.argmax(axis=1)
        return Sample(row, [float(x) for x in solution._v_raw] if self._ordered else [])

    def update(self, samples: Sequence[Sample], losses: Array) -> None:
        """Move by the results of a generation."""
        # Its penalty for bounds is measured by the distance of the quartiles, which must not be 0.
        low, high = np.sort(losses)[[len(losses) // 4, 3 * len(losses) // 4]]
        if low == high:
            losses = losses + 1e-6 * np.ptp(losses) * np.arange(len(losses))
        told = [(self._told(sample), float(loss)) for sample, loss in zip(samples, losses, strict=True)]
        self._broken |= not _tell(self._model, told)

    def _told(self, sample: Sample) -> Any:
        codes = None
        if self._options:
            codes = np.zeros((len(self._options), max(self._counts)), dtype=bool)
            codes[np.arange(len(self._options)), sample.row[self._options].astype(int)] = True
        raw = np.array(sample.raw) if self._ordered else None
        return self._solution(
            sample.row[self._smooth] if self._smooth else None,
            sample.row[self._steps] if self._steps else None,
            codes,
            raw,
        )

    def is_spent(self) -> bool:
        """Whether going on is of no use."""
        return self._broken or (bool(self._ordered) and bool(self._model.should_stop()))


def _warm(package: Any, rows: Array) -> tuple[Array, float, Array]:
    """Return mean, sigma and covariance of the best tenth of rows, the best first.

    Source: Nomura et al., Warm Starting CMA-ES for Hyperparameter Optimization, AAAI 2021.
    """
    mean, sigma, covariance = package.get_warm_start_mgd([(row, float(rank)) for rank, row in enumerate(rows)])
    return np.clip(mean, 0.0, 1.0), float(sigma), covariance


def _tell(model: Any, solutions: list[tuple[Any, float]]) -> bool:
    """Update a model; False if it has come to the end of what floating point can do."""
    try:
        with np.errstate(all="ignore"):
            model.tell(solutions)
    except (np.linalg.LinAlgError, ValueError, AssertionError, FloatingPointError):
        return False
    return True
