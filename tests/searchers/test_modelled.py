"""What all searchers with a model have in common, with an engine that says what it was asked."""

from typing import Any

import numpy as np
import pytest

import tunesmith as tune
from tunesmith.objective import Objective
from tunesmith.searchers.engine import Proposal, usual_initial
from tunesmith.searchers.known import Known
from tunesmith.searchers.modelled import ModelSearcher
from tunesmith.searchers.protocol import Observation, Past
from tunesmith.space import Space

LOSS = Objective("loss", "min")


class Corner:
    """Proposes the corner of ones, and remembers how many trials it has proposed."""

    name = "corner"

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, int, Any]] = []

    def check(self, encoding: Any, objective: Objective) -> None:
        pass

    def initial(self, known: Known) -> int:
        return 4

    def propose(self, known: Known, number: int, rng: np.random.Generator) -> Proposal:
        self.seen.append((number, known.count, len(known.pending), known.memo))
        return Proposal(np.ones((1, known.encoding.dimensions)), memo=(known.memo or 0) + 1)


def searcher(config: dict[str, Any], engine: Any = None, num_samples: int = 100, seed: int = 1, **options: Any) -> Any:
    made = ModelSearcher(engine or Corner(), **options)
    made.setup(Space(config), LOSS, seed, num_samples)
    return made


def finish(search: Any, number: int, loss: float = 1.0) -> None:
    search.tell(number, {"loss": loss, "training_iteration": 1, "time_total_s": 2.0}, final=True, failed=False)


def test_the_first_trials_cover_the_space_and_the_next_ones_are_the_engines() -> None:
    search = searcher({"x": tune.uniform(0, 1)})
    first = search.ask(0, 4)
    assert sorted(int(each.values["x"] * 4) for each in first) == [0, 1, 2, 3]
    for number in range(4):
        finish(search, number)
    (fifth,) = search.ask(4, 1)
    assert fifth.values == {"x": 1.0}
    assert fifth.memo == 1


def test_nothing_is_suggested_twice() -> None:
    search = searcher({"x": tune.uniform(0, 1)})
    for number in range(8):
        search.ask(number, 1)
        finish(search, number)
    values = [tuple(row) for row in search._known.rows]
    assert len(set(values)) == 8


class Marked(Corner):
    """Proposes two rows, each with a memo of its own."""

    def propose(self, known: Known, number: int, rng: np.random.Generator) -> Proposal:
        return Proposal(np.array([[0.0], [1.0]]), memo="neither", memos=["zero", "one"])


def test_the_memo_of_the_row_that_is_taken_is_kept_and_found_again_by_its_trial() -> None:
    search = searcher({"x": tune.uniform(0, 1)}, Marked())
    for number in range(4):
        search.ask(number, 1)
        finish(search, number)
    assert [each.memo for each in search.ask(4, 3)] == ["zero", "one", "neither"]
    assert search._known.memos == {4: "zero", 5: "one", 6: "neither"}
    assert search._known.memo == "neither"


def test_an_exhausted_space_ends_the_search_after_every_configuration_was_suggested_once() -> None:
    config = {"n": tune.randint(0, 3), "m": tune.choice(["a", {"k": tune.choice([1, 2])}])}
    found = searcher(config).ask(0, 100)
    assert len({tuple(sorted(each.values.items())) for each in found}) == len(found) == 9


def test_a_replayed_searcher_knows_what_the_first_one_knew() -> None:
    config = {"x": tune.uniform(0, 1), "k": tune.choice(["a", "b"])}
    one, other = searcher(config), searcher(config)
    for number in range(6):
        (each,) = one.ask(number, 1)
        other.remind(number, each.values, each.memo)
        if number != 4:
            for search in (one, other):
                finish(search, number, loss=number)
    assert one.ask(6, 3) == other.ask(6, 3)
    assert one._engine.seen[-1] == other._engine.seen[-1]
    np.testing.assert_array_equal(one._known.rows, other._known.rows)


