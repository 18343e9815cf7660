"""What a user does wrong, and what is said about it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith.core.limits import Limits


def good(config: dict[str, Any]) -> None:
    tune.report(loss=1.0)


def others_are_fine(results: tune.Results) -> None:
    """Every second trial was good and came to its end."""
    assert [t.status for t in results][1::2] == ["TERMINATED"] * (len(results) // 2)


def one_bad(run: Run, bad: Callable[[dict[str, Any]], Any], **how: Any) -> tune.Trial:
    """Run a bad trial beside a good one and return it."""

    def train(config: dict[str, Any]) -> Any:
        return bad(config) if config["bad"] else good(config)

    results = run(train, {"bad": tune.grid_search([True, False])}, **how)
    others_are_fine(results)
    return results[0]


def message(trial: tune.Trial) -> str:
    assert trial.status == "ERROR"
    assert trial.error is not None
    assert str(trial.error) in (trial.path / "error.txt").read_text()
    return str(trial.error)


# -- metrics


def test_a_metric_that_is_missing(run: Run) -> None:
    text = message(one_bad(run, lambda c: tune.report(accuracy=1)))
    assert text == (
        "The metric 'loss' is not in the report, which has: accuracy. "
        "Report it, or set metric= to a name that is reported."
    )


def test_a_metric_that_is_misspelt(run: Run) -> None:
    assert "Did you mean 'los'?" in message(one_bad(run, lambda c: tune.report(los=1)))


def test_a_metric_that_is_text(run: Run) -> None:
    text = message(one_bad(run, lambda c: tune.report(loss="low")))
    assert text == "The metric 'loss' must be a number, but the trial reported 'low' (str)."


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_metric_that_is_not_finite_never_wins(run: Run, value: float) -> None:
    trial = one_bad(run, lambda c: tune.report(loss=value))
    assert trial.status == "TERMINATED"
    results = tune.load(trial.path.parent)
    assert results.best_trial.number == 1
    assert str(results[0].history[0]["loss"]) == str(value)


def test_when_nothing_is_finite_the_best_is_refused_with_the_reason(run: Run) -> None:
    results = run(lambda c: float("nan"), num_samples=2)
    with pytest.raises(tune.TunesmithError, match=r"No trial has a finite 'loss'. 2 trials: 2 TERMINATED"):
        results.best_config  # noqa: B018


def test_when_everything_failed_the_best_is_refused_with_the_first_failure(run: Run) -> None:
    def train(config: dict[str, Any]) -> None:
        raise ValueError("bad learning rate")

    results = run(train, num_samples=3)
    with pytest.raises(tune.TunesmithError, match=r"3 ERROR.*trial 0: ValueError: bad learning rate \(see .*error.txt"):
        results.best_config  # noqa: B018


def test_a_metric_that_is_no_json_is_kept_as_text_with_a_warning(run: Run) -> None:
    trial = one_bad(run, lambda c: tune.report(loss=1.0, model=object(), raw=b"\x00\xff"))
    assert trial.status == "TERMINATED"
    assert trial.last_result is not None
    assert trial.last_result["model"].startswith("<object object")
    assert "model" in (trial.path / "stderr").read_text()


def test_reports_that_are_no_mapping_or_empty(run: Run) -> None:
    assert "mapping of names to values" in message(one_bad(run, lambda c: tune.report([1, 2])))
    assert "An empty report says nothing" in message(one_bad(run, lambda c: tune.report({})))
    assert "name of a reported value must be a string, got 3" in message(one_bad(run, lambda c: tune.report({3: 1})))


def test_report_outside_a_trial() -> None:
    with pytest.raises(tune.TunesmithError, match=r"report\(\) must be called inside a trial"):
        tune.report(loss=1)


# -- trainables


def test_a_trainable_that_raises_at_once(run: Run) -> None:
    def bad(config: dict[str, Any]) -> None:
        raise ValueError("no such optimiser")

    trial = one_bad(run, bad)
    assert message(trial) == "ValueError: no such optimiser"
    assert trial.error is not None
    assert 'raise ValueError("no such optimiser")' in trial.error.traceback
    assert "tunesmith" not in trial.error.traceback.replace(str(Path(__file__).parent), "")


def test_a_trainable_that_raises_late_keeps_what_it_reported(run: Run) -> None:
    def bad(config: dict[str, Any]) -> None:
        tune.report(loss=0.5)
        raise KeyError("batch")

    trial = one_bad(run, bad)
    assert message(trial) == "KeyError: 'batch'"
    assert [r["loss"] for r in trial.history] == [0.5]
    assert tune.load(trial.path.parent).best_trial.number == 0


def test_a_trainable_that_exits(run: Run) -> None:
    text = message(one_bad(run, lambda c: sys.exit(3)))
    assert "called sys.exit(3)" in text
    assert "Return from the function" in text
    assert "exit code 7" in message(one_bad(run, lambda c: os._exit(7)))


def test_a_trainable_that_the_kernel_kills(run: Run) -> None:
    text = message(one_bad(run, lambda c: os.kill(os.getpid(), signal.SIGKILL)))
    assert "SIGKILL" in text
    assert "memory" in text


def test_a_trainable_that_crashes_in_c(run: Run) -> None:
    trial = one_bad(run, lambda c: ctypes.string_at(0))
    assert "crashed (SIGSEGV)" in message(trial)
    assert "string_at" in (trial.path / "error.txt").read_text() + (trial.path / "stderr").read_text()


def test_a_trainable_that_hangs_is_ended_by_the_budget(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(config: dict[str, Any]) -> None:
        threading.Event().wait()

    monkeypatch.setattr("tunesmith.running.Limits", partial(Limits, stop_grace_s=0.2))
    results = run(hang, num_samples=3, time_budget_s=0.3, max_concurrent_trials=2)
    assert [t.status for t in results] == ["TERMINATED", "TERMINATED", "PENDING"]
    assert "time budget of 0.3 s" in results[0].reason


def test_a_trainable_that_prints_megabytes(run: Run) -> None:
    def loud(config: dict[str, Any]) -> float:
        for _ in range(30_000):
            print("x" * 99)
        print("\ud800 broken text", b"\xff")
        return 1.0

    trial = one_bad(run, loud)
    assert (trial.path / "stdout").stat().st_size >= 3_000_000


def test_a_trainable_that_returns_nothing_or_nonsense(run: Run) -> None:
    assert "returned without reporting anything" in message(one_bad(run, lambda c: None))
    assert "returned 'abc' (str)" in message(one_bad(run, lambda c: "abc"))


class NoStep(tune.Trainable):
    pass


class BadSave(tune.Trainable):
    def step(self) -> dict[str, Any]:
        return {"loss": 1.0}


def test_class_trainables_that_lack_something(run: Run) -> None:
    assert "NoStep must define step()" in message(run(NoStep)[0])
    text = message(run(BadSave, checkpoint_freq=1)[0])
    assert "A checkpoint of BadSave is due, but it does not define save_checkpoint()" in text


def test_a_trainable_that_cannot_be_sent(run: Run) -> None:
    lock = threading.Lock()

    def train(config: dict[str, Any]) -> float:
        lock.acquire()
        return 1.0

    with pytest.raises(tune.NotPicklableError, match=r"train.* -> .*lock.*executor='inline'"):
        run(train)


def test_a_module_that_cannot_be_imported_in_a_worker(run: Run, tmp_path: Path) -> None:
    (tmp_path / "fickle.py").write_text(
        "import os\nif os.getpid() != int(os.environ['OWNER']): raise RuntimeError('only once')\n"
        "def train(config): return 1.0\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\nos.environ['OWNER'] = str(os.getpid())\nimport fickle, tunesmith as tune\n"
        f"tune.run(fickle.train, {{}}, verbose=0, storage_path={str(tmp_path)!r})\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "WorkerError" in done.stderr
    assert "only once" in done.stderr


@pytest.mark.parametrize("trainable", [3, None])
def test_a_trainable_that_is_none(run: Run, trainable: Any) -> None:
    with pytest.raises(tune.ArgumentError, match=r"must be a function of the configuration or a subclass"):
        run(trainable)


def test_a_name_that_stands_for_no_trainable(run: Run) -> None:
    with pytest.raises(tune.ArgumentError, match=r"got 'PPO'. tunesmith.integrations.rllib.trainable makes one"):
        tune.with_resources("PPO", {"cpu": 2})
    with pytest.raises(tune.ArgumentError, match=r"no trainable of the name 'train'.*PPO.*Anything else is given as"):
        run("train")


# -- spaces


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: tune.uniform(1, 0), "lower bound 1 must be below the upper bound 0. Are they swapped?"),
        (lambda: tune.loguniform(0, 1), "lower bound of a logarithmic domain must be above 0"),
        (lambda: tune.randint(5, 5), "randint\\(5, 5\\) is empty"),
        (lambda: tune.randint(0.5, 2), "bounds of randint must be whole numbers, got 0.5"),
        (lambda: tune.quniform(0.1, 0.2, 1), "No multiple of q=1 lies between"),
        (lambda: tune.choice([]), "choice needs at least one value"),
        (lambda: tune.choice("abc"), "choice expects a list of values, got 'abc'"),
        (lambda: tune.grid_search([]), "grid_search needs at least one value"),
        (lambda: tune.grid_search(3), "grid_search expects a list"),
        (lambda: tune.uniform(0, float("nan")), "nan"),
        (lambda: tune.uniform("a", 1), "'a'"),
        (lambda: tune.randn(0, -1), "-1"),
        (lambda: tune.sample_from(3), "needs a function of the spec, got 3"),
    ],
)
def test_a_domain_that_makes_no_sense(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(tune.SpaceError, match=text):
        make()


def test_a_space_that_is_no_dict(run: Run) -> None:
    with pytest.raises(tune.SpaceError, match=r"must be a dict of names"):
        run(good, [1])


def test_a_circle_of_dependent_values(run: Run) -> None:
    space = {"a": tune.sample_from(lambda s: s.config.b), "b": tune.sample_from(lambda s: s.config.a)}
    with pytest.raises(tune.SearchError, match=r"depend on each other in a circle: a -> b -> a"):
        run(good, space)


def test_a_dependent_value_that_raises_names_its_place(run: Run) -> None:
    with pytest.raises(tune.SearchError, match=r"sample_from at 'net/width' raised ZeroDivisionError"):
        run(good, {"net": {"width": tune.sample_from(lambda s: 1 / 0)}})


class ModelSearcher:
    """As much of a model-based searcher as meets the space."""

    eager = False

    def setup(self, space: Any, objective: Any, seed: int, num_samples: int) -> None:
        space.refuse_grid(type(self).__name__)

    def total(self) -> int | None:
        return None

    def ask(self, first: int, count: int) -> list[dict[str, Any]]:
        return []

    def tell(self, trial: int, metrics: Any, final: bool, failed: bool) -> None:
        pass


def test_a_grid_inside_a_model_based_space(run: Run, tmp_path: Path) -> None:
    space = {"a": tune.grid_search([1, 2]), "b": tune.uniform(0, 1)}
    with pytest.raises(tune.SpaceError, match=r"ModelSearcher.*grid_search at 'a'.*choice"):
        run(good, space, search_alg=ModelSearcher(), name="grid")
    assert list(tmp_path.iterdir()) == []  # the name is still free


def test_a_value_that_cannot_be_copied_for_each_trial(run: Run) -> None:
    with pytest.raises(tune.SpaceError, match=r"value at 'x', a lock, can't be copied"):
        run(good, {"x": threading.Lock()})


class Shy:
    """Can be copied, and in some cases not be sent."""

    def __init__(self, shy: bool) -> None:
        self.shy = shy

    def __deepcopy__(self, memo: Any) -> Shy:
        return self

    def __reduce__(self) -> Any:
        if self.shy:
            raise TypeError("a Shy can't be pickled")
        return Shy, (False,)


def test_a_value_that_cannot_be_sent_fails_its_own_trial_only(run: Run) -> None:
    results = run(lambda c: 1.0, {"x": tune.sample_from(lambda s: 1), "y": tune.grid_search([0, 1])})
    assert not results.errors
    space = {"y": tune.grid_search([0, 1]), "x": tune.choice([Shy(True)])}
    try:
        results = run(lambda c: 1.0, space)
    except tune.TunesmithError as error:
        assert "Shy" in str(error)  # noqa: PT017 - either way it is said
    else:
        assert all("Shy" in message(t) for t in results.errors)


# -- the run's arguments


@pytest.mark.parametrize("number", [0, -2, 1.5, 0.0, "3", True, None, float("nan")])
def test_a_number_of_samples_that_is_no_count(run: Run, number: Any) -> None:
    with pytest.raises(tune.ArgumentError, match=r"num_samples must be a whole number, 1 or more, or -1"):
        run(good, num_samples=number)


def test_an_unknown_argument_is_refused_with_the_nearest(run: Run) -> None:
    with pytest.raises(tune.ArgumentError, match=r"run\(\) has no argument 'num_sample'. Did you mean 'num_samples'"):
        run(good, num_sample=3)
    with pytest.raises(AttributeError, match=r"tunesmith has no 'loguniforn'. Did you mean 'loguniform'"):
        tune.loguniforn  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"mode": "minimum"}, "min"),
        ({"mode": None}, "metric='loss' is given without mode="),
        ({"metric": None}, "metric"),
        ({"executor": "lokal"}, "Did you mean 'local'"),
        ({"executor": object()}, "has no open"),
        ({"max_concurrent_trials": 0}, "max_concurrent_trials"),
        ({"time_budget_s": -1}, "time_budget_s"),
        ({"max_failures": -2}, "max_failures"),
        ({"keep_checkpoints_num": 0}, "keep_checkpoints_num"),
        ({"resume": "yes"}, "resume"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"verbose": 7}, "verbose"),
        ({"name": "a/b"}, "name"),
        ({"name": ""}, "name"),
        ({"callbacks": [3]}, "callback"),
        ({"stop": 3}, "stop"),
        ({"stop": {"training_iteration": "ten"}}, "ten"),
        ({"checkpoint_freq": 2}, "checkpoint_freq is for subclasses of tunesmith.Trainable"),
        ({"checkpoint_at_end": True}, "checkpoint_at_end is for subclasses"),
        ({"resources_per_trial": {"cpu": -1}}, "'cpu' must be zero or more"),
        ({"resources_per_trial": {"gpu": 1.5}}, "fraction of one GPU or whole GPUs"),
        ({"resources_per_trial": 3}, "must be a mapping"),
        ({"search_alg": 3}, "search_alg"),
        ({"scheduler": "fifo"}, "scheduler"),
        ({"trial_name_creator": 3}, "trial_name_creator"),
        ({"storage_path": 3}, "storage_path"),
    ],
)
def test_an_argument_that_is_wrong(run: Run, tmp_path: Path, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(tune.ArgumentError, match=text):
        run(good, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_more_than_the_machine_has_is_refused_at_once(run: Run, tmp_path: Path) -> None:
    with pytest.raises(tune.ResourceError, match=r"asks for 5000 CPUs, 0 GPUs, but there is only \d+ CPUs"):
        run(good, resources_per_trial={"cpu": 5000})
    with pytest.raises(tune.ResourceError, match=r"1 licence"):
        run(good, resources_per_trial={"licence": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_single_trial_that_asks_for_too_much_fails_alone(run: Run) -> None:
    wanting = tune.with_resources(lambda c: 1.0, lambda config: {"cpu": config["cpus"]})
    results = run(wanting, {"cpus": tune.grid_search([9000, 1])})
    others_are_fine(results)
    assert "asks for 9000 CPUs" in message(results[0])


# -- the experiment's place


def test_a_name_that_exists(run: Run) -> None:
    run(good, name="mine")
    with pytest.raises(tune.ExperimentExistsError, match=r"'mine' exists already.*resume=True.*another name="):
        run(good, name="mine")


def test_nothing_to_resume(run: Run) -> None:
    with pytest.raises(tune.StorageError, match=r"nothing to resume.*resume='auto' would start one"):
        run(good, name="other", resume=True)
    assert len(run(good, name="other", resume="auto")) == 1


def test_another_space_cannot_be_resumed(run: Run) -> None:
    run(good, name="mine")
    with pytest.raises(tune.ArgumentError, match=r"config=: x changed from Float.low=0, high=1,.* high=2"):
        run(good, {"x": tune.uniform(0, 2)}, name="mine", resume=True, num_samples=2)


def test_a_place_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(tune.StorageError, match=r"can't be made.*storage_path="):
        run(good, storage_path=tmp_path / "file")
    with pytest.raises(tune.StorageError, match=r"storage_path="):
        run(good, storage_path="/proc/nowhere")


def test_load_of_what_is_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(tune.StorageError, match=r"There is no experiment"):
        tune.load(tmp_path)
    (tmp_path / "experiment.db").write_bytes(b"this is not a database, by any means" * 100)
    with pytest.raises(tune.StorageError, match=r"no database of an experiment.*tunesmith recover"):
        tune.load(tmp_path)


@pytest.mark.parametrize("small_disk", ["3m"], indirect=True)
def test_a_full_disk_loses_nothing_and_the_run_goes_on_when_there_is_room(run: Run, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_500_000)

    def train(config: dict[str, Any]) -> None:
        for _ in range(40):
            tune.report(loss=1.0, text="x" * 2000)

    how = {"storage_path": small_disk, "name": "full", "num_samples": 60}
    with pytest.raises(tune.StorageError, match=r"full.*[Mm]ake room.*resume=True"):
        run(train, **how)
    before = tune.load(small_disk / "full")
    reports = {t.number: len(t.history) for t in before}
    assert sum(reports.values()) > 20
    ballast.unlink()
    how["num_samples"] = len(before.trials)
    after = run(train, resume=True, **how) if len(before.trials) <= 12 else None
    if after is not None:
        assert all(len(t.history) == 40 for t in after)
