"""Searchers around other searchers, asked and told by hand."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, nan
from typing import Any

import pytest

import tunesmith as tune
from tunesmith.objective import Objective
from tunesmith.searchers.confirming import Confirm
from tunesmith.searchers.protocol import LATER, Observation, Past, Suggestion
from tunesmith.searchers.wrapping import ConcurrencyLimiter, Repeater
from tunesmith.space import Space

LOSS = Objective("loss", "min")
X = Space({"x": tune.uniform(0, 1)})


class Counting:
    """Suggests 0, 1, 2 ... and remembers what it was told."""

    eager = False

    def __init__(self, end: int | None = 10) -> None:
        self.end, self.seen = end, []  # type: ignore[var-annotated]

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        self.seen.append(("setup", num_samples))

    def total(self) -> int | None:
        return self.end

    def ask(self, first: int, count: int) -> list[Suggestion]:
        last = first + count if self.end is None else min(first + count, self.end)
        return [Suggestion({"x": number}, {"n": number}) for number in range(first, last)]

    def remind(self, trial: int, values: Mapping[str, Any], memo: Any) -> None:
        self.seen.append(("remind", trial, dict(values), memo))

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        self.seen.append(("tell", trial, metrics, final, failed))


class Run:
    """The driver's part: asks, and reminds of what was suggested, which a `twin` is reminded of as well."""

    def __init__(self, searcher: Any, twin: Any = None) -> None:
        self.searchers = [each for each in (searcher, twin) if each is not None]
        self.made: list[Suggestion] = []
        for each in self.searchers:
            each.setup(X, LOSS, 1, 10)

    def ask(self, count: int) -> list[Any]:
        answers = list(self.searchers[0].ask(len(self.made), count))
        for each in answers:
            if each is not LATER:
                for searcher in self.searchers:
                    searcher.remind(len(self.made), each.values, each.memo)
                self.made.append(each)
        return ["later" if each is LATER else each.values["x"] for each in answers]

    def end(self, trial: int, loss: float | None, **metrics: Any) -> None:
        result = None if loss is None else {"loss": loss, **metrics}
        for searcher in self.searchers:
            if result is not None:
                searcher.tell(trial, result, final=False, failed=False)
            searcher.tell(trial, result, final=True, failed=loss is None)


# -- no more than so many at once


def test_a_limited_searcher_suggests_when_a_trial_has_ended() -> None:
    twin = ConcurrencyLimiter(Counting(), 2)
    run = Run(ConcurrencyLimiter(Counting(), 2), twin)
    assert run.ask(5) == [0, 1, "later"]
    assert run.ask(1) == ["later"]
    run.end(1, 0.5)
    assert run.ask(2) == [2, "later"]
    run.end(0, None)
    assert run.ask(1) == [3]
    assert run.searchers[0].searcher.seen == twin.searcher.seen  # type: ignore[attr-defined]
    assert twin.ask(4, 1) == [LATER]
    run.end(2, 1.0)
    assert [each.values for each in twin.ask(4, 1)] == [{"x": 4}]  # type: ignore[union-attr]


def test_the_end_of_what_is_limited_is_the_end() -> None:
    run = Run(ConcurrencyLimiter(Counting(end=3), 2))
    assert run.ask(3) == [0, 1, "later"]
    run.end(0, 1.0)
    run.end(1, 1.0)
    assert run.ask(3) == [2]


def test_limits_within_limits_pass_the_wait_on() -> None:
    run = Run(ConcurrencyLimiter(ConcurrencyLimiter(Counting(), 1), 3))
    assert run.ask(5) == [0, "later"]
    assert run.ask(1) == ["later"]


# -- several seeds a configuration


def test_the_searcher_is_told_the_mean_when_all_repeats_have_ended() -> None:
    inner = Counting()
    run = Run(Repeater(inner, repeat=3))
    assert run.ask(5) == [0, 0, 0, 1, 1]
    assert [each.repeats for each in run.made] == [None, 0, 0, None, 3]
    for trial, loss in ((1, 2.0), (0, 1.0), (3, 9.0)):
        run.end(trial, loss, note="text", training_iteration=4)
    assert [each for each in inner.seen if each[0] == "tell"] == []
    run.end(2, 6.0, note="text", training_iteration=7)
    assert inner.seen[-1] == ("tell", 0, {"loss": 3.0, "training_iteration": 5.0}, True, False)
    assert [each for each in inner.seen if each[0] == "remind"] == [
        ("remind", 0, {"x": 0}, {"n": 0}),
        ("remind", 1, {"x": 1}, {"n": 1}),
    ]


def test_failed_repeats_are_left_out_unless_all_have_failed() -> None:
    inner = Counting()
    run = Run(Repeater(inner, repeat=2))
    run.ask(4)
    for trial, loss in ((0, None), (1, 3.0), (2, None), (3, None)):
        run.end(trial, loss)
    told = [each for each in inner.seen if each[0] == "tell"]
    assert told == [("tell", 0, {"loss": 3.0}, True, False), ("tell", 1, None, True, True)]
    run.ask(2)
    run.end(4, nan)
    run.end(5, 1.0)
    assert isnan(inner.seen[-1][2]["loss"])