def test_the_users_points_come_first_and_evaluated_ones_are_only_learnt() -> None:
    points = [{"x": 0.1}, {"x": 0.2}, {"x": 0.3}]
    search = searcher(
        {"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)}, points_to_evaluate=points, evaluated_rewards=[5.0]
    )
    first = search.ask(0, 2)
    assert [each.values["x"] for each in first] == [0.2, 0.3]
    assert search._known.scores.tolist() == [[-5.0]]


def test_a_warm_start_stands_for_first_trials() -> None:
    search = searcher({"x": tune.uniform(0, 1)})
    search.learn(Past(tuple(Observation({"x": i / 10}, float(i)) for i in range(5)), best=2))
    first = search.ask(0, 3)
    assert [each.values["x"] for each in first] == [0.0, 0.1, 1.0]


def test_failures_and_what_is_no_number_are_observations() -> None:
    search = searcher({"x": tune.uniform(0, 1)})
    search.ask(0, 4)
    search.tell(0, {"loss": float("nan")}, final=True, failed=False)
    search.tell(1, None, final=True, failed=True)
    search.tell(2, {"other": 1.0}, final=True, failed=False)
    finish(search, 3, 0.5)
    assert np.isnan(search._known.scores[:3]).all()
    assert search._known.feasible.tolist() == [False, False, False, True]
    search.tell(0, {"loss": 0.25}, final=True, failed=False)  # it was tried again
    assert search._known.scores[0] == -0.25


def test_violations_of_constraints_are_known_beside_the_scores() -> None:
    objective = Objective("loss", "min", others=(Objective("speed", "max"),), constraints=(tune_constraint(),))
    search = ModelSearcher(Corner())
    search.setup(Space({"x": tune.uniform(0, 1)}), objective, 1, 10)
    search.ask(0, 2)
    search.tell(0, {"loss": 1.0, "speed": 5.0, "mb": 110.0}, final=True, failed=False)
    search.tell(1, {"loss": 2.0, "speed": 4.0, "mb": 90.0}, final=True, failed=False)
    assert search._known.scores.tolist() == [[-1.0, 5.0], [-2.0, 4.0]]
    assert search._known.violations.tolist() == [[10.0], [-10.0]]
    assert search._known.feasible.tolist() == [False, True]


def tune_constraint() -> Any:
    from tunesmith.objective import Constraint

    return Constraint("mb", "<=", 100.0)


def test_bare_use_asks_for_one_configuration_and_is_told_by_its_number() -> None:
    search = ModelSearcher(Corner(), {"model": {"x": tune.uniform(0, 1)}}, "loss", "min", seed=3)
    for number in range(5):
        asked = search.ask()
        assert asked.number == number
        search.tell(asked.number, {"loss": asked.config["model"]["x"]})
    assert search._known.count == 5


def test_a_bare_searcher_is_not_for_a_run_and_one_without_metric_is_refused() -> None:
    with pytest.raises(tune.ArgumentError, match="metric= and mode="):
        ModelSearcher(Corner(), {"x": tune.uniform(0, 1)})
    bare = ModelSearcher(Corner(), {"x": tune.uniform(0, 1)}, "loss", "min")
    with pytest.raises(tune.ArgumentError, match=r"give the space to run\(\)"):
        bare.setup(Space({"x": tune.uniform(0, 1)}), LOSS, 1, 10)
    with pytest.raises(tune.ArgumentError, match="metric= and mode="):
        ModelSearcher(Corner()).setup(Space({}), None, 1, 10)


def test_bad_points_are_named_before_anything_runs() -> None:
    with pytest.raises(tune.SpaceError, match=r"points_to_evaluate\[1\].*outside"):
        searcher({"x": tune.uniform(0, 1)}, points_to_evaluate=[{"x": 0.5}, {"x": 3.0}])
    with pytest.raises(tune.ArgumentError, match="2 values for 1 points"):
        ModelSearcher(Corner(), points_to_evaluate=[{"x": 1}], evaluated_rewards=[1, 2])


def test_a_grid_is_refused_with_what_to_do() -> None:
    with pytest.raises(tune.SpaceError, match="Use choice there"):
        searcher({"x": tune.grid_search([1, 2])})


@pytest.mark.parametrize(("config", "num_samples", "expected"), [
    ({"x": tune.uniform(0, 1)}, -1, 5),
    ({"x": tune.uniform(0, 1)}, 10, 2),
    ({f"x{i}": tune.uniform(0, 1) for i in range(10)}, 1000, 11),
    ({f"x{i}": tune.uniform(0, 1) for i in range(40)}, 1000, 16),
    ({"x": tune.choice(["a", "b"])}, 1000, 10),
])  # fmt: skip
def test_how_many_trials_cover_the_space(config: dict[str, Any], num_samples: int, expected: int) -> None:
    search = searcher(config, num_samples=num_samples)
    assert usual_initial(search._known) == expected
