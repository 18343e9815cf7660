"""The language of search spaces, names and tags (1.5, 1.6, 1.15)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.compat.stage import HEAD, act, play
from tunesmith.compat.ray.errors import RecursiveDependencyError, TuneError
from tunesmith.compat.ray.markers import function, grid_search, sample_from
from tunesmith.compat.ray.naming import format_vars
from tunesmith.compat.ray.util import deep_update, flatten_dict, merge_dicts
from tunesmith.compat.ray.variants import generate_variants


def specs(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [resolved for _, resolved in generate_variants(spec)]


def test_grids_are_crossed_and_the_first_by_path_varies_fastest() -> None:
    found = specs({"config": {"b": grid_search([1, 2]), "a": {"grid_search": ["x", "y"]}}})
    assert [(each["config"]["a"], each["config"]["b"]) for each in found] == [("x", 1), ("y", 1), ("x", 2), ("y", 2)]


def test_marks_are_found_at_any_depth_in_dicts_and_lists() -> None:
    ((resolved, spec),) = generate_variants({"config": {"nn": [sample_from(lambda spec: 5), {"x": {"eval": "2 + 3"}}]}})
    assert spec == {"config": {"nn": [5, {"x": 5}]}}
    assert resolved == {("config", "nn", 0): 5, ("config", "nn", 1, "x"): 5}


def test_functions_may_look_at_each_other_in_any_order_and_at_nested_values() -> None:
    config = {
        "z": sample_from(lambda spec: spec.config.y * 10),
        "y": sample_from(lambda spec: spec.config.x.inner + 1),
        "x": {"inner": grid_search([1, 2])},
        "e": {"eval": "spec.config.z + spec['config']['y']"},
    }
    assert [(s["config"]["y"], s["config"]["z"], s["config"]["e"]) for s in specs({"config": config})] == [
        (2, 20, 22), (3, 30, 33),
    ]  # fmt: skip


def test_functions_may_look_at_the_rest_of_the_spec() -> None:
    assert specs({"num": 4, "config": {"a": sample_from(lambda spec: spec.num + 1)}})[0]["config"] == {"a": 5}


def test_a_value_of_a_grid_may_be_drawn() -> None:
    values = [s["config"]["a"] for s in specs({"config": {"a": grid_search([1, sample_from(lambda spec: 7)])}})]
    assert values == [1, 7]


def test_a_circle_is_named() -> None:
    config = {"a": sample_from(lambda spec: spec.config.b), "b": sample_from(lambda spec: spec.config.a)}
    with pytest.raises(RecursiveDependencyError, match="recursively depends on"):
        specs({"config": config})


def test_a_function_that_raises_is_told_with_its_place() -> None:
    with pytest.raises(ValueError, match=r"Failed to evaluate expression: \('config', 'a'\).*use tune.function\(\)"):
        specs({"config": {"a": sample_from(lambda spec: spec.config.nowhere)}})


def test_a_grid_has_to_be_a_list() -> None:
    with pytest.raises(TuneError, match="Grid search expected list of values, got: 5"):
        specs({"config": {"a": grid_search(5)}})  # type: ignore[arg-type]


def test_a_bare_function_is_ambiguous_and_a_marked_one_is_passed_on() -> None:
    with pytest.raises(DeprecationWarning, match="Function values are ambiguous in Tune configuations"):
        specs({"config": {"a": random.random}} | {"config": {"a": lambda: 1}})
    (spec,) = specs({"config": {"a": function(max)}})
    assert spec["config"]["a"](2, 3) == 3
    assert repr(function(max)) == "tune.function(<built-in function max>)"


def test_names_show_variables_by_path_with_five_digits() -> None:
    resolved = {
        ("config", "nn", 1): 8, ("config", "nn", 0): 16, ("config", "lr"): 0.0123456, ("config", "a"): 1,
        ("env",): "Pong", ("resources_per_trial", "cpu"): 2, ("config", "path"): "a/b", ("config", "t"): 1e-05,
    }  # fmt: skip
    assert format_vars(resolved) == "a=1,lr=0.012346,nn_0=16,nn_1=8,path=a_b,t=1e-05"


def test_trials_are_named_by_what_was_resolved_and_counted_from_zero(tmp_path: Path) -> None:
    body = """
config = {"constant": 5, "nn": [grid_search([16]), sample_from(lambda spec: 8)],
          "lr": sample_from(lambda spec: 0.0123456), "f": sample_from(lambda spec: 2.0),
          "where": sample_from(lambda spec: "a/b")}
trials = run(climb, config=config, num_samples=2, verbose=0)
tell([[str(t), t.experiment_tag, t.config] for t in trials])
"""
    tag = "f=2.0,lr=0.012346,nn_0=16,nn_1=8,where=a_b"
    config = {"constant": 5, "nn": [16, 8], "lr": 0.0123456, "f": 2.0, "where": "a/b"}
    assert act(tmp_path, body).told == [[f"climb_{i}_{tag}", f"{i}_{tag}", config] for i in (0, 1)]


def test_samples_repeat_the_grid_and_draw_anew(tmp_path: Path) -> None:
    body = """
