"""Models of Stable-Baselines3 report from within learn(), are saved, restored and cloned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run

sb3 = pytest.importorskip("stable_baselines3")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("default")]

from tunesmith.integrations.sb3 import ReportCallback, metrics, restore, save, trainable  # noqa: E402 - as above

PPO: dict[str, Any] = {"n_steps": 64, "batch_size": 64, "n_epochs": 2, "seed": 1, "policy_kwargs": {"net_arch": [16]}}
GOAL: dict[str, Any] = {"metric": "episode_reward_mean", "mode": "max"}


def ppo(**settings: Any) -> Any:
    return sb3.PPO("MlpPolicy", "CartPole-v1", **{**PPO, **settings})


def same(first: Any, second: Any) -> bool:
    """Whether two models have the same parameters and the same state of their optimisers, but for the rates."""
    import torch

    def flat(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [each for key in value if key not in ("lr", "foreach") for each in flat(value[key])]
        if isinstance(value, (list, tuple)):
            return [each for inner in value for each in flat(inner)]
        return [value.tolist() if isinstance(value, torch.Tensor) else value]

    return flat(first.get_parameters()) == flat(second.get_parameters())


def train(config: dict[str, Any]) -> None:
    model = ppo(learning_rate=config.get("learning_rate", 1e-3))
    before = restore(model)
    if config.get("fails") and before == 256 and not Path("failed").exists():
        Path("failed").touch()
        raise RuntimeError("once")
    if config.get("fails") and before == 0:
        model.learn(256, callback=ReportCallback(every=128))
        raise RuntimeError("and once more")
    model.learn(512 - before, callback=ReportCallback(every=128), reset_num_timesteps=before == 0)


def test_learn_reports_when_the_model_has_learnt_and_saves_it(run: Run) -> None:
    (trial,) = run(train, {}, executor="inline", **GOAL)
    assert [told["timesteps_total"] for told in trial.history] == [128, 256, 384, 512]
    assert {"episode_reward_mean", "episode_len_mean", "train/loss", "train/learning_rate"} <= trial.history[1].keys()
    assert trial.history[-1]["episode_reward_mean"] > 5
    assert sb3.PPO.load(Path(trial.checkpoint.path, "model.zip")).num_timesteps == 512


def test_a_trial_that_fails_goes_on_from_what_it_has_saved(run: Run) -> None:
    (trial,) = run(train, {"fails": True}, executor="inline", max_failures=2, **GOAL)
    assert trial.error is None
    assert trial.failures == 2
    assert [told["timesteps_total"] for told in trial.history] == [128, 256, 384, 512]


def test_a_trial_may_be_stopped_from_within_learn(run: Run) -> None:
    (trial,) = run(train, {}, executor="inline", stop={"timesteps_total": 256}, **GOAL)
    assert len(trial.history) == 2


def test_a_model_goes_on_with_another_ones_state_and_its_own_rate(tmp_path: Path) -> None:
    donor = ppo(learning_rate=1e-3).learn(128)
    save(donor, str(tmp_path / "s"))
    clone = ppo(learning_rate=2e-5, seed=2).learn(64)
    assert not same(clone, donor)
    assert restore(clone, str(tmp_path / "s")) == 128
    assert same(clone, donor)
    assert metrics(clone)["episode_reward_mean"] == metrics(donor)["episode_reward_mean"]
    assert clone.policy.optimizer.param_groups[0]["lr"] == 2e-5
    clone.learn(64, reset_num_timesteps=False)
    assert clone.num_timesteps == 192
    assert clone.policy.optimizer.param_groups[0]["lr"] == 2e-5
    assert donor.policy.optimizer.param_groups[0]["lr"] == 1e-3


def test_what_an_off_policy_algorithm_has_stored_and_learnt_beside_its_networks_is_kept(tmp_path: Path) -> None:
    def make(**settings: Any) -> Any:
        return sb3.SAC("MlpPolicy", "Pendulum-v1", buffer_size=500, learning_starts=20, batch_size=8,
                       policy_kwargs={"net_arch": [8]}, **settings)  # fmt: skip

    donor = make().learn(40)
    save(donor, str(tmp_path / "s"))
    save(donor, str(tmp_path / "small"), replay_buffer=False)
    clone = make()
    restore(clone, str(tmp_path / "s"))
    assert same(clone, donor)
    assert clone.log_ent_coef.tolist() == donor.log_ent_coef.tolist() != [0.0]
    assert clone.replay_buffer.size() == donor.replay_buffer.size() == 40
    assert not (tmp_path / "small" / "replay_buffer.pkl").exists()


def test_the_scales_of_an_environment_are_kept(tmp_path: Path) -> None:
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    def make() -> Any:
        return sb3.PPO("MlpPolicy", VecNormalize(make_vec_env("CartPole-v1", 1)), **PPO)

    donor, clone = make().learn(64), make()
    save(donor, str(tmp_path / "s"))
    restore(clone, str(tmp_path / "s"))
    assert (clone.get_vec_normalize_env().obs_rms.mean == donor.get_vec_normalize_env().obs_rms.mean).all()


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    save(ppo(), str(tmp_path / "s"))
    with pytest.raises(tune.StorageError, match="can't be put into this model"):
        restore(ppo(policy_kwargs={"net_arch": [8]}), str(tmp_path / "s"))
    with pytest.raises(tune.StorageError, match="can't be put into this model"):
        restore(ppo(), str(tmp_path))


def test_outside_a_trial_there_is_nothing_to_restore_by_itself() -> None:
    with pytest.raises(tune.TunesmithError, match="get_checkpoint"):
        restore(ppo())


def test_schedules_run_over_the_whole_training_not_over_a_step() -> None:
    kind = trainable("DQN", total_timesteps=400, timesteps_per_step=100)
    explores = {"exploration_fraction": 1.0, "exploration_final_eps": 0.0, "learning_starts": 1000}
    agent = kind({"env": "CartPole-v1", **explores})
    rates = []
    for _ in range(4):
        agent.train()
        rates.append(agent.model.exploration_rate)
    agent.stop()
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(0.75, abs=0.05)
    assert rates[-1] == pytest.approx(0.0, abs=0.05)


def test_a_trial_is_done_when_its_steps_are(run: Run) -> None:
    kind = trainable("PPO", total_timesteps=200, timesteps_per_step=64)
    (trial,) = run(kind, {**PPO, "env": "CartPole-v1"}, executor="inline", checkpoint_freq=2, **GOAL)
    assert [told["timesteps_total"] for told in trial.history] == [64, 128, 192, 256]
    assert trial.last_result["done"] is True


@pytest.mark.parametrize(("call", "words"), [
    (lambda: trainable("PPi"), "Did you mean 'PPO'"),
    (lambda: trainable(7), "a class of Stable-Baselines3"),
    (lambda: trainable("PPO", timesteps_per_step=0), "must be 1 or more"),
    (lambda: ReportCallback(0), "every must be 1 or more"),
    (lambda: trainable("PPO").check_config({"env": "CartPole-v1", "learning_rat": 1}), "Did you mean 'learning_rate'"),
    (lambda: trainable("PPO").check_config({"learning_rate": 1}), "needs an 'env'"),
])  # fmt: skip
def test_wrong_arguments_are_refused_with_the_right_ones(call: Any, words: str) -> None:
    with pytest.raises(tune.ArgumentError, match=words):
        call()


class Watched(trainable("PPO", timesteps_per_step=512)):  # type: ignore[misc]  # a class that is made
    """PPO that tells whether it goes on with exactly what was saved."""

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        super().load_checkpoint(checkpoint_dir)
        saved = sb3.PPO.load(Path(checkpoint_dir, "model.zip"))
        self.loaded = {"same": same(self.model, saved), "window": metrics(self.model)["episode_reward_mean"]}

    def step(self) -> dict[str, Any]:
        told, self.loaded = {**super().step(), **getattr(self, "loaded", {})}, {}
        return told


@pytest.mark.timeout(200)
def test_a_population_learns_to_balance_and_clones_go_on_from_their_donors(run: Run) -> None:
    results = run(
        Watched,
        {
            "env": "CartPole-v1", "n_steps": 128, "n_envs": 4, "batch_size": 128,
            "learning_rate": tune.grid_search([1e-6, 1e-5, 1e-3, 3e-3]),
        },
        stop=[{"training_iteration": 60}, Learnt()],
        keep_checkpoints_num=2,
        scheduler=tune.PopulationBasedTraining(
            "training_iteration", perturbation_interval=3,
            hyperparam_mutations={"learning_rate": tune.loguniform(3e-4, 5e-3), "clip_range": tune.uniform(0.1, 0.3)},
        ),
        **GOAL,
    )  # fmt: skip
    assert not results.errors
    assert results.best_result["episode_reward_mean"] > 100  # a random one has 20
    clones = [(trial, told) for trial in results for told in trial.decisions if told.action == "clone"]
    followed = [each for trial, _ in clones for each in trial.history if "same" in each]
    assert followed
    assert all(each["same"] for each in followed)
    for each in followed:  # a hundred episodes of which most are the donor's
        assert each["episode_reward_mean"] == pytest.approx(each["window"], rel=0.4)


class Learnt(tune.Stopper):
    """Ends the run when a trial has learnt it."""

    best = 0.0

    def observe(self, trial: int, result: dict[str, Any]) -> None:
        value = result["episode_reward_mean"]
        self.best = max(self.best, value) if value == value else self.best

    def judge_all(self) -> str | None:
        return f"one has learnt it: {self.best}" if self.best > 100 else None
