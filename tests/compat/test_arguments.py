"""What a script gives has its effect, or is told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.stage import HEAD, act, play


def test_policies_are_not_written_where_nobody_wants_them(tmp_path: Path) -> None:
    body = """
from ray.tune.schedulers import PopulationBasedTraining
for name, wanted in (("with", True), ("without", False)):
    pbt = PopulationBasedTraining("training_iteration", perturbation_interval=2, hyperparam_mutations={"w": [1, 2, 3]},
                                  log_config=wanted)
    run(Count, name=name, config={"w": grid_search([1, 2, 3, 100])}, stop={"training_iteration": 12}, scheduler=pbt,
        verbose=0)
"""
    played = act(tmp_path, body)
    assert (played.results / "with" / "pbt_global.txt").exists()
    assert not [*(played.results / "without").glob("pbt_*")]


@pytest.mark.parametrize("verbose", [True, False])
def test_the_median_rule_says_what_it_thinks_of_each_result_unless_it_is_told_not_to(
    tmp_path: Path, verbose: bool
) -> None:
    body = f"""
from ray.tune.schedulers import MedianStoppingRule
ray.init(num_cpus=1)
rule = MedianStoppingRule("training_iteration", grace_period=1, min_samples_required=2, verbose={verbose})
run(Count, config={{"w": grid_search([3, 2, 1])}}, stop={{"training_iteration": 5}}, scheduler=rule, verbose=0)
"""
    played = act(tmp_path, body)
    assert ("Trial Count_0_w=3 at training_iteration 4: CONTINUE\n" in played.err) is verbose
    assert ("Trial Count_2_w=1 at training_iteration 2: STOP, " in played.err) is verbose


def test_of_what_is_rays_own_it_is_said_that_it_has_no_effect(tmp_path: Path) -> None:
    said = "ray.init: object_store_memory: without effect, as there are no processes of Ray here."
    assert said in act(tmp_path, "ray.init(num_cpus=2, object_store_memory=10**9, ignore_reinit_error=True)").err
    assert "without effect" not in act(tmp_path, "ray.init(num_cpus=2, ignore_reinit_error=True)").err
    played = play(tmp_path, HEAD + "ray.init(num_cpu=2)")
    assert "TypeError: ray.init() got an unexpected keyword argument 'num_cpu'. Did you mean 'num_cpus'?" in played.err


@pytest.mark.parametrize(
    ("score", "kept"), [("episode_reward_mean", {5, 6}), ("min-episode_reward_mean", {1, 2, 6}), (None, {5, 6})]
)
def test_the_best_checkpoints_are_kept_by_their_score(tmp_path: Path, score: str | None, kept: set[int]) -> None:
    # the last one is kept as well, because the trial would go on from it
    body = f"""
[t] = run(Count, stop={{"training_iteration": 6}}, checkpoint_freq=1, keep_checkpoints_num=2,
          checkpoint_score_attr={score!r}, verbose=0)
tell(sorted(int(d.rsplit("_", 1)[1]) for d in os.listdir(t.logdir) if d.startswith("checkpoint_0")))
"""
    assert set(act(tmp_path, body).told) == kept


def test_a_trainables_own_advice_is_shown_when_it_asks_for_too_much(tmp_path: Path) -> None:
    body = """
class Large(Count):
    @classmethod
    def resource_help(cls, config):
        return "Set num_workers lower."
ray.init(num_cpus=1)
run(Large, resources_per_trial={"cpu": 3})
"""
    assert "--fit-resources SCRIPT. Set num_workers lower." in play(tmp_path, HEAD + body).err


def test_it_is_said_that_what_is_reserved_for_a_trial_can_not_be_changed_any_more(tmp_path: Path) -> None:
    body = """
[t] = run(Count, stop={"training_iteration": 1}, verbose=0)
t.update_resources(2, 0)
"""
    assert "update_resources: what is reserved for Count_0 stays" in act(tmp_path, body).err


def test_a_logger_for_several_copies_its_folder_when_it_is_closed(tmp_path: Path) -> None:
    body = """
from ray.tune.logger import UnifiedLogger, JsonLogger
os.mkdir("from"), os.mkdir("to")
log = UnifiedLogger({}, "from", "to", [JsonLogger], tune.function(lambda here, there: tell([here, there])))
log.on_result({"a": 1})
log.close()
"""
    assert act(tmp_path, body).told == ["from", "to"]


@pytest.mark.heavy
def test_a_seed_makes_hyperopts_suggestions_the_same(tmp_path: Path) -> None:
    pytest.importorskip("hyperopt")
    body = """
from hyperopt import hp
from ray.tune.suggest.hyperopt import HyperOptSearch
found = []
for seed in (1, 1, 2):
    search = HyperOptSearch({"x": hp.uniform("x", 0, 1)}, max_concurrent=1, random_state_seed=seed, n_initial_points=2)
    found.append([t.config["x"] for t in run(climb, config={"n": 1}, num_samples=4, search_alg=search, verbose=0)])
tell(found)
"""
    one, again, other = act(tmp_path, body).told
    assert one == again != other
    refused = play(tmp_path, HEAD + "from ray.tune.suggest.hyperopt import HyperOptSearch\nHyperOptSearch({}, gama=1)")
    assert "unexpected keyword argument 'gama'" in refused.err