n = iter(range(100))
trials = run(climb, config={"g": grid_search([1, 2]), "d": sample_from(lambda spec: next(n))}, num_samples=3, verbose=0)
tell([[t.config["g"], t.config["d"]] for t in trials])
"""
    assert act(tmp_path, body).told == [[1, 0], [2, 1], [1, 2], [2, 3], [1, 4], [2, 5]]


def test_a_function_in_the_configuration_reaches_the_trial(tmp_path: Path) -> None:
    body = """
def train(config, reporter):
    reporter(mean_loss=config["f"](3))
[t] = run(train, config={"f": tune.function(lambda x: x * 2)}, verbose=0)
tell([t.last_result["mean_loss"], str(t)])
"""
    assert act(tmp_path, body).told == [6, "train_0"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{'a': sample_from(lambda spec: 1 / 0)}", "ValueError: Failed to evaluate expression: ('config', 'a')"),
        ("{'a': sample_from(lambda s: s.config.a)}", "RecursiveDependencyError: `a` recursively depends on"),
        ("{'a': lambda: 1}", "DeprecationWarning: Function values are ambiguous"),
        ("{'a': grid_search(7)}", "TuneError: Grid search expected list of values"),
    ],
)
def test_a_space_that_can_not_be_resolved_ends_the_run_before_a_trial_starts(
    tmp_path: Path, config: str, words: str
) -> None:
    played = play(tmp_path, f"{HEAD}\nrun(climb, config={config}, num_samples=3)")
    assert played.status == 1
    assert words in played.err
    assert "climb_0" not in played.out


def test_the_ways_to_draw_of_summer_2019(tmp_path: Path) -> None:
    body = """
config = {"u": tune.uniform(1, 2), "l": tune.loguniform(1e-4, 1e-2), "c": tune.choice(["a", "b"]), "i": tune.randint(3),
          "r": tune.randn()}
[t] = run(climb, config=config, verbose=0)
c = t.config
tell([1 <= c["u"] < 2, 1e-4 <= c["l"] <= 1e-2, c["c"] in "ab", c["i"] in (0, 1, 2), type(c["r"]).__name__])
"""
    assert act(tmp_path, body).told == [True, True, True, True, "float"]


def test_a_pinned_object_is_found_in_the_trials(tmp_path: Path) -> None:
    body = """
from ray.tune.util import pin_in_object_store, get_pinned_object
big = pin_in_object_store(list(range(1000)))
def train(config, reporter):
    reporter(mean_loss=sum(get_pinned_object(big)))
[t] = run(train, verbose=0)
tell([type(big).__name__, t.last_result["mean_loss"], get_pinned_object(big)[-1]])
"""
    assert act(tmp_path, body).told == ["str", 499500, 999]


def test_dicts_are_merged_and_flattened() -> None:
    first = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merge_dicts(first, {"a": {"b": 5}, "e": 6}) == {"a": {"b": 5, "c": 2}, "d": 3, "e": 6}
    assert first == {"a": {"b": 1, "c": 2}, "d": 3}
    assert flatten_dict({"a": {"b": {"c": 1}}, "d": 2}) == {"a:b:c": 1, "d": 2}
    with pytest.raises(KeyError, match="Unknown config parameter `z`"):
        deep_update({"a": 1}, {"z": 1}, False, [])


def test_resources_and_criteria_may_be_resolved_with_the_configuration(tmp_path: Path) -> None:
    body = """
ray.init(num_cpus=2)
class Seen(Count):
    def _train(self):
        return {**super()._train(), "config_has": sorted(self.config)}
trials = run(Seen, config={"n": grid_search([1, 2])}, verbose=0,
             resources_per_trial={"cpu": sample_from(lambda spec: spec.config.n), "gpu": 0},
             stop={"training_iteration": grid_search([3, 4])})
def seen(config, reporter):
    for i in range(9):
        reporter(timesteps_total=i, config_has=sorted(config))
trials += run(seen, config={"n": 1}, stop={"timesteps_total": sample_from(lambda spec: spec.config.n + 2)}, verbose=0)
tell([[str(t), t.resources.cpu, t.config, t.last_result["config_has"], t.last_result["training_iteration"]]
      for t in trials])
"""
    assert act(tmp_path, body).told == [
        ["Seen_0_n=1,training_iteration=3", 1, {"n": 1}, ["n"], 3],
        ["Seen_1_n=2,training_iteration=3", 2, {"n": 2}, ["n"], 3],
        ["Seen_2_n=1,training_iteration=4", 1, {"n": 1}, ["n"], 4],
        ["Seen_3_n=2,training_iteration=4", 2, {"n": 2}, ["n"], 4],
        ["seen_0_timesteps_total=3", 1, {"n": 1}, ["n"], 4],
    ]
