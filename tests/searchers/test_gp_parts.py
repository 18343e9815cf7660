"""The parts of the Gaussian process searcher, each against its formula or against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from math import nan

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import tunesmith as tune
from tunesmith.searchers.algebra import cholesky
from tunesmith.searchers.arrays import Array, generator
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.gp_acquisition import Acquisition, Feasible, LogImprovement, log_improvement
from tunesmith.searchers.gp_ascent import Climb
from tunesmith.searchers.gp_fit import Fit
from tunesmith.searchers.gp_kernel import Kernel
from tunesmith.searchers.gp_moves import Moves
from tunesmith.searchers.gp_pareto import AreaImprovement, VolumeGain, directions, reference
from tunesmith.searchers.gp_posterior import Posterior, Root
from tunesmith.searchers.gp_prior import Prior
from tunesmith.searchers.gp_region import Box, length
from tunesmith.searchers.gp_subset import subset
from tunesmith.searchers.gp_thompson import Paths
from tunesmith.searchers.gp_warp import warp
from tunesmith.searchers.ranks import is_undominated
from tunesmith.space import Space

OPTIONS = {"b": ["x", "y", "z"], "e": ["x", "y", "z", "w"]}
PRIOR = Prior(
    Encoding(Space({name: tune.choice(OPTIONS[name]) if name in OPTIONS else tune.uniform(0, 1) for name in "abcde"}))
)
IS_CATEGORY = PRIOR.is_category
THETA = np.array([-0.3, 0.2, 0.1, -0.6, 0.4, 0.3, -3.0])


def rows(count: int, seed: int = 0) -> Array:
    rng = generator(seed)
    found = rng.random((count, 5))
    found[:, 1], found[:, 4] = rng.integers(0, 3, count), rng.integers(0, 4, count)
    return found


def values(count: int, seed: int = 0) -> Array:
    return generator(seed + 100).standard_normal(count)


def posterior(seed: int = 0, count: int = 30) -> Posterior:
    return Posterior(Root(Kernel(IS_CATEGORY, THETA + 0.1 * seed), rows(count)), values(count, seed))


def differences(function: Callable[[Array], float], at: Array) -> Array:
    step = 1e-6
    return np.array([(function(at + step * e) - function(at - step * e)) / (2 * step) for e in np.eye(len(at))])


# The warp


@pytest.mark.parametrize("seed", range(5))
def test_the_warp_keeps_the_order_and_puts_failures_in_the_middle(seed: int) -> None:
    rng = generator(seed)
    scores = np.round(rng.standard_cauchy(40), 1) * 10.0 ** rng.integers(-200, 200)
    scores[::7] = nan
    warped, good = warp(scores), ~np.isnan(scores)
    order = np.argsort(scores[good], kind="stable")
    assert (np.diff(warped[good][order]) >= -1e-12).all()
    assert ((np.diff(warped[good][order]) > 1e-12) == (np.diff(scores[good][order]) > 0)).all()
    assert warped[~good] == pytest.approx(np.full(int((~good).sum()), np.median(warped[good])))
    assert warped[good].std() == pytest.approx(1)


def test_one_dreadful_result_does_not_hide_the_differences_between_good_ones() -> None:
    good = np.linspace(0, 1, 20)
    assert np.ptp(warp(np.array([*good, -1e300]))[:20]) > 0.5 * np.ptp(warp(good))


@pytest.mark.parametrize("scores", [[], [nan, nan], [3.0, 3.0], [0.0], [1e308, 1e308]])
def test_nothing_to_tell_apart_is_all_zeros(scores: list[float]) -> None:
    assert (warp(np.array(scores)) == 0).all()


def test_the_widest_range_of_numbers_does_not_overflow() -> None:
    assert np.isfinite(warp(np.array([1.7e308, -1.7e308, 0.0, nan, 5e-324]))).all()


# The kernel, its fit and the posterior


def textbook_covariance(a: Array, b: Array) -> float:
    lengths = np.exp(THETA[:5])
    square = sum(
        (float(a[j] != b[j]) if IS_CATEGORY[j] else (a[j] - b[j]) ** 2) / lengths[j] ** 2 for j in range(len(a))
    )
    r = np.sqrt(5 * square)
    return float(np.exp(THETA[5]) * (1 + r + r * r / 3) * np.exp(-r))


def test_the_kernel_is_matern_with_categories_that_differ_or_do_not() -> None:
    a, b = rows(6), rows(4, seed=1)
    expected = [[textbook_covariance(x, y) for y in b] for x in a]
    np.testing.assert_allclose(Kernel(IS_CATEGORY, THETA).covariance(a, b), expected, rtol=1e-10)


def test_the_gradient_of_the_fit_is_that_of_its_loss() -> None:
    fit = Fit(PRIOR, rows(30), values(30))
    expected = differences(lambda theta: fit.loss(theta)[0], THETA)
    np.testing.assert_allclose(fit.loss(THETA)[1], expected, rtol=1e-6, atol=1e-6)


def test_the_loss_is_the_textbooks_negative_log_likelihood_up_to_the_prior() -> None:
    x, y = rows(12), values(12)
    covariance = Kernel(IS_CATEGORY, THETA).covariance(x, x) + np.exp(THETA[6]) * np.eye(12)
    likelihood = 0.5 * y @ np.linalg.solve(covariance, y) + 0.5 * np.linalg.slogdet(covariance)[1]
    without = Fit(PRIOR, x[:0], y[:0])
    assert Fit(PRIOR, x, y).loss(THETA)[0] - without.loss(THETA)[0] == pytest.approx(likelihood)


def test_the_fit_finds_which_variables_matter() -> None:
    x = generator(3).random((40, 3))
    y = np.sin(6 * x[:, 1])
    prior = Prior(Encoding(Space({name: tune.uniform(0, 1) for name in "abc"})))
    lengths = np.exp(Fit(prior, x, (y - y.mean()) / y.std()).best([prior.usual])[:3])
    assert lengths[1] < 1 < min(lengths[0], lengths[2])


def test_the_posterior_is_the_textbooks() -> None:
    x, y, new = rows(30), values(30), rows(7, seed=5)
    kernel = Kernel(IS_CATEGORY, THETA)
    covariance, across = kernel.covariance(x, x) + kernel.noise * np.eye(30), kernel.covariance(x, new)
    mean, variance = posterior().at(new)
    np.testing.assert_allclose(mean, across.T @ np.linalg.solve(covariance, y), rtol=1e-8)
    expected = np.diag(kernel.covariance(new, new) - across.T @ np.linalg.solve(covariance, across))
    np.testing.assert_allclose(variance, expected, rtol=1e-8)
    np.testing.assert_allclose(posterior().fitted, posterior().at(x)[0], rtol=1e-8)


def test_how_surprising_a_value_is_is_what_the_others_say_of_it() -> None:
    x, y = rows(20), values(20)
    without = Posterior(Root(Kernel(IS_CATEGORY, THETA), x[1:]), y[1:])
    mean, variance = without.at(x[:1])
    expected = abs(y[0] - mean[0]) / np.sqrt(variance[0] + without.kernel.noise)
    assert posterior(count=20).surprises()[0] == pytest.approx(expected)


def test_pending_trials_shrink_the_variance_as_if_they_were_known_and_leave_the_mean() -> None:
    pending, new = rows(6, seed=8), rows(9, seed=9)
    before, after = posterior(), posterior().with_pending(pending[:2]).with_pending(pending[2:])
    whole = Posterior(Root(before.kernel, np.concatenate([rows(30), pending])), np.concatenate([values(30), values(6)]))
    np.testing.assert_allclose(after.at(new)[0], before.at(new)[0], rtol=1e-12)
    np.testing.assert_allclose(after.at(new)[1], whole.at(new)[1], rtol=1e-8)
    assert posterior().with_pending(pending[:0]).at(new)[1] == pytest.approx(before.at(new)[1])


def test_a_root_that_is_extended_again_and_again_is_that_of_all_rows() -> None:
    kernel, x = Kernel(IS_CATEGORY, THETA), rows(40)
    root = Root(kernel, x[:10])
    for begin, end in ((10, 11), (11, 11), (11, 25), (25, 40)):
        root = root.extended(x[begin:end])
    np.testing.assert_allclose(root.inverse, Root(kernel, x).inverse, rtol=1e-8, atol=1e-9)
    np.testing.assert_array_equal(root.rows, x)


def test_repeated_rows_have_a_root_too() -> None:
    np.testing.assert_allclose(cholesky(np.ones((3, 3))) @ cholesky(np.ones((3, 3))).T, np.ones((3, 3)), atol=1e-3)
    with pytest.raises(ValueError, match="not positive definite"):
        cholesky(-np.eye(2))


def test_branches_are_believed_to_be_less_alike_and_what_is_seldom_active_counts_little() -> None:
    many = [{"k": i, **{f"x{i}{j}": tune.uniform(0, 1) for j in range(5)}} for i in range(4)]
    prior = Prior(Encoding(Space({"m": tune.choice(many), "z": tune.choice(["a", "b"])})))
    lengths = np.exp(prior.mean[:-2])
    assert lengths[0] == pytest.approx(0.5)
    assert lengths[1:] == pytest.approx(np.full(21, 0.5 * np.sqrt(7)))  # two choices and five numbers of a branch


# Acquisitions


def test_the_logarithm_of_the_improvement_is_exact_however_small() -> None:
    for z in (2.0, 0.0, -0.99, -1.01, -5.0):
        exact = quad(lambda t, z=z: (z - t) * norm.pdf(t), -40, z)[0]
        assert log_improvement(np.array([z]))[0] == pytest.approx(np.log(exact), rel=1e-6)
    steps = np.linspace(-1100, -900, 2001)
    assert np.diff(log_improvement(steps), 2) == pytest.approx(np.full(1999, -0.01), abs=1e-4)  # about -z^2/2


def volume_gain() -> VolumeGain:
    both = [posterior(0), posterior(1)]
    return VolumeGain(both, np.column_stack([p.fitted for p in both]), generator(1))


def area_improvement() -> AreaImprovement:
    both = [posterior(0), posterior(1)]
    return AreaImprovement(both, np.column_stack([p.fitted for p in both]))


@pytest.mark.parametrize(
    "made",
    [
        lambda: LogImprovement(posterior(), 1.0),
        lambda: LogImprovement(posterior(), 100.0),
        lambda: LogImprovement(posterior().with_pending(rows(4, seed=8)), 1.0),
        lambda: Feasible(LogImprovement(posterior(), 0.5), [posterior(1), posterior(2)]),
        lambda: Feasible(None, [posterior(1)]),
        volume_gain,
        area_improvement,
    ],
)
def test_slopes_are_those_of_the_score(made: Callable[[], Acquisition]) -> None:
    acquisition, at = made(), rows(4, seed=6)
    scores, gradients = acquisition.slopes(at)
    np.testing.assert_allclose(scores, acquisition.score(at), rtol=1e-8)
    for row, gradient in zip(at, gradients, strict=True):
        expected = differences(lambda x: float(acquisition.score(x[None])[0]), row)
        np.testing.assert_allclose(gradient[~IS_CATEGORY], expected[~IS_CATEGORY], rtol=1e-4, atol=1e-4)
        assert (gradient[IS_CATEGORY] == 0).all()


def test_the_volume_that_is_to_be_gained_is_larger_beyond_the_front() -> None:
    front = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert is_undominated(np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.5], [0.0, 1.0]])).tolist() == [
        True,
        True,
        False,
        True,
    ]
    kernel = Kernel(np.zeros(1, bool), np.array([-3.0, 0.0, -12.0]))
    at = np.array([[0.1], [0.5], [0.9]])
    both = [Posterior(Root(kernel, at), np.array(values)) for values in ([0.0, 0.9, 1.0], [1.0, 0.9, 0.0])]
    score = VolumeGain(both, front, generator(0)).score(at)
    assert score[1] > max(score[0], score[2]) + 1
    assert np.linalg.norm(directions(4, generator(0)), axis=1) == pytest.approx(np.ones(64))


def test_the_area_that_is_to_be_gained_is_that_of_many_draws() -> None:
    both = [posterior(0), posterior(1)]
    known = np.column_stack([p.fitted for p in both])
    at = rows(4, seed=6)
    draws = [
        mean + np.sqrt(variance) * values(20000, 1 + j)[:, None]
        for j, p in enumerate(both)
        for mean, variance in [p.at(at)]
    ]
    low = reference(known)
    front = known[is_undominated(known)]
    front = front[np.argsort(front[:, 0])]
    # Strip by strip between one compromise and the next, what a result adds above the higher of them.
    lefts, heights = np.append(low[0], front[:, 0]), np.append(front[:, 1], low[1])
    rights = np.append(front[:, 0], np.inf)
    gain = sum(
        np.clip(np.minimum(draws[0], right) - left, 0, None) * np.clip(draws[1] - height, 0, None)
        for left, right, height in zip(lefts, rights, heights, strict=True)
    )
    expected = np.exp(AreaImprovement(both, known).score(at))
    np.testing.assert_allclose(expected, gain.mean(axis=0), rtol=0.1, atol=0.01)
    assert (gain.mean(axis=0) > 0.02).any()


def test_volume_is_counted_from_below_the_front_and_the_median() -> None:
    close = np.array([[1.0, 1.01], [1.01, 1.0], [0.0, 0.0], [0.1, 0.2], [0.3, 0.1]])
    assert (reference(close) < np.median(close, axis=0)).all()
    wide = np.array([[0.0, 2.0], [2.0, 0.0], [0.1, 0.1]])
    assert reference(wide) == pytest.approx([-0.2, -0.2])


# The search within the space


def test_climbers_reach_the_top_or_the_end_of_their_box() -> None:
    def slopes(x: Array) -> tuple[Array, Array]:
        away = x - np.array([0.3, 0.9])
        shape = np.array([[1.0, 0.8], [0.8, 2.0]])
        return -np.einsum("ki,ij,kj->k", away, shape, away), -2 * away @ shape

    starts = np.array([[0.9, 0.1], [0.1, 0.1], [0.5, 0.4]])
    low, high = np.zeros((3, 2)), np.ones((3, 2))
    high[1, 1] = 0.5
    low[2, 1] = high[2, 1] = 0.4
    climb = Climb(slopes, starts, (low, high), np.array([0.5, 0.5]))
    climb.go(40)
    np.testing.assert_allclose(climb.points, [[0.3, 0.9], [0.3 + 0.8 * 0.4, 0.5], [0.3 + 0.8 * 0.5, 0.4]], atol=5e-3)
    assert (climb.values >= slopes(starts)[0]).all()


SPACE = {
    "x": tune.uniform(0, 1),
    "n": tune.lograndint(1, 9),
    "kind": tune.choice([{"k": "a", "width": tune.randint(1, 5), "how": tune.choice(["u", "v"])}, "b", "c"]),
}


def test_moves_lead_to_rows_of_the_space_that_differ_in_a_few_variables() -> None:
    moves = Moves(Encoding(Space(SPACE)))
    start = moves.random(20, generator(0))
    found = moves.around(start, 30, generator(1))
    np.testing.assert_array_equal(found, moves.encoding.canonical(found))
    assert (found != np.repeat(start, 30, axis=0)).any(axis=1).mean() > 0.8
    kinds = {(a, b) for a, b in zip(np.repeat(start, 30, axis=0)[:, 2], found[:, 2], strict=True)}
    assert len(kinds) == 9  # from each kind to each other, or to none
    born = found[(np.repeat(start, 30, axis=0)[:, 2] != 0) & (found[:, 2] == 0)]
    assert len(np.unique(born[:, moves.encoding.columns.index(_column(moves, "kind/width"))])) > 1


def _column(moves: Moves, path: str) -> object:
    return next(column for column in moves.encoding.columns if column.path == path)


def test_a_box_keeps_numbers_near_its_centre_and_leaves_options_free() -> None:
    moves = Moves(
        Encoding(Space({"x": tune.uniform(0, 1), "y": tune.uniform(0, 1), "z": tune.choice(["a", "b", "c"])}))
    )
    box = Box(moves, np.array([0.5, 0.05, 1.0]), np.array([0.2, 0.2, 1.0]))
    drawn = box.draw(200, generator(0))
    assert drawn[:, 0].min() >= 0.4
    assert drawn[:, 0].max() <= 0.6
    assert drawn[:, 1].max() <= 0.15
    assert set(drawn[:, 2]) == {0, 1, 2}
    low, high = box.bounds(drawn)
    assert low[0].tolist() == pytest.approx([0.4, 0.0, 0.0])
    assert high[0].tolist() == pytest.approx([0.6, 0.15, 1.0])


def test_the_box_grows_with_success_and_shrinks_without() -> None:
    assert length(np.array([1.0]), 4) == 0.8
    assert length(np.array([1.0, 2, 3]), 4) == 1.6
    assert length(np.array([5.0, 1, 1, 1, 1]), 4) == 0.4
    assert length(np.array([5.0] + [1.0] * 4 * 7), 4) == 0.8  # too small: from the beginning


def test_a_subset_has_the_best_and_what_is_near_to_it() -> None:
    x = generator(0).random((2000, 3))
    x[:, 2] = np.round(x[:, 2])
    y = -((x[:, :2] - 0.5) ** 2).sum(axis=1)
    places = subset(x, y, np.array([False, False, True]), 500, generator(1))
    assert len(places) == len(set(places)) == 500
    assert set(np.argsort(-y)[:100]) <= set(places)
    assert (np.diff(places) > 0).all()
    assert subset(x[:10], y[:10], np.zeros(3, bool), 500, generator(1)).tolist() == list(range(10))


def test_drawn_functions_have_the_posteriors_mean_and_spread() -> None:
    # A prior that features of finite number can't miss: one that is smooth where the data are.
    given, new = posterior(), rows(5, seed=11)
    paths = Paths(given, generator(2))
    drawn = np.array([paths.draw(generator(seed)).at(new) for seed in range(400)])
    mean, variance = given.at(new)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.25)
    np.testing.assert_allclose(drawn.std(axis=0), np.sqrt(variance), rtol=0.25)
