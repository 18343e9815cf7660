"""Search of what trials ask for: the space grows with what is learnt, and the state is the fold of what was told."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

import tunesmith as tune
from tunesmith.domains import Choice, Float, Integer
from tunesmith.objective import Objective
from tunesmith.searchers.define_by_run import PARAMS, RANGES, SEED, DefineByRunSearch, Range
from tunesmith.searchers.modelled import ModelSearcher
from tunesmith.space import Space

LOSS = Objective("loss", "min")
X, KIND, DEPTH = Range(0.0, 1.0), Range(options=["flat", "deep"]), Range(1, 8, 1, is_whole=True)


@pytest.mark.parametrize(("asked", "domain"), [
    (Range(0.0, 1.0), Float(0.0, 1.0)),
    (Range(1e-5, 0.1, log=True), Float(1e-5, 0.1, log=True)),
    (Range(1, 8, 1, is_whole=True), Integer(1, 8)),
    (Range(1, 1024, 1, log=True, is_whole=True), Integer(1, 1024, log=True)),
    (Range(0.1, 0.5, 0.2), Choice((0.1, 0.3, 0.5))),
    (Range(1, 9, 4, is_whole=True), Choice((1, 5, 9))),
    (Range(0, 1e6, 0.5), Float(0, 1e6)),
    (Range(3, 3, 1, is_whole=True), Choice((3,))),
    (Range(options=["a", None]), Choice(("a", None))),
])  # fmt: skip
def test_what_a_trial_asks_for_is_a_domain(asked: Range, domain: Any) -> None:
    assert asked.domain() == domain
    assert msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(asked))), Range) == asked


def test_values_are_put_on_the_steps_of_their_range() -> None:
    assert Range(0.1, 0.9, 0.2).fit(0.44) == 0.5
    assert Range(1, 10, 3, is_whole=True).fit(6) == 7
    assert not Range(0, 1).holds(True)
    assert not Range(options=[1, "a"]).holds(1.0)


@pytest.mark.parametrize(("one", "other", "joined"), [
    (Range(0, 1), Range(0.5, 2), Range(0, 2)),
    (Range(1, 4, 1, is_whole=True), Range(1, 9, 1, is_whole=True), Range(1, 9, 1, is_whole=True)),
    (Range(1, 9, 4, is_whole=True), Range(2, 8, 3, is_whole=True), Range(1, 9, 1, is_whole=True)),
    (Range(options=["a"]), Range(options=["b", "a"]), Range(options=["a", "b"])),
    (Range(0, 1), Range(options=["b"]), Range(options=["b"])),
    (Range(0.1, 1), Range(0.1, 1, log=True), Range(0.1, 1, log=True)),
])  # fmt: skip
def test_ranges_of_one_name_are_joined(one: Range, other: Range, joined: Range) -> None:
    assert one.joined(other) == joined


def told(values: dict[str, Any], loss: float, **ranges: Range) -> dict[str, Any]:
    return {"loss": loss, PARAMS: values, RANGES: {name: msgspec.to_builtins(r) for name, r in ranges.items()}}


def searcher(make: Any = tune.CMAESSearch, config: Any = None, **options: Any) -> DefineByRunSearch:
    made = DefineByRunSearch(make, **options)
    made.setup(Space(config or {}), LOSS, 3, -1)
    return made


class World:
    """A trainable that asks for `x` and `kind`, and for `depth` where the kind is deep."""

    def __init__(self, search: DefineByRunSearch) -> None:
        self.search, self.events = search, []

    def run(self, first: int, count: int) -> list[dict[str, Any]]:
        found = []
        for number in range(first, first + count):
            (each,) = self.search.ask(number, 1)
            self.search.remind(number, each.values, each.memo)
            self.events.append(("remind", number, each))
            used = {
                "x": each.values.get("x", number % 7 / 7),
                "kind": each.values.get("kind", ["flat", "deep"][number % 2]),
            }
            ranges = {"x": X, "kind": KIND}
            if used["kind"] == "deep":
                used["depth"], ranges["depth"] = each.values.get("depth", 1 + number % 8), DEPTH
            metrics = told(used, (used["x"] - 0.3) ** 2 + abs(used.get("depth", 20) - 6), **ranges)
            self.events += [("tell", number, metrics), ("end", number, metrics)]
            self.search.tell(number, metrics, final=False, failed=False)
            self.search.tell(number, metrics, final=True, failed=False)
            found.append(each.values)
        return found


def test_the_first_trial_draws_for_itself_and_the_next_ones_get_what_it_has_asked_for() -> None:
    world = World(searcher())
    first, second, third = world.run(0, 3)
    assert set(first) == {SEED}
    assert set(second) == {SEED, "x", "kind"}
    assert first[SEED] != second[SEED]
    assert {"x", "kind"} <= set(third)
    assert set(world.run(3, 8)[-1]) == {SEED, "x", "kind", "depth"}


def test_it_closes_in_on_the_best_branch() -> None:
    world = World(searcher())
    world.run(0, 100)
    late = world.run(100, 10)
    assert sum(values["kind"] == "deep" for values in late) > 7
    assert sum(abs(values["depth"] - 6) <= 1 for values in late) > 7


def test_a_rebuilt_search_gives_the_same_suggestions() -> None:
    world = World(searcher())
    world.run(0, 40)
    rebuilt = searcher()
    for what, number, given in json.loads(json.dumps([(w, n, msgspec.to_builtins(g)) for w, n, g in world.events])):
        if what == "remind":
            rebuilt.remind(number, given["values"], given["memo"])
        else:
            rebuilt.tell(number, given, final=what == "end", failed=False)
    assert rebuilt.ask(40, 3) == world.search.ask(40, 3)


def test_what_was_not_asked_for_says_nothing_of_the_trial() -> None:
    world = World(searcher())
    world.run(0, 30)
    inner = world.search._inner
    assert isinstance(inner, ModelSearcher)
    rows, columns = inner._known.rows, [column.path for column in inner._encoding.columns]
    flat = rows[:, columns.index("kind")] == 0
    assert len(set(rows[flat, columns.index("depth")])) == 1  # in the middle
    assert len(set(rows[~flat, columns.index("depth")])) > 1


def test_a_wider_range_widens_the_search() -> None:
    search = searcher("sobol")
    search.ask(0, 1)
    search.tell(0, told({"x": 0.5}, 1.0, x=X), final=True, failed=False)
    search.ask(1, 1)
    search.tell(1, told({"x": 3.0}, 1.0, x=Range(2.0, 4.0)), final=True, failed=False)
    found = [each.values["x"] for each in search.ask(2, 30)]
    assert max(found) > 2
    assert min(found) < 1


def test_trials_that_said_nothing_teach_nothing() -> None:
    search = searcher()
    search.ask(0, 2)
    search.tell(0, None, final=True, failed=True)
    search.tell(1, {"loss": 1.0}, final=True, failed=False)
    assert set(search.ask(2, 1)[0].values) == {SEED}


def test_points_come_first_and_constants_and_known_variables_stay() -> None:
    search = searcher("sobol", {"epochs": 5, "y": tune.uniform(0, 1)}, points_to_evaluate=[{"x/1": 0.25}])
    first, second = search.ask(0, 2)
    assert first.values["x~11"] == 0.25
    assert set(second.values) == {SEED, "y"}


def test_what_it_can_not_do_is_refused() -> None:
    with pytest.raises(tune.ArgumentError, match="works with a model"):
        searcher("random")
    with pytest.raises(tune.ArgumentError, match="metric= and mode="):
        DefineByRunSearch("sobol").setup(Space({}), None, 1, 1)
    with pytest.raises(tune.SpaceError, match="grid"):
        searcher("sobol", {"x": tune.grid_search([1])})
