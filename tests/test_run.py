"""Whole runs, on real workers unless a test says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run


def quadratic(config: dict[str, Any]) -> None:
    for step in range(3):
        tune.report(loss=(config["x"] - 0.5) ** 2 + 1 / (step + 1))


class Counter(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.count = 0
        self.made_in = os.getpid()

    def step(self) -> dict[str, Any]:
        self.count += 1
        return {"loss": 10.0 - self.count, "count": self.count, "made_in": self.made_in}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"count": self.count}

    def load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.count = checkpoint["count"]


EXECUTORS = ["local", "inline"]


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("reuse", [False, True])
def test_the_best_of_all_reports_wins(run: Run, executor: str, reuse: bool) -> None:
    results = run(quadratic, num_samples=12, executor=executor, reuse_workers=reuse)
    assert [trial.status for trial in results] == ["TERMINATED"] * 12
    assert all(len(trial.history) == 3 for trial in results)
    best = min(results, key=lambda trial: abs(trial.config["x"] - 0.5))
    assert results.best_trial.number == best.number
    assert results.best_config == best.config
    assert results.best_result["loss"] == pytest.approx((best.config["x"] - 0.5) ** 2 + 1 / 3)
    assert results.errors == []


def test_a_seed_gives_the_same_configurations_whatever_runs_them(run: Run) -> None:
    space = {"x": tune.uniform(0, 1), "deep": [{"k": tune.choice(["a", "b", "c"])}]}
    first, second = (
        [t.config for t in run(lambda c: 0.0, space, num_samples=8, seed=7, **how)]
        for how in ({"executor": "inline"}, {"reuse_workers": True})
    )
    assert first == second
    assert first != [t.config for t in run(lambda c: 0.0, space, num_samples=8, seed=8, executor="inline")]


def test_the_grid_is_run_once_a_sample(run: Run) -> None:
    space = {"a": tune.grid_search([1, 2]), "b": tune.grid_search(["x", "y", "z"]), "c": tune.uniform(0, 1)}
    results = run(lambda config: config["a"], space, num_samples=2, executor="inline")
    assert len(results) == 12
    assert sorted((t.config["a"], t.config["b"]) for t in results) == sorted(
        [(a, b) for a in (1, 2) for b in "xyz"] * 2
    )


def test_a_function_may_report_return_or_yield(run: Run) -> None:
    def yields(config: dict[str, Any]) -> Any:
        yield {"loss": 3.0}
        yield 2.0

    assert run(lambda c: 1.5, executor="inline").best_result["loss"] == 1.5
    assert run(lambda c: {"loss": 1.25, "more": "x"}, executor="inline").best_result["more"] == "x"
    assert [r["loss"] for r in run(yields, executor="inline")[0].history] == [3.0, 2.0]


def test_every_result_carries_what_tune_users_expect(run: Run) -> None:
    results = run(quadratic)
    first, *_, last = results[0].history
    assert set(first) == {
        "training_iteration", "time_this_iter_s", "time_total_s", "timestamp", "date", "done", "pid", "hostname",
        "node_ip", "trial_id", "trial_name", "experiment_id", "time_since_restore", "iterations_since_restore",
        "timesteps_total", "episodes_total", "config", "loss",
    }  # fmt: skip
    assert (first["training_iteration"], last["training_iteration"]) == (1, 3)
    assert (first["done"], last["done"]) == (False, True)
    assert first["pid"] != os.getpid()
    assert first["trial_id"] == results[0].trial_id
    assert last["iterations_since_restore"] == 3
    assert last["time_total_s"] >= last["time_this_iter_s"] >= 0
    assert last["config"] == results[0].config


def test_timesteps_and_episodes_are_summed(run: Run) -> None:
    def train(config: dict[str, Any]) -> None:
        for _ in range(3):
            tune.report(loss=1, timesteps_this_iter=10, episodes_this_iter=2)

    last = run(train, executor="inline")[0].last_result
    assert last is not None
    assert (last["timesteps_total"], last["episodes_total"]) == (30, 6)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_thresholds_stop_a_trial_at_the_report_that_reaches_them(run: Run, executor: str) -> None:
    results = run(Counter, {}, stop={"training_iteration": 4}, executor=executor)
    assert [r["count"] for r in results[0].history] == [1, 2, 3, 4]
    assert results[0].status == "TERMINATED"
    assert "training_iteration" in results[0].reason


def test_a_stop_function_and_a_stopper_and_both(run: Run) -> None:
    by_function = run(Counter, {}, stop=lambda trial_id, result: result["count"] >= 2, executor="inline")
    assert len(by_function[0].history) == 2
    by_object = run(Counter, {}, stop=tune.MaximumIterationStopper(3), executor="inline")
    assert len(by_object[0].history) == 3
    by_both = run(Counter, {}, stop=[{"count": 7}, tune.MaximumIterationStopper(5)], executor="inline")
    assert len(by_both[0].history) == 5


def test_a_report_that_says_done_ends_the_trial(run: Run) -> None:
    def train(config: dict[str, Any]) -> None:
        while True:
            tune.report(loss=1.0, done=1)

    assert len(run(train, executor="inline")[0].history) == 1
    assert len(run(train)[0].history) == 1


def test_clean_up_code_of_a_stopped_function_runs(run: Run) -> None:
    def train(config: dict[str, Any]) -> None:
        try:
            while True:
                try:
                    tune.report(loss=1.0)
                except Exception:  # noqa: BLE001 - the point of the test
                    Path("swallowed").touch()
        finally:
            Path("left").touch()

    trial = run(train, stop={"training_iteration": 2})[0]
    assert (trial.path / "left").exists()
    assert not (trial.path / "swallowed").exists()
    assert len(trial.history) == 2


def test_a_function_saves_and_goes_on_from_its_checkpoint_after_a_failure(run: Run) -> None:
    def train(config: dict[str, Any]) -> None:
        checkpoint = tune.get_checkpoint()
        start = 0
        if checkpoint is not None:
            with checkpoint.as_directory() as folder:
                start = int(Path(folder, "step").read_text())
        for step in range(start, 6):
            if step == 4 and start == 0:
                raise OSError("the first attempt breaks")
            if step % 2 == 1:
                Path("save").mkdir(exist_ok=True)
                Path("save/step").write_text(str(step + 1))
                tune.report(loss=step, checkpoint=tune.Checkpoint.from_directory("save"))
            else:
                tune.report(loss=step)

    trial = run(train, max_failures=1)[0]
    assert trial.status == "TERMINATED"
    assert trial.failures == 1
    assert [r["training_iteration"] for r in trial.history] == [1, 2, 3, 4, 5, 6]
    assert [r["iterations_since_restore"] for r in trial.history] == [1, 2, 3, 4, 1, 2]
    assert trial.checkpoint is not None
    with trial.checkpoint.as_directory() as folder:
        assert Path(folder, "step").read_text() == "6"


def test_work_after_the_last_checkpoint_is_rolled_back_and_counted_once(run: Run, tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> None:
        first = tune.get_checkpoint() is None
        done = 0 if first else 2
        for step in range(done, 5):
            (tmp_path / "seen").open("a").write(f"{step} ")
            if first and step == 4:
                raise OSError("broken")
            Path("save").mkdir(exist_ok=True)
            checkpoint = tune.Checkpoint.from_directory("save") if step == 1 else None
            tune.report({"loss": float(step)}, checkpoint=checkpoint)

    trial = run(train, max_failures=1)[0]
    assert (tmp_path / "seen").read_text().split() == ["0", "1", "2", "3", "4", "2", "3", "4"]
    assert [r["loss"] for r in trial.history] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_class_trainables_are_saved_by_frequency_and_at_the_end(run: Run, executor: str) -> None:
    results = run(
        Counter,
        {},
        stop={"training_iteration": 5},
        checkpoint_freq=2,
        checkpoint_at_end=True,
        executor=executor,
    )
    names = sorted(p.name for p in results[0].path.iterdir() if p.name.startswith("checkpoint"))
    assert len(names) == 3
    assert results[0].checkpoint is not None
    alone = Counter(config={})
    alone.restore(results[0].checkpoint.path)
    assert (alone.count, alone.iteration) == (5, 5)


def test_only_the_last_checkpoints_are_kept(run: Run) -> None:
    results = run(Counter, {}, stop={"training_iteration": 9}, checkpoint_freq=1, keep_checkpoints_num=2)
    names = [p for p in results[0].path.iterdir() if p.name.startswith("checkpoint")]
    assert len(names) == 2
    assert results[0].checkpoint is not None
    assert Path(results[0].checkpoint.path) in names


def test_a_kept_worker_takes_one_trial_after_another(run: Run) -> None:
    results = run(lambda c: os.getpid(), num_samples=6, reuse_workers=True, max_concurrent_trials=1)
    assert len({t.last_result["loss"] for t in results if t.last_result}) == 1
    fresh = run(lambda c: os.getpid(), num_samples=6, max_concurrent_trials=1)
    assert len({t.last_result["loss"] for t in fresh if t.last_result}) == 6


class Resettable(Counter):
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.count = 100
        return True


def test_a_kept_class_trainable_is_reset_where_it_can_be(run: Run) -> None:
    how = {"num_samples": 3, "reuse_workers": True, "max_concurrent_trials": 1, "stop": {"training_iteration": 1}}
    assert [t.history[0]["count"] for t in run(Resettable, **how)] == [1, 101, 101]
    assert [t.history[0]["count"] for t in run(Counter, **how)] == [1, 1, 1]


def test_a_trial_cannot_change_another_ones_configuration(run: Run) -> None:
    shared = {"list": [1]}

    def train(config: dict[str, Any]) -> float:
        config["fixed"]["list"].append(2)
        return len(config["fixed"]["list"])

    for how in ({"executor": "inline"}, {"reuse_workers": True, "max_concurrent_trials": 1}):
        results = run(train, {"fixed": shared}, num_samples=3, **how)
        assert [t.last_result["loss"] for t in results if t.last_result] == [2, 2, 2]
        assert [t.config["fixed"] for t in results] == [{"list": [1]}] * 3
    assert shared == {"list": [1]}


def test_a_trial_has_its_folder_its_output_and_its_context(run: Run) -> None:
    def train(config: dict[str, Any]) -> dict[str, Any]:
        context = tune.get_context()
        print("hello from", context.trial_number)
        Path("mine.txt").write_text("here")
        return {
            "loss": 0.0,
            "id": context.trial_id,
            "name": context.trial_name,
            "folder": context.trial_dir,
            "resources": context.trial_resources,
            "threads": os.environ["OMP_NUM_THREADS"],
        }

    results = run(train, num_samples=2, resources_per_trial={"cpu": 1})
    for trial in results:
        last = trial.last_result
        assert last is not None
        assert (last["id"], last["name"], last["folder"]) == (trial.trial_id, trial.name, str(trial.path))
        assert last["resources"]["cpu"] == 1
        assert last["threads"] == os.environ.get("OMP_NUM_THREADS", "1")
        assert (trial.path / "mine.txt").read_text() == "here"
        assert (trial.path / "stdout").read_text() == f"hello from {trial.number}\n"


def test_big_parameters_and_resources_go_with_the_trainable(run: Run) -> None:
    def train(config: dict[str, Any], data: list[int]) -> float:
        return float(sum(data)) + config["x"]

    with_data = tune.with_resources(tune.with_parameters(train, data=list(range(1000))), {"cpu": 0.5})
    results = run(with_data, num_samples=2)
    assert all(t.last_result and t.last_result["loss"] >= 499500 for t in results)
    assert results[0].name.startswith("train")


def test_resources_may_depend_on_the_configuration(run: Run) -> None:
    def train(config: dict[str, Any]) -> float:
        return tune.get_context().trial_resources["cpu"]

    wanting = tune.with_resources(train, lambda config: {"cpu": config["cpus"]})
    results = run(wanting, {"cpus": tune.grid_search([0.5, 1])})
    assert [t.last_result["loss"] for t in results if t.last_result] == [0.5, 1]


def test_no_more_trials_run_at_once_than_resources_or_the_limit_allow(run: Run) -> None:
    def train(config: dict[str, Any]) -> list[float]:
        begun = time.time()
        time.sleep(0.05)
        return {"loss": 0.0, "span": [begun, time.time()]}  # type: ignore[return-value]

    def most(results: tune.Results) -> int:
        spans = [t.last_result["span"] for t in results if t.last_result]
        return max(sum(a <= moment < b for a, b in spans) for moment, _ in spans)

    executor = tune.LocalExecutor(cpus=3, resources={"licence": 2})
    assert most(run(train, num_samples=6, executor=executor, resources_per_trial={"licence": 1})) <= 2
    assert most(run(train, num_samples=4, max_concurrent_trials=1)) == 1


def test_names_are_the_users_when_wanted(run: Run) -> None:
    results = run(
        lambda c: 0.0, num_samples=2, trial_name_creator=lambda info: f"t{info.number}-{info.config['x']:.1f}"
    )
    assert [t.name for t in results] == [f"t{t.number}-{t.config['x']:.1f}" for t in results]
    assert all(t.path.is_dir() for t in results)


def test_without_an_objective_trials_run_and_the_best_is_asked_for_by_metric(run: Run) -> None:
    results = run(lambda c: {"a": c["x"]}, metric=None, mode=None, num_samples=3, executor="inline")
    with pytest.raises(tune.ArgumentError, match="no objective"):
        results.best_config  # noqa: B018
    best = results.get_best_trial("a", "max")
    assert best.config["x"] == max(t.config["x"] for t in results)


def test_a_time_budget_ends_the_run(run: Run) -> None:
    def train(config: dict[str, Any]) -> None:
        while True:
            time.sleep(0.01)
            tune.report(loss=1.0)

    results = run(train, num_samples=-1, time_budget_s=0.3, max_concurrent_trials=2)
    assert len(results.trials) >= 1
    assert "time budget" in results.stop_reason
    assert all(t.status in ("TERMINATED", "PENDING") for t in results)


def test_endless_sampling_is_ended_by_a_stopper(run: Run) -> None:
    class After(tune.Stopper):
        seen = 0

        def observe(self, trial: int, result: dict[str, Any]) -> None:
            self.seen += 1

        def judge(self, trial: int, result: dict[str, Any]) -> str | None:
            return None

        def judge_all(self) -> str | None:
            return "seen enough" if self.seen >= 5 else None

    results = run(lambda c: 0.0, num_samples=-1, stop=After(), executor="inline")
    assert results.stop_reason == "seen enough"
    assert sum(t.status == "TERMINATED" for t in results) >= 5


class Collect(tune.Callback):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_start(self, path: Path, experiment: Any, total: int | None) -> None:
        self.seen.append(f"start {total}")

    def on_events(self, events: Any) -> None:
        self.seen += [type(event).__name__ for event in events]

    def on_end(self) -> None:
        self.seen.append("end")


def test_a_callback_reads_every_event(run: Run) -> None:
    collect = Collect()
    run(quadratic, num_samples=2, callbacks=[collect], executor="inline")
    assert collect.seen[0] == "start 2"
    assert collect.seen[-1] == "end"
    assert collect.seen.count("Reported") == 6
    assert collect.seen.count("Completed") == 2


def test_a_callback_that_raises_is_switched_off_and_harms_nobody(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    class Bad(tune.Callback):
        calls = 0

        def on_events(self, events: Any) -> None:
            self.calls += 1
            raise RuntimeError("the disk of the logger is on fire")

    bad, good = Bad(), Collect()
    results = run(quadratic, num_samples=2, callbacks=[bad, good], executor="inline")
    assert [t.status for t in results] == ["TERMINATED"] * 2
    assert bad.calls == 1
    assert good.seen[-1] == "end"
    err = capsys.readouterr().err
    assert "Bad" in err
    assert "on fire" in err
    assert "switched off" in err


def test_conditional_branches_and_dependent_values(run: Run) -> None:
    space = {
        "double": tune.sample_from(lambda spec: spec.config.n * 2),
        "n": tune.randint(1, 5),
        "optimiser": tune.choice([{"kind": "sgd", "momentum": tune.uniform(0.5, 1)}, {"kind": "adam"}]),
    }
    results = run(lambda c: c["double"], space, num_samples=12, executor="inline")
    assert all(t.config["double"] == 2 * t.config["n"] for t in results)
    for trial in results:
        assert ("momentum" in trial.config["optimiser"]) == (trial.config["optimiser"]["kind"] == "sgd")
    assert {t.config["optimiser"]["kind"] for t in results} == {"sgd", "adam"}


class Opaque:
    def __init__(self, value: int) -> None:
        self.value = value


def test_any_python_object_may_be_a_value(run: Run) -> None:
    space = {"pick": tune.choice([Opaque(1), Opaque(2)]), "fn": lambda x: x + 1, "type": Opaque}
    results = run(lambda c: c["fn"](c["pick"].value), space, num_samples=4, reuse_workers=True)
    assert {t.last_result["loss"] for t in results if t.last_result} <= {2, 3}
    assert isinstance(results.best_config["pick"], Opaque)


def test_a_run_inside_a_trial_works(run: Run, tmp_path: Path) -> None:
    def outer(config: dict[str, Any]) -> float:
        inner = tune.run(
            lambda c: c["y"],
            {"y": tune.uniform(0, 1)},
            metric="loss",
            mode="min",
            num_samples=2,
            storage_path=tmp_path / "inner",
            verbose=0,
        )
        return float(inner.best_result["loss"])

    assert run(outer, num_samples=2).errors == []


def test_two_runs_at_once_in_two_threads(run: Run) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda name: run(quadratic, num_samples=4, name=name), ["one", "two"]))
    assert [len(r.trials) for r in both] == [4, 4]
    assert not both[0].errors + both[1].errors


def test_a_callback_may_ask_what_the_scheduler_is_doing(run: Run) -> None:
    class Reader(tune.Callback):
        told: list[str] = []

        def on_start(self, path: Path, experiment: Any, total: int | None) -> None:
            self.told.append(self.describe())

    assert tune.Callback().describe() == ""
    run(lambda c: 0.0, callbacks=[Reader()], executor="inline")
    assert Reader.told == ["Using FIFO scheduling algorithm."]


def test_the_classes_behind_a_decorated_function_are_those_of_the_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """
import functools, pickle
import tunesmith as tune
class Model:
    pass
def decorated(function):
    @functools.wraps(function)
    def call(config):
        return function(config)
    return call
@decorated
def train(config):
    return {"loss": len(pickle.dumps(Model()))}
if __name__ == "__main__":
    results = tune.run(train, verbose=0, storage_path=".")
    print(results[0].status, results[0].error)
"""
    )
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "TERMINATED None\n", done.stderr
