from __future__ import annotations

import sys
from math import isfinite
from random import Random
from typing import Any

import pytest

import tunesmith as tune
from tests.schedulers.test_pbt import SCORE, Adverse, check
from tests.schedulers.world import World
from tunesmith import events as e
from tunesmith.errors import ArgumentError, MissingPackageError
from tunesmith.schedulers.pb2 import PB2
from tunesmith.streams import stream
from tunesmith.trial import Status

pytest.importorskip("scipy")


def pb2(**options: Any) -> PB2:
    given = {"time_attr": "training_iteration", "perturbation_interval": 2, "hyperparam_bounds": {"x": [0.0, 10.0]}}
    return PB2(**{**given, **options})


class Climbing(World):
    """What a trial gains at each step depends on its `x`, and is the most at 7."""

    def __init__(self, scheduler: PB2, trials: int, slots: int = 4, *, seed: int = 0, stop_at: int = 30) -> None:
        self.reached: dict[tuple[int, int], float] = {}
        super().__init__(scheduler, 0, slots, self.climb, objective=SCORE, seed=seed, stop_at=stop_at, max_failures=0)
        for trial in range(trials):
            self.suggest(trial, x=stream(seed, "x", trial).uniform(0, 4))

    def emit(self, event: e.Event) -> None:
        if isinstance(event, e.Cloned):
            self.reached[event.trial, event.checkpoint.iteration] = self.reached[
                event.donor, event.checkpoint.iteration
            ]
        super().emit(event)

    def climb(self, trial: int, t: int) -> dict[str, float]:
        gain = 1 - (self.config(trial)["x"] - 7) ** 2 / 49
        self.reached[trial, t] = self.reached.get((trial, t - 1), 0.0) + gain
        return {"score": self.reached[trial, t]}


def test_clones_come_to_where_the_gain_is_the_most() -> None:
    finals = []
    for seed in range(3):
        world = Climbing(pb2(synch=True), 4, seed=seed).run()
        assert all(trial.status is Status.TERMINATED for trial in world.trials)
        cloned = [event.overrides["x"] for event in world.events if isinstance(event, e.Cloned)]
        assert all(0 <= x <= 10 for x in cloned)
        finals += cloned[-3:]
    assert sum(abs(x - 7) < 2 for x in finals) >= 6, finals


def test_a_range_of_orders_of_magnitude_is_searched_on_its_own_scale() -> None:
    scheduler = pb2(hyperparam_bounds={"x": tune.loguniform(1e-6, 10.0), "n": tune.lograndint(1, 1000)})
    scheduler.setup(SCORE, 0)
    scheduler.apply(e.Suggested(0, "t", "t", "t", {"x": 1e-5, "n": 1}), None)
    assert scheduler._point(0) == pytest.approx((1 / 7, 0))
    scheduler.apply(e.Suggested(1, "t", "t", "t", {"x": 0.0, "n": 1}), None)
    assert scheduler._point(1) is None, "what has no place on the scale teaches nothing"


@pytest.mark.parametrize("domain", [tune.loguniform(1e-4, 1.0), tune.uniform(-2, 3), tune.lograndint(1, 999)])
def test_a_domain_finds_a_value_at_its_share(domain: Any) -> None:
    for share in (0.0, 0.3, 1.0):
        value = domain.at(share)
        assert domain.low <= value <= domain.high
        assert domain.at(domain.share(value)) == pytest.approx(value)
    assert (domain.at(0.0), domain.at(1.0)) == (domain.low, domain.high)


def test_a_point_of_high_gain_is_preferred_to_those_of_low_gain() -> None:
    from tunesmith.schedulers.pb2_model import Row, suggest

    draw = Random(1)
    points = [(draw.random(), draw.random()) for _ in range(60)]
    rows = [Row(i / 4, x, -((x[0] - 0.2) ** 2) - (x[1] - 0.8) ** 2) for i, x in enumerate(points)]
    found = [suggest(rows, 15.0, [], Random(seed)) for seed in range(3)]
    assert all(abs(x - 0.2) < 0.2 and abs(y - 0.8) < 0.2 for x, y in found)


