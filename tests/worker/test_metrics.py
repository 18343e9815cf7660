"""What becomes of reported values."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tunesmith.errors import ArgumentError
from tunesmith.worker.metrics import as_number, plain


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        (3, 3),
        (True, True),
        (None, None),
        ("text", "text"),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array(2.5), 2.5),
        (np.array([1, 2]), [1, 2]),
        ((1, (2, 3)), [1, [2, 3]]),
        ({"a": {1: np.float64(2)}}, {"a": {"1": 2.0}}),
        (Fraction(1, 4), 0.25),
        (10**30, 1e30),
        ("\ud800", "?"),
    ],
)
def test_values_become_plain(value: Any, expected: Any) -> None:
    found = plain({"v": value})["v"]
    assert found == expected
    assert type(found) is type(expected)


def test_nan_and_infinities_stay() -> None:
    found = plain({"a": float("nan"), "b": np.inf, "c": [np.float32("nan")]})
    assert math.isnan(found["a"])
    assert found["b"] == math.inf
    assert math.isnan(found["c"][0])


def test_other_objects_become_text_with_one_warning(capsys: pytest.CaptureFixture[str]) -> None:
    class Model:
        def __repr__(self) -> str:
            return "Model" * 100

    class Broken:
        def __repr__(self) -> str:
            raise ValueError

    for _ in range(2):
        found = plain({"a_model": Model(), "broken": Broken()})
        assert found == {"a_model": "Model" * 40, "broken": "<Broken>"}
    err = capsys.readouterr().err
    assert err.count("'a_model' is of type Model: its repr is kept instead") == 1


def test_a_structure_that_contains_itself_ends() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert plain({"v": endless})


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(ArgumentError, match="must be a mapping of names to values, got 3"):
        plain(3)
    with pytest.raises(ArgumentError, match=r"must be a string, got 3. Use str\(3\)"):
        plain({3: 1})


def test_numbers_are_recognised() -> None:
    assert as_number(np.float32(0.5)) == 0.5
    assert as_number("0.5") is None
    assert as_number([1]) is None
