"""Functions that were written for Optuna, as trainables; Optuna itself is not needed for them."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith.integrations.optuna_objective import objective

INLINE: dict[str, Any] = {"executor": "inline", "max_concurrent_trials": 1}


def bowl(trial: Any) -> float:
    x = trial.suggest_float("x", -10, 10)
    if trial.suggest_categorical("kind", ["near", "far"]) == "near":
        return (x - 2) ** 2
    return (x - 2) ** 2 + trial.suggest_int("far", 5, 50, step=5)


def params(results: Any) -> list[dict[str, Any]]:
    return [trial.last_result["params"] for trial in results]


def test_a_space_that_nobody_wrote_down_is_searched(run: Run) -> None:
    search = tune.DefineByRunSearch(tune.CMAESSearch)
    results = run(objective(bowl), {}, num_samples=80, search_alg=search, **INLINE)
    assert results.best_result["loss"] < 1
    assert results.best_result["params"]["kind"] == "near"
    assert sum(each["kind"] == "near" for each in params(results)[40:]) > 30


def test_a_run_is_the_same_with_the_same_seed_and_after_a_resume(run: Run) -> None:
    def go(name: str, samples: int, resume: Any = False, seed: int = 1) -> list[dict[str, Any]]:
        search = tune.DefineByRunSearch(tune.CMAESSearch)
        return params(
            run(
                objective(bowl),
                {},
                num_samples=samples,
                search_alg=search,
                name=name,
                resume=resume,
                seed=seed,
                **INLINE,
            )
        )

    whole = go("whole", 24)
    go("parts", 10)
    assert go("parts", 24, "extend") == whole
    assert go("other", 24, seed=2) != whole


def test_a_space_that_names_the_parameters_is_enough(run: Run) -> None:
    space = {"x": tune.uniform(0, 5), "kind": "near"}
    results = run(objective(bowl), space, num_samples=5, **INLINE)
    for trial in results:
        assert trial.last_result["params"] == trial.config


def test_what_no_configuration_has_is_drawn_by_the_trials_own_stream(run: Run) -> None:
    one, other = (params(run(objective(bowl), {}, num_samples=6, search_alg="sobol", **INLINE)) for _ in range(2))
    assert one == other
    assert len({each["x"] for each in one}) > 1 or len(one) == 1


def every_kind(trial: Any) -> float:
    found = [
        trial.suggest_float("step", 0.1, 0.95, step=0.2),
        trial.suggest_float("log", 1e-5, 1, log=True),
        trial.suggest_int("int", 3, 10, step=3),
        trial.suggest_int("logint", 1, 100, log=True),
        trial.suggest_int("one", 4, 4),
    ]
    assert found[0] in (0.1, 0.3, 0.5, 0.7, 0.9)
    assert found[2] in (3, 6, 9)
    assert 1e-5 <= found[1] <= 1 <= found[3] <= 100
    assert found[4] == 4
    assert trial.suggest_categorical("cat", [None, True, 1, 1.5, "a"]) in (None, True, 1, 1.5, "a")
    assert trial.suggest_float("log", 1e-5, 1, log=True) == found[1] == trial.params["log"]
    trial.set_user_attr("size", 7)
    return found[1]


def test_every_kind_of_suggestion_lies_where_it_should(run: Run) -> None:
    search = tune.DefineByRunSearch("sobol")
    results = run(objective(every_kind), {}, num_samples=12, search_alg=search, **INLINE)
    assert not results.errors
    assert len({each["log"] for each in params(results)}) == 12
    assert results[0].last_result["user_attrs"] == {"size": 7}


def curve(trial: Any) -> float:
    x = trial.suggest_float("x", 0, 1)
    for step in range(9):
        trial.report(x + 1 / (step + 1), step)
        assert not trial.should_prune()
    return x + 1 / 9


def test_reports_are_results_and_schedulers_end_trials(run: Run) -> None:
    search = tune.DefineByRunSearch("sobol")
    results = run(
        objective(curve), {}, num_samples=12, search_alg=search, scheduler=tune.ASHAScheduler(max_t=9, grace_period=1),
        **INLINE,
    )  # fmt: skip
    lengths = [trial.last_result["training_iteration"] for trial in results]
    assert max(lengths) == 9
    assert min(lengths) < 9
    assert all("x" in each for each in params(results))
    assert len(results[0].history) == 9  # what the function returned was in its last report


def test_several_values_are_named(run: Run) -> None:
    def two(trial: Any) -> tuple[float, float]:
        x = trial.suggest_float("x", 0, 1)
        return x, 1 - x

    results = run(
        objective(two, ["loss", "ms"]), {}, num_samples=2, search_alg=tune.DefineByRunSearch("sobol"), **INLINE
    )
    assert all(trial.last_result["loss"] + trial.last_result["ms"] == 1 for trial in results)


@pytest.mark.parametrize(("function", "words"), [
    (lambda trial: trial.suggest_float("x", 1, 0), "must not be above"),
    (lambda trial: trial.suggest_float("x", 1, 2, step=0.5, log=True), "logarithmic range has none"),
    (lambda trial: trial.suggest_categorical("x", [object()]), "must be numbers, text"),
    (lambda trial: trial.suggest_categorical("x", []), "must be numbers, text"),
    (lambda trial: trial.suggest_int("x", 1, 2) + trial.suggest_int("x", 1, 3), "two ways"),
    (lambda trial: "good", "must return or report a number"),
    (lambda trial: None, "must return or report a number"),
])  # fmt: skip
def test_what_it_can_not_suggest_or_report_fails_the_trial_with_a_word(run: Run, function: Any, words: str) -> None:
    results = run(objective(function), {}, search_alg=tune.DefineByRunSearch("sobol"), **INLINE)
    assert words in str(results.errors[0].error)


@pytest.mark.heavy
@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="Optuna is not installed")
def test_optunas_own_sampler_searches_and_a_pruned_trial_ends(run: Run) -> None:
    import optuna

    from tunesmith.integrations.optuna import OptunaSearch

    def half(trial: Any) -> float:
        x = trial.suggest_float("x", -1, 1)
        if x < -0.5:
            raise optuna.TrialPruned
        return x**2

    results = run(objective(half), {}, num_samples=40, search_alg=tune.DefineByRunSearch(OptunaSearch), **INLINE)
    assert not results.errors
    assert results.best_result["loss"] < 0.01
    assert any(trial.last_result.get("pruned") for trial in results)
