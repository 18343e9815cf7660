from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunesmith as tune
from tunesmith.searchers.encoding import Encoding
from tunesmith.space import Space

SOLVER = tune.choice([{"name": "adam"}, {"m": tune.uniform(0, 1)}])
TREE = {
    "model": tune.choice(
        [
            {"kind": "linear", "penalty": tune.choice(["l1", "l2"])},
            {"kind": "net", "width": tune.qlograndint(8, 256, 8), "solver": SOLVER},
            "none",
        ]
    ),
    "lr": tune.loguniform(1e-5, 1),
    "steps": tune.randint(1, 6),
    "batch": tune.choice([16, 32, 64, 128]),
    "noise": tune.qrandn(0, 2, 0.5),
    "tuple": tune.choice([(1, 2), (3, 4)]),
    "constant": 7,
    "only": tune.choice(["one"]),
    "double": tune.sample_from(lambda spec: spec.config.steps * 2),
}  # fmt: skip


def encoding(**config: Any) -> Encoding:
    return Encoding(Space(config))


@given(st.integers(0, 10_000))
def test_what_is_drawn_is_found_again_by_its_row(number: int) -> None:
    space = Space(TREE)
    table = Encoding(space)
    values = space.sample(1, number)
    row = table.encode(values)
    assert row is not None
    found = table.decode(row)
    rest = {path: values[path] for path in values if path not in ("only", "double")}
    assert found.keys() == rest.keys()
    for path, value in found.items():
        assert type(value) is type(rest[path])
        assert value == (pytest.approx(rest[path], rel=1e-9, abs=1e-9) if isinstance(value, float) else rest[path])


@given(st.lists(st.floats(0, 1), min_size=10, max_size=10))
def test_every_point_of_the_cube_is_a_configuration_whose_row_is_itself(shares: list[float]) -> None:
    table = Encoding(Space(TREE))
    row = table.draw(np.array([shares[: table.dimensions]]))[0]
    again = table.encode(table.decode(row))
    assert again is not None
    np.testing.assert_allclose(again, row, atol=1e-9)


def test_rows_are_equal_when_they_mean_the_same() -> None:
    table = Encoding(Space(TREE))
    paths = [column.path for column in table.columns]
    rows = table.draw(np.random.default_rng(0).random((200, table.dimensions)))
    other = rows.copy()
    width = paths.index("model/width")
    inactive = rows[:, paths.index("model")] != 1
    other[inactive, width] = 0.123
    assert inactive.any()
    np.testing.assert_array_equal(table.canonical(other), rows)
    assert not table.active(rows)[inactive, width].any()
    assert table.active(rows)[~inactive, width].all()


