"""The tasks that schedulers are judged on are those of the literature, and their scores mean what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def task():
    """Two configurations, two reports: the first looks good early and ends badly."""
    from tasks import Task

    observed = np.array([[0.2, 0.9], [0.5, 0.1]])
    return Task("two", "toys", (1, 2), observed, observed, np.array([1.0, 2.0]), best=0.0, median=1.0)


@pytest.mark.parametrize(
    ("optimum", "value"),
    [
        ([0.114614, 0.555649, 0.852547], -3.86278),
        ([0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573], -3.32237),
    ],
)
def test_hartmann_has_its_published_optimum(optimum, value):
    from tasks import OPTIMA, hartmann

    assert hartmann(np.array([optimum]))[0] == pytest.approx(value, abs=1e-4)
    assert OPTIMA[len(optimum)] == value


def test_low_fidelities_rank_worse_from_good_to_terrible_and_the_full_one_has_no_noise():
    from tasks import QUALITIES, mf_hartmann

    tasks = [mf_hartmann(3, quality, rows=2000) for quality in QUALITIES]
    ranks = [[np.argsort(np.argsort(column)) for column in (t.observed[:, 4], t.actual[:, -1])] for t in tasks]
    correlations = [np.corrcoef(*pair)[0, 1] for pair in ranks]
    assert correlations == sorted(correlations, reverse=True)
    for task in tasks:
        assert (task.observed[:, -1] == task.actual[:, -1]).all()
        assert (task.observed >= task.actual).all()


def test_a_seed_orders_the_configurations_the_same_way_every_time():
    from tasks import mf_hartmann, order

    task = mf_hartmann(3, "good", rows=50)
    assert (order(task, 7) == order(task, 7)).all()
    assert (order(task, 7) != order(task, 8)).any()
    assert sorted(order(task, 7)) == list(range(50))


def test_the_regret_is_that_of_what_looked_best_by_then(task):
    from scoring import MOMENTS, Log, regrets

    log = Log([1.0, 2.0, 2.0, 4.0], [0, 1, 0, 1], [0, 0, 1, 1])
    configuration, model = regrets(task, log, horizon=10.0)
    at = [np.searchsorted(MOMENTS * 10, time) for time in (0.5, 1.5, 5.0)]
    assert configuration[at].tolist() == [1.0, 0.9, 0.1], "the configuration counts as fully trained"
    assert model[at].tolist() == [1.0, 0.2, 0.1], "the model counts as it was"


def test_a_run_without_a_report_is_as_good_as_the_median(task):
    from scoring import Log, regrets

    assert (regrets(task, Log([], [], []), horizon=1.0) == 1.0).all()


def test_the_share_of_the_time_is_read_off_where_the_reference_ends():
    from scoring import MOMENTS, share

    reference = np.linspace(1.0, 0.5, len(MOMENTS))[None, None]
    faster = np.where(MOMENTS >= 0.25, 0.5, 1.0)[None, None]
    assert share(faster, reference).value == pytest.approx(0.25, rel=0.05)
    assert share(np.ones_like(faster), reference).value == 1.0, "never"
