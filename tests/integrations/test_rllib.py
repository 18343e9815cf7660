"""RLlib's own algorithms learn, are saved, cloned, killed and resumed: with the real Ray and the real Gymnasium."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run

pytest.importorskip("ray.rllib", exc_type=ImportError)
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("default")]

from tunesmith.arguments import check_trainable  # noqa: E402 - as below
from tunesmith.integrations.rllib import RLlibTrainable, trainable  # noqa: E402 - after what it needs
from tunesmith.integrations.rllib_engine import ENGINE  # noqa: E402 - as above

SMALL: dict[str, Any] = {
    "env": "CartPole-v1", "train_batch_size": 128, "minibatch_size": 64, "num_epochs": 2, "seed": 1,
    "model_config": {"fcnet_hiddens": [16]},
}  # fmt: skip
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    """The Ray of this process stays from one test to the next."""
    ENGINE.join()
    yield
    ENGINE.leave()


@pytest.fixture
def made() -> Iterator[Any]:
    """Makes trainables of PPO, and ends them."""
    found: list[tune.Trainable] = []

    def make(**settings: Any) -> Any:
        found.append(trainable("PPO")({**SMALL, **settings}))
        return found[-1]

    yield make
    for each in found:
        each.stop()


def learner(agent: Any, look: Any) -> Any:
    return next(result.get() for result in agent.rllib.learner_group.foreach_learner(look))


def weights(agent: Any) -> str:
    """A digest of the weights that are learnt, and of those that play."""
    digest = hashlib.sha256()
    trained = learner(
        agent, lambda it: {k: v.detach().cpu().numpy() for k, v in it.module["default_policy"].state_dict().items()}
    )
    played = {k: v.detach().cpu().numpy() for k, v in agent.rllib.get_module("default_policy").state_dict().items()}
    for part in (trained, played):
        for name in sorted(part):
            digest.update(name.encode() + part[name].tobytes())
    return digest.hexdigest()


def rate(agent: Any) -> float:
    return float(learner(agent, lambda it: it.get_optimizer().param_groups[0]["lr"]))


def steps_of_adam(agent: Any) -> int:
    return int(learner(agent, lambda it: next(iter(it.get_optimizer().state.values()))["step"]))


def test_a_clone_has_the_donors_weights_and_its_own_hyperparameters(made: Any, tmp_path: Path) -> None:
    donor = made(lr=1e-3, clip_param=0.3, entropy_coeff=0.01, kl_coeff=0.4)
    for _ in range(2):
        told = donor.train()
    path = donor.save(tmp_path)
    clone = made(lr=2e-5, clip_param=0.1, entropy_coeff=0.05, kl_coeff=0.7)
    clone.train()
    assert weights(clone) != weights(donor)
    clone.restore(path)
    assert weights(clone) == weights(donor)
    assert steps_of_adam(clone) == steps_of_adam(donor)
    assert rate(clone) == 2e-5  # not the donor's, which RLlib has restored with the optimiser
    assert learner(clone, lambda it: (it.config.clip_param, it.config.lambda_)) == (0.1, 1.0)
    after = clone.train()
    assert after["timesteps_total"] == told["timesteps_total"] + 128
    assert after["training_iteration"] == 3
    assert after["learners/default_policy/default_optimizer_learning_rate"] == pytest.approx(2e-5)
    assert after["learners/default_policy/curr_entropy_coeff"] == pytest.approx(0.05)
    assert after["learners/default_policy/curr_kl_coeff"] in (
        pytest.approx(0.35), pytest.approx(0.7), pytest.approx(1.05),
    )  # fmt: skip  # PPO's own rule: half of it, it, or half as much again
    assert rate(clone) == 2e-5


def test_an_agent_takes_up_a_new_configuration_in_its_process(made: Any, tmp_path: Path) -> None:
    agent = made(lr=1e-3)
    agent.train()
    path, before = agent.save(tmp_path), weights(agent)
    assert agent.reset_config({**SMALL, "lr": 3e-4, "lambda": 0.9, "num_epochs": 1}) is True
    assert weights(agent) != before  # it may be for a trial that begins
    agent.restore(path)
    assert weights(agent) == before
    assert rate(agent) == 3e-4
    assert learner(agent, lambda it: (it.config.lambda_, it.config.num_epochs)) == (0.9, 1)


def test_the_coefficient_of_kl_goes_on_where_it_was_unless_it_was_explored(made: Any, tmp_path: Path) -> None:
    def coefficient(agent: Any) -> float:
        return float(learner(agent, lambda it: it.curr_kl_coeffs_per_module["default_policy"]))

    donor = made(kl_coeff=0.5)
    while coefficient(donor) == 0.5:
        donor.train()
    path = donor.save(tmp_path)
    for kl_coeff, expected in ((0.5, coefficient(donor)), (0.6, 0.6)):
        clone = made(kl_coeff=kl_coeff)
        clone.restore(path)
        assert coefficient(clone) == pytest.approx(expected)


def test_a_schedule_of_learning_rates_goes_by_steps_not_by_restores(made: Any, tmp_path: Path) -> None:
    schedule = [[0, 1e-3], [256, 1e-4], [10_000, 1e-4]]
    donor = made(lr=schedule)
    for _ in range(4):
        donor.train()
    clone = made(lr=schedule)
    clone.restore(donor.save(tmp_path))
    assert rate(clone) == pytest.approx(1e-4)


def test_a_checkpoint_is_rllibs_own(made: Any, tmp_path: Path) -> None:
    from ray.rllib.algorithms.algorithm import Algorithm

    agent = made()
    agent.train()
    opened = Algorithm.from_checkpoint(agent.save(tmp_path))
    try:
        assert opened.iteration == 1
    finally:
        opened.stop()


def test_what_is_no_checkpoint_of_rllibs_is_refused(made: Any, tmp_path: Path) -> None:
    with pytest.raises(tune.StorageError, match="no checkpoint of RLlib's"):
        made().load_checkpoint(str(tmp_path))


def test_an_agent_without_the_end_of_an_episode_tells_the_last_one(made: Any, tmp_path: Path) -> None:
    agent = made(train_batch_size=8, minibatch_size=8)
    told = [agent.train() for _ in range(12)]
    values = [each["episode_reward_mean"] for each in told]
    silent = [
        i for i, each in enumerate(told) if i and each["episodes_this_iter"] == 0 and values[i - 1] == values[i - 1]
    ]
    assert silent
    assert all(values[i] == values[i - 1] for i in silent)
    other = made(train_batch_size=8, minibatch_size=8, seed=2)
    other.restore(agent.save(tmp_path))
    after = other.train()
    assert after["episodes_this_iter"] or after["episode_reward_mean"] == values[-1]


def test_classes_and_configurations_are_algorithms_too() -> None:
    from ray.rllib.algorithms.ppo import PPO, PPOConfig

    assert (trainable(PPO).__name__, trainable(PPO).base) == ("PPO", None)
    assert issubclass(check_trainable(PPO), RLlibTrainable)  # as `run` takes them
    assert issubclass(check_trainable(PPOConfig()), RLlibTrainable)
    config = PPOConfig().environment("CartPole-v1").env_runners(num_env_runners=0).training(train_batch_size=128)
    agent = trainable(config)({"lr": 2e-4, "minibatch_size": 64, "num_epochs": 1})
    try:
        assert agent.train()["timesteps_total"] == 128
        assert rate(agent) == 2e-4
    finally:
        agent.stop()
    two = config.copy(copy_frozen=False).env_runners(num_env_runners=2)
    assert trainable(two).default_resource_request({"lr": 1}) == {"cpu": 3, "gpu": 0}
    assert trainable(two).default_resource_request({"num_workers": 4}) == {"cpu": 5, "gpu": 0}
    with pytest.raises(tune.ArgumentError, match="its class or an AlgorithmConfig"):
        trainable(3)


def test_a_setting_that_rllib_does_not_have_is_refused_before_the_run(run: Run, tmp_path: Path) -> None:
    with pytest.raises(tune.ArgumentError, match=r"PPO of RLlib has no setting 'clip_parm'.*'clip_param'"):
        run("PPO", {"env": "CartPole-v1", "clip_parm": 0.2})
    assert not list(tmp_path.iterdir())


def test_functions_make_environments_and_filters_scale_what_is_seen() -> None:
    import gymnasium

    def make(settings: Any) -> Any:
        return gymnasium.make("CartPole-v1", max_episode_steps=settings["limit"])

    named = trainable("PPO", {"short": make})
    for env, cls in ((make, trainable("PPO")), ("short", named)):
        agent = cls({**SMALL, "env": env, "env_config": {"limit": 5}, "observation_filter": "MeanStdFilter"})
        try:
            assert agent.train()["episode_len_mean"] == 5
        finally:
            agent.stop()


def test_env_runners_are_processes_of_their_own_that_end_with_the_agent(made: Any) -> None:
    before = set(_processes("SingleAgentEnvRunner"))
    agent = made(num_workers=1)
    assert len(set(_processes("SingleAgentEnvRunner")) - before) == 1
    told = agent.train()
    assert told["timesteps_total"] >= 128
    agent.stop()
    until = time.monotonic() + 20
    while set(_processes("SingleAgentEnvRunner")) - before and time.monotonic() < until:
        time.sleep(0.1)
    assert set(_processes("SingleAgentEnvRunner")) <= before


def _processes(text: str) -> list[int]:
    """Processes whose environment or command line has this text, beside this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if text.encode() in told:
                found.append(int(entry.name))
    return found