def test_whole_numbers_lie_in_the_middle_of_equal_shares() -> None:
    table = encoding(n=tune.randint(1, 5))
    np.testing.assert_allclose([table.encode({"n": n}) for n in (1, 2, 3, 4)], [[0.125], [0.375], [0.625], [0.875]])
    np.testing.assert_allclose(table.columns[0].grid(), [0.125, 0.375, 0.625, 0.875])
    low, high = table.columns[0].bins(table.columns[0].grid())
    np.testing.assert_allclose(low, [0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(high, [0.25, 0.5, 0.75, 1])


def test_the_shares_of_a_logarithmic_variable_are_as_likely_as_they_are_wide() -> None:
    space = Space({"n": tune.lograndint(1, 33)})
    table = Encoding(space)
    low, high = table.columns[0].bins(table.columns[0].grid())
    assert low[0] == 0
    assert high[-1] == 1
    np.testing.assert_allclose(low[1:], high[:-1])
    drawn = np.bincount([space.sample(3, i)["n"] for i in range(4000)], minlength=33)[1:] / 4000
    np.testing.assert_allclose(high - low, drawn, atol=0.03)


def test_numbers_in_order_are_a_ladder_and_others_are_categories() -> None:
    table = encoding(up=tune.choice([1, 2, 4]), down=tune.choice([0.3, 0.2, 0.1]), mixed=tune.choice([1, 3, 2]),
                     two=tune.choice([1, 2]), flags=tune.choice([False, True, None]))  # fmt: skip
    kinds = {column.path: column.is_category for column in table.columns}
    assert kinds == {"up": False, "down": False, "mixed": True, "two": True, "flags": True}


def test_options_that_are_alike_share_a_code_and_are_as_much_more_likely() -> None:
    table = encoding(x=tune.choice(["a", "b", "a", "a"]))
    rows = table.draw(np.array([[0.1], [0.3], [0.6], [0.9]]))
    assert [table.decode(row)["x"] for row in rows] == ["a", "b", "a", "a"]
    assert table.columns[0].levels == 2


def test_one_and_true_are_different_options() -> None:
    table = encoding(x=tune.choice([1, True, 1.0]))
    for value in (1, True, 1.0):
        row = table.encode({"x": value})
        assert row is not None
        assert type(table.decode(row)["x"]) is type(value)


def test_a_value_outside_has_no_row_but_may_be_left_open() -> None:
    table = encoding(x=tune.uniform(0, 1), n=tune.randint(0, 4))
    assert table.encode({"x": 2.0, "n": 1}) is None
    assert table.encode({"x": 0.25}) is None
    row = table.encode({"x": 0.25}, partly=True)
    assert row is not None
    assert list(row) in ([0.25, 0.625], [0.625, 0.25])  # what is open lies at the level nearest to the middle


def test_the_size_counts_different_configurations() -> None:
    assert encoding(a=tune.randint(0, 3), b=tune.choice(["x", "y"])).size == 6
    assert encoding(a=tune.uniform(0, 1)).size is None
    assert encoding(a=7).size == 1
    nested = encoding(
        m=tune.choice([{"a": tune.randint(0, 3)}, {"b": tune.choice([1, 2]), "c": tune.randint(0, 2)}, "x"])
    )
    assert nested.size == 3 + 4 + 1
    rows = nested.all_rows()
    assert len({nested.key(row) for row in rows}) == len(rows) == 8


def test_a_choice_with_one_branch_is_always_taken() -> None:
    table = encoding(m=tune.choice([{"a": tune.uniform(0, 1)}]))
    assert [column.parent for column in table.columns] == [None]
    row = table.encode({"m?": 0, "m/a": 0.5})
    assert row is not None
    assert table.decode(row) == {"m/a": 0.5}


def test_an_option_may_be_a_domain_itself() -> None:
    table = encoding(x=tune.choice(["auto", tune.uniform(0, 1)]))
    assert table.decode(np.array([1.0, 0.25])) == {"x?": 1, "x": 0.25}
    assert table.decode(np.array([0.0, 0.5])) == {"x": "auto"}
    row = table.encode({"x?": 1, "x": 0.25})
    assert row is not None
    assert list(row) == [1.0, 0.25]


def test_very_many_choices_are_found_by_value() -> None:
    table = encoding(x=tune.choice([f"word{i}" for i in range(200_000)]), y=tune.randint(0, 1_000_000))
    row = table.encode({"x": "word199999", "y": 999_999})
    assert row is not None
    assert table.decode(row) == {"x": "word199999", "y": 999_999}


@pytest.mark.parametrize(
    "domain", [tune.uniform(-5, 5), tune.quniform(0, 1, 0.1), tune.qloguniform(0.1, 10, 0.1), tune.randint(-3, 3),
               tune.qrandint(0, 100, 7), tune.randn(5, 2)]
)  # fmt: skip
def test_snapping_again_changes_nothing(domain: Any) -> None:
    (column,) = encoding(x=domain).columns
    places = column.snap(np.linspace(0, 1, 101))
    np.testing.assert_allclose(column.snap(places), places, atol=1e-12)
    for place in places:
        values: dict[str, Any] = {}
        column.put(place, values)
        assert column.place(values) == pytest.approx(place, abs=1e-9)
