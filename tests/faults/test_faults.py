"""Some rounds of the crash harness; ``python -m tests.faults`` plays more."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.faults.plan import SCHEDULERS, draw
from tests.faults.points import SABOTAGE, Fault
from tests.faults.report import describe, summarise
from tests.faults.round import References, play


@pytest.mark.parametrize("seed", range(len(SCHEDULERS)))
def test_an_experiment_that_is_killed_and_resumed_is_the_one_that_it_would_have_been(seed: int, tmp_path: Path) -> None:
    outcome = play(draw(seed), tmp_path / "round", References(tmp_path))
    assert outcome.found.wrong == []
    assert outcome.found.acknowledged > 0
    assert outcome.fired


def test_a_store_that_is_not_durable_when_it_says_so_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SABOTAGE, "1")
    plan = draw(0)
    settings = msgspec.structs.replace(plan.settings, workers=1)
    plan = msgspec.structs.replace(plan, settings=settings, faults=(Fault("driver", "commit", 8),))
    outcome = play(plan, tmp_path / "round", References(tmp_path))
    assert any("was told that its report" in sentence for sentence in outcome.found.wrong)
    assert "python -m tests.faults --rounds 1 --seed 0" in describe(outcome, tmp_path)
    assert "1 rounds, 1 failed" in summarise([outcome])


def test_a_seed_draws_the_same_round_each_time_and_the_schedulers_take_turns() -> None:
    assert draw(7) == draw(7) != draw(8)
    assert [draw(seed).settings.scheduler for seed in range(6, 12)] == list(SCHEDULERS)