def test_a_repeater_that_is_replayed_goes_on_within_a_configuration() -> None:
    run = Run(Repeater(Counting(), repeat=3), twin := Repeater(Counting(), repeat=3))
    run.ask(4)
    run.end(0, 1.0)
    assert [(each.values, each.repeats) for each in twin.ask(4, 3)] == [({"x": 1}, 3), ({"x": 1}, 3), ({"x": 2}, None)]


def test_num_samples_counts_the_configurations_of_a_repeater() -> None:
    repeater = Repeater("random", repeat=4)
    repeater.setup(X, None, 1, 5)
    assert repeater.total() == 20
    first = repeater.ask(0, 30)
    assert len(first) == 20
    assert len({each.values["x"] for each in first}) == 5


# -- the best once more


def test_when_all_have_ended_the_best_are_run_again_and_the_searcher_does_not_see_it() -> None:
    inner = Counting(end=4)
    run = Run(Confirm(inner, best=2, repeats=2))
    assert run.ask(6) == [0, 1, 2, 3, "later"]
    for trial, loss in ((0, 0.5), (1, 0.1), (2, None)):
        run.end(trial, loss)
    assert run.ask(1) == ["later"]
    run.end(3, 0.2)
    seen = len(inner.seen)
    assert run.ask(3) == [1, 1, 3]
    assert [each.confirms for each in run.made[4:]] == [1, 1, 3]
    run.end(4, 0.0)
    run.end(5, 99.0)
    assert run.ask(3) == [3]
    assert run.ask(1) == []
    assert len(inner.seen) == seen
    assert run.searchers[0].total() == 8


def test_what_is_confirmed_is_the_best_of_the_whole_history_as_in_the_results() -> None:
    run = Run(confirm := Confirm(Counting(end=2), best=1, repeats=1))
    run.ask(2)
    confirm.tell(0, {"loss": 0.1}, final=False, failed=False)
    run.end(0, 5.0)
    run.end(1, 1.0)
    assert run.ask(2) == [0]


def test_equal_configurations_are_confirmed_once_and_what_is_not_finite_never() -> None:
    class Twins(Counting):
        def ask(self, first: int, count: int) -> list[Suggestion]:
            return [Suggestion({"x": 7}) for _ in super().ask(first, count)]

    run = Run(Confirm(Twins(end=3), best=5, repeats=1))
    run.ask(3)
    for trial, loss in enumerate((0.5, 0.1, nan)):
        run.end(trial, loss)
    assert run.ask(5) == [7]
    assert run.made[-1].confirms == 1


def test_after_a_resume_confirmations_go_on_where_they_were() -> None:
    run = Run(Confirm(Counting(end=3), best=2, repeats=2), twin := Confirm(Counting(end=3), best=2, repeats=2))
    run.ask(3)
    for trial in range(3):
        run.end(trial, float(trial))
    run.ask(3)
    assert [(each.values, each.confirms) for each in twin.ask(6, 3)] == [({"x": 1}, 1)]


def test_an_experiment_that_searches_on_numbers_its_search_without_the_confirmations() -> None:
    inner = Counting(end=2)
    run = Run(Confirm(inner, best=1, repeats=2))
    run.ask(2)
    run.end(0, 3.0)
    run.end(1, 2.0)
    assert run.ask(3) == [1, 1]
    inner.end = 4
    assert run.ask(4) == [2, 3, "later"]
    run.end(4, 1.0)
    run.end(5, 9.0)
    assert ("tell", 2, {"loss": 1.0}, True, False) in inner.seen
    assert run.ask(3) == [2, 2]


def test_several_metrics_are_confirmed_from_the_first_front() -> None:
    confirm = Confirm(Counting(end=3), best=2, repeats=1)
    confirm.setup(X, Objective("loss", "min", (Objective("ms", "min"),)), 1, 10)
    for number, each in enumerate(confirm.ask(0, 3)):
        confirm.remind(number, each.values, each.memo)
        metrics = [{"loss": 1.0, "ms": 5.0}, {"loss": 2.0, "ms": 6.0}, {"loss": 3.0, "ms": 1.0}][number]
        confirm.tell(number, metrics, final=True, failed=False)
    assert [each.confirms for each in confirm.ask(3, 5)] == [0, 2]


# -- bad input


@pytest.mark.parametrize(("make", "said"), [
    (lambda: Repeater("random", repeat=0), "repeat must be"),
    (lambda: ConcurrencyLimiter("random", 0), "max_concurrent must be"),
    (lambda: Repeater("randm"), "Did you mean 'random'"),
    (lambda: Repeater(tune.VariantSearcher), "needs a searcher"),  # type: ignore[arg-type]
    (lambda: Repeater(3), "needs a searcher"),  # type: ignore[arg-type]
])  # fmt: skip
def test_what_can_be_no_wrapper_is_refused(make: Any, said: str) -> None:
    with pytest.raises(tune.ArgumentError, match=said):
        make()


def test_a_warm_start_goes_to_the_searcher_within_or_is_refused() -> None:
    repeater = Repeater("random", repeat=2)
    repeater.setup(X, None, 1, 2)
    repeater.learn(Past((Observation({"x": 0.25}, 1.0),), best=1))
    assert [each.values["x"] for each in repeater.ask(0, 2)] == [0.25, 0.25]
    with pytest.raises(tune.ArgumentError, match="Counting has no learn"):
        Repeater(Counting()).learn(Past((), 0))
