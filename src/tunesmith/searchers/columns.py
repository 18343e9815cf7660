"""Variables of a search space as columns of numbers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from math import ceil, exp, floor, isfinite, log
from statistics import NormalDist
from typing import Any

from tunesmith.domains import Choice, Domain, Float, Integer, Normal, SampleFrom
from tunesmith.paths import CHOSEN
from tunesmith.searchers.arrays import Array, np
from tunesmith.space import Space, Variable

# From so many levels on, a quantised variable is as good as a continuous one to a model; it is snapped all the same.
FINE = 200
_EDGE = 1e-12  # keeps shares off 0 and 1, where the normal distribution has no quantiles


class Column:
    """One variable as a column of numbers, and the way back.

    Attributes:
        path: where its value belongs.
        levels: how many different values it has; 0 for no end of them.
        is_category: the column holds codes 0 to ``levels - 1`` that have no order, and ``levels`` itself where the
            variable is not active. Otherwise it holds shares from 0 to 1, and 0.5 where it is not active.
        parent: the column of the choice that it belongs to, or None; it is active where that one holds `code`.
    """

    is_category = False
    levels: int = 0
    neutral = 0.5
    numbers: tuple[
        str, ...
    ] = ()  # the attributes that `snap` computes with: those of columns that are alike may be arrays

    def __init__(self, path: str, parent: int | None, code: int) -> None:
        self.path, self.parent, self.code = path, parent, code

    @property
    def is_coarse(self) -> bool:
        """Whether a model should know that there are steps, or no order."""
        return self.is_category or 0 < self.levels <= FINE

    def kind(self) -> tuple[Hashable, ...]:
        """Return what is equal for columns that are snapped by the same formula."""
        return (type(self).__name__,)

    def place(self, values: Mapping[str, Any]) -> float | None:
        """Return where the variable's value lies; None if it has none in `values`, or one outside."""
        raise NotImplementedError

    def put(self, place: float, values: dict[str, Any]) -> None:
        """Write the value that lies at `place`."""
        raise NotImplementedError

    def snap(self, places: Array) -> Array:
        """Return the nearest places that have a value."""
        return places

    def draw(self, shares: Array) -> Array:
        """Turn shares, uniform from 0 to 1, into places as the variable's own distribution has them."""
        return shares

    def bins(self, places: Array) -> tuple[Array, Array]:
        """Return from where to where each place's value has its share of the distribution; where there are levels."""
        raise NotImplementedError

    def grid(self) -> Array:
        """Return the places of all values, in order; where there are levels."""
        raise NotImplementedError