def test_near_those_that_run_there_is_less_to_be_learned() -> None:
    from tunesmith.schedulers.pb2_model import Row, suggest

    rows = [Row(0.0, (0.5,), 0.0), Row(0.0, (0.5,), 0.001)]
    alone = suggest(rows, 1.0, [], Random(0))[0]
    beside = suggest(rows, 1.0, [(1.0, (alone,))], Random(0))[0]
    assert abs(beside - alone) > 0.2


def test_equal_gains_and_equal_points_do_no_harm() -> None:
    from tunesmith.schedulers.pb2_model import Row, suggest

    found = suggest([Row(0.0, (0.5, 0.5), 1.0)] * 20, 1.0, [(0.0, (0.5, 0.5))] * 5, Random(0))
    assert all(0 <= x <= 1 and isfinite(x) for x in found)


def test_the_model_sees_the_last_thousand_gains() -> None:
    world = Climbing(pb2(perturbation_interval=1), 4, stop_at=400)
    world.scheduler._explore = lambda donor, member, view: world.scheduler._explorer.explore({"x": 1.0}, Random(0))  # type: ignore
    world.run()
    assert len(world.scheduler._rows) == 1000  # type: ignore[attr-defined]


def test_a_gain_is_counted_from_what_the_donor_had() -> None:
    world = Climbing(pb2(perturbation_interval=1), 2, slots=2, stop_at=12).run()
    rows = world.scheduler._rows  # type: ignore[attr-defined]
    assert rows
    for row in rows:
        assert row.gain == pytest.approx(1 - (row.x[0] * 10 - 7) ** 2 / 49)


def test_whole_bounds_give_whole_numbers_and_nested_ones_are_reached_by_path() -> None:
    scheduler = pb2(hyperparam_bounds={"n": [1, 9], "opt": {"lr": [0.1, 0.9]}})
    world = World(
        scheduler, 0, 4, lambda trial, t: {"score": 9 * trial + t}, objective=SCORE, stop_at=20, max_failures=0
    )
    for trial in range(4):
        world.suggest(trial, **{"n": trial + 1, "opt/lr": 0.2})
    world.run()
    cloned = [event.overrides for event in world.events if isinstance(event, e.Cloned)]
    assert cloned
    assert all(type(o["n"]) is int and 1 <= o["n"] <= 9 and 0.1 <= o["opt/lr"] <= 0.9 for o in cloned)


def test_what_is_a_constant_of_the_space_is_left_out_until_it_was_changed() -> None:
    world = World(pb2(), 4, 4, lambda trial, t: {"score": 9 * trial + t}, objective=SCORE, stop_at=20).run()
    assert any(isinstance(event, e.Cloned) for event in world.events)
    assert all(0 <= row.x[0] <= 1 for row in world.scheduler._rows)  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(3))
def test_every_trial_ends_and_a_replay_changes_nothing(seed: int) -> None:
    plan = {
        "seed": seed, "trials": 5, "late": 0, "slots": 2, "stop_at": 16, "errors": [], "max_failures": -1,
        "saves": True, "lost": 0, "restart_at": 12,
    }  # fmt: skip
    check(Adverse, pb2, plan, 10 + seed)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (None, "PB2 has nothing to change"),
        ({}, "PB2 has nothing to change"),
        ({"x": [1]}, r"must be \[low, high\] at 'x'"),
        ({"x": ["a", "b"]}, r"must be \[low, high\] at 'x'"),
        ({"x": [2.0, 1.0]}, "Are they swapped"),
        ({"a": {"x": [3, 3]}}, "'x'"),
    ],
)
def test_wrong_bounds_are_refused(bounds: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        pb2(hyperparam_bounds=bounds)


def test_without_scipy_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import tunesmith.schedulers as room

    monkeypatch.delitem(sys.modules, "tunesmith.schedulers.pb2_model", raising=False)
    monkeypatch.delattr(room, "pb2_model", raising=False)
    monkeypatch.setitem(sys.modules, "scipy.linalg", None)
    with pytest.raises(MissingPackageError, match="pip install numpy scipy"):
        pb2()
