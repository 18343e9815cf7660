"""Trials in virtual time: first what every executor keeps to, then what only this one does."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tests.executors.talk import Talk
from tunesmith import events as e
from tunesmith.commands import Continue, Pause, Release, Stop
from tunesmith.executors.curves import CurveTable
from tunesmith.store.reading import EventReader
from tunesmith.streams import stream


def curve(config: dict[str, Any], step: int) -> tuple[dict[str, Any], float] | None:
    """Three steps of ten seconds and `x` more."""
    return ({"loss": 1.0 / step}, 10.0 + config.get("x", 0)) if step <= 3 else None


def endless(config: dict[str, Any], step: int) -> tuple[dict[str, Any], float]:
    return {"loss": config["x"] / step}, 1.0 + config["x"]


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    return Talk(tune.SimulatedExecutor(startup_s=2.0, restore_s=3.0), keep=False, path=tmp_path)


def now(talk: Talk) -> float:
    return talk.executor.clock()  # type: ignore[attr-defined,no-any-return]  # a simulated one


def log(path: Path) -> list[e.Event]:
    with EventReader.open_to_read(path / "experiment.db") as store:
        return [event for _, event in store.read()]


# -- what every executor keeps to


def test_a_trial_starts_reports_waits_and_completes(talk: Talk) -> None:
    talk.open(curve).start(0)
    talk.wait(e.Started)
    assert now(talk) == 2.0
    first = talk.wait(e.Reported)
    assert (first.iteration, first.metrics, first.timestamp, first.time_this_iter_s) == (1, {"loss": 1.0}, 12.0, 10.0)
    assert talk.executor.poll(0) == []  # it waits for its answer
    talk.tell(Continue(0, 1), Continue(0, 1))
    second = talk.wait(e.Reported)
    assert (second.iteration, second.time_total_s, second.iterations_since_restore, now(talk)) == (2, 20.0, 2, 22.0)
    assert talk.executor.poll(0) == []  # the second answer was not kept for this report
    talk.tell(Continue(0, 1))
    assert type(talk.end()) is e.Completed


def test_orders_for_what_is_gone_or_not_there_are_passed_over(talk: Talk) -> None:
    talk.open(curve).start(0, incarnation=3)
    talk.wait(e.Reported)
    talk.tell(Stop(0, 2), Continue(0, 2), Stop(7, 1))
    talk.start(0, incarnation=2)
    assert talk.executor.poll(0) == []
    talk.tell(Stop(0, 3), Stop(0, 3))
    talk.wait(e.Stopped)
    talk.tell(Stop(0, 3), Continue(0, 3), Pause(0, 3))
    talk.start(0, incarnation=3)
    assert talk.executor.poll(0) == []


def test_a_stop_sent_ahead_is_found_at_the_next_report(talk: Talk) -> None:
    talk.open(curve).start(0)
    talk.wait(e.Started)
    talk.tell(Stop(0, 1, 30.0))
    assert [type(event) for event in talk.executor.poll(None)] == [e.Reported, e.Stopped]


@pytest.mark.parametrize("order", [Stop(0, 1, 5.0), Pause(0, 1, 5.0)])
def test_what_does_not_end_in_time_is_killed(talk: Talk, order: Any) -> None:
    talk.open(curve).start(0)
    talk.wait(e.Started)
    talk.tell(order)
    assert talk.wait(e.Lost).failure.kind == "killed"
    assert now(talk) == 7.0
    assert talk.executor.poll(0) == []


def test_a_stop_overrides_a_pause_of_the_same_moment(talk: Talk) -> None:
    talk.open(curve).start(0)
    talk.wait(e.Reported)
    talk.tell(Pause(0, 1, keep="park"), Stop(0, 1))
    assert [type(event) for event in talk.executor.poll(None)] == [e.Stopped]


def test_a_paused_trial_goes_on_from_its_checkpoint(talk: Talk) -> None:
    talk.open(curve).start(0)
    talk.wait(e.Reported)
    talk.tell(Pause(0, 1))
    checkpoint = talk.wait(e.Paused).checkpoint
    assert (checkpoint.iteration, checkpoint.time_total_s) == (1, 10.0)
    assert not Path(talk.path, checkpoint.path).exists()
    talk.start(0, incarnation=2, checkpoint=checkpoint, iteration=1, time_total_s=10.0)
    second = talk.wait(e.Reported)
    assert (second.iteration, second.iterations_since_restore, second.time_total_s) == (2, 1, 20.0)
    assert now(talk) == 12.0 + 2.0 + 3.0 + 10.0


def test_a_parked_trial_goes_on_at_once_where_it_was(talk: Talk) -> None:
    talk.open(curve).start(0)
    talk.wait(e.Started)
    talk.wait(e.Reported)
    talk.tell(Pause(0, 1, keep="park"))
    paused = talk.wait(e.Paused)
    assert (paused.parked, paused.checkpoint) == (True, None)
    talk.start(0, incarnation=2, parked=True, iteration=1)
    assert talk.wait(e.Started).incarnation == 2
    second = talk.wait(e.Reported)
    assert (second.incarnation, second.iteration, second.iterations_since_restore, now(talk)) == (2, 2, 2, 22.0)


def test_a_parked_trial_is_saved_when_it_is_released(talk: Talk) -> None:
    talk.open(curve).start(0)
    talk.wait(e.Started)
    talk.tell(Pause(0, 1, 30.0, "park"))  # ahead of the report
    talk.wait(e.Paused)
    talk.tell(Continue(0, 1), Continue(0, 1, save=True), Pause(0, 1))
    assert talk.executor.poll(3600.0) == []  # however long it lies there
    talk.tell(Release(0, 1), Release(0, 1))
    assert talk.wait(e.Released).checkpoint.iteration == 1
    talk.start(0, incarnation=2, parked=True, iteration=1)
    assert talk.wait(e.Lost).failure.kind == "parked"


def test_a_state_that_is_given_up_is_not_saved(talk: Talk) -> None:
    talk.open(curve).start(0)
    talk.wait(e.Reported)
    talk.tell(Pause(0, 1, keep="drop"))
    paused = talk.wait(e.Paused)
    assert (paused.checkpoint, paused.parked) == (None, False)


def test_a_trial_saves_when_it_is_told_to_and_goes_on(talk: Talk) -> None:
    talk.open(curve).start(0)
    talk.wait(e.Reported)
    talk.tell(Continue(0, 1, save=True))
    assert talk.wait(e.Saved).checkpoint.iteration == 1
    assert talk.wait(e.Reported).iteration == 2


def test_a_poll_that_waits_returns_when_it_is_woken(talk: Talk) -> None:
    talk.open(curve)
    talk.executor.wake()
    assert talk.executor.poll(None) == []
    assert talk.executor.poll(7.0) == []
    assert now(talk) == 7.0


def test_an_executor_serves_one_run_after_another_and_not_two_at_once(talk: Talk) -> None:
    talk.open(curve).start(0)
    with pytest.raises(tune.ArgumentError, match="in use by another run"):
        talk.open(curve)
    talk.executor.close()
    talk.open(curve).start(0)
    assert talk.wait(e.Started).incarnation == 1


# -- models


def test_a_model_may_be_a_table() -> None:
    table = CurveTable([({"lr": 0.1, "deep": {"b": 1, "a": 2}}, [({"loss": 0.9}, 10.0)])])
    assert table({"deep": {"a": 2, "b": 1}, "lr": 0.1}, 1) == ({"loss": 0.9}, 10.0)
    with pytest.raises(tune.ArgumentError, match=r"none for the configuration \{'lr': 0.2\}.*grid_search"):
        table({"lr": 0.2}, 1)
    with pytest.raises(tune.ArgumentError, match="two curves"):
        CurveTable([({"lr": 0.1}, []), ({"lr": 0.1}, [])])


def test_a_run_over_a_table_ends_with_its_rows(run: Run) -> None:
    table = CurveTable([({"k": k}, [({"loss": k / step}, 5.0) for step in range(1, 2 + k)]) for k in range(3)])
    results = run(table, {"k": tune.grid_search([0, 1, 2, 3])}, executor=tune.SimulatedExecutor())
    assert [len(trial.history) for trial in results] == [1, 2, 3, 0]
    assert "table of 3 curves" in str(results[3].error)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda config, step: {"loss": 1}, "must return the metrics and the seconds"),
        (lambda config, step: ({"loss": 1}, -1), "zero or more seconds"),
        (lambda config, step: ({"loss": 1}, math.nan), "zero or more seconds"),
        (lambda config, step: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_model_that_is_wrong_fails_its_trials_with_the_reason(run: Run, model: Any, message: str) -> None:
    assert message in str(run(model, executor=tune.SimulatedExecutor())[0].error)


def test_a_model_may_return_the_metric_alone_and_take_parameters(run: Run) -> None:
    def model(config: dict[str, Any], step: int, losses: Sequence[float]) -> Any:
        return (losses[step - 1], 1.0) if step <= len(losses) else None

    trainable = tune.with_parameters(model, losses=[3.0, 2.0])
    assert [r["loss"] for r in run(trainable, executor=tune.SimulatedExecutor())[0].history] == [3.0, 2.0]


def test_a_model_beside_the_trainable_makes_the_same_run_of_it(run: Run) -> None:
    class Trains(tune.Trainable):
        def step(self) -> dict[str, Any]:
            raise AssertionError

    with pytest.raises(tune.ArgumentError, match=r"SimulatedExecutor\(model=...\)"):
        run(Trains, executor=tune.SimulatedExecutor())
    results = run(Trains, executor=tune.SimulatedExecutor(curve), checkpoint_freq=2, checkpoint_at_end=True)
    assert results[0].name.startswith("Trains")
    checkpoints = [event.checkpoint for event in log(results.path) if getattr(event, "checkpoint", None) is not None]
    assert [checkpoint.iteration for checkpoint in checkpoints] == [2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": 3}, "model must be a function"),
        ({"failure_rate": 1.5}, "1 at most"),
        ({"startup_s": -1}, "startup_s"),
        ({"slowdown": math.inf}, "slowdown"),
        ({"workers": -1}, "workers"),
    ],
)
def test_wrong_amounts_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(tune.ArgumentError, match=message):
        tune.SimulatedExecutor(**arguments)


# -- whole runs


def history(results: tune.Results) -> list[list[tuple[int, float]]]:
    return [[(r["training_iteration"], r["loss"]) for r in trial.history] for trial in results]


def told(results: tune.Results) -> list[str]:
    """The log without what differs in each run: the experiment's id and the process."""
    return [
        repr(event).replace(f"{results.experiment_id[:5]}_", "_")
        for event in log(results.path)
        if not isinstance(event, (e.Created, e.SessionOpened))
    ]


