from __future__ import annotations

import doctest
from math import inf, nan

import pytest

from tunesmith.console import words


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(words).failed == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1 + 0.2, "0.3"),
        (-0.00001234567, "-1.2346e-05"),
        (nan, "nan"),
        (-inf, "-inf"),
        (0.0, "0"),
        (123456, "123456"),
        (10**15, "1e+15"),
        (-(10**400), "-10^400"),
        (True, "True"),
        (None, "None"),
        ("two\nlines\x1b[31m", "two lines [31m"),
        ({"$tuple": [64, 32]}, "(64, 32)"),
        ({"$float": "nan"}, "nan"),
    ],
)
def test_a_value_is_short_and_on_one_line(value: object, text: str) -> None:
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.9712, 0.98, 1.0], ["0.97120", "0.98000", "1.00000"]),
        ([0.081697, 0.1424, None, 0.0], ["0.081697", "0.142400", "", "0.000000"]),
        ([0.0123, 3e-7, nan], ["0.012300", "3e-07", "nan"]),
        ([1234.5, 2.25], ["1234.5000", "2.2500"]),
        ([1e9, 0.5], ["1e+09", "0.5"]),
        ([123456.7, 99999.25], ["123457", "99999"]),
        ([1, 20, None], ["1", "20", ""]),
        ([nan, inf], ["nan", "inf"]),
        ([], []),
    ],
)
def test_numbers_of_a_column_that_are_alike_get_the_same_decimals(values: list[object], texts: list[str]) -> None:
    assert words.column(values) == texts


@pytest.mark.parametrize(
    ("seconds", "long", "short"),
    [
        (0, "0.0 s", "0.0 s"),
        (-1, "0.0 s", "0.0 s"),  # a clock that was set back
        (0.44, "0.4 s", "0.4 s"),
        (9.96, "10 s", "10 s"),
        (59.4, "59 s", "59 s"),
        (59.6, "1 min 0 s", "1m00s"),
        (725, "12 min 5 s", "12m05s"),
        (3599.6, "1 h 0 min", "1h00m"),
        (12_000, "3 h 20 min", "3h20m"),
        (86_399, "23 h 59 min", "23h59m"),
        (200_000, "2 d 7 h", "2d7h"),
    ],
)
def test_time_spans(seconds: float, long: str, short: str) -> None:
    assert words.duration(seconds) == long
    assert words.short_duration(seconds) == short
    assert len(short) <= 6


def test_plurals() -> None:
    assert [words.counted(n, "trial") for n in (0, 1, 2, 12345)] == ["0 trials", "1 trial", "2 trials", "12,345 trials"]


def test_names_are_short_unless_they_would_be_the_same() -> None:
    paths = ["actor/lr", "critic/lr", "model/layers/0", "model/layers/1", "opt?", "a~1b"]
    names = ["actor/lr", "critic/lr", "layers_0", "layers_1", "opt", "a/b"]
    assert list(words.labels(paths).values()) == names


def test_a_configuration_names_options_and_cuts_what_is_endless() -> None:
    text = words.configuration({"opt?": 1, "name": "x" * 500, "lr": 0.0123456789})
    assert text == f"lr=0.012346, name={'x' * 59}…, opt=option 1"


def test_of_a_message_the_first_line_that_says_something_is_shown() -> None:
    assert words.first_line("\n  \nboom\nmore") == "boom"
    assert words.first_line(" \n") == "no message"
