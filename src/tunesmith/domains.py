"""The search space's language: from where each hyperparameter is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor, isfinite, log
from random import Random
from typing import Any

import msgspec

from tunesmith.errors import SpaceError


class Domain(msgspec.Struct, frozen=True):
    """A set of values with a distribution on it. Immutable; equal when it means the same."""

    def sample(self, rng: Random) -> Any:
        """Draw a value."""
        raise NotImplementedError

    def contains(self, value: Any) -> bool:
        """Return whether the value is one of the set. A step `q` is not asked for."""
        raise NotImplementedError


class Float(Domain, frozen=True):
    """Real numbers from `low` to `high`, uniform or, with `log`, uniform in the logarithm; multiples of `q` if given.

    `base` is the logarithm's base; it does not change the distribution and is kept for display.
    """

    low: float
    high: float
    log: bool = False
    q: float | None = None
    base: float = 10

    def __post_init__(self) -> None:
        _check_range("uniform", self.low, self.high, log=self.log, base=self.base)
        _check_step(self.low, self.high, self.q)

    def sample(self, rng: Random) -> float:
        """Draw a value in [low, high]."""
        return self.nearest(_draw(rng, self.low, self.high, log_scale=self.log))

    def nearest(self, value: float) -> float:
        """Return the nearest number that may be drawn."""
        return min(max(value, self.low), self.high) if self.q is None else _quantise(value, self.q, self.low, self.high)

    def share(self, value: float) -> float:
        """Return how far up `value` is, on the domain's own scale: 0 at `low`, 1 at `high`."""
        return _share(value, self.low, self.high, log_scale=self.log)

    def at(self, share: float) -> float:
        """Return the value that is so far up, a share from 0 to 1."""
        return self.nearest(_at(share, self.low, self.high, log_scale=self.log))

    def contains(self, value: Any) -> bool:
        """Return whether it is a number from `low` to `high`."""
        return _is_number(value) and self.low <= value <= self.high


class Integer(Domain, frozen=True):
    """Whole numbers from `low` to `high`, both included, uniform or, with `log`, nearly so in the logarithm."""

    low: int
    high: int
    log: bool = False
    q: int = 1
    base: float = 10

    def __post_init__(self) -> None:
        for value in (self.low, self.high, self.q):
            if not isinstance(value, int) or isinstance(value, bool):
                raise SpaceError(f"The bounds and the step of an integer domain must be whole numbers, got {value!r}.")
        if self.low > self.high:
            raise SpaceError(f"There is no whole number from {self.low} to {self.high}. Are the bounds swapped?")
        _check_log(self.low, log_scale=self.log, base=self.base)
        _check_step(self.low, self.high, self.q)

    def sample(self, rng: Random) -> int:
        """Draw a value in [low, high]."""
        if not self.log and self.q == 1:
            return rng.randint(self.low, self.high)
        # The half below low and above high belong to them, so that the ends are as likely as the rest.
        return self.nearest(_draw(rng, max(self.low - 0.5, self.low * 0.5), self.high + 0.5, log_scale=self.log))

    def nearest(self, value: float) -> int:
        """Return the nearest number that may be drawn."""
        return int(_quantise(value, self.q, self.low, self.high))

    def share(self, value: float) -> float:
        """Return how far up `value` is, on the domain's own scale: 0 at `low`, 1 at `high`."""
        return _share(value, self.low, self.high, log_scale=self.log)

    def at(self, share: float) -> int:
        """Return the whole number that is nearest to so far up, a share from 0 to 1."""
        return self.nearest(_at(share, self.low, self.high, log_scale=self.log))

    def contains(self, value: Any) -> bool:
        """Return whether it is a whole number from `low` to `high`."""
        return isinstance(value, int) and _is_number(value) and self.low <= value <= self.high


