"""How much each hyperparameter matters, and how the result depends on it, from the trials of an experiment."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from math import ceil, log
from statistics import NormalDist
from typing import Any, Final, NamedTuple

from tunesmith.paths import CHOSEN, join
from tunesmith.searchers.arrays import Array, np

_CELLS: Final = 100  # into which the range of a number is cut
_DOMAINS: Final = ("Float(", "Integer(", "Normal(")
_LEAST: Final = 5  # trials at least are the best ones


class Marginal(NamedTuple):
    """How the result depends on one hyperparameter, whatever the others are.

    Attributes:
        path: the hyperparameter.
        values: where the curve is told: numbers in rising order, or all options that were tried.
        means: the mean of the metric there, over the trials nearby.
        spreads: the standard deviation of the metric there, that of the trials and not of the mean.
        shares: the share of the trials there that are among the best.
        counts: how many trials there are about there: a mean of few is no more than a guess.
    """

    path: str
    values: list[Any]
    means: list[float]
    spreads: list[float]
    shares: list[float]
    counts: list[float]


class _Parameter(NamedTuple):
    """A hyperparameter in the trials in which it is active.

    `trials` are their indices; `kernels`, shape (cells, trials), has how much of each trial lies in each cell, so that
    each column's sum is 1. `values` are the cells' own.
    """

    trials: Array
    kernels: Array
    values: list[Any]


def importances(space: Any, trials: Sequence[Mapping[str, Any]], order: Sequence[int], top: float) -> dict[str, float]:
    """Return by path how much of the difference between the best and the rest is due to each hyperparameter.

    The shares add up to 1 and come in falling order; all are 0 where nothing tells the best from the rest.

    By PED-ANOVA, the part of a hyperparameter is the variance, over all trials, of the chance to be among the best,
    given its value: the square of the share of the best, times the Pearson divergence of the density of the best from
    that of all. What is active in some trials only is judged among these, and counts by how many they are. What the
    divergence would be if the best were drawn by lot is taken off, and what is not more than two standard deviations
    above that is nothing.

    Args:
        space: the description of the search space.
        trials: their values by path.
        order: their indices, the best first.
        top: the share of the best, above 0 and below 1.

    Source: Watanabe, Bansal and Hutter, PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
    Subspaces, IJCAI 2023, arXiv 2304.10255, equation for the local importance; within regimes as in Baba, Ozaki and
    Watanabe, Conditional PED-ANOVA, 2026, arXiv 2601.20800.
    """
    best = _best(order, top)
    found: dict[str, float] = {}
    for path, parameter in _parameters(space, trials, best).items():
        found[path] = _variance(parameter, best) * len(parameter.trials) / len(trials)
    total = sum(found.values())
    shares = {path: part / total if total > 0 else 0.0 for path, part in found.items()}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def marginal(  # noqa: PLR0917 - those of `importances`, and two more
    space: Any,
    trials: Sequence[Mapping[str, Any]],
    order: Sequence[int],
    top: float,
    path: str,
    results: Sequence[float | None],
) -> Marginal | None:
    """Return the curve of one hyperparameter; None if no trial has it.

    `results` are the metric's values, None where a trial has none that counts; the other arguments are those of
    `importances`.
    """
    best = _best(order, top)
    parameter = _parameters(space, trials, best, only=path).get(path)
    if parameter is None:
        return None
    known = np.array([results[i] is not None for i in parameter.trials], dtype=bool)
    y = np.array([0.0 if results[i] is None else results[i] for i in parameter.trials], dtype=float)
    weights = parameter.kernels * known
    counts = weights.sum(axis=1)
    there = counts > 1e-3 * max(float(counts.max(initial=0.0)), 1e-12)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = weights @ y / counts
        spreads = np.sqrt(np.maximum(weights @ y**2 / counts - means**2, 0.0))
        shares = parameter.kernels @ _among(parameter, best) / parameter.kernels.sum(axis=1)
    scale = _around(parameter.kernels)
    columns = [means, spreads, shares, counts * scale]
    values = [value for value, here in zip(parameter.values, there, strict=True) if here]
    return Marginal(path, values, *([float(x) for x in column[there]] for column in columns))


def _around(kernels: Array) -> Array:
    """Return for each cell by what to multiply its weights, so that a trial right there counts as one."""
    found: Array = 1 / np.maximum(kernels.max(axis=1), 1e-12)
    return found


def _best(order: Sequence[int], top: float) -> set[int]:
    count = min(max(ceil(top * len(order)), _LEAST), len(order) - 1)
    return set(order[:count])


def _among(parameter: _Parameter, best: set[int]) -> Array:
    return np.array([int(i) in best for i in parameter.trials], dtype=float)


def _variance(parameter: _Parameter, best: set[int]) -> float:
    """Return the variance of the chance to be among the best, given the value; among the trials that have one."""
    chosen = _among(parameter, best)
    count, good = len(chosen), int(chosen.sum())
    if not 2 <= good < count:
        return 0.0
    kernels = parameter.kernels
    density = kernels.mean(axis=1)
    cells = density > 0
    kernels, density = kernels[cells], density[cells]
    divergence = float((((kernels @ chosen) / good - density) ** 2 / density).sum())
    # If the best were drawn by lot, it would be a sum of squares with these weights' trace and twice their squares.
    apart = (kernels - density[:, None]) / np.sqrt(density)[:, None]
    weights = apart @ apart.T * ((1 / good - 1 / count) / (count - 1))
    by_lot, deviation = float(np.trace(weights)), float(np.sqrt(2 * (weights**2).sum()))
    return (divergence - by_lot) * (good / count) ** 2 if divergence > by_lot + 2 * deviation else 0.0


# -- the hyperparameters of a record


def _parameters(
    space: Any, trials: Sequence[Mapping[str, Any]], best: set[int], only: str | None = None
) -> dict[str, _Parameter]:
    domains = _domains(space, "")
    paths = dict.fromkeys(path.removesuffix(CHOSEN) for values in trials for path in values)
    found: dict[str, _Parameter] = {}
    for path in paths:
        if only is not None and path != only:
            continue
        active = [i for i, values in enumerate(trials) if path in values or path + CHOSEN in values]
        good = sum(i in best for i in active)
        domain = domains.get(path)
        numbers = [trials[i].get(path) for i in active]
        if domain is not None and all(_is_number(number) for number in numbers):
            kernels, values = _numeric(domain, numbers, good)
        else:
            kernels, values = _categorical([_label(trials[i], path) for i in active])
        found[path] = _Parameter(np.array(active, dtype=int), kernels, values)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _label(values: Mapping[str, Any], path: str) -> Any:
    return values[path] if path in values else f"option {values[path + CHOSEN]}"


def _categorical(labels: Sequence[Any]) -> tuple[Array, list[Any]]:
    names = [repr(label) for label in labels]
    different = dict(zip(names, labels, strict=True))
    codes = {name: code for code, name in enumerate(sorted(different, key=lambda n: _in_order(different[n])))}
    kernels = np.zeros((len(codes), len(labels)))
    kernels[[codes[name] for name in names], np.arange(len(labels))] = 1.0
    return kernels, [different[name] for name in codes]


def _in_order(label: Any) -> tuple[bool, float, str]:
    return (False, float(label), "") if _is_number(label) else (True, 0.0, str(label))


def _numeric(domain: Mapping[str, Any], numbers: Sequence[Any], good: int) -> tuple[Array, list[Any]]:
    """Smooth each number over the cells of the domain's own scale, where its distribution is uniform.

    The width is Scott's for as many as are among the best, so that the best and all are smoothed alike, and what would
    lie beyond the ends is folded back.
    """
    to, back = _scale(domain, numbers)
    places = np.clip(np.array([to(float(number)) for number in numbers]), 0.0, 1.0)
    width = max(1.06 * min(float(places.std()), 0.3) * max(good, _LEAST) ** -0.2, 1.0 / _CELLS)
    cells = (np.arange(_CELLS) + 0.5) / _CELLS
    kernels = np.zeros((_CELLS, len(places)))
    for center in (places, -places, 2 - places):
        kernels += np.exp(-0.5 * ((cells[:, None] - center[None]) / width) ** 2)
    kernels /= kernels.sum(axis=0)
    return kernels, [back(float(cell)) for cell in cells]


def _scale(domain: Mapping[str, Any], numbers: Sequence[Any]) -> tuple[Any, Any]:
    """Return the ways from a number to its place from 0 to 1, and back."""
    if "mean" in domain:
        curve = NormalDist(domain["mean"], domain["sd"])
        return curve.cdf, curve.inv_cdf
    low = min(float(domain["low"]), *map(float, numbers))
    high = max(float(domain["high"]), *map(float, numbers))
    if not high > low:
        high = low + 1.0
    if domain.get("log") and low > 0:
        a, b = log(low), log(high)
        return lambda x: (log(x) - a) / (b - a), lambda u: float(np.exp(a + u * (b - a)))
    return lambda x: (x - low) / (high - low), lambda u: low + u * (high - low)


def _domains(node: Any, path: str) -> dict[str, dict[str, Any]]:
    """Return by path the arguments of the numeric domains in a description; see `tunesmith.space.Space.describe`."""
    if isinstance(node, str):
        return {path: _arguments(node)} if node.startswith(_DOMAINS) else {}
    found: dict[str, dict[str, Any]] = {}
    for below, child in _children(node, path):
        found |= _domains(child, below)
    return found


def _children(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield what is in a part of a description, with its path; a choice's options are where the choice is."""
    if isinstance(node, dict):
        options = next(iter(node.values())) if set(node) in ({"choice"}, {"grid"}) else None
        if isinstance(options, list):
            yield from ((path, option) for option in options if not isinstance(option, str))
        else:
            yield from ((f"{path}/{join((key,))}" if path else join((key,)), child) for key, child in node.items())
    elif isinstance(node, list):
        yield from ((f"{path}/{i}" if path else str(i), child) for i, child in enumerate(node))


def _arguments(text: str) -> dict[str, Any]:
    call = ast.parse(text, mode="eval").body
    return (
        {word.arg or "": ast.literal_eval(word.value) for word in call.keywords} if isinstance(call, ast.Call) else {}
    )
