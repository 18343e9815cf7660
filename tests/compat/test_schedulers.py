"""Schedulers and searchers in the names of 2019 (1.12, 1.13). Their decisions are in tests/schedulers."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.compat.stage import HEAD, act, play
from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.schedulers import (
    AsyncHyperBandScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
)

needs_hyperopt = pytest.mark.skipif(importlib.util.find_spec("hyperopt") is None, reason="HyperOpt is not installed")


def test_defaults_and_the_order_of_arguments_are_those_of_2019() -> None:
    asha = AsyncHyperBandScheduler("timesteps_total", "mean_accuracy", 400, 20, 3, 3)
    assert (asha.time_attr, asha.max_t, asha.milestones) == ("timesteps_total", 400, (20, 60, 180))
    assert AsyncHyperBandScheduler().milestones == (10, 30, 90)
    assert AsyncHyperBandScheduler(max_t=243, grace_period=1).milestones == (1, 3, 9, 27, 81)
    band = HyperBandScheduler("training_iteration", "neg_mean_loss")
    assert (band.max_t, band.objective) == (81, AsyncHyperBandScheduler(reward_attr="neg_mean_loss").objective)
    rule = MedianStoppingRule("time_total_s", "mean_accuracy", 5.0, 2, False, True)
    assert rule.objective is not None
    assert rule.objective.metric == "mean_accuracy"
    pbt = PopulationBasedTraining("time_total_s", "episode_reward_mean", 120, {"lr": [1]}, 0.25, None)
    assert pbt.perturbation_interval == 120


@pytest.mark.parametrize(
    "arguments", [{"max_t": 0}, {"grace_period": 200}, {"grace_period": 0}, {"reduction_factor": 1}, {"brackets": 0}]
)
def test_what_2019_asserted_is_asserted(arguments: dict[str, float]) -> None:
    with pytest.raises(AssertionError):
        AsyncHyperBandScheduler(**arguments)  # type: ignore[arg-type]


def test_pbt_without_anything_to_change_is_refused() -> None:
    with pytest.raises(TuneError, match="at least one of `hyperparam_mutations` or `custom_explore_fn`"):
        PopulationBasedTraining()


def test_metric_and_mode_of_june_2019_take_the_place_of_reward_attr() -> None:
    scheduler = AsyncHyperBandScheduler(metric="mean_loss", mode="min")
    assert scheduler.objective is not None
    assert (scheduler.objective.metric, scheduler.objective.mode) == ("mean_loss", "min")


def test_median_stopping_compares_with_those_that_have_completed(tmp_path: Path) -> None:
    body = """
from ray.tune.schedulers import MedianStoppingRule
ray.init(num_cpus=1)
rule = MedianStoppingRule("training_iteration", grace_period=2, min_samples_required=2)
trials = run(Count, config={"w": grid_search([5, 5, 1])}, stop={"training_iteration": 6}, scheduler=rule)
tell([t.last_result["training_iteration"] for t in trials])
"""
    played = act(tmp_path, body)
    assert played.told == [6, 6, 3]
    assert "Using MedianStoppingRule: num_stopped=1.\n" in played.last_status()


def test_a_bad_half_is_paused_once_with_a_soft_stop(tmp_path: Path) -> None:
    body = """
from ray.tune.schedulers import MedianStoppingRule
ray.init(num_cpus=1)
rule = MedianStoppingRule("training_iteration", grace_period=2, min_samples_required=2, hard_stop=False)
trials = run(Count, config={"w": grid_search([5, 5, 1])}, stop={"training_iteration": 6}, scheduler=rule, verbose=0)
tell([[t.last_result["training_iteration"], t.last_result["episode_reward_mean"]] for t in trials])
"""
    assert act(tmp_path, body).told == [[6, 30], [6, 30], [6, 6]]


def test_pbt_shares_few_cpus_and_keeps_the_type_of_a_lists_value(tmp_path: Path) -> None:
    body = """
from ray.tune.schedulers import PopulationBasedTraining
ray.init(num_cpus=2)
seen = []
def explore(config):
    seen.append(type(config["k"]).__name__)
    return config
class Reset(Count):
    def reset_config(self, new_config):
        self.config = new_config
        return True
pbt = PopulationBasedTraining("training_iteration", "episode_reward_mean", 2, {"k": [1, 2], "w": lambda: 50.0},
                              custom_explore_fn=explore)
trials = run(Reset, config={"k": 1.0, "w": grid_search([1.0, 2.0, 3.0, 4.0])}, stop={"training_iteration": 10},
             scheduler=pbt, reuse_actors=True)
tell([[t.last_result["training_iteration"] for t in trials], sorted(set(seen))])
"""
    played = act(tmp_path, body)
    assert played.told == [[10] * 4, ["int"]]
    assert re.search(r"^PopulationBasedTraining: \d+ checkpoints, \d+ perturbs$", played.last_status(), re.MULTILINE)
    assert len(re.findall(r"\[exploit\] transferring weights from trial Reset_\d", played.err)) > 0


def test_a_scheduler_of_the_users_own_decides(tmp_path: Path) -> None:
    body = """
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
class Mine(FIFOScheduler):
    def __init__(self):
        self.added, self.ended = [], []
    def on_trial_add(self, runner, trial):
        self.added.append(str(trial))
    def on_trial_complete(self, runner, trial, result):
        self.ended.append([str(trial), result["training_iteration"]])
    def on_trial_result(self, runner, trial, result):
        if result["training_iteration"] == 3 and trial.config["w"] == 1:
            return TrialScheduler.STOP
        if result["training_iteration"] == 2 and trial.config["w"] == 2:
            return TrialScheduler.PAUSE
        if result["training_iteration"] == 4:
            for other in runner.get_trials():
                if other.config["w"] == 9 and other.status == "PENDING":
                    runner.stop_trial(other)
        return TrialScheduler.CONTINUE
    def debug_string(self):
        return "Using mine: %d" % len(self.added)
