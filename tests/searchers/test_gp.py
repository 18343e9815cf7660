"""Search by a Gaussian process, in runs and bare."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tunesmith.objective import Constraint, Objective
from tunesmith.searchers.gp_model import Memo
from tunesmith.space import Space

LOSS = Objective("loss", "min")
Metrics = Mapping[str, Any]
SQUARE = {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}


def bowl(config: Mapping[str, float]) -> dict[str, float]:
    return {"loss": (config["x"] - 0.3) ** 2 + (config["y"] - 0.8) ** 2}


class Search:
    """A searcher and what it has suggested, one trial after the other."""

    def __init__(
        self, space: dict[str, Any], objective: Objective = LOSS, num_samples: int = -1, **options: Any
    ) -> None:
        self.space, self.searcher = Space(space), tune.GPSearch(**options)
        self.searcher.setup(self.space, objective, 1, num_samples)
        self.told: list[tuple[dict[str, Any], Metrics]] = []
        self.count = 0

    def ask(self) -> dict[str, Any] | None:
        found = self.searcher.ask(self.count, 1)
        self.count += len(found)
        return self.space.build(found[0].values) if found else None

    def go(self, function: Callable[[Any], Metrics], trials: int) -> list[tuple[dict[str, Any], Metrics]]:
        for _ in range(trials):
            config = self.ask()
            if config is None:
                break
            metrics = function(config)
            self.searcher.tell(self.count - 1, metrics)
            self.told.append((config, metrics))
        return self.told

    @property
    def best(self) -> float:
        return min(metrics["loss"] for _, metrics in self.told if metrics["loss"] == metrics["loss"])


def test_it_finds_the_bottom_of_a_bowl() -> None:
    search = Search(SQUARE)
    search.go(bowl, 20)
    assert search.best < 1e-4


def test_it_finds_the_best_of_numbers_and_options_within_options() -> None:
    kinds = [{"kind": "a", "n": tune.randint(1, 40)}, {"kind": "b", "u": tune.loguniform(1e-4, 1)}, {"kind": "c"}]
    space = {"model": tune.choice(kinds), "on": tune.choice([True, False])}

    def loss(config: Any) -> Metrics:
        model = config["model"]
        found = {
            "a": lambda: 0.3 + abs(model["n"] - 17) / 40,
            "b": lambda: 10 * abs(model["u"] - 0.01),
            "c": lambda: 0.5,
        }
        return {"loss": found[model["kind"]]() + 0.2 * config["on"]}

    search = Search(space)
    search.go(loss, 40)
    assert search.best < 0.02


def test_it_is_found_by_its_name_and_goes_on_after_a_crash_as_if_there_had_been_none(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    assert subprocess.run([*command, "cut", "9"], check=False).returncode == 9
    assert 5 < len(tune.load(tmp_path / "cut").trials) < 14
    for name in ("cut", "whole"):
        subprocess.run([*command, name, "-1"], check=True)
    cut, whole = ([trial.config for trial in tune.load(tmp_path / name)] for name in ("cut", "whole"))
    assert len(whole) == 14
    assert cut == whole


SCRIPT = """
import os, sys
from pathlib import Path
import tunesmith as tune

PLACE, NAME, LAST = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def train(config):
    if tune.get_context().trial_number == LAST:
        os._exit(9)
    return {"loss": (config["x"] - 0.3) ** 2 + (config["y"] - 0.8) ** 2}

if __name__ == "__main__":
    space = {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}
    tune.run(
        train, space, metric="loss", mode="min", num_samples=14, search_alg="gp", seed=3, name=NAME, resume="auto",
        storage_path=PLACE, executor="inline", max_concurrent_trials=1, verbose=0)