def halving(metric: str = "loss") -> tune.Scheduler:
    """Stops the worse half at each power of two, and pauses what was there first."""

    class Halving(tune.Scheduler):
        def setup(self, objective: Any, seed: int) -> None:
            super().setup(objective, seed)
            self.best: dict[int, list[float]] = {}

        def apply(self, event: Any, trial: Any) -> None:
            if type(event) is e.Reported and self.objective is not None:
                self.best.setdefault(event.iteration, []).append(self.objective.score(event.metrics))

        def judge(self, report: Any, view: Any) -> tune.Decision:
            scores = sorted(self.best[report.iteration])
            if report.iteration == 3 and report.incarnation == 1:
                return tune.Decision("pause", "to see it go on")
            if report.iteration in (1, 2, 4, 8) and self.objective.score(report.metrics) < scores[len(scores) // 2]:
                return tune.Decision("stop", "it is worse than half of the others")
            return super().judge(report, view)

    return Halving()


ROUGH: dict[str, Any] = {
    "workers": 5, "startup_s": 3.0, "restore_s": 1.0, "report_delay_s": 0.1, "slowdown": 0.5, "failure_rate": 0.05,
}  # fmt: skip


def test_virtual_time_is_that_of_the_trials_alone(run: Run) -> None:
    executor = tune.SimulatedExecutor(workers=2, start=1000.0)
    results = run(curve, {"x": tune.grid_search([0, 5, 0, 5])}, executor=executor)
    assert [trial.last_result["timestamp"] for trial in results if trial.last_result] == [1030, 1045, 1060, 1090]
    assert [getattr(log(results.path)[i], "at", None) for i in (0, 1, -1)] == [1000.0, 1000.0, 1090.0]


def test_the_same_seed_gives_the_same_run_however_long_decisions_take(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go(name: str, seed: int) -> list[str]:
        executor = tune.SimulatedExecutor(**ROUGH, seed=seed)
        stop = {"training_iteration": 16}
        return told(
            run(endless, num_samples=40, executor=executor, scheduler=halving(), stop=stop, max_failures=3, name=name)
        )

    first = go("first", 1)
    passed = iter(range(0, 10**9, 1000))
    monkeypatch.setattr(time, "time", lambda: float(next(passed)))
    assert go("second", 1) == first
    assert go("third", 2) != first


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_decided_every_trial_ends(run: Run, seed: int) -> None:
    class Moody(tune.Scheduler):
        def judge(self, report: Any, view: Any) -> tune.Decision:
            draw = stream(seed, "moody", report.trial, report.incarnation, report.iteration)
            action = draw.choice(["continue"] * 6 + ["pause", "pause", "save", "stop", "exploit", "change"])
            donors = [trial.number for trial in view.trials if trial.checkpoint is not None]
            if action == "exploit" and donors:
                return tune.Exploit(reason="it may", donor=draw.choice(donors), overrides={"x": draw.random()})
            if action == "change":
                return tune.Change(reason="it may", overrides={"x": draw.random()})
            return tune.Decision("continue" if action == "exploit" else action, "it may")

    executor = tune.SimulatedExecutor(**ROUGH, seed=seed)
    stop = {"training_iteration": 30}
    results = run(endless, num_samples=60, executor=executor, scheduler=Moody(), stop=stop, max_failures=-1)
    assert {trial.status for trial in results} == {"TERMINATED"}
    kinds = {type(event) for event in log(results.path)}
    assert kinds >= {e.Paused, e.Saved, e.Stopped, e.Lost, e.Cloned, e.Changed}


def test_workers_die_at_the_rate_that_is_asked_for_and_trials_are_tried_again(run: Run) -> None:
    executor = tune.SimulatedExecutor(failure_rate=0.1, workers=10)
    results = run(endless, num_samples=40, executor=executor, stop={"training_iteration": 10}, max_failures=-1)
    assert all(len(trial.history) == 10 for trial in results)
    events = log(results.path)
    died = sum(type(event) is e.Lost for event in events)
    assert 0.07 < died / (died + sum(type(event) is e.Reported for event in events)) < 0.13
    lost = next(event for event in events if type(event) is e.Lost)
    assert lost.failure.message.endswith("as failure_rate=0.1 wants it.")


def test_slowdown_has_the_median_one_and_spreads_the_times(run: Run) -> None:
    def model(config: dict[str, Any], step: int) -> tuple[dict[str, Any], float] | None:
        return ({"loss": 0.0}, 100.0) if step <= 500 else None

    times = sorted(r["time_this_iter_s"] for r in run(model, executor=tune.SimulatedExecutor(slowdown=0.5))[0].history)
    assert 90 < times[250] < 110
    assert 100 * math.exp(-0.6) < times[80] < 100 * math.exp(-0.4)


def test_a_time_budget_is_one_of_virtual_time(run: Run) -> None:
    executor = tune.SimulatedExecutor(workers=1)
    results = run(curve, num_samples=10, executor=executor, time_budget_s=3600 * 24)
    assert len(results) == 10
    results = run(endless, {"x": 9.0}, executor=tune.SimulatedExecutor(workers=1), time_budget_s=3600)
    assert len(results[0].history) == 360
    assert "budget" in results.stop_reason


def test_a_trial_that_asks_for_more_than_a_cpu_leaves_less_to_others(run: Run) -> None:
    executor = tune.SimulatedExecutor(workers=4, resources={"gpu": 2})
    run(curve, {}, num_samples=4, executor=executor, resources_per_trial={"cpu": 1, "gpu": 1})
    assert executor.clock() == 60.0
    with pytest.raises(tune.ResourceError):
        run(curve, executor=tune.SimulatedExecutor(workers=4), resources_per_trial={"cpu": 5})


def test_a_searcher_that_learns_is_told_before_it_is_asked_and_time_stands_still(run: Run) -> None:
    class Learns(tune.VariantSearcher):
        eager = False
        known = 0

        def ask(self, first: int, count: int) -> list[dict[str, Any]]:
            return [{"x": float(self.known)} for _ in range(count)]

        def tell(self, trial: int, metrics: Any, final: bool, failed: bool) -> None:
            self.known += final

    executor = tune.SimulatedExecutor(workers=1)
    results = run(curve, num_samples=4, executor=executor, search_alg=Learns())
    assert [trial.config["x"] for trial in results] == [0.0, 1.0, 2.0, 3.0]
    assert executor.clock() == 3 * (10 + 11 + 12 + 13)


def test_a_searcher_that_fails_ends_the_search_and_not_the_run(run: Run) -> None:
    class Fails(tune.VariantSearcher):
        eager = False

        def tell(self, trial: int, metrics: Any, final: bool, failed: bool) -> None:
            raise RuntimeError("lost the thread")

    results = run(curve, num_samples=5, executor=tune.SimulatedExecutor(workers=1), search_alg=Fails())
    assert [trial.status for trial in results] == ["TERMINATED"]
    assert results.stop_reason == "RuntimeError: lost the thread"


def test_a_run_that_its_user_leaves_is_saved_and_goes_on_where_it_was(run: Run) -> None:
    class Impatient(tune.Callback):
        left = False

        def on_events(self, events: Sequence[Any]) -> None:
            if not self.left and any(type(event) is e.Reported and event.iteration == 5 for event in events):
                self.left = True
                signal.raise_signal(signal.SIGINT)

    executor = tune.SimulatedExecutor(workers=2)
    how: dict[str, Any] = {"num_samples": 4, "stop": {"training_iteration": 8}, "name": "left", "executor": executor}
    left = run(endless, callbacks=[Impatient()], **how)
    assert sorted({trial.status for trial in left}) == ["PAUSED", "PENDING"]
    assert [len(trial.history) for trial in run(endless, **how, resume=True)] == [8] * 4
    reports = [event for event in log(left.path) if type(event) is e.Reported]
    assert len(reports) == 32  # nothing was done twice


class Killed(BaseException):
    pass


class Killer(tune.Callback):
    """Ends the driver when so many events have happened, and not in good order."""

    def __init__(self, after: int) -> None:
        self.left = after

    def on_events(self, events: Sequence[Any]) -> None:
        self.left -= len(events)
        if self.left < 0:
            raise Killed


@pytest.mark.parametrize("after", [3, 120, 333])
def test_a_run_that_was_killed_goes_on_to_the_same_end(run: Run, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def go(**more: Any) -> tune.Results:
        return run(
            endless, num_samples=20, executor=tune.SimulatedExecutor(workers=3), stop={"training_iteration": 20}, **more
        )

    whole = go(name="whole")
    with monkeypatch.context() as patched:  # what a process that is gone does not do any more
        patched.setattr("tunesmith.driver.Driver.close", lambda driver: None)
        patched.setattr("tunesmith.virtual.GroupedStore.__exit__", lambda *_: None)
        patched.setattr("tunesmith.virtual._GROUP", 50)
        with pytest.raises(Killed):
            go(name="cut", callbacks=[Killer(after)])
    before = log(whole.path.parent / "cut")
    assert len(before) == after // 50 * 50 or after // 50 * 50 < len(before) < after
    resumed = go(name="cut", resume=True)
    assert history(resumed) == history(whole)
    assert [trial.config for trial in resumed] == [trial.config for trial in whole]
    opened = next(event for event in log(resumed.path)[len(before) :] if type(event) is e.SessionOpened)
    assert opened.at == max([0.0, *(getattr(event, "timestamp", 0.0) for event in before)])
