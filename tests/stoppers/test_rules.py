"""Stoppers end trials by a rule and say why."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.errors import ArgumentError, MetricError
from tunesmith.stoppers.protocol import Stopper
from tunesmith.stoppers.rules import (
    CombinedStopper,
    ExperimentPlateauStopper,
    FunctionStopper,
    MaximumIterationStopper,
    ThresholdStopper,
    TrialPlateauStopper,
    make_stopper,
)


def feed(stopper: Stopper, values: list[float], trial: int = 0) -> list[str | None]:
    answers = []
    for value in values:
        stopper.observe(trial, {"loss": value})
        answers.append(stopper.judge(trial, {"loss": value}))
    return answers


def test_a_threshold_is_reached_from_below_and_any_one_suffices() -> None:
    stopper = ThresholdStopper({"accuracy": 0.9, "training_iteration": 5})
    assert stopper.judge(0, {"accuracy": 0.89, "training_iteration": 4}) is None
    assert stopper.judge(0, {"accuracy": 0.9, "training_iteration": 4}) == "accuracy reached 0.9, the limit is 0.9"
    assert "training_iteration" in (stopper.judge(0, {"accuracy": 0.1, "training_iteration": 5}) or "")


def test_a_threshold_on_a_missing_value_names_the_nearest_one() -> None:
    with pytest.raises(MetricError, match="Did you mean 'accuracy'"):
        ThresholdStopper({"acuracy": 0.9}).judge(0, {"accuracy": 1.0})


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_value_not_there_yet_or_nan_does_not_stop(value: Any) -> None:
    assert ThresholdStopper({"timesteps_total": 5}).judge(0, {"timesteps_total": value}) is None


@pytest.mark.parametrize("limit", ["10", None, float("nan"), True])
def test_a_threshold_must_be_a_number(limit: Any) -> None:
    with pytest.raises(ArgumentError, match="must be a number"):
        ThresholdStopper({"loss": limit})


def test_a_trial_plateau_needs_enough_flat_values() -> None:
    stopper = TrialPlateauStopper("loss", std=0.01, num_results=3, grace_period=3)
    answers = feed(stopper, [5.0, 1.0, 1.0, 1.001])
    assert answers[:3] == [None, None, None]
    assert "plateau" in (answers[3] or "")


def test_a_trial_plateau_at_nan_is_none() -> None:
    assert feed(TrialPlateauStopper("loss", num_results=2, grace_period=2), [float("nan")] * 4) == [None] * 4


def test_a_trial_plateau_better_than_the_threshold_goes_on() -> None:
    good = TrialPlateauStopper("loss", num_results=2, grace_period=2, metric_threshold=0.5, mode="min")
    assert feed(good, [0.1, 0.1, 0.1]) == [None] * 3
    bad = TrialPlateauStopper("loss", num_results=2, grace_period=2, metric_threshold=0.05, mode="min")
    assert feed(bad, [0.1, 0.1])[1] is not None


def test_an_experiment_plateau_ends_the_run() -> None:
    stopper = ExperimentPlateauStopper("loss", std=0.01, top=2, mode="min", patience=1)
    seen = []
    for trial, value in enumerate([3.0, 1.0, 1.001, 2.0, 2.0]):
        stopper.observe(trial, {"loss": value})
        seen.append(stopper.judge_all() is not None)
    assert seen == [False, False, False, True, True]


def test_a_list_is_a_combination_and_the_first_reason_is_given() -> None:
    stopper = make_stopper([{"loss": 3}, lambda trial_id, result: result["loss"] > 1, MaximumIterationStopper(9)])
    assert isinstance(stopper, CombinedStopper)
    assert (
        stopper.judge(0, {"loss": 2, "trial_id": "a", "training_iteration": 1}) == "the stop function <lambda> said so"
    )


def test_what_is_no_stopping_rule_is_refused() -> None:
    with pytest.raises(ArgumentError, match="stop must be thresholds"):
        make_stopper("soon")
    assert make_stopper(None) is None
    assert make_stopper({}) is None
    assert isinstance(make_stopper(lambda t, r: True), FunctionStopper)
