"""What is known of trials at rungs, and the searchers that go by it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunesmith as tune
from tunesmith.objective import Objective
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.known import Known
from tunesmith.searchers.rung_weights import left_out, rung_weights
from tunesmith.searchers.rungs import Rungs
from tunesmith.space import Space

LOSS = Objective("loss", "min")
SPACE = {"x": tune.uniform(0, 1), "lr": tune.loguniform(1e-4, 1), "k": tune.choice(["a", "b"])}


def rungs(grace: float = 1, eta: float = 3, time_attr: str = "t") -> Rungs:
    made = Rungs(time_attr, grace, eta)
    made.setup(Encoding(Space({"x": tune.uniform(0, 1)})), LOSS, None, 0)
    for trial in range(4):
        made.begin(trial, np.array([trial / 10]))
    return made


def at(made: Rungs, level: int) -> dict[int, float]:
    known = made.levels[level]
    return dict(zip(known.numbers, known.scores[:, 0].tolist(), strict=True))


def test_a_rung_keeps_the_first_value_there_or_past_it() -> None:
    made = rungs()
    for t in range(1, 11):
        made.report(0, {"t": t, "loss": float(t)})
    for t in (2, 4, 20):
        made.report(1, {"t": t, "loss": float(t)})
    assert at(made, 0) == {0: -1.0, 1: -2.0}
    assert at(made, 1) == {0: -3.0, 1: -4.0}
    assert at(made, 2) == {0: -9.0, 1: -20.0}


def test_a_report_that_jumps_over_rungs_counts_for_the_highest() -> None:
    made = rungs(grace=0.5, eta=2)
    made.report(0, {"t": 4.0, "loss": 1.0})
    assert {level for level, known in made.levels.items() if known.count} == {3}
    assert made.at(3) == 4.0


def test_a_trial_is_under_way_at_the_rung_that_it_comes_to_next() -> None:
    made = rungs()
    made.report(0, {"t": 1, "loss": 1.0})
    assert len(made.levels[0].pending) == 3
    assert made.levels[1].pending.tolist() == [[0.0]]
    made.end(0, {"t": 2, "loss": 1.0}, failed=False)
    assert len(made.levels[1].pending) == 0


def test_an_end_without_reports_counts_and_a_failure_is_known_where_it_was() -> None:
    made = rungs()
    made.end(0, {"t": 9, "loss": 2.0}, failed=False)
    made.report(1, {"t": 1, "loss": 1.0})
    made.end(1, {"t": 1, "loss": 1.0}, failed=True)
    made.end(2, None, failed=False)
    assert at(made, 2) == {0: -2.0}
    assert np.isnan(at(made, 1)[1])
    assert at(made, 0) == {1: -1.0}


def test_a_report_that_comes_again_after_a_crash_changes_nothing_and_a_trial_may_go_on_after_its_end() -> None:
    made = rungs()
    for t in (1, 2, 3, 2, 3):
        made.report(0, {"t": t, "loss": float(t)})
    made.end(0, {"t": 3, "loss": 3.0}, failed=False)
    made.report(0, {"t": 9, "loss": 9.0})
    assert at(made, 1) == {0: -3.0}
    assert at(made, 2) == {0: -9.0}


def test_numbers_that_make_no_rungs_and_a_missing_time_are_refused() -> None:
    for arguments in (("t", 0, 3), ("t", 1, 1), ("t", 1, float("inf")), ("", 1, 3), ("t", True, 3)):
        with pytest.raises(tune.ArgumentError, match="must be"):
            Rungs(*arguments)
    with pytest.raises(tune.MetricError, match=r"'t' is not in the report"):
        rungs().report(0, {"loss": 1.0})
    with pytest.raises(tune.MetricError, match=r"reported 'x'"):
        rungs().report(0, {"loss": 1.0, "t": "x"})


def levels(noise: dict[int, float], counts: dict[int, int]) -> dict[int, Known]:
    rng = np.random.default_rng(0)
    encoding = Encoding(Space({"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}))
    rows = rng.random((max(counts.values()), 2))
    found = {}
    for level, count in counts.items():
        found[level] = Known(encoding, LOSS, None, 0)
        for number, row in enumerate(rows[:count]):
            found[level].begin(number, row, None)
            value = ((row - 0.4) ** 2).sum() + noise[level] * rng.normal()
            found[level].end(number, {"loss": float(value)}, failed=False)
    return found


def weights(noise: dict[int, float], counts: dict[int, int]) -> dict[int, float]:
    return rung_weights(levels(noise, counts), np.zeros(2, bool), np.random.default_rng(1))


def test_a_low_rung_that_agrees_is_trusted_for_its_many_results_and_one_that_misleads_is_not() -> None:
    good = weights({0: 0.0, 1: 0.0}, {0: 60, 1: 8})
    assert good[0] > 0.6
    bad = weights({0: 5.0, 1: 0.0}, {0: 60, 1: 20})
    assert bad[1] > 0.9
    assert sum(good.values()) == pytest.approx(1.0)


def test_weights_need_enough_results_at_two_rungs() -> None:
    assert weights({0: 0.0, 1: 0.0}, {0: 5, 1: 2}) == {}
    assert weights({0: 0.0, 1: 0.0}, {0: 20, 1: 5}) == {0: 1.0}


def test_what_is_said_of_a_row_that_was_left_out_is_what_a_model_without_it_says() -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((30, 2))
    values = np.sin(4 * rows[:, 0]) + rows[:, 1]
    mean, sd = left_out(rows, values - values.mean(), np.zeros(2, bool))
    assert np.corrcoef(mean, values)[0, 1] > 0.97
    assert (np.abs(mean - values + values.mean()) < 4 * sd).mean() > 0.9


SEARCHERS = [
    tune.BOHBSearch,
    tune.HyperTuneSearch,
    lambda **options: tune.HyperTuneSearch(model="gp", **options),
    lambda **options: tune.PriorBandSearch({"x": 0.5, "lr": 0.01}, **options),
]
SCHEDULERS = [
    lambda: tune.ASHAScheduler(max_t=9, reduction_factor=3),
    lambda: tune.ASHAScheduler(max_t=9, reduction_factor=3, variant="promotion"),
    lambda: tune.HyperBandScheduler(max_t=9, reduction_factor=3),
]


def model(config: dict[str, Any], step: int) -> tuple[dict[str, float], float] | None:
    value = (config["x"] - 0.3) ** 2 + (np.log10(config["lr"]) + 3) ** 2 / 10 + 0.2 * (config["k"] == "b") + 1 / step
    return None if step > 9 else ({"loss": float(value)}, 1.0)


def run(path: Path, searcher: Any, scheduler: Any, name: str, samples: int = 40, **options: Any) -> list[Any]:
    results = tune.run(
        model, SPACE, metric="loss", mode="min", num_samples=samples, search_alg=searcher, scheduler=scheduler(),
        executor=tune.SimulatedExecutor(workers=4), seed=3, name=name, storage_path=path, verbose=0, **options,
    )  # fmt: skip
    return [(trial.config, trial.last_result["training_iteration"]) for trial in results]


@pytest.mark.parametrize("make", SEARCHERS)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_they_search_below_every_scheduler_that_halves(tmp_path: Path, make: Any, scheduler: Any) -> None:
    searcher = make()
    trials = run(tmp_path, searcher, scheduler, "one")
    counts = [known.count for _, known in sorted(searcher._rungs.levels.items())]
    assert counts[0] == len(trials) == 40
    assert sum(iterations >= 3 for _, iterations in trials) == counts[1]
    assert sum(iterations >= 9 for _, iterations in trials) == counts[2] > 0
    late = [abs(config["x"] - 0.3) for config, _ in trials[20:]]
    assert np.median(late) < 0.3


@pytest.mark.parametrize("make", [
    lambda count: tune.BOHBSearch(n_initial_points=count),
    lambda count: tune.HyperTuneSearch(n_initial_points=count),
    lambda count: tune.HyperTuneSearch(model="gp", n_initial_points=count),
    lambda count: tune.PriorBandSearch({"x": 0.5}),
])  # fmt: skip
def test_a_resumed_run_goes_on_as_if_it_had_not_ended(tmp_path: Path, make: Any) -> None:
    def one(name: str, samples: int, resume: Any = False) -> list[Any]:
        results = tune.run(
            train, SPACE, metric="loss", mode="min", num_samples=samples, search_alg=make(6), scheduler=SCHEDULERS[0](),
            executor="inline", seed=3, name=name, storage_path=tmp_path, verbose=0, resume=resume,
        )  # fmt: skip
        return [trial.config for trial in results]

    def train(config: dict[str, Any]) -> None:
        for step in range(1, 10):
            tune.report(**model(config, step)[0])  # type: ignore[index]

    one("cut", 14)
    assert one("cut", 22, resume="extend") == one("whole", 22)


@pytest.mark.parametrize("make", SEARCHERS)
def test_bare_use_is_told_of_reports(make: Any) -> None:
    search = make(space=SPACE, metric="loss", mode="min", seed=1)
    for _ in range(25):
        asked = search.ask()
        for t in (1, 3):
            search.tell(asked.number, {"loss": asked.config["x"] / t, "training_iteration": t}, final=False)
        search.tell(asked.number, {"loss": asked.config["x"], "training_iteration": 9})
    assert [known.count for _, known in sorted(search._rungs.levels.items())] == [25, 25, 25, 0]


@pytest.mark.parametrize("make", SEARCHERS)
@pytest.mark.parametrize("value", [1.0, float("nan"), 1e300])
def test_results_that_say_nothing_are_no_trouble(make: Any, value: float) -> None:
    search = make(space=SPACE, metric="loss", mode="min", seed=1)
    for number in range(25):
        asked = search.ask()
        search.tell(asked.number, {"loss": value, "training_iteration": 1}, failed=number % 3 == 0)
    assert search.ask().number == 25


def test_bohb_and_hyper_tune_are_found_by_name_and_a_grid_is_refused(tmp_path: Path) -> None:
    for name in ("bohb", "hyper-tune"):
        assert len(run(tmp_path, name, SCHEDULERS[0], name, samples=6)) == 6
        with pytest.raises(tune.SpaceError, match="Use choice there"):
            tune.run(
                model, {"x": tune.grid_search([1])}, metric="loss", mode="min", search_alg=name, storage_path=tmp_path
            )
    with pytest.raises(tune.ArgumentError, match=r"model must be .*Did you mean"):
        tune.HyperTuneSearch(model="tpee")  # type: ignore[arg-type]


def test_a_prior_is_tried_first_and_drawn_around_as_closely_as_the_user_is_confident() -> None:
    def spread(confidence: Any) -> tuple[float, float]:
        search = tune.PriorBandSearch({"x": 0.7, "k": "b"}, SPACE, "loss", "min", confidence=confidence, seed=2)
        assert search.ask().config["x"] == 0.7
        drawn = [search.ask().config for _ in range(300)]
        return float(np.median([abs(c["x"] - 0.7) for c in drawn])), sum(c["k"] == "b" for c in drawn) / 300

    tight, loose = spread(0.01), spread("low")
    assert tight[0] < 0.06 < loose[0]
    assert tight[1] > 0.7
    assert spread({"x": 0.01})[0] < 0.06


def test_a_wrong_prior_is_given_up_for_what_was_best() -> None:
    search = tune.PriorBandSearch({"x": 0.95, "lr": 1.0}, SPACE, "loss", "min", confidence="high", seed=2)
    for number in range(120):
        asked = search.ask()
        value = (asked.config["x"] - 0.2) ** 2 + np.log10(asked.config["lr"] / 1e-3) ** 2
        search.tell(asked.number, {"loss": value, "training_iteration": 1 + 2 * (number % 3 == 0)})
    late = np.array([abs(search.ask().config["x"] - 0.95) < 0.1 for _ in range(60)])
    assert late.mean() < 0.25


@pytest.mark.parametrize(("arguments", "problem"), [
    (({"x": 3.0}, {}), "prior: 'x' is 3.0, which is outside"),
    (({"y": 3.0}, {}), "prior names 'y', which is no variable"),
    (("x", {}), "prior must be a dict"),
    (({"x": 0.5}, {"confidence": "hihg"}), "confidence must be one of"),
    (({"x": 0.5}, {"confidence": 0}), "confidence must be one of"),
    (({"x": 0.5}, {"confidence": {"xx": "high"}}), "confidence names 'xx', which the space does not vary"),
])  # fmt: skip
def test_a_wrong_belief_is_refused_with_what_is_wrong(arguments: Any, problem: str) -> None:
    prior, options = arguments
    with pytest.raises((tune.ArgumentError, tune.SpaceError), match=problem):
        tune.PriorBandSearch(prior, SPACE, "loss", "min", **options)
