"""Runs that repeat: the best once more at the end, several seeds a configuration, and no more than so many at once."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial
from math import nan
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run

NOISY = {"x": tune.grid_search([0.0, 0.5, 1.0, 1.5])}


@pytest.fixture
def run(run: Run) -> Run:
    return partial(run, executor="inline")


def noisy(config: dict[str, Any]) -> None:
    """Losses of `x` with a noise of its seed's own, the same in all reports."""
    noise = Random(tune.get_context().trial_seed).gauss(0, 0.3)
    for step in range(4):
        tune.report(loss=config["x"] + noise + 1 / (step + 1))


def test_the_best_are_run_again_with_other_seeds_and_both_numbers_are_told(run: Run, tmp_path: Path) -> None:
    results = run(noisy, NOISY, confirm=2, confirm_repeats=3, name="noisy")
    assert len(results) == 10
    assert [trial.confirms for trial in results[:4]] == [None] * 4  # type: ignore[index]  # a list's slice
    assert results.best_trial.number < 4
    for each in results.confirmed:
        assert each.value == each.trial.best_result()["loss"]  # type: ignore[index]
        assert [trial.config for trial in each.trials] == [each.trial.config] * 3
        assert each.values == [trial.best_result()["loss"] for trial in each.trials]  # type: ignore[index]
        assert len(set(each.values)) == 3
        assert (each.mean, each.sd) == (fmean(each.values), stdev(each.values))
    assert results.confirmed[0].mean < results.confirmed[1].mean
    assert results.dataframe()["confirms"].notna().sum() == 6
    assert tune.load(tmp_path / "noisy").confirmed[0].mean == results.confirmed[0].mean
    again = run(noisy, NOISY, confirm=2, confirm_repeats=3, name="noisy", resume=True)
    assert len(again) == 10


def test_what_is_confirmed_may_grow_later_and_the_search_too(run: Run) -> None:
    arguments: dict[str, Any] = {"name": "grows", "search_alg": "nsga2"}
    space = {"x": tune.uniform(0, 1)}
    assert len(run(noisy, space, num_samples=6, **arguments)) == 6
    assert len(run(noisy, space, num_samples=6, confirm=1, resume=True, **arguments)) == 9
    assert len(run(noisy, space, num_samples=8, resume=True, **arguments)) == 11  # the three are nobody's business
    results = run(noisy, space, num_samples=8, confirm=2, resume=True, **arguments)
    assert {len(each.trials) for each in results.confirmed} == {3}
    assert len([trial for trial in results if trial.confirms is None]) == 8


@pytest.mark.parametrize("scheduler", [
    tune.ASHAScheduler(max_t=3, reduction_factor=2),
    tune.ASHAScheduler(max_t=3, reduction_factor=2, variant="promotion"),
    tune.HyperBandScheduler(max_t=3, reduction_factor=2),
    tune.MedianStoppingRule("training_iteration", grace_period=1, min_samples_required=1),
])  # fmt: skip
def test_confirmations_are_trained_as_long_as_what_they_confirm_whatever_the_scheduler(
    run: Run, scheduler: tune.Scheduler
) -> None:
    results = run(noisy, NOISY, num_samples=2, scheduler=scheduler, confirm=3, confirm_repeats=2)
    assert len(results.confirmed) == 3
    for each in results.confirmed:
        assert [len(trial.history) for trial in each.trials] == [len(each.trial.history)] * 2
    assert all(trial.status == "TERMINATED" for trial in results)


def test_a_choice_of_objects_is_confirmed_with_the_object_also_after_a_resume(run: Run) -> None:
    def ask(config: dict[str, Any]) -> float:
        return float(config["f"](config["given"]))

    space = {"f": tune.choice([abs, round]), "given": tune.sample_from(lambda spec: complex(0, 2))}
    with pytest.raises(tune.ArgumentError, match="needs to know what is best"):
        run(ask, space, metric=None, mode=None, confirm=1)
    space = {"f": tune.choice([abs]), "given": tune.sample_from(lambda spec: complex(0, 2))}
    run(ask, space, num_samples=1, name="objects")
    results = run(ask, space, num_samples=1, name="objects", confirm=1, confirm_repeats=1, resume=True)
    assert results[1].last_result is not None
    assert results[1].last_result["loss"] == 2.0


def test_failed_confirmations_and_nan_are_counted_and_left_out_of_the_mean(run: Run) -> None:
    def fragile(config: dict[str, Any]) -> float:
        number = tune.get_context().trial_number
        if number == 1:
            raise ValueError("boom")
        return nan if number == 2 else float(number)

    (each,) = run(fragile, {"x": 1}, num_samples=1, confirm=1, confirm_repeats=4).confirmed
    assert [trial.number for trial in each.trials] == [1, 2, 3, 4]
    assert each.values == [3.0, 4.0]
    assert each.mean == 3.5


