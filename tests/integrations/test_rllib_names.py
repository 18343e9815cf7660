"""RLlib's names of 2019 become those of today, resources are fitted and results are flat: all of it without Ray."""

from __future__ import annotations

import sys
from math import isnan
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith.integrations.rllib import trainable
from tunesmith.integrations.rllib_names import check_algorithm, today, translate, unknown
from tunesmith.integrations.rllib_resources import fitted, needs
from tunesmith.integrations.rllib_results import metrics

TUTORIAL: dict[str, Any] = {
    "env": "Humanoid-v1", "kl_coeff": 1.0, "num_workers": 8, "num_gpus": 8, "model": {"free_log_std": True},
    "lambda": 0.95, "clip_param": 0.2, "lr": 1e-4, "num_sgd_iter": 10, "sgd_minibatch_size": 128,
    "train_batch_size": 10000,
}  # fmt: skip


def test_the_tutorials_configuration_is_said_in_todays_names() -> None:
    assert translate(TUTORIAL).config == {
        "env": "Humanoid-v5", "kl_coeff": 1.0, "num_env_runners": 8, "num_learners": 8, "num_gpus_per_learner": 1,
        "model_config": {"free_log_std": True}, "lambda_": 0.95, "clip_param": 0.2, "lr": 1e-4, "num_epochs": 10,
        "minibatch_size": 128, "train_batch_size": 10000,
    }  # fmt: skip


def test_one_line_names_all_that_was_translated_and_all_that_has_no_effect() -> None:
    said = translate({**TUTORIAL, "straggler_mitigation": True, "simple_optimizer": False}).sentence()
    assert said.count("\n") == 0
    for old, new in (("num_sgd_iter", "num_epochs"), ("Humanoid-v1", "Humanoid-v5"), ("lambda", "lambda_")):
        assert f"{old} is {new}" in said
    assert said.endswith("without effect today: straggler_mitigation, simple_optimizer.")


def test_what_is_said_in_todays_names_is_left_alone_without_a_word() -> None:
    given = {"env": "CartPole-v1", "num_epochs": 3, "lambda_": 0.9, "use_gae": True, "vf_loss_coeff": 0.5}
    made = translate(given)
    assert made.config == given
    assert made.sentence() == ""


@pytest.mark.parametrize(("old", "new"), [
    ("CartPole-v0", "CartPole-v1"), ("CartPole-v1", "CartPole-v1"), ("Walker2d-v2", "Walker2d-v5"),
    ("HumanoidStandup-v1", "HumanoidStandup-v5"), ("Pendulum-v0", "Pendulum-v1"), ("LunarLander-v2", "LunarLander-v3"),
    ("MountainCar-v0", "MountainCar-v0"), ("Humanoid-v5", "Humanoid-v5"), ("MyHumanoid-v1", "MyHumanoid-v1"),
])  # fmt: skip
def test_environments_have_the_version_that_gymnasium_has(old: str, new: str) -> None:
    assert today(old) == new


def test_filters_shared_layers_and_schedules_find_their_places() -> None:
    made = translate({
        "observation_filter": "MeanStdFilter", "vf_share_layers": True, "model": {"fcnet_hiddens": [64]},
        "lr_schedule": [[0, 1e-3], [1000, 1e-4]], "lr": 1e-3, "entropy_coeff": 0.01, "entropy_coeff_schedule": None,
    }).config  # fmt: skip
    assert made == {
        "env_to_module_connector": "MeanStdFilter",
        "model_config": {"vf_share_layers": True, "fcnet_hiddens": [64]},
        "lr": [[0, 1e-3], [1000, 1e-4]],
        "entropy_coeff": 0.01,
    }
    assert translate({"observation_filter": "NoFilter"}).config == {}


@pytest.mark.parametrize(("config", "words"), [
    ({"horizon": 200}, "env_config="),
    ({"multiagent": {"policies": {}, "x": 1}}, "policy_mapping_fn"),
    ({"callbacks": {"on_episode_end": print}}, "on_episode_end="),
    ({"model": {"framestack": True}}, "DefaultModelConfig"),
    ({"observation_filter": "Mean"}, "'MeanStdFilter'"),
    ({"num_workers": 2, "num_env_runners": 2}, "the same setting"),
    ({"num_gpus": tune.choice([0, 1])}, "must be a number"),
])  # fmt: skip
def test_what_would_change_what_is_learnt_is_refused_with_what_to_do(config: dict[str, Any], words: str) -> None:
    with pytest.raises(tune.ArgumentError, match=words):
        translate(config)


def test_defaults_of_2019_that_say_nothing_are_not_refused() -> None:
    assert translate({"horizon": None, "callbacks": {}, "multiagent": {}}).config == {}


def test_domains_are_passed_on() -> None:
    domain = tune.loguniform(1e-5, 1e-3)
    assert translate({"lr": domain, "num_sgd_iter": domain}).config == {"lr": domain, "num_epochs": domain}


