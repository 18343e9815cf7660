"""Searchers are judged on tasks that are what they say, that nobody can know, and by scores that mean what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def nested():
    """A space with every kind of parameter, two choices deep."""
    from searching.spaces import Category, Number

    inner = Category("solver", ("a", "b"), {"b": (Number("rate", 1e-3, 1.0, is_log=True),)})
    return (
        Number("width", 1, 9, is_whole=True),
        Number("depth", 1, 64, is_log=True, is_whole=True),
        Category("model", ("tree", "net", "none"), {"tree": (Number("cut", 0.0, 2.0),), "net": (inner,)}),
    )


# -- tasks


def test_every_function_is_zero_at_its_optimum_and_nowhere_below():
    from searching.bbob import NUMBERS, function

    for number in NUMBERS:
        for d in (2, 5):
            f, optimum = function(number, d, seed=1)
            around = np.random.default_rng(0).uniform(-5, 5, (500, d))
            assert (np.abs(optimum) < 5).all()
            assert f(optimum[None])[0] == pytest.approx(0.0, abs=1e-9)
            assert (f(around) > 0).all()
            assert np.median(f(optimum + 1e-3 * around)) < 0.1 * np.median(f(around)), f"f{number} rises from there"


def test_another_seed_has_another_instance():
    from searching.bbob import function

    assert (function(15, 5, seed=1)[1] != function(15, 5, seed=2)[1]).all()
    x = np.ones((1, 5))
    assert function(15, 5, seed=1)[0](x) == function(15, 5, seed=1)[0](x)


def test_the_optimum_of_a_mixed_function_can_be_had():
    from searching.numeric import categories, lattice
    from searching.spaces import Number

    for make, d in ((lattice, 5), (categories, 6)):
        space, evaluate, best = make(1, d, 3)
        rng = np.random.default_rng(0)
        # f1 is separable: each parameter by itself, the others where they are.
        config = {p.name: p.at(0.5) if isinstance(p, Number) else p.options[0] for p in space}
        for p in space:
            values = [p.at(share) for share in np.linspace(0, 1, 2001)] if isinstance(p, Number) else p.options
            config[p.name] = min(values, key=lambda v, name=p.name: evaluate({**config, name: v}, rng).actual[0])
        assert evaluate(config, rng).actual[0] == pytest.approx(best, abs=1e-4)


def test_a_constrained_optimum_lies_on_the_border_and_about_half_of_the_box_is_good():
    from searching.bbob import function
    from searching.spaces import draw
    from searching.special import bound

    space, evaluate, best = bound(1, 5, 1, 0)
    rng = np.random.default_rng(0)
    at = evaluate({f"x{i}": value for i, value in enumerate(function(1, 5, 0)[1])}, rng)
    assert at.actual[0] == pytest.approx(best)
    assert at.violations[0] == pytest.approx(0.0, abs=1e-9)
    good = np.mean([evaluate(draw(space, rng), rng).violations[0] <= 0 for _ in range(500)])
    assert 0.4 < good < 0.99


@pytest.mark.parametrize("name", ["spheres", "convex", "concave", "gaps"])
def test_no_points_dominate_more_than_the_known_front(name):
    from searching.spaces import draw
    from searching.special import pair, volume

    instance = pair(name, 3, 0)
    rng = np.random.default_rng(0)
    points = np.array([instance.evaluate(draw(instance.space, rng), rng).actual for _ in range(3000)])
    assert 0.5 * instance.best < volume(points) <= instance.best


def test_the_dominated_volume_is_that_of_a_union_of_boxes():
    from searching.special import volume

    assert volume(np.array([[0.5, 0.0], [0.0, 0.5], [0.9, 0.9], [2.0, -1.0]])) == 0.75
    assert volume(np.array([[1.0, 0.0]])) == 0.0


def test_models_of_scikit_learn_crash_with_combinations_that_do_not_exist():
    pytest.importorskip("sklearn")
    from searching.trees import models

    base = {"scaler": "standard", "model": "linear", "linear_c": 1.0, "penalty": "l2"}
    evaluate, rng = models("breast_cancer", 0).evaluate, np.random.default_rng(0)
    assert evaluate({**base, "loss": "squared", "dual": "no"}, rng).seen[0] < 0.1
    assert np.isnan(evaluate({**base, "loss": "plain", "dual": "no"}, rng).seen[0])


def test_a_fidelity_ladder_gives_the_same_curve_for_the_same_configuration():
    from searching.ladders import mf_hartmann

    ladder = mf_hartmann(3, "bad")
    config = {"x0": 0.114614, "x1": 0.555649, "x2": 0.852547}
    assert (ladder.curve(config).observed == ladder.curve(config).observed).all()
    assert ladder.curve(config).actual == pytest.approx(ladder.best, abs=1e-4)


# -- disguises and sides


def test_a_disguise_renames_everything_and_is_taken_off_again(nested):
    from searching.spaces import Disguise, active, draw, everything

    rng = np.random.default_rng(0)
    names = {p.name for p in everything(nested)}
    for seed in range(10):
        disguise = Disguise(nested, seed)
        assert not names & {p.name for p in everything(disguise.space)}
        for _ in range(20):
            config = disguise.reveal(draw(disguise.space, rng))
            assert {p.name for p in active(nested, config)} == set(config)
            assert config["model"] in {"tree", "net", "none"}
            assert config["width"] in range(1, 10)
            assert 1e-3 <= config.get("rate", 1.0) <= 1.0


def test_seeds_differ_in_order_and_direction(nested):
    from searching.spaces import Disguise

    orders, directions = set(), set()
    for seed in range(20):
        disguise = Disguise(nested, seed)
        config = {p.name: p.options[0] if hasattr(p, "options") else p.low for p in disguise.space}
        revealed = disguise.reveal(config)
        orders.add(tuple(revealed))
        directions.add(revealed["width"])
    assert len(orders) > 3
    assert directions == {1, 9}


def test_a_configuration_survives_the_way_into_a_space_of_ours_and_back(nested):
    from searching.sides import flat, own_point, own_space
    from searching.spaces import draw

    from tunesmith.space import Space

    rng = np.random.default_rng(0)
    space = Space(own_space(nested))
    for _ in range(50):
        config = draw(nested, rng)
        assert flat(space.build(space.sample(0, 0, given=own_point(nested, config)))) == config


def test_a_side_is_a_name_or_a_class_with_settings():
    from searching.sides import ours

    import tunesmith as tune

    assert ours("sobol").kind is tune.SobolSearch
    assert ours("SobolSearch(seed=2)") == (tune.SobolSearch, {"seed": 2})
    with pytest.raises(ValueError, match="no name of a searcher"):
        ours("SobolSearch(2)")


# -- runs


@pytest.fixture
def tree():
    from searching.trees import trees

    return next(task for task in trees() if task.name == "nested tree")


@pytest.mark.parametrize("workers", [1, 8])
def test_every_side_begins_with_the_same_configurations_and_lasts_as_long(tree, workers):
    from searching.loops import ACTUAL, FIRST, TIME, run
    from searching.peers import PEERS
    from searching.sides import ours

    logs = [run(tree, make, workers, seed=1) for make in (PEERS["random"], ours("sobol"), ours("sobol"))]
    early = [log[np.argsort(log[:, TIME], kind="stable")] for log in logs]
    assert (logs[0][:, TIME] == logs[1][:, TIME]).all(), "a trial takes what its number takes"
    assert (logs[1][:, ACTUAL] == logs[2][:, ACTUAL]).all(), "a run is repeated"
    if workers == 1:
        assert len(logs[0]) == tree.evaluations
        assert (early[0][:FIRST, ACTUAL] == early[1][:FIRST, ACTUAL]).all()
        assert (early[0][FIRST:, ACTUAL] != early[1][FIRST:, ACTUAL]).any()


def test_a_run_of_several_fidelities_ends_in_time_and_stops_trials():
    from searching.ladders import FAMILY, mf_hartmann
    from searching.loops import TIME, run
    from searching.problems import Task
    from searching.sides import ours

    log = run(Task("ladder", FAMILY, lambda seed: mf_hartmann(3, "good")), ours("random"), 1, seed=0)
    assert 0.9 < log[:, TIME].max() <= 1.0
    full = len(mf_hartmann(3, "good").fidelities)
    assert len(log) > 20 * full, "more than as many trials as could be trained to the end"


# -- scores


def log_of(*rows):
    return np.array([(time, 0.0, seen, actual) for time, seen, actual in rows], np.float32)


@pytest.fixture
def cell():
    from searching.cells import Cell

    return Cell("continuous", "a task", 1, "random", 0)


def test_the_regret_is_the_true_one_of_what_looked_best(cell):
    from searching.judging import final, regrets

    lucky = log_of(*[(1, 0.9, 0.9)] * 10, (11, 0.1, 0.5), (12, 0.2, 0.2))
    curve = regrets(lucky, cell, best=0.0)
    assert curve[0] == pytest.approx(0.9)
    assert final(curve) == pytest.approx(0.5), "it is not known that the second is better"


def test_what_crashes_or_breaks_a_constraint_counts_as_nothing(cell):
    from searching.judging import regrets
    from searching.loops import Recorder
    from searching.problems import Instance, Outcome

    recorder = Recorder(Instance((), None, best=0.0, median=2.0, constraints=1))
    recorder.add(1.0, 0.0, Outcome((0.5,), (0.5,), (0.1,)))
    recorder.add(2.0, 0.0, Outcome((np.nan,), (np.nan,), (-1.0,)))
    assert regrets(np.repeat(recorder.log(), 6, axis=0), cell, 0.0).tolist() == [1.0] * 101
    recorder.add(3.0, 0.0, Outcome((0.5,), (0.5,), (-0.1,)))
    assert regrets(np.repeat(recorder.log(), 6, axis=0), cell, 0.0)[-1] == pytest.approx(0.25)


def test_a_better_value_than_was_known_moves_the_scale_for_everyone(cell):
    from searching.judging import final, panels

    logs = {cell: log_of(*[(i, 0.0, 0.0) for i in range(12)])}
    logs[cell._replace(side="other")] = log_of(*[(i, -1.0, -1.0) for i in range(12)])
    (panel,) = panels(logs)
    finals = {side: final(curves["a task"][0]) for side, curves in panel.curves.items()}
    assert finals == {"random": pytest.approx(0.5), "other": pytest.approx(0.0)}


def test_two_sides_are_compared_on_the_seeds_that_both_have(cell):
    from searching.judging import panels

    log = log_of(*[(i, 0.5, 0.5) for i in range(12)])
    logs = {
        cell._replace(seed=seed, side=side): log
        for side, seeds in {"a": (0, 1, 2), "b": (1, 2, 3)}.items()
        for seed in seeds
    }
    (panel,) = panels(logs)
    left, right = panel.shared("a", "b")["a task"]
    assert len(left) == len(right) == 2


def test_the_interval_holds_the_mean_and_shrinks_with_tasks():
    from searching.judging import mean

    rng = np.random.default_rng(0)
    few, many = ([rng.normal(1.0, 0.5, 5) for _ in range(count)] for count in (5, 80))
    assert mean(few).low < mean(few).value < mean(few).high
    assert mean(many).high - mean(many).low < mean(few).high - mean(few).low


def test_several_questions_make_each_answer_less_certain():
    from searching.judging import holm

    assert holm([0.01, 0.04, 0.5]) == pytest.approx([0.03, 0.08, 0.5])


def test_random_search_takes_as_long_as_its_draws_say():
    from searching.judging import multiple

    draws = np.arange(1, 1001) / 1000
    assert multiple(0.0105, draws, 100) == pytest.approx(1.0), "one draw in a hundred is as good"
    assert multiple(0.0, draws, 100) == pytest.approx(10.0), "none is: that bounds it"


# -- what is kept


def test_runs_are_kept_and_go_on(tmp_path, cell):
    from searching.cells import Keeper, here, load, merged

    about = here("the same configurations")
    keeper = Keeper(tmp_path / "runs.npz", about)
    keeper.add(cell, log_of((1, 0.5, 0.5)))
    keeper.close()
    again = Keeper(tmp_path / "runs.npz", about)
    assert list(again.logs) == [cell]
    again.add(cell._replace(seed=1), log_of((1, 0.4, 0.4)))
    again.close()
    assert len(load(tmp_path / "runs.npz")[0]) == 2
    logs, _ = merged([tmp_path / "runs.npz"], {cell: log_of((1, 0.1, 0.1))}, about)
    assert logs[cell][0, 2] == pytest.approx(0.1), "the last one counts"
    assert [path.name for path in tmp_path.iterdir()] == ["runs.npz"]


def test_runs_that_begin_in_different_ways_are_not_mixed(tmp_path, cell):
    from searching.cells import Keeper, here

    keeper = Keeper(tmp_path / "runs.npz", here("the same configurations"))
    keeper.close()
    with pytest.raises(ValueError, match="can't be compared"):
        Keeper(tmp_path / "runs.npz", here("what each side likes"))


def test_the_tables_say_who_wins_and_who_loses(cell):
    from searching.cells import here
    from searching.pages import tables

    logs = {}
    for task in range(4):
        for seed in range(2):
            for side, level in {"random": 0.5, "Optuna TPE": 0.3, "ours": 0.2, "worse": 0.4}.items():
                rows = [(i, level + 0.01 * (seed + task), level + 0.01 * (seed + task)) for i in range(20)]
                logs[cell._replace(task=f"task {task}", seed=seed, side=side)] = log_of(*rows)
    text = tables(logs, here("the same configurations"))
    assert "- worse to Optuna TPE: continuous, 1 worker" in text
    assert "- ours to" not in text
    assert text.count("| wins |") == 3
    assert "| 1 | ours | in 0 of 1 classes, 0 asked | in 1 of 1 classes" in text
    assert "| 1 | worse | in 1 of 1 classes, 0 asked | in 0 of 1 classes" in text