def test_population_based_training_has_no_configuration_to_confirm(run: Run) -> None:
    scheduler = tune.PopulationBasedTraining(hyperparam_mutations={"x": [1, 2]})
    with pytest.raises(tune.ArgumentError, match="PopulationBasedTrainingReplay"):
        run(noisy, NOISY, scheduler=scheduler, confirm=1)


def test_the_summary_has_both_numbers(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    results = run(noisy, NOISY, confirm=1, verbose=1)
    (each,) = results.confirmed
    said = capsys.readouterr().out
    assert f"Again:   trial {each.trial.number}: " in said
    assert "in 3 repeats" in said
    assert "every configuration" not in said


SCRIPT = """
import os, signal, sys
from pathlib import Path
import tunesmith as tune

def train(config):
    number = tune.get_context().trial_number
    if number == 5 and not Path(sys.argv[1], "again").exists():
        Path(sys.argv[1], "again").touch()
        os.kill(int(Path(sys.argv[1], "driver").read_text()), signal.SIGKILL)
        signal.pause()
    tune.report(loss=config["x"] + number % 2)

if __name__ == "__main__":
    Path(sys.argv[1], "driver").write_text(str(os.getpid()))
    results = tune.run(train, {"x": tune.uniform(0, 1)}, metric="loss", mode="min", num_samples=4, seed=3,
                       search_alg="nsga2", storage_path=sys.argv[1], name="run", resume="auto", verbose=0,
                       max_concurrent_trials=1, confirm=2, confirm_repeats=2)
    print([trial.confirms for trial in results])
"""


def test_a_driver_that_is_killed_among_the_confirmations_makes_the_rest_of_them(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    first, second = sorted({each for each in eval(done.stdout) if each is not None})
    assert sorted(eval(done.stdout)[4:]) == [first, first, second, second]


# -- several seeds, and limits


def test_a_repeater_tells_means_and_spreads_in_the_results(run: Run) -> None:
    results = run(noisy, {"x": tune.uniform(0, 1)}, num_samples=3, search_alg=tune.Repeater("nsga2", repeat=4))
    assert len(results) == 12
    assert len(results.repeated) == 3
    for each in results.repeated:
        assert len(each.values) == 4
        assert each.value == each.values[0]
        assert each.mean == fmean(each.values)
        assert {trial.config["x"] for trial in each.trials} == {each.trial.config["x"]}
    assert results.repeated[0].mean == min(each.mean for each in results.repeated)
    assert results.confirmed == []


def test_an_experiment_knows_whether_its_searcher_was_wrapped(run: Run) -> None:
    run(noisy, {"x": tune.uniform(0, 1)}, num_samples=1, search_alg=tune.Repeater("nsga2"), name="wrapped")
    with pytest.raises(tune.ArgumentError, match="the search_alg was Repeater of NSGA2Search, and is NSGA2Search"):
        run(noisy, {"x": tune.uniform(0, 1)}, search_alg="nsga2", name="wrapped", resume=True)


@pytest.mark.parametrize("scheduler", [
    tune.FIFOScheduler(),
    tune.ASHAScheduler(max_t=4, reduction_factor=2, variant="promotion"),
    tune.HyperBandScheduler(max_t=4, reduction_factor=2),
])  # fmt: skip
def test_a_limited_searcher_makes_all_of_its_trials_whatever_waits(run: Run, scheduler: tune.Scheduler) -> None:
    limited = tune.ConcurrencyLimiter("random", 2)
    space = {"x": tune.uniform(0, 1)}
    results = run(noisy, space, num_samples=9, search_alg=limited, scheduler=scheduler, executor="local",
                  reuse_workers=True)  # fmt: skip
    assert len(results) == 9
    assert all(trial.status == "TERMINATED" for trial in results)


def test_seeds_of_trials_are_all_different_and_the_same_in_every_run(run: Run) -> None:
    def seed(config: dict[str, Any]) -> float:
        return float(tune.get_context().get_trial_seed())

    one, other = (
        [trial.last_result["loss"] for trial in run(seed, {}, num_samples=5, executor=executor)]  # type: ignore[index]
        for executor in ("inline", "local")
    )
    assert one == other
    assert len(set(one)) == 5


def test_in_virtual_time_too_and_a_replay_leaves_confirmations_out(run: Run) -> None:
    def curve(config: dict[str, Any], step: int) -> tuple[dict[str, float], float] | None:
        return ({"loss": config["x"] + 1 / step}, 1.0) if step <= 9 else None

    results = run(
        curve, {"x": tune.uniform(0, 1)}, num_samples=8, confirm=2, search_alg=tune.ConcurrencyLimiter("random", 3),
        executor=tune.SimulatedExecutor(workers=6),
    )  # fmt: skip
    assert [each.sd for each in results.confirmed] == [0.0, 0.0]
    replayed = tune.replay(results.path, tune.ASHAScheduler(max_t=9, reduction_factor=3))
    assert len(replayed.results) == 8