# -- populations


class Watched(RLlibTrainable):
    """PPO that tells the digest of its weights as they were saved, and as they were loaded."""

    algorithm = "PPO"

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        super().save_checkpoint(checkpoint_dir)
        Path(checkpoint_dir, "digest.json").write_text(json.dumps(weights(self)))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        super().load_checkpoint(checkpoint_dir)
        saved = json.loads(Path(checkpoint_dir, "digest.json").read_text())
        self.loaded = {"same_weights": saved == weights(self), "rate_after_loading": rate(self)}

    def step(self) -> dict[str, Any]:
        told, self.loaded = {**super().step(), **getattr(self, "loaded", {})}, {}
        return told


class Followed(tune.Stopper):
    """Ends the run when so many reports came from weights of another trial: how soon they do is a matter of chance."""

    def __init__(self, wanted: int) -> None:
        self.missing = wanted

    def observe(self, trial: tune.Trial, result: Any) -> None:
        self.missing -= "rate_after_loading" in result

    def judge_all(self) -> str | None:
        return "enough followed" if self.missing <= 0 else None


@pytest.mark.timeout(300)
def test_a_population_on_humanoid_goes_on_from_its_donors(run: Run) -> None:
    pytest.importorskip("mujoco")
    results = run(
        Watched,
        {
            "env": "Humanoid-v1", "train_batch_size": 400, "sgd_minibatch_size": 100, "num_sgd_iter": 2,
            "lr": tune.grid_search([1e-5, 1e-4, 1e-3]),
            "model": {"fcnet_hiddens": [32, 32], "free_log_std": True},
        },
        metric="episode_reward_mean",
        mode="max",
        stop=[{"training_iteration": 20}, Followed(3)],
        keep_checkpoints_num=2,
        scheduler=tune.PopulationBasedTraining(
            "training_iteration", perturbation_interval=1, quantile_fraction=0.5,
            hyperparam_mutations={"lr": tune.loguniform(1e-5, 1e-2)},
        ),
    )  # fmt: skip
    assert not results.errors
    clones = [(trial, told) for trial in results for told in trial.decisions if told.action == "clone"]
    assert len(clones) >= 2
    followed = 0
    for trial, decision in clones:
        rate_now = decision.config["lr"]
        after = next((each for each in trial.history if each.get("rate_after_loading") == rate_now), None)
        if after is None:  # it was made a clone and has not come to a report since
            continue
        donor = results.trials[decision.donor]
        source = next(each for each in donor.history if each["timesteps_total"] == after["timesteps_total"] - 400)
        assert after["same_weights"] is True
        assert after["learners/default_policy/default_optimizer_learning_rate"] == pytest.approx(rate_now)
        # Some twenty episodes of the same weights, played with other random numbers.
        assert after["episode_reward_mean"] == pytest.approx(source["episode_reward_mean"], rel=0.3)
        followed += 1
    assert followed >= 2


