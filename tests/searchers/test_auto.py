from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunesmith as tune
from tunesmith.objective import Objective
from tunesmith.searchers.auto import AutoEngine, choose
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.known import Known
from tunesmith.space import Space

LOSS = Objective("loss", "min")


def known(trials: int, seconds: float = 10.0, pending: int = 0, objective: Objective = LOSS) -> Known:
    encoding = Encoding(Space({"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}))
    found = Known(encoding, objective, None, 1)
    rows = np.random.default_rng(0).random((trials + pending, 2))
    for number, row in enumerate(rows):
        found.begin(number, row, None)
        if number < trials:
            metrics = {goal.metric: float(row.sum()) for goal in objective.goals}
            found.end(number, {**metrics, "time_total_s": seconds}, failed=False)
    return found


def test_a_few_trials_are_a_gaussian_process_s_and_many_are_those_of_densities() -> None:
    assert choose(known(20)).engine == "gp"
    assert choose(known(499)).engine == "gp"
    assert choose(known(500)).engine == "tpe"
    assert choose(known(500)).runner_up == "gp"


def test_short_trials_are_not_held_up_by_a_long_suggestion() -> None:
    choice = choose(known(100, seconds=0.01))
    assert choice.engine == "tpe"
    assert "0.01 s" in choice.why
    assert choose(known(100, seconds=1.0)).engine == "gp"
    assert choose(known(100, seconds=0.3, pending=20)).engine == "tpe"


def test_how_long_a_trial_takes_is_said_by_those_that_were_ended_early_too() -> None:
    encoding = Encoding(Space({"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}))
    found = Known(encoding, LOSS, None, 1, by_progress=True)
    for number, row in enumerate(np.random.default_rng(0).random((60, 2))):
        found.begin(number, row, None)
        steps = 100 if number % 3 == 2 else 1
        metrics = {"loss": float(row.sum()), "training_iteration": steps, "time_total_s": 0.1 * steps}
        found.end(number, metrics, failed=False, curtailed=steps == 1)
    assert found.count == 20, "the others have not come far enough for a result"
    assert choose(found).engine == "tpe"
    assert "0.1 s" in choose(found).why


def test_of_many_workers_each_gets_a_cheap_guess_of_the_process() -> None:
    assert choose(known(100, seconds=1.0, pending=64)).engine == "gp"
    assert choose(known(100, seconds=1.0, pending=500)).engine == "gp"
    assert choose(known(499, seconds=0.1, pending=40)).engine == "tpe"


def test_where_nobody_knows_what_a_trial_takes_the_best_one_is_taken() -> None:
    assert choose(known(100, seconds=float("nan"))).engine == "gp"


def test_with_several_objectives_a_population_takes_over_in_the_end() -> None:
    both = Objective("loss", "min", others=(Objective("ms", "min"),))
    assert choose(known(299, objective=both)).engine == "gp"
    assert choose(known(300, objective=both)).engine == "tpe"
    assert choose(known(5000, objective=both)).engine == "nsga2"


def test_the_runner_up_has_a_third() -> None:
    engine = AutoEngine()
    facts = known(12)
    engine.check(facts.encoding, LOSS)
    names = [engine.propose(facts, number, np.random.default_rng(number)).why for number in range(60)]
    assert 10 <= sum("runner-up" in why for why in names) <= 30


def train(config: dict[str, Any]) -> dict[str, float]:
    return {"loss": (config["x"] - 0.3) ** 2 + (config["kind"] == "bad")}


def test_a_run_finds_the_best_and_tells_of_each_trial_how_it_came_about(tmp_path: Path) -> None:
    space = {"x": tune.uniform(0, 1), "kind": tune.choice(["good", "bad", "worse"])}
    options: dict[str, Any] = {"metric": "loss", "mode": "min", "seed": 3, "executor": "inline", "verbose": 0}
    results = tune.run(train, space, num_samples=25, search_alg="auto", storage_path=tmp_path, **options)
    assert results.best_result["loss"] < 0.01
    whys = [trial.why for trial in results]
    assert whys[0].startswith("design")
    assert whys[-1].startswith(("gp", "tpe"))
    named = tune.AutoSearch(points_to_evaluate=[{"x": 0.3}])
    (first, *_) = tune.run(train, space, num_samples=2, search_alg=named, storage_path=tmp_path, **options)
    assert first.config["x"] == 0.3
    assert first.why.startswith("points")


def test_it_is_usable_without_a_run() -> None:
    search = tune.searchers.AutoSearch({"x": tune.uniform(-1, 1)}, "loss", "min", seed=2)
    values = []
    for _ in range(20):
        asked = search.ask()
        values.append(asked.config["x"] ** 2)
        search.tell(asked.number, {"loss": values[-1]})
    assert min(values) < 1e-3


@pytest.mark.parametrize("loss", [float("nan"), 1.0, 1e300])
def test_what_teaches_nothing_does_not_end_the_search(loss: float) -> None:
    search = tune.AutoSearch({"x": tune.uniform(0, 1), "k": tune.choice(["a", "b"])}, "loss", "min")
    found = set()
    for _ in range(12):
        asked = search.ask()
        found.add(tuple(asked.config.values()))
        search.tell(asked.number, {"loss": loss})
    assert len(found) == 12
