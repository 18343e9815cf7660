"""Densities over a search space that are sums of bumps, one around each of some configurations."""

from __future__ import annotations

from typing import TypeAlias

from tunesmith.errors import MissingPackageError
from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.encoding import Encoding

try:
    from scipy.special import ndtr, ndtri
except ImportError as error:
    raise MissingPackageError('This searcher needs SciPy: pip install "tunesmith[search]".') from error

# A variable with at most so many values has its masses tabulated; with more it is as good as a continuous one.
COARSE = 32
_LEAST = 1e-300  # of a mass, so that it has a logarithm
_NOTHING = -100.0  # what is exp() of less takes the CPU much longer, and is nothing as well
_FAR = 5.0  # standard deviations, beyond which nothing lies
_HALF_LOG_TAU = 0.5 * np.log(2 * np.pi)

# The values at which there are bumps, their widths, and for each bump at which of the values it is: past the last where
# its variable is not active.
Ladder: TypeAlias = tuple[Array, Array, Array]


class Layout:
    """Which columns of an encoding are smooth, which have few values in order, and which have no order.

    Attributes:
        smooth: the places of the columns that are, or are nearly.
        steps: the columns with few values.
        categories: the places of those that have no order.
        options: how many options each of these has.
        listed: the options of those that have few, a row each: the place of the category among them, and the code.
        long: the places among the categories of those that have many.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        columns = encoding.columns
        ordered = [j for j, column in enumerate(columns) if not column.is_category]
        coarse = {j for j in ordered if 0 < columns[j].levels <= COARSE}
        self.smooth = np.array([j for j in ordered if j not in coarse], dtype=int)
        self.steps = [Steps(j, encoding) for j in ordered if j in coarse]
        self.categories = np.array([j for j, c in enumerate(columns) if c.is_category], dtype=int)
        self.options = np.array([columns[j].levels for j in self.categories], dtype=float)
        short = np.flatnonzero(self.options <= COARSE)
        self.long = np.flatnonzero(self.options > COARSE)
        self.listed = np.array([(k, code) for k in short for code in range(int(self.options[k]))], dtype=int).reshape(
            -1, 2
        )
        self.is_conditional = encoding.is_conditional


class Steps:
    """A column with few values: where each has its share."""

    def __init__(self, column: int, encoding: Encoding) -> None:
        self.column = column
        grid = encoding.columns[column].grid()
        low, _ = encoding.columns[column].bins(grid)
        order = np.argsort(low)
        self.middles: Array = grid[order]
        self.edges: Array = np.append(low[order], 1.0)
        self.log_shares: Array = np.log(np.maximum(np.diff(self.edges), _LEAST))

    def levels(self, places: Array) -> Array:
        """Return which of the values each place is."""
        found: Array = np.clip(np.searchsorted(self.edges, places, side="right") - 1, 0, len(self.middles) - 1)
        return found


class Mixture:
    """A density: with `weights`, a bump around each of `rows`, and with `prior` the space's own distribution.

    A bump is a product over the columns: of normal distributions cut off at 0 and 1, of their masses where there are
    steps, and of tables where there is no order. Where a row's variable is not active, its bump is the space's own
    distribution; where a configuration's is not, nothing is counted.

    Args:
        layout: of the space.
        rows: canonical configurations, shape (n, dimensions).
        weights: shape (n,), above 0.
        prior: above 0, on the scale of the weights.
        floor: the least width of a bump, as a share of a variable's range. It is as wide as the farther of its two
            neighbours in the variable is away.
        widths: by column, instead of these distances.
        smoothing: by category, or for all, how much likelier an option is by its bump than any other, turned over.

    Source: Bergstra, Bardenet, Bengio and Kegl, Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; Falkner,
    Klein and Hutter, BOHB, ICML 2018, for products within a sum.
    """

    def __init__(
        self,
        layout: Layout,
        rows: Array,
        weights: Array,
        prior: float,
        floor: float,
        *,
        widths: Array | None = None,
        smoothing: float | Array | None = None,
    ) -> None:
        self._layout, self._count, self._floor, self._widths = layout, len(rows), floor, widths
        self._log_weights = np.log(np.append(weights, prior) / (weights.sum() + prior))
        self._active = layout.encoding.active(rows).T if layout.is_conditional else None
        columns = rows.T
        self._build_smooth(columns)
        self._ladders = [self._ladder(steps, columns[steps.column]) for steps in layout.steps]
        self._build_categories(columns, 1.0 / max(len(rows), 1) if smoothing is None else smoothing)

    def _build_smooth(self, columns: Array) -> None:
        smooth = self._layout.smooth
        many = len(smooth)
        self._means = means = columns[smooth]
        active = None if self._active is None else self._active[smooth]
        self._scales = scales = self._wide(smooth, means, active)
        inverse = 1.0 / scales
        # A column for each bump, of which the last one is the space's own distribution; a row for each square and each
        # product, and, put in later, for each option.
        self._table = np.zeros((2 * many + len(self._layout.listed), self._count + 1))
        self._constant = np.zeros((many, self._count + 1))
        squares, products, constant = self._table[:many, :-1], self._table[many : 2 * many, :-1], self._constant[:, :-1]
        np.multiply(inverse, inverse, out=products)
        np.multiply(products, -0.5, out=squares)
        np.multiply(products, means, out=products)
        np.multiply(products, means, out=constant)
        constant *= -0.5
        constant -= np.log(scales * _masses(means, inverse)) + _HALF_LOG_TAU
        if active is not None:
            for part in (squares, products, constant):
                part[~active] = 0.0

    def _wide(self, where: Array, means: Array, active: Array | None) -> Array:
        if self._widths is not None:
            return np.broadcast_to(self._widths[where, None], means.shape)
        return np.clip(neighbour_gaps(means, active), self._floor, 1.0)

    def _ladder(self, steps: Steps, places: Array) -> Ladder:
        levels = steps.levels(places)
        active = None if self._active is None else self._active[steps.column]
        is_there = np.zeros(len(steps.middles), dtype=bool)
        is_there[levels if active is None else levels[active]] = True
        middles = steps.middles[is_there]
        index = (np.cumsum(is_there) - 1)[levels]
        if active is not None:
            index[~active] = len(middles)
        widths = self._wide(np.array([steps.column]), middles[None], None)[0]
        return middles, widths, np.append(index, len(middles))

    def _build_categories(self, columns: Array, smoothing: float | Array) -> None:
        categories, options = self._layout.categories, self._layout.options
        smoothing = np.broadcast_to(smoothing, len(categories))
        self._codes = np.append(columns[categories], np.full((len(categories), 1), -1.0), axis=1)
        self._keep = 1.0 / (1.0 + options * smoothing)  # the chance that a bump keeps to its own option
        self._miss = np.tile(np.log(smoothing * self._keep)[:, None], self._count + 1)
        self._miss[:, -1] = -np.log(options)
        self._bonus = np.tile(np.log((1.0 + smoothing) / smoothing)[:, None], self._count + 1)
        if self._active is not None:
            active = self._active[categories]
            self._miss[:, :-1] = np.where(active, self._miss[:, :-1], -np.log(options)[:, None])
            self._bonus[:, :-1][~active] = 0.0
        which, codes = self._layout.listed.T
        is_there = self._codes[which] == codes[:, None]
        np.multiply(is_there, self._bonus[which], out=self._table[2 * len(self._layout.smooth) :])

    def sample(self, count: int, rng: Generator, *, crossed: int = 0) -> Array:
        """Draw canonical configurations, shape (count, dimensions).

        The last `crossed` of them take each variable from any of the others.
        """
        layout, encoding = self._layout, self._layout.encoding
        edges = np.cumsum(np.exp(self._log_weights))[:-1]
        which = np.searchsorted(edges, rng.random(count), side="right")
        shares = rng.random((count, encoding.dimensions))
        keeps = rng.random((count, len(layout.categories)))
        found = shares.copy()
        for j in layout.categories:
            found[:, j] = encoding.columns[j].draw(shares[:, j])
        bumps = np.flatnonzero(which < self._count)  # the others are of the space's own distribution
        which = which[bumps]
        active = None if self._active is None else self._active[:, which].T

        def put(columns: Array, values: Array) -> None:
            where = np.ix_(bumps, columns)
            found[where] = values if active is None else np.where(active[:, columns], values, found[where])

        smooth = shares[np.ix_(bumps, layout.smooth)]
        put(layout.smooth, _truncated(self._means[:, which].T, self._scales[:, which].T, smooth))
        for steps, (middles, widths, index) in zip(layout.steps, self._ladders, strict=True):
            at = np.minimum(index[which], len(middles) - 1)
            if len(middles):
                put(np.array([steps.column]), _truncated(middles[at], widths[at], shares[bumps, steps.column])[:, None])
        where = np.ix_(bumps, layout.categories)
        put(layout.categories, np.where(keeps[bumps] < self._keep, self._codes[:, which].T, found[where]))
        if crossed:
            mixed = [found[rng.permutation(count)[:crossed], j] for j in range(encoding.dimensions)]
            found[-crossed:] = np.column_stack(mixed)
        return encoding.canonical(found)

    def log_marginals(self, rows: Array) -> Array:
        """Return the logarithms of the density of each variable alone, shape (count, dimensions); 0 if not active."""
        layout = self._layout
        found = np.zeros(rows.shape)
        weights = np.exp(self._log_weights)
        points = rows[:, layout.smooth, None]
        many = len(layout.smooth)
        parts = points * self._table[many : 2 * many]
        parts += points * points * self._table[:many]
        parts += self._constant
        np.maximum(parts, _NOTHING, out=parts)
        np.exp(parts, out=parts)
        found[:, layout.smooth] = np.log(parts @ weights)
        for k, column in enumerate(layout.categories):
            miss = np.exp(self._miss[k]) * weights
            more = miss * np.expm1(self._bonus[k])
            found[:, column] = np.log(miss.sum() + (rows[:, column, None] == self._codes[k]) @ more)
        for steps, (middles, widths, index) in zip(layout.steps, self._ladders, strict=True):
            shares = np.bincount(index, weights=weights, minlength=len(middles) + 1)
            masses = _log_masses(steps, steps.levels(rows[:, steps.column]), middles, widths)
            found[:, steps.column] = np.log(np.exp(masses) @ shares)
        if self._active is not None:
            found[~layout.encoding.active(rows)] = 0.0
        return found

    def log_density(self, rows: Array) -> Array:
        """Return the logarithm of the density at canonical rows, shape (count,)."""
        layout = self._layout
        points = rows[:, layout.smooth]
        which, codes = layout.listed.T
        is_listed = rows[:, layout.categories[which]] == codes  # a column for each option, which meets its bumps below
        if self._active is None:
            parts = np.hstack([points * points, points, is_listed]) @ self._table
            parts += self._constant.sum(axis=0) + self._miss.sum(axis=0) + self._log_weights
        else:
            active = layout.encoding.active(rows)
            smooth, category = active[:, layout.smooth], active[:, layout.categories]
            points = np.where(smooth, points, 0.0)
            parts = np.hstack([points * points, points, is_listed]) @ self._table
            parts += np.hstack([smooth, category]) @ np.vstack([self._constant, self._miss])
            parts += self._log_weights
        for k in layout.long:
            parts += (rows[:, layout.categories[k], None] == self._codes[k]) * self._bonus[k]
        for steps, (middles, widths, index) in zip(layout.steps, self._ladders, strict=True):
            masses = _log_masses(steps, steps.levels(rows[:, steps.column]), middles, widths)
            if self._active is not None:
                masses *= active[:, steps.column, None]
            parts += np.take(masses, index, axis=1)
        top = parts.max(axis=1)
        parts -= top[:, None]
        np.maximum(parts, _NOTHING, out=parts)
        np.exp(parts, out=parts)
        found: Array = np.log(parts.sum(axis=1)) + top
        return found


def _masses(means: Array, inverse: Array) -> Array:
    """Return how much of each normal distribution lies between 0 and 1."""
    found: Array = np.ones_like(means)
    near = np.flatnonzero(np.minimum(means, 1.0 - means) * inverse < _FAR)
    mean, inverse = means.ravel()[near], inverse.ravel()[near]
    found.ravel()[near] = ndtr((1.0 - mean) * inverse) - ndtr(-mean * inverse)
    return found


def _truncated(means: Array, widths: Array, shares: Array) -> Array:
    """Return the values of normal distributions, cut off at 0 and 1, below which these shares of them lie."""
    low, high = ndtr(-means / widths), ndtr((1.0 - means) / widths)
    found: Array = ndtri(low + shares * (high - low)) * widths + means
    return found


def _log_masses(steps: Steps, levels: Array, middles: Array, widths: Array) -> Array:
    """Return, for each of `levels`, the logarithm of each bump's mass there, and last that of the level's own share."""
    few, back = np.unique(levels, return_inverse=True)
    low, high = ((steps.edges[few + end, None] - middles) / widths for end in (0, 1))
    masses = (ndtr(high) - ndtr(low)) / (ndtr((1.0 - middles) / widths) - ndtr(-middles / widths))
    table = np.column_stack([np.log(np.maximum(masses, _LEAST)), steps.log_shares[few]])
    found: Array = table[back]
    return found


def neighbour_gaps(columns: Array, active: Array | None) -> Array:
    """Return the larger of the distances to the two neighbours in each row, 0 and 1 being ones for want of others.

    Values that are not active are no neighbours.
    """
    many, count = columns.shape
    if not columns.size:
        return np.zeros(columns.shape)
    if active is not None:
        columns = np.where(active, columns, 1.0)
    order = np.argsort(columns, axis=1)
    order += np.arange(0, many * count, count)[:, None]
    padded = np.empty((many, count + 2))
    padded[:, 0], padded[:, -1] = 0.0, 1.0
    padded[:, 1:-1] = columns.ravel()[order]
    gaps = padded[:, 1:] - padded[:, :-1]
    widest = np.maximum(gaps[:, :-1], gaps[:, 1:])
    last = np.full(many, count) if active is None else active.sum(axis=1)
    several = np.flatnonzero(last > 1)
    widest[several, 0] = gaps[several, 1]
    widest[several, last[several] - 1] = gaps[several, last[several] - 1]
    found = np.empty(columns.shape)
    found.ravel()[order] = widest
    return found