"""


@pytest.mark.parametrize("in_flight", [1, 8, 70])
def test_a_replayed_searcher_suggests_the_same(in_flight: int) -> None:
    """It knows by the memos what the first one computed on the way, hyperparameters above all."""
    one, other = tune.GPSearch(n_initial_points=4), tune.GPSearch(n_initial_points=4)
    space = Space({**SQUARE, "k": tune.choice(["a", "b"])})
    for searcher in (one, other):
        searcher.setup(space, LOSS, 1, -1)
    number, waiting = 0, []
    for _ in range(in_flight + 16):
        (asked,) = one.ask(number, 1)
        other.remind(number, asked.values, asked.memo)
        waiting.append((number, asked.values))
        number += 1
        if len(waiting) > in_flight or number <= 6:
            done, values = waiting.pop(0)
            for searcher in (one, other):
                searcher.tell(done, bowl(values))
    assert one.ask(number, 2) == other.ask(number, 2)


def test_hyperparameters_are_fitted_for_each_result_at_first_and_seldom_later() -> None:
    search = Search(SQUARE)
    memos = []
    for number in range(80):
        (asked,) = search.searcher.ask(number, 1)
        memos.append(asked.memo)
        search.searcher.tell(number, bowl(asked.values))
    assert all(memos[10:60])
    assert sum(memo is not None for memo in memos[66:]) < 9
    known = Memo.read(search.searcher._known.memo, 1, 4)
    assert known is not None
    assert Memo.read({"engine": "other"}, 1, 4) is Memo.read(known.plain(), 2, 4) is Memo.read(None, 1, 4) is None


def test_trials_under_way_are_not_suggested_again_nor_their_neighbours() -> None:
    search = Search(SQUARE)
    search.go(bowl, 7)
    waiting = [search.ask() for _ in range(8)]
    apart = [
        abs(a["x"] - b["x"]) + abs(a["y"] - b["y"])
        for i, a in enumerate(waiting) for b in waiting[:i] if a is not None and b is not None
    ]  # fmt: skip
    assert min(apart) >= 1e-3


def test_a_thousand_workers_get_a_thousand_different_configurations() -> None:
    search = Search({**SQUARE, "k": tune.choice(["a", "b"])})
    search.go(bowl, 10)
    for number in range(200):  # as if so many had been begun
        search.searcher.remind(10 + number, search.space.sample(9, number), None)
    search.count = 210
    found = [search.ask() for _ in range(100)]
    assert len({tuple(config.values()) for config in found if config is not None}) == 100
    near = sum(bowl(config)["loss"] < 0.1 for config in found if config is not None)
    assert near > 30  # of which a random one is with a probability of about a quarter


def test_a_crowd_looks_at_new_results_now_and_then() -> None:
    search = Search(SQUARE)
    search.go(bowl, 10)
    for number in range(320):
        search.searcher.remind(10 + number, search.space.sample(9, number), None)
    memos = []
    for number in range(160):
        (asked,) = search.searcher.ask(330 + number, 1)
        memos.append(asked.memo)
        search.searcher.tell(10 + number, bowl(search.space.build(search.space.sample(9, number))))
    assert 3 <= sum(memo is not None for memo in memos) <= 8


# Objectives and constraints


def test_constraints_are_kept_and_the_best_is_at_their_edge() -> None:
    def loss(config: Any) -> Metrics:
        return {"loss": -config["x"] - config["y"], "size": config["x"] ** 2 + config["y"] ** 2}

    search = Search(SQUARE, Objective("loss", "min", constraints=(Constraint("size", "<=", 0.5),)))
    kept = [m for _, m in search.go(loss, 30) if m["size"] <= 0.5]
    assert min(m["loss"] for m in kept) < -0.98  # of -1


def test_a_feasible_region_is_found_although_the_metric_leads_away_from_it() -> None:
    def loss(config: Any) -> Metrics:
        return {"loss": config["x"], "size": (config["x"] - 0.9) ** 2 + (config["y"] - 0.2) ** 2}

    search = Search(SQUARE, Objective("loss", "min", constraints=(Constraint("size", "<=", 0.01),)))
    kept = [m for _, m in search.go(loss, 30) if m["size"] <= 0.01]
    assert min(m["loss"] for m in kept) < 0.83


def test_several_objectives_are_traded_against_each_other() -> None:
    def both(config: Any) -> Metrics:
        x, rest = config["x"], (config["y"] - 0.5) ** 2
        return {"a": x + rest, "b": (1 - x**0.5) ** 2 + rest}

    search = Search(SQUARE, Objective("a", "min", others=(Objective("b", "min"),)))
    told = search.go(both, 40)
    # Every stretch of the front has a point near it.
    for at in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert min(abs(c["x"] - at) + abs(c["y"] - 0.5) for c, _ in told) < 0.2


@pytest.mark.parametrize("objectives", [3, 4])
def test_more_objectives_and_failures_among_them_do_no_harm(objectives: int) -> None:
    others = tuple(Objective(f"m{i}", "max") for i in range(1, objectives))

    def many(config: Any) -> Metrics:
        found = {f"m{i}": (config["x"] - i / objectives) ** 2 + config["y"] for i in range(objectives)}
        return found if config["x"] < 0.9 else {}

    search = Search(SQUARE, Objective("m0", "min", others=others))
    assert len(search.go(many, 14)) == 14


# What else may come


def test_a_metric_that_is_constant_and_failures_only_lead_to_a_search_that_covers_the_space() -> None:
    for value in (1.0, nan, inf):
        search = Search(SQUARE)
        told = search.go(lambda _, value=value: {"loss": value}, 20)
        quarters = {(config["x"] > 0.5, config["y"] > 0.5) for config, _ in told}
        assert len(quarters) == 4


def test_failures_are_avoided() -> None:
    search = Search(SQUARE)
    told = search.go(lambda c: bowl(c) if c["x"] < 0.4 else {"loss": nan}, 25)
    assert sum(c["x"] >= 0.4 for c, _ in told[5:]) < 10  # twelve at random
    assert search.best < 1e-2


def test_dreadful_values_do_not_hide_the_good_ones() -> None:
    search = Search(SQUARE)
    search.go(lambda c: bowl(c) if c["x"] < 0.6 else {"loss": 1e300}, 20)
    assert search.best < 1e-2


def test_a_million_options_and_a_hundred_and_fifty_variables_are_only_large() -> None:
    names = tune.choice([f"name {i}" for i in range(1_000_000)])
    assert len(Search({"x": tune.uniform(0, 1), "k": names}).go(lambda c: {"loss": c["x"]}, 8)) == 8
    wide = Search({f"x{i}": tune.uniform(0, 1) for i in range(150)})
    assert len(wide.go(lambda c: {"loss": c["x3"]}, 8)) == 8


def test_a_finite_space_is_gone_through_without_a_repetition() -> None:
    search = Search({"n": tune.randint(0, 5), "k": tune.choice(["a", "b", {"m": tune.randint(0, 3)}])})
    told = search.go(lambda c: {"loss": c["n"]}, 100)
    assert len({str(config) for config, _ in told}) == len(told) == 25


def test_more_trials_than_a_model_can_take_are_searched_near_the_best() -> None:
    search = Search(SQUARE)
    for number in range(520):
        values = search.space.sample(9, number)
        search.searcher.remind(number, values, None)
        search.searcher.tell(number, bowl(values))
    search.count = 520
    search.go(bowl, 3)
    assert search.best < 1e-3


def test_it_can_be_used_bare_and_learns_from_what_was_evaluated() -> None:
    search = tune.GPSearch(
        {"x": tune.uniform(0, 1)}, "score", "max", points_to_evaluate=[{"x": 0.2}, {"x": 0.4}, {"x": 0.9}],
        evaluated_rewards=[-0.25, -0.05, -0.45], n_initial_points=2, seed=5,
    )  # fmt: skip
    found = []
    for _ in range(8):
        asked = search.ask()
        found.append(asked.config["x"])
        search.tell(asked.number, {"score": -abs(asked.config["x"] - 0.45)})
    assert min(abs(x - 0.45) for x in found) < 0.02
    assert not {0.2, 0.4, 0.9} & set(found)


def test_what_it_can_not_search_is_refused() -> None:
    with pytest.raises(tune.SpaceError, match="Use choice there"):
        Search({"x": tune.grid_search([1, 2])})
    with pytest.raises(tune.ArgumentError, match="n_initial_points"):
        tune.GPSearch(n_initial_points=-1)
    with pytest.raises(tune.SpaceError, match="outside"):
        Search(SQUARE, points_to_evaluate=[{"x": 2}])


def test_threads_of_the_linear_algebra_are_left_as_they_were() -> None:
    before = dict(os.environ)
    Search(SQUARE).go(bowl, 8)
    assert dict(os.environ) == before