POPULATION = """
import sys
import tunesmith as tune

if __name__ == "__main__":
    class Learnt(tune.Stopper):
        best = 0.0
        def observe(self, trial, result):
            self.best = max(self.best, result["episode_reward_mean"])
        def judge_all(self):
            return f"one has learnt it: {self.best}" if self.best > 150 else None

    tune.run(
        "PPO",
        {
            "env": "CartPole-v0", "train_batch_size": 1000, "num_sgd_iter": 10, "num_envs_per_worker": 4,
            "lr": tune.grid_search([1e-5, 3e-4, 1e-3, 3e-3]), "model": {"fcnet_hiddens": [64, 64]},
        },
        name="population",
        storage_path=sys.argv[1],
        metric="episode_reward_mean",
        mode="max",
        stop=[{"training_iteration": 60}, Learnt()],
        checkpoint_freq=1,
        keep_checkpoints_num=2,
        scheduler=tune.PopulationBasedTraining(
            "training_iteration",
            perturbation_interval=3,
            hyperparam_mutations={"lr": tune.loguniform(1e-4, 5e-3), "clip_param": tune.uniform(0.1, 0.3)},
        ),
        executor=tune.LocalExecutor(cpus=2),
        resume="auto",
        seed=1,
    )
"""


@pytest.mark.timeout(300)
def test_a_population_that_is_killed_goes_on_and_learns_to_balance(tmp_path: Path) -> None:
    script = tmp_path / "population.py"
    script.write_text(POPULATION)
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as first:
        until = time.monotonic() + 120
        while _furthest(tmp_path / "population") < 3 and time.monotonic() < until and first.poll() is None:
            time.sleep(0.2)
        first.send_signal(signal.SIGKILL)
        told, _ = first.communicate()
    assert "num_sgd_iter is num_epochs" in told
    saved = {  # what each trial had reported when it last saved
        trial.number: [_told(each) for each in trial.history if each["training_iteration"] <= _saved(trial)]
        for trial in tune.load(tmp_path / "population")
        if trial.checkpoint is not None
    }
    assert max(map(len, saved.values())) >= 2, told
    until = time.monotonic() + 20
    while _processes(str(tmp_path)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not _processes(str(tmp_path))  # neither workers nor any process of their Rays
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    after = tune.load(tmp_path / "population")
    assert not after.errors
    assert after.best_result["episode_reward_mean"] > 150
    for trial in after:
        counted = [each["training_iteration"] for each in trial.history]
        assert counted == list(range(1, len(counted) + 1))
    for number, kept in saved.items():  # what was saved was not done again
        assert [_told(each) for each in after.trials[number].history[: len(kept)]] == kept


def _told(result: dict[str, Any]) -> tuple[Any, ...]:
    return result["training_iteration"], result["timesteps_total"], result["episode_reward_mean"], result["timestamp"]


def _saved(trial: tune.Trial) -> int:
    return int(Path(trial.checkpoint.path).name.split("_")[1].split(".")[0].split("-")[0])


def _furthest(folder: Path) -> int:
    if not (folder / "experiment.db").exists():
        return 0
    try:
        return max((len(trial.history) for trial in tune.load(folder)), default=0)
    except tune.TunesmithError:  # it is just being made
        return 0