def test_unknown_names_are_told_with_the_nearest_old_or_new_one() -> None:
    assert unknown(["lr"], ["lr"], "PPO") == ""
    assert "Did you mean 'clip_param'?" in unknown(["clip_parm"], ["lr", "clip_param"], "PPO")
    assert "Did you mean 'sgd_minibatch_size'?" in unknown(["sgd_minibatch"], ["lr"], "PPO")


@pytest.mark.parametrize(("name", "words"), [
    ("PPi", "Did you mean 'PPO'"), ("ppo", "Did you mean 'PPO'"), ("dreamer", "Did you mean 'DreamerV3'"),
    ("A3C", "PPO or IMPALA comes closest"), ("TD3", "SAC comes closest"), ("xyz", "APPO, BC, CQL"),
])  # fmt: skip
def test_an_algorithm_that_is_not_there_is_told_with_the_nearest_one(name: str, words: str, run: Run) -> None:
    with pytest.raises(tune.ArgumentError, match=words):
        check_algorithm(name)
    with pytest.raises(tune.ArgumentError, match=words):
        run(name, {"env": "CartPole-v1"})


def test_a_run_without_rllib_says_which_extra_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "ray" or name.startswith("ray.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(tune.MissingPackageError, match=r"tunesmith\[rllib\]"):
        run("PPO", {"env": "CartPole-v1"})


# -- resources


def test_a_trial_needs_what_all_its_processes_need() -> None:
    assert trainable("PPO").default_resource_request(TUTORIAL) == {"cpu": 9, "gpu": 8}
    assert trainable("PPO").default_resource_request({"env": "CartPole-v1"}) == {"cpu": 1, "gpu": 0}
    assert needs({"num_env_runners": 2, "num_cpus_per_env_runner": 2, "num_learners": 1}).total() == {
        "cpu": 6,
        "gpu": 0,
    }
    assert needs({"num_gpus_per_learner": 0.5}).total() == {"cpu": 1, "gpu": 0.5}


@pytest.mark.parametrize(("granted", "changed"), [
    ({}, {}),
    ({"cpu": 9, "gpu": 8}, {}),
    ({"cpu": 2, "gpu": 0}, {"num_learners": 0, "num_gpus_per_learner": 0, "num_env_runners": 1}),
    ({"cpu": 1, "gpu": 0}, {"num_learners": 0, "num_gpus_per_learner": 0, "num_env_runners": 0}),
    ({"cpu": 4, "gpu": 2}, {"num_learners": 2, "num_env_runners": 3}),
    ({"cpu": 9, "gpu": 1}, {"num_learners": 0}),
])  # fmt: skip
def test_no_more_processes_are_started_than_were_granted_room(granted: dict[str, float], changed: Any) -> None:
    assert fitted(translate(TUTORIAL).config, granted) == changed


# -- results

RESULT: dict[str, Any] = {
    "env_runners": {
        "episode_return_mean": 21.5, "episode_return_min": 9.0, "episode_return_max": 40.0, "episode_len_mean": 21.5,
        "num_episodes": 3, "num_episodes_lifetime": 12.0, "num_env_steps_sampled": 100, "env_step_timer": 0.1,
        "agent_episode_return_mean": {"default_agent": 21.5},
    },
    "learners": {"default_policy": {"entropy": 0.6, "weights": [1, 2]}, "__all_modules__": {"entropy": 0.6}},
    "num_env_steps_sampled_lifetime": 400.0, "training_iteration": 4, "config": {"lr": 1}, "timers": {"x": 1.0},
    "done": False, "time_total_s": 3.0, "hostname": "here",
}  # fmt: skip


def test_results_have_the_names_of_2019_beside_todays() -> None:
    assert metrics(RESULT, {}) == {
        "env_runners/episode_return_mean": 21.5, "env_runners/episode_return_min": 9.0,
        "env_runners/episode_return_max": 40.0, "env_runners/episode_len_mean": 21.5, "env_runners/num_episodes": 3,
        "env_runners/num_episodes_lifetime": 12.0, "env_runners/num_env_steps_sampled": 100,
        "learners/default_policy/entropy": 0.6, "num_env_steps_sampled_lifetime": 400.0,
        "episode_reward_mean": 21.5, "episode_reward_min": 9.0, "episode_reward_max": 40.0, "episode_len_mean": 21.5,
        "episodes_this_iter": 3, "episodes_total": 12, "timesteps_this_iter": 100, "timesteps_total": 400,
    }  # fmt: skip


def test_an_iteration_without_the_end_of_an_episode_tells_the_last_ones() -> None:
    last: dict[str, float] = {}
    assert isnan(metrics({"env_runners": {"num_episodes": 0}}, last)["episode_reward_mean"])
    metrics(RESULT, last)
    nothing = {"env_runners": {"num_episodes": 0, "episode_return_mean": float("nan")}}
    told = metrics(nothing, last)
    assert told["episode_reward_mean"] == told["env_runners/episode_return_mean"] == 21.5
    assert told["episodes_this_iter"] == 0