class Line(Column):
    """Real numbers, or whole ones and multiples, on the domain's own scale: its distribution is uniform on it.

    A value that is one of K evenly spaced ones lies in the middle of its share of 1/K. On a logarithmic scale a whole
    number `v` has the share from ``log(v - q/2)`` to ``log(v + q/2)`` and lies at ``log(v)``.
    """

    numbers = ("_low", "_span", "_first", "_last", "_step")

    def __init__(self, path: str, parent: int | None, code: int, domain: Float | Integer) -> None:
        super().__init__(path, parent, code)
        self._domain = domain
        self._log, self._step = domain.log, domain.q
        low, high = float(domain.low), float(domain.high)
        if self._step is not None:
            first, last = ceil(low / self._step - 1e-9), floor(high / self._step + 1e-9)
            self.levels = last - first + 1
            low, high = first * self._step, last * self._step
        self._first, self._last = low, high
        half = (self._step or 0) / 2
        if self._log:
            self._low = log(max(low - half, low / 2)) if half else log(low)
            self._span = log(high + half) - self._low
        else:
            self._low, self._span = low - half, high - low + 2 * half

    def kind(self) -> tuple[Hashable, ...]:
        """Return what is equal for columns that are snapped by the same formula."""
        return (type(self).__name__, self._step is None, self._log)

    def place(self, values: Mapping[str, Any]) -> float | None:
        """Return the share of the value; None if it is missing or outside."""
        value: Any = values.get(self.path)
        if not self._domain.contains(value):
            return None
        place: float = ((log(value) if self._log else value) - self._low) / self._span
        return min(max(place, 0.0), 1.0)

    def put(self, place: float, values: dict[str, Any]) -> None:
        """Write the value at this share."""
        number = self._low + min(max(place, 0.0), 1.0) * self._span  # as `_numbers` does it, but much faster for one
        if self._log:
            number = exp(number)
        if self._step is not None:
            number = round(number / self._step) * self._step
        number = min(max(number, self._first), self._last)
        values[self.path] = self._domain.nearest(float(f"{number:.14g}"))  # without the noise of the way to and fro

    def snap(self, places: Array) -> Array:
        """Return the nearest shares that have a value."""
        if self._step is None:
            return np.clip(places, 0.0, 1.0)
        numbers = self._numbers(places)
        return ((np.log(numbers) if self._log else numbers) - self._low) / self._span

    def bins(self, places: Array) -> tuple[Array, Array]:
        """Return from where to where each place's value has its share of the distribution."""
        numbers, half = self._numbers(places), (self._step or 0) / 2
        low, high = np.maximum(numbers - half, numbers / 2) if self._log else numbers - half, numbers + half
        if self._log:
            low, high = np.log(low), np.log(high)
        return np.clip((low - self._low) / self._span, 0.0, 1.0), np.clip((high - self._low) / self._span, 0.0, 1.0)

    def grid(self) -> Array:
        """Return the places of all values, in order."""
        numbers = self._first + np.arange(self.levels) * (self._step or 0)
        return ((np.log(numbers) if self._log else numbers) - self._low) / self._span

    def _numbers(self, places: Array) -> Array:
        numbers = self._low + np.clip(places, 0.0, 1.0) * self._span
        if self._log:
            numbers = np.exp(numbers)
        if self._step is not None:
            numbers = np.rint(numbers / self._step) * self._step
        return np.clip(numbers, self._first, self._last)


class Bell(Column):
    """Numbers that are drawn from a normal distribution, at the share of it that lies below them."""

    def __init__(self, path: str, parent: int | None, code: int, domain: Normal) -> None:
        super().__init__(path, parent, code)
        self._domain, self._curve = domain, NormalDist(domain.mean, domain.sd)

    def kind(self) -> tuple[Hashable, ...]:
        """Return what is equal for columns that are snapped by the same formula."""
        return (type(self).__name__, None if self._domain.q is None else self.path)

    def place(self, values: Mapping[str, Any]) -> float | None:
        """Return the share that lies below the value; None if it is missing or no number."""
        value: Any = values.get(self.path)
        return self._curve.cdf(value) if self._domain.contains(value) else None

    def put(self, place: float, values: dict[str, Any]) -> None:
        """Write the value below which this share lies."""
        values[self.path] = self._value(place)

    def snap(self, places: Array) -> Array:
        """Return the nearest shares that have a value."""
        if self._domain.q is None:
            return np.clip(places, _EDGE, 1 - _EDGE)
        return np.array([self._curve.cdf(self._value(place)) for place in places.ravel()]).reshape(places.shape)

    def _value(self, place: float) -> float:
        return self._domain.nearest(self._curve.inv_cdf(min(max(float(place), _EDGE), 1 - _EDGE)))


class Ladder(Column):
    """A choice between at least three numbers in ascending or descending order, evenly spaced."""

    numbers = ("levels",)

    def __init__(self, path: str, parent: int | None, code: int, options: Sequence[Any]) -> None:
        super().__init__(path, parent, code)
        self._options, self.levels = options, len(options)
        self._rank = {(type(option), option): i for i, option in enumerate(options)}

    def place(self, values: Mapping[str, Any]) -> float | None:
        """Return the share of the option; None if it is none of them."""
        value = values.get(self.path)
        rank = self._rank.get((type(value), value)) if isinstance(value, (int, float)) else None
        return None if rank is None else (rank + 0.5) / self.levels

    def put(self, place: float, values: dict[str, Any]) -> None:
        """Write the option at this share."""
        values[self.path] = self._options[int(self._ranks(np.array([place]))[0])]

    def snap(self, places: Array) -> Array:
        """Return the middles of the options' shares."""
        found: Array = (self._ranks(places) + 0.5) / self.levels
        return found

    def bins(self, places: Array) -> tuple[Array, Array]:
        """Return from where to where each option has its share."""
        ranks = self._ranks(places)
        return ranks / self.levels, (ranks + 1) / self.levels

    def grid(self) -> Array:
        """Return the places of all options, in order."""
        return (np.arange(self.levels) + 0.5) / self.levels

    def _ranks(self, places: Array) -> Array:
        ranks: Array = np.clip(np.floor(places * self.levels), 0, self.levels - 1)
        return ranks