class Normal(Domain, frozen=True):
    """Real numbers around `mean` with standard deviation `sd`; multiples of `q` if given."""

    mean: float = 0.0
    sd: float = 1.0
    q: float | None = None

    def __post_init__(self) -> None:
        _check_numbers("randn", self.mean, self.sd)
        if self.sd <= 0:
            raise SpaceError(f"The standard deviation of randn must be above 0, got {self.sd!r}.")
        if self.q is not None and not (isfinite(self.q) and self.q > 0):
            raise SpaceError(f"The step q must be above 0, got {self.q!r}.")

    def sample(self, rng: Random) -> float:
        """Draw a value; it is not bounded."""
        return self.nearest(rng.normalvariate(self.mean, self.sd))

    def nearest(self, value: float) -> float:
        """Return the nearest number that may be drawn: a multiple of `q` if that is given."""
        return value if self.q is None else _clean(round(value / self.q) * self.q)

    def contains(self, value: Any) -> bool:
        """Return whether it is a finite number."""
        return _is_number(value) and isfinite(value)


class Choice(Domain, frozen=True):
    """One of `options`, all equally likely. An option may be a space itself: it is drawn from when it is chosen."""

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise SpaceError("A choice needs at least one option, got none.")

    def sample(self, rng: Random) -> Any:
        """Draw an option."""
        return self.options[int(rng.random() * len(self.options))]

    def contains(self, value: Any) -> bool:
        """Return whether it is one of the options."""
        return _is_among(value, self.options)


class Grid(Domain, frozen=True):
    """Every one of `values` in turn, combined with every value of the other grids."""

    values: tuple[Any, ...]

    def sample(self, rng: Random) -> Any:
        """Refuse: a grid is gone through, not drawn from."""
        raise SpaceError("grid_search is gone through in order; to draw from a list, use choice.")

    def contains(self, value: Any) -> bool:
        """Return whether it is one of the values."""
        return _is_among(value, self.values)


class SampleFrom(Domain, frozen=True):
    """A user's function of the configuration resolved so far."""

    function: Callable[..., Any]

    def sample(self, rng: Random) -> Any:
        """Refuse: the function needs the rest of the configuration."""
        raise SpaceError("sample_from can't be drawn from alone; it is resolved within a space.")

    def contains(self, value: Any) -> bool:
        """Return True: nobody knows what the function may return."""
        return True


def uniform(low: float, high: float) -> Float:
    """Draw a real number uniformly from `low` to `high`."""
    return Float(low, high)


def quniform(low: float, high: float, q: float) -> Float:
    """Draw a multiple of `q` uniformly from `low` to `high`, both included where they are multiples."""
    return Float(low, high, q=q)


def loguniform(low: float, high: float, base: float = 10) -> Float:
    """Draw a real number from `low` to `high`, uniformly in its logarithm; `low` must be above 0."""
    return Float(low, high, log=True, base=base)


def qloguniform(low: float, high: float, q: float, base: float = 10) -> Float:
    """Draw a multiple of `q` from `low` to `high`, uniformly in its logarithm; `low` must be above 0."""
    return Float(low, high, log=True, q=q, base=base)


def randn(mean: float = 0.0, sd: float = 1.0) -> Normal:
    """Draw from the normal distribution with this mean and standard deviation."""
    return Normal(mean, sd)


def qrandn(mean: float, sd: float, q: float) -> Normal:
    """Draw a multiple of `q` from the normal distribution."""
    return Normal(mean, sd, q)


def randint(low: int, high: int) -> Integer:
    """Draw a whole number from `low` to `high`, `high` not included."""
    return Integer(low, _below("randint", low, high))


def qrandint(low: int, high: int, q: int = 1) -> Integer:
    """Draw a multiple of `q` from `low` to `high`, both included."""
    return Integer(low, high, q=q)


def lograndint(low: int, high: int, base: float = 10) -> Integer:
    """Draw a whole number from `low` to `high`, `high` not included, uniformly in its logarithm."""
    return Integer(low, _below("lograndint", low, high), log=True, base=base)


def qlograndint(low: int, high: int, q: int, base: float = 10) -> Integer:
    """Draw a multiple of `q` from `low` to `high`, both included, uniformly in its logarithm."""
    return Integer(low, high, log=True, q=q, base=base)


def choice(options: Sequence[Any]) -> Choice:
    """Draw one of `options`; an option that holds domains is a branch and is drawn from only when chosen.

    >>> choice([{"kernel": "linear"}, {"kernel": "rbf", "gamma": loguniform(1e-4, 1)}]).options[0]
    {'kernel': 'linear'}
    """
    return Choice(tuple(_listed("choice", options)))