mine = Mine()
ray.init(num_cpus=1)
trials = run(Count, config={"w": grid_search([1, 2, 3, 9])}, stop={"training_iteration": 5}, scheduler=mine)
tell([[t.last_result["training_iteration"] if t.last_result else None for t in trials], mine.added,
      [t.status for t in trials], mine.ended])
"""
    played = act(tmp_path, body)
    iterations, added, statuses, ended = played.told
    assert iterations == [3, 5, 5, None]
    assert added == ["Count_0_w=1", "Count_1_w=2", "Count_2_w=3", "Count_3_w=9"]
    assert statuses == ["TERMINATED"] * 4
    assert [name for name, _ in ended] == ["Count_2_w=3", "Count_1_w=2"]
    assert "Using mine: 4\n" in played.last_status()


def test_a_missing_reward_fails_the_trial(tmp_path: Path) -> None:
    body = """
from ray.tune.schedulers import AsyncHyperBandScheduler
s = AsyncHyperBandScheduler(reward_attr="mean_accurracy", grace_period=1, brackets=1)  # others look later
[t] = run(climb, scheduler=s, verbose=0, raise_on_failed_trial=False)
tell([t.status, open(t.error_file).read()])
"""
    status, story = act(tmp_path, body).told
    assert status == "ERROR"
    assert "mean_accurracy" in story


# -- searchers


def test_a_searcher_of_the_users_own_suggests_and_learns(tmp_path: Path) -> None:
    body = """
from ray.tune.suggest import SuggestionAlgorithm
class Mine(SuggestionAlgorithm):
    max_concurrent = 1
    def __init__(self):
        self.best, self.told, self.ids = 0, [], []
    def _suggest(self, trial_id):
        self.ids.append(trial_id)
        return {"model": {"w": self.best + 1}, "x/y": 0.123456789}
    def on_trial_complete(self, trial_id, result=None, error=False, early_terminated=False):
        self.told.append(trial_id)
        self.best = result["episode_reward_mean"]
def train(config, reporter):
    reporter(episode_reward_mean=config["model"]["w"] * config["model"]["keep"])
mine = Mine()
trials = run(train, config={"model": {"keep": 2, "w": 0}, "c": 7}, num_samples=3, search_alg=mine, verbose=0)
tell([[str(t) for t in trials], [t.last_result["episode_reward_mean"] for t in trials],
      mine.ids == [t.trial_id for t in trials], mine.told == mine.ids])
"""
    names, rewards, same, told = act(tmp_path, body).told
    assert rewards == [2, 6, 14]
    assert names[0] == "train_1_c=7,keep=2,w=1,x_y=0.12346"
    assert (same, told) == (True, True)


def test_a_searcher_that_wants_to_be_asked_later_is_told_what_to_do(tmp_path: Path) -> None:
    body = """
from ray.tune.suggest import SuggestionAlgorithm
class Mine(SuggestionAlgorithm):
    def _suggest(self, trial_id):
        return None
run(climb, search_alg=Mine())
"""
    played = play(tmp_path, HEAD + body)
    assert played.status == 1
    assert "Give the searcher max_concurrent instead" in played.err


def test_variants_may_be_shuffled(tmp_path: Path) -> None:
    body = """
from ray.tune.suggest import BasicVariantGenerator
shuffled = BasicVariantGenerator(shuffle=True)
trials = run(climb, config={"g": grid_search(list(range(8)))}, search_alg=shuffled, verbose=0)
tell([[t.config["g"] for t in trials], str(trials[0])])
"""
    values, name = act(tmp_path, body).told
    assert sorted(values) == list(range(8))
    assert name == f"climb_0_g={values[0]}"


@pytest.mark.heavy
@needs_hyperopt
def test_hyperopt_searches_nested_and_conditional_spaces(tmp_path: Path) -> None:
    body = """
from hyperopt import hp
from ray.tune.suggest.hyperopt import HyperOptSearch
space = {"net": hp.choice("net", [{"kind": "flat"}, {"kind": "deep", "layers": 1 + hp.randint("layers", 3)}]),
         "lr": hp.loguniform("rate", -5, 0)}
def train(config, reporter):
    net = config["net"]
    reporter(mean_loss=abs(config["lr"] - 0.1) + (1 if net["kind"] == "flat" else net["layers"] / 10))
search = HyperOptSearch(space, max_concurrent=2, reward_attr="neg_mean_loss")
trials = run(train, config={"c": 1}, num_samples=40, search_alg=search, verbose=0)
tell([min(t.last_result["mean_loss"] for t in trials[30:]), sorted({t.config["net"]["kind"] for t in trials}),
      {type(t.config["lr"]).__name__ for t in trials} == {"float"}, trials[0].config["c"]])
"""
    best, kinds, floats, constant = act(tmp_path, body).told
    assert best < 0.6
    assert kinds == ["deep", "flat"]
    assert (floats, constant) == (True, 1)
