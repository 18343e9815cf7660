"""Any value goes to plain JSON and comes back; reading never unpickles."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.codec import from_plain, to_plain

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=9),
    lambda v: (
        st.lists(v, max_size=3)
        | st.tuples(v, v)
        | st.dictionaries(st.text(max_size=3), v, max_size=3)
        | st.dictionaries(st.integers() | st.just("$tuple"), v, max_size=3)
    ),
    max_leaves=8,
)


@given(values)
def test_plain_values_come_back_exactly(value: Any) -> None:
    text = json.dumps(to_plain(value), allow_nan=False)
    assert repr(from_plain(json.loads(text))) == repr(value)


def test_sets_come_back() -> None:
    assert from_plain(to_plain({"a": {1, 2}, "b": frozenset("x")})) == {"a": {1, 2}, "b": frozenset("x")}


def test_numpy_numbers_become_numbers() -> None:
    assert to_plain({"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True)}) == {"a": 0.5, "b": 3, "c": True}
    assert math.isnan(from_plain(to_plain(np.float64("nan"))))


class Thing:
    """Tells when it is unpickled."""

    unpickled = 0

    def __setstate__(self, state: Any) -> None:
        Thing.unpickled += 1

    def __getstate__(self) -> Any:
        return {"a": 1}


def test_an_object_is_shown_by_its_repr_and_unpickled_only_when_asked_to() -> None:
    plain = to_plain([Thing()], pickle.dumps)
    (shown,) = from_plain(plain)
    assert "Thing object" in shown
    assert " at 0x" not in shown
    assert Thing.unpickled == 0
    (thing,) = from_plain(plain, pickle.loads)
    assert type(thing) is Thing
    assert Thing.unpickled == 1


def test_an_object_whose_repr_raises_is_still_shown() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise ValueError

    assert "Rude" in to_plain(Rude())["$object"]


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinities_come_back(value: float) -> None:
    assert from_plain(json.loads(json.dumps(to_plain(value)))) == value
