"""What a searcher with a state of its own is reminded of, now and after a resume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tunesmith as tune
from tests.conftest import Run
from tunesmith.objective import Objective
from tunesmith.searchers.protocol import Suggestion
from tunesmith.space import Space


class Remembering:
    """Suggests one more than the last value that it was reminded of, at a path that the space does not have."""

    eager = False

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        self.num_samples = num_samples

    def total(self) -> int:
        return self.num_samples

    def ask(self, first: int, count: int) -> list[Suggestion]:
        reminded = [memo["n"] for kind, _, memo in self.seen if kind == "remind"]
        n = reminded[-1] + 1 if reminded else 0
        return [Suggestion({"extra/n": n + i, "x": 0.5}, {"n": n + i}) for i in range(count)]

    def remind(self, trial: int, values: dict[str, Any], memo: Any) -> None:
        self.seen.append(("remind", trial, memo))

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        if final:
            self.seen.append(("tell", trial, metrics["loss"] if metrics else None))


def train(config: dict[str, Any]) -> float:
    return float(config["extra"]["n"])


def test_a_searcher_may_add_values_and_is_reminded_before_it_is_told(run: Run) -> None:
    searcher = Remembering()
    results = run(train, num_samples=3, search_alg=searcher, max_concurrent_trials=1, executor="inline")
    assert [trial.config["extra"] for trial in results] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert searcher.seen == [
        ("remind", 0, {"n": 0}), ("tell", 0, 0.0), ("remind", 1, {"n": 1}), ("tell", 1, 1.0),
        ("remind", 2, {"n": 2}), ("tell", 2, 2.0),
    ]  # fmt: skip
    assert tune.load(results.path)[2].config["extra"] == {"n": 2}  # also without the space's own objects


def test_a_resumed_searcher_goes_on_from_what_it_is_reminded_of(run: Run) -> None:
    run(train, num_samples=2, search_alg=Remembering(), name="mine", max_concurrent_trials=1, executor="inline")
    searcher = Remembering()
    results = run(
        train, num_samples=3, search_alg=searcher, name="mine", resume=True, max_concurrent_trials=1, executor="inline"
    )
    assert [trial.config["extra"]["n"] for trial in results] == [0, 1, 2]
    assert searcher.seen[:4] == [
        ("remind", 0, {"n": 0}), ("tell", 0, 0.0), ("remind", 1, {"n": 1}), ("tell", 1, 1.0),
    ]  # fmt: skip
