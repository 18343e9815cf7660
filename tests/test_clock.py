"""A system clock that is set anew while a run is under way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith import assembly
from tunesmith.clock import SteadyClock
from tunesmith.core.experiment import Experiment
from tunesmith.store.reading import EventReader

HOUR = 3600.0


class Wall:
    """The system's clock, put back or forward by an hour when it is told to, and the time that really passes."""

    def __init__(self) -> None:
        self.shift = self.passed = 0.0

    def time(self) -> float:
        return 1e9 + self.passed + self.shift


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    wall = Wall()
    monkeypatch.setattr(assembly.time, "time", wall.time)
    monkeypatch.setattr(assembly, "uptime", lambda: wall.passed)
    return wall


def test_a_steady_clock_follows_the_time_that_passes_and_no_other() -> None:
    walls, passed = [1000.0], [50.0]
    clock = SteadyClock(lambda: walls[0], lambda: passed[0])
    assert clock() == 1000.0
    walls[0] -= HOUR
    passed[0] += 2.0
    assert clock() == 1002.0


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_the_time_budget_is_counted_in_seconds_that_pass(run: Run, tmp_path: Path, wall: Wall, jump: float) -> None:
    """Put back, it would never end; put forward, it would end at once."""

    def train(config: dict[str, Any]) -> None:
        for step in range(10**9):
            wall.passed += 0.1
            if step == 3:
                wall.shift = jump
            tune.report(loss=wall.time())

    results = run(train, name="run", executor="inline", time_budget_s=0.5)
    assert "time budget" in results.stop_reason
    assert 0.5 <= wall.passed < 1.0
    assert results[0].last_result["training_iteration"] > 3
    with EventReader.open_to_read(tmp_path / "run" / "experiment.db") as store:
        events = [event for event, _ in store.fold(Experiment().apply)]
    moments = [event.at for event in events if hasattr(event, "at")]
    assert moments == sorted(moments)
    assert moments[-1] - moments[0] < HOUR / 2


def test_a_run_that_is_resumed_an_hour_earlier_is_in_the_order_of_its_events(run: Run, wall: Wall) -> None:
    def train(config: dict[str, Any]) -> None:
        for _ in range(3):
            wall.passed += 0.1
            tune.report(loss=wall.time())

    run(train, name="run", executor="inline", num_samples=2)
    wall.shift = -HOUR
    results = run(train, name="run", executor="inline", num_samples=4, time_budget_s=60, resume=True)
    assert results.stop_reason == ""
    assert [len(trial.history) for trial in results] == [3] * 4
    assert results.best_trial.number == 2
