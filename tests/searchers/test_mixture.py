"""Densities over a search space: they add up to one, and draw what they say."""

from typing import Any

import numpy as np
import pytest

import tunesmith as tune
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.mixture import Layout, Mixture, neighbour_gaps
from tunesmith.space import Space

NESTED = {
    "x": tune.uniform(0, 1),
    "model": tune.choice([{"kind": "a", "n": tune.randint(0, 4)}, {"kind": "b", "y": tune.uniform(0, 1)}, "none"]),
}


def mixture(config: dict[str, Any], count: int = 6, seed: int = 3, **options: Any) -> tuple[Encoding, Mixture]:
    encoding = Encoding(Space(config))
    rng = np.random.default_rng(seed)
    rows = encoding.draw(rng.random((count, encoding.dimensions)))
    return encoding, Mixture(Layout(encoding), rows, rng.uniform(0.5, 2, count), 1.0, 0.05, **options)


def total(encoding: Encoding, density: Mixture, points: int = 200) -> float:
    """The sum over all options and values, and the mean over the middles of small parts of what is continuous."""
    middles = (np.arange(points) + 0.5) / points
    rows, weights = encoding.neutral[None], np.ones(1)
    for j, column in enumerate(encoding.columns):
        active = encoding.active(rows)[:, j]
        grid = column.grid() if column.levels else middles
        inner = np.repeat(rows[active], len(grid), axis=0)
        inner[:, j] = np.tile(grid, active.sum())
        each = 1.0 if column.levels else 1 / points
        weights = np.concatenate([weights[~active], np.repeat(weights[active], len(grid)) * each])
        rows = np.concatenate([rows[~active], inner])
    return float((np.exp(density.log_density(rows)) * weights).sum())


@pytest.mark.parametrize("config", [
    {"x": tune.uniform(0, 1)},
    {"n": tune.randint(0, 5)},
    {"n": tune.lograndint(1, 30)},
    {"k": tune.choice(["a", "b", "c"])},
    {"k": tune.choice([1, 2, 4, 8]), "x": tune.loguniform(1e-3, 1)},
    NESTED,
])  # fmt: skip
def test_a_density_adds_up_to_one(config: dict[str, Any]) -> None:
    assert total(*mixture(config)) == pytest.approx(1.0, abs=1e-3)


def test_what_is_drawn_is_as_frequent_as_the_density_says() -> None:
    encoding, density = mixture(NESTED)
    rows = density.sample(20_000, np.random.default_rng(1))
    names = [column.path for column in encoding.columns]
    model, n, y = names.index("model"), names.index("model/n"), names.index("model/y")
    for code in range(3):
        here = rows[:, model] == code
        exact = density.log_marginals(np.where(np.arange(4) == model, code, encoding.neutral)[None])[0, model]
        assert here.mean() == pytest.approx(np.exp(exact), abs=0.015)
    assert set(rows[rows[:, model] != 0, n]) == {0.5} == set(rows[rows[:, model] != 1, y])
    np.testing.assert_array_equal(rows, encoding.canonical(rows))


def test_a_single_variables_density_is_the_whole_one_where_there_is_no_other() -> None:
    for config in ({"x": tune.uniform(0, 1)}, {"n": tune.randint(0, 9)}, {"k": tune.choice(["a", "b", "c"])}):
        encoding, density = mixture(config)
        rows = encoding.draw(np.random.default_rng(5).random((20, 1)))
        np.testing.assert_allclose(density.log_marginals(rows)[:, 0], density.log_density(rows))


def test_a_density_is_high_around_its_trials_and_without_any_it_is_the_spaces_own() -> None:
    encoding, layout = Encoding(Space({"x": tune.uniform(0, 1), "k": tune.choice(["a", "b"])})), None
    layout = Layout(encoding)
    row = np.array([[0.3, 1.0]])
    near = Mixture(layout, np.repeat(row, 5, axis=0), np.ones(5), 1.0, 0.05)
    rows = np.array([[0.3, 1.0], [0.9, 1.0], [0.3, 0.0]])
    assert near.log_density(rows).argmax() == 0
    own = Mixture(layout, np.empty((0, 2)), np.empty(0), 1.0, 0.05)
    np.testing.assert_allclose(own.log_density(rows), np.log(0.5))
    assert own.sample(50, np.random.default_rng(0)).std(axis=0).min() > 0.1


def test_crossed_configurations_take_their_variables_from_others() -> None:
    encoding = Encoding(Space({name: tune.choice(list("abcdefgh")) for name in "uvw"}))
    rows = np.array([[0.0, 0.0, 0.0], [7.0, 7.0, 7.0]])
    density = Mixture(Layout(encoding), rows, np.ones(2), 1e-9, 0.05, smoothing=1e-9)
    drawn = density.sample(40, np.random.default_rng(0), crossed=20)
    assert all(len(set(row)) == 1 for row in drawn[:20])
    assert any(len(set(row)) == 2 for row in drawn[20:])


def test_very_many_options_cost_no_more_than_a_few() -> None:
    encoding = Encoding(Space({"k": tune.choice([f"option {i}" for i in range(100_000)])}))
    rows = np.arange(30.0)[:, None]
    density = Mixture(Layout(encoding), rows, np.ones(30), 1.0, 0.05)
    found = density.log_density(np.array([[3.0], [50_000.0]]))
    assert found[0] > found[1]
    assert density.sample(10, np.random.default_rng(0)).max() < 100_000


def test_gaps_are_to_the_farther_neighbour_and_those_that_are_not_active_are_none() -> None:
    column = np.array([[0.5, 0.1, 0.2]])
    np.testing.assert_allclose(neighbour_gaps(column, None), [[0.3, 0.1, 0.3]])
    np.testing.assert_allclose(neighbour_gaps(column, np.array([[True, True, False]])), [[0.4, 0.4, 0.4]], atol=1)
    np.testing.assert_allclose(neighbour_gaps(np.array([[0.2]]), None), [[0.8]])