class Category(Column):
    """A choice between options that have no order; some of them may hold variables."""

    is_category = True
    numbers = ("levels",)

    def __init__(self, path: str, parent: int | None, code: int, options: Sequence[Any], by_index: set[int]) -> None:
        super().__init__(path, parent, code)
        distinct: list[int] = []  # the index of each option, but those that are alike only once
        self._codes: list[int] = []  # of each option
        known: dict[Any, int] = {}
        for index, option in enumerate(options):
            name = index if index in by_index else _name(option)
            if name not in known:
                known[name] = len(distinct)
                distinct.append(index)
            self._codes.append(known[name])
        self._known, self._distinct, self._options, self._by_index = known, distinct, options, by_index
        self._drawn: Array = np.array(self._codes, dtype=float)
        self.levels = len(distinct)
        self.neutral = float(self.levels)

    def code_of(self, index: int) -> int:
        """Return the code of an option."""
        return self._codes[index]

    def place(self, values: Mapping[str, Any]) -> float | None:
        """Return the option's code; None if it is none of them."""
        index = values.get(self.path + CHOSEN)
        if isinstance(index, int) and not isinstance(index, bool):
            return float(self._codes[index]) if 0 <= index < len(self._codes) else None
        found = self._known.get(_name(values[self.path])) if self.path in values else None
        return None if found is None else float(found)

    def put(self, place: float, values: dict[str, Any]) -> None:
        """Write the option, or its index where it is kept by that."""
        index = self._distinct[min(max(int(place), 0), self.levels - 1)]
        if index in self._by_index:
            values[self.path + CHOSEN] = index
        else:
            values[self.path] = self._options[index]

    def snap(self, places: Array) -> Array:
        """Return whole codes."""
        return np.clip(np.floor(places), 0, self.levels - 1)

    def grid(self) -> Array:
        """Return all codes."""
        return np.arange(self.levels, dtype=float)

    def draw(self, shares: Array) -> Array:
        """Return the options' codes; those that stand several times in the list are as much more likely."""
        indices = np.clip(np.floor(shares * len(self._codes)), 0, len(self._codes) - 1).astype(int)
        codes: Array = self._drawn[indices]
        return codes


def column_of(space: Space, variable: Variable, parent: int | None, code: int) -> Column | None:
    """Return a variable's column, active where that of its `parent` holds `code`; None if there is nothing to choose.

    Raises:
        NotImplementedError: nobody has said how to encode such a domain.
    """
    path, domain = variable.path, variable.domain
    match domain:
        case Float() | Integer():
            return Line(path, parent, code, domain) if domain.low < domain.high else None
        case Normal():
            return Bell(path, parent, code, domain)
        case Choice(options=options):
            by_index = {index for index, option in enumerate(options) if space.is_by_index(option)}
            if not by_index and _is_ladder(options):
                return Ladder(path, parent, code, options)
            return Category(path, parent, code, options, by_index)
        case SampleFrom():
            return None
        case _:
            return _refuse(domain)


def _refuse(domain: Domain) -> Column:
    raise NotImplementedError(f"There is no encoding of {domain!r}.")


def _is_ladder(options: Sequence[Any]) -> bool:
    if len(options) < 3 or not all(type(option) in (int, float) and isfinite(option) for option in options):
        return False
    pairs = list(pairwise(options))
    return all(a < b for a, b in pairs) or all(a > b for a, b in pairs)


def _name(option: Any) -> Any:
    """Return what is equal and hashable for options that are the same; 1, 1.0 and True are not."""
    if isinstance(option, (list, tuple)):
        return (type(option), *map(_name, option))
    if isinstance(option, dict):
        return (dict, *((key, _name(value)) for key, value in sorted(option.items())))
    return (type(option), option)
