"""Domains draw what they say, and refuse what makes no sense."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith import domains as d
from tunesmith.errors import SpaceError


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: d.uniform(1, 0), "Are they swapped"),
        (lambda: d.uniform(1, 1), "must be below"),
        (lambda: d.uniform("a", 1), "finite numbers"),
        (lambda: d.uniform(0, float("inf")), "finite numbers"),
        (lambda: d.loguniform(0, 1), "above 0"),
        (lambda: d.loguniform(1, 2, base=1), "base"),
        (lambda: d.quniform(0, 1, 0), "step q"),
        (lambda: d.quniform(0.1, 0.2, 1), "No multiple of q=1"),
        (lambda: d.randint(5, 5), "upper bound is not included"),
        (lambda: d.randint(6, 5), "swapped"),
        (lambda: d.randint(0.5, 2), "whole numbers"),
        (lambda: d.lograndint(0, 5), "above 0"),
        (lambda: d.randn(0, 0), "above 0"),
        (lambda: d.choice([]), "at least one value"),
        (lambda: d.choice("relu"), "Put a single value into a list"),
        (lambda: d.grid_search(3), "expects a list"),
        (lambda: d.sample_from(3), "needs a function"),
    ],
)
def test_nonsense_is_refused_with_what_and_why(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        make()


def draws(domain: d.Domain, n: int = 2000) -> list[Any]:
    rng = Random(0)
    return [domain.sample(rng) for _ in range(n)]


def test_a_logarithmic_domain_is_uniform_in_the_logarithm() -> None:
    values = draws(d.loguniform(1e-4, 1), 4000)
    share = [sum(10**k <= v < 10 ** (k + 1) for v in values) / 4000 for k in (-4, -3, -2, -1)]
    assert all(0.21 < s < 0.29 for s in share)


def test_integers_include_the_bounds_they_should_and_are_all_drawn() -> None:
    assert set(draws(d.randint(1, 5))) == {1, 2, 3, 4}
    assert set(draws(d.qrandint(0, 10, 5))) == {0, 5, 10}
    assert set(draws(d.lograndint(1, 5))) == {1, 2, 3, 4}
    assert all(type(v) is int for v in draws(d.qlograndint(1, 100, 5), 100))


def test_logarithmic_integers_are_nearly_uniform_in_the_logarithm() -> None:
    values = draws(d.lograndint(1, 1001), 6000)
    share = sum(v < 32 for v in values) / 6000
    assert abs(share - log(31.5 / 0.5) / log(1000.5 / 0.5)) < 0.03


def test_quantised_values_are_clean_multiples() -> None:
    assert set(draws(d.quniform(0, 1, 0.1))) == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0}


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.floats(1e-3, 10), st.integers(0, 99))
def test_quantised_values_lie_within_the_bounds(low: float, width: float, q: float, seed: int) -> None:
    try:
        domain = d.quniform(low, low + width, q)
    except SpaceError:
        return
    value = domain.sample(Random(seed))
    assert low - 1e-5 <= value <= low + width + 1e-5
    assert abs(value / q - round(value / q)) < 1e-3


@given(st.floats(1e-12, 1e6), st.floats(1.001, 1e12), st.integers(0, 99))
def test_logarithmic_values_lie_within_the_bounds(low: float, ratio: float, seed: int) -> None:
    assert low <= d.loguniform(low, low * ratio).sample(Random(seed)) <= low * ratio


def test_normal_values_have_the_mean_and_spread() -> None:
    values = draws(d.randn(10, 2), 4000)
    mean = sum(values) / 4000
    assert abs(mean - 10) < 0.15
    assert all(abs(v / 0.5 - round(v / 0.5)) < 1e-9 for v in draws(d.qrandn(0, 1, 0.5), 50))


def test_equal_domains_mean_the_same() -> None:
    assert d.randint(1, 5) == d.qrandint(1, 4)
    assert d.uniform(0, 1) != d.uniform(0, 2)