def grid_search(values: Sequence[Any]) -> Grid:
    """Try each of `values`, in combination with every other grid; `num_samples` repeats the whole grid."""
    return Grid(tuple(_listed("grid_search", values)))


def sample_from(function: Callable[..., Any]) -> SampleFrom:
    """Compute a value from the others: ``sample_from(lambda spec: spec.config.width * 2)``.

    The order of definition is free. ``spec.rng`` is the trial's own random stream. What the function returned is
    recorded, so a resumed run does not call it again.
    """
    if not callable(function):
        raise SpaceError(f"sample_from needs a function of the spec, got {function!r}.")
    return SampleFrom(function)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_among(value: Any, options: tuple[Any, ...]) -> bool:
    return any(type(value) is type(option) and bool(value == option) for option in options)


def _listed(name: str, values: Any) -> Sequence[Any]:
    if isinstance(values, (str, bytes, dict)) or not hasattr(values, "__iter__"):
        raise SpaceError(f"{name} expects a list of values, got {values!r}. Put a single value into a list.")
    found = list(values)
    if not found:
        raise SpaceError(f"{name} needs at least one value, got an empty list.")
    return found


def _below(name: str, low: int, high: int) -> int:
    for bound in (low, high):
        if not isinstance(bound, int) or isinstance(bound, bool):
            raise SpaceError(f"The bounds of {name} must be whole numbers, got {bound!r}.")
    if low >= high:
        hint = "Are they swapped?" if low > high else "The upper bound is not included."
        raise SpaceError(f"{name}({low}, {high}) is empty: the lower bound must be below the upper one. {hint}")
    return high - 1


def _check_numbers(name: str, *values: Any) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
            raise SpaceError(f"The bounds of {name} must be finite numbers, got {value!r}.")


def _check_range(name: str, low: Any, high: Any, *, log: bool, base: float) -> None:
    _check_numbers(name, low, high)
    if low >= high:
        raise SpaceError(f"The lower bound {low!r} must be below the upper bound {high!r}. Are they swapped?")
    _check_log(low, log_scale=log, base=base)


def _check_log(low: float, *, log_scale: bool, base: float) -> None:
    if not log_scale:
        return
    if low <= 0:
        raise SpaceError(f"The lower bound of a logarithmic domain must be above 0, got {low!r}.")
    if not (isfinite(base) and base > 1):
        raise SpaceError(f"The base of a logarithmic domain must be above 1, got {base!r}.")


def _check_step(low: float, high: float, q: float | None) -> None:
    if q is None:
        return
    if not (isfinite(q) and q > 0):
        raise SpaceError(f"The step q must be above 0, got {q!r}.")
    if floor(high / q + 1e-9) < ceil(low / q - 1e-9):
        raise SpaceError(f"No multiple of q={q!r} lies between {low!r} and {high!r}. Use a smaller step.")


def _draw(rng: Random, low: float, high: float, *, log_scale: bool) -> float:
    if not log_scale:
        return low + (high - low) * rng.random()
    ratio: float = high / low
    value: float = (
        low * ratio ** rng.random()
        if isfinite(ratio)
        else low * 10 ** ((log(high) - log(low)) / log(10) * rng.random())
    )
    return min(max(value, low), high)


def _share(value: float, low: float, high: float, *, log_scale: bool) -> float:
    if log_scale:
        return log(value / low) / log(high / low)
    return (value - low) / (high - low)


def _at(share: float, low: float, high: float, *, log_scale: bool) -> float:
    return float(low * (high / low) ** share) if log_scale else low + share * (high - low)


def _quantise(value: float, q: float, low: float, high: float) -> float:
    """Round to the nearest multiple of `q` that lies within the bounds."""
    steps = min(max(round(value / q), ceil(low / q - 1e-9)), floor(high / q + 1e-9))
    return _clean(steps * q)


def _clean(value: float) -> float:
    """Remove the noise of binary fractions: 0.30000000000000004 is meant to be 0.3."""
    return float(f"{value:.12g}") if isinstance(value, float) else value
