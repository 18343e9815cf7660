"""Folding the store of a run gives the commands of the run again: what is not in the facts was never ordered."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.core.controller import Controller
from tunesmith.objective import Objective
from tunesmith.searchers.variants import VariantSearcher
from tunesmith.space import Space
from tunesmith.store.reading import EventReader

# Answers to the present moment: a worker waits for a reply, a searcher for a question, the driver for the end. The
# facts that they lead to are recorded; a Record carries one.
OF_THE_MOMENT = (c.Continue, c.Ask, c.Finish, c.Record)


class Listening(VariantSearcher):
    """Random search that is told every result."""

    eager = False

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        super().setup(space, objective, seed, num_samples)
        self.told: list[tuple[int, Any, bool, bool]] = []

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        self.told.append((trial, metrics, final, failed))


class Walk(tune.Trainable):
    """Fails now and then, and can be saved."""

    def setup(self, config: dict[str, Any]) -> None:
        self.config, self.at = config, 0.0

    def step(self) -> dict[str, Any]:
        place = Path(self.config["place"], f"{self.config['number']:.6f}-{self.iteration}")
        if self.iteration in (2, 5) and self.config["number"] < 0.3 and not place.exists():
            place.touch()
            raise ValueError("once")
        if self.config["number"] > 0.9:
            raise ValueError("always")
        self.at += self.config["x"]
        return {"loss": 1 / (1 + self.at), "done": self.iteration >= 11}

    def save_checkpoint(self, folder: str) -> None:
        Path(folder, "at").write_text(str(self.at))

    def load_checkpoint(self, folder: str) -> None:
        self.at = float(Path(folder, "at").read_text())


class Impatient(tune.Callback):
    """Interrupts the run after some reports, as Ctrl-C does."""

    def __init__(self, reports: int) -> None:
        self.left = reports

    def on_events(self, events: Sequence[Any]) -> None:
        before, self.left = self.left, self.left - sum(isinstance(event, e.Reported) for event in events)
        if self.left <= 0 < before:
            os.kill(os.getpid(), signal.SIGINT)


SCHEDULERS: dict[str, Callable[[], tune.Scheduler]] = {
    "asha": lambda: tune.ASHAScheduler(max_t=9, reduction_factor=3, brackets=2),
    "asha, promoting": lambda: tune.ASHAScheduler(max_t=9, reduction_factor=3, variant="promotion"),
    "hyperband": lambda: tune.HyperBandScheduler(max_t=9, reduction_factor=3),
    "pbt": lambda: tune.PopulationBasedTraining(
        time_attr="training_iteration", perturbation_interval=2, hyperparam_mutations={"x": tune.uniform(0.1, 1)}
    ),
    "median": lambda: tune.MedianStoppingRule(time_attr="training_iteration", grace_period=2, min_samples_required=2),
}


def of_facts(orders: Sequence[c.Command]) -> list[c.Command]:
    """Leave out what answers the present moment, and an order that a worker was given before: that a pause has become
    urgent, or that a report crossed a stop, is no new decision."""
    found: dict[Any, c.Command] = {}
    for order in orders:
        if not isinstance(order, OF_THE_MOMENT):
            worker = isinstance(order, c.WorkerCommand)
            found.setdefault((type(order), order.trial, order.incarnation) if worker else repr(order), order)
    return list(found.values())


@pytest.mark.parametrize("executor", ["inline", "local"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_facts_of_a_run_give_its_commands_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, executor: str
) -> None:
    ordered: list[c.Command] = []
    folded: list[c.Command] = []

    def noting(method: Callable[..., list[c.Command]], noted: list[c.Command]) -> Callable[..., list[c.Command]]:
        def noting_it(self: Controller, event: e.Event, **_: bool) -> list[c.Command]:
            orders = method(self, event)  # all of them, also those that a resume has no use for
            noted.extend(orders)
            return orders

        return noting_it

    def go(searcher: Listening, reports: int | None = None) -> tune.Results:
        return run(
            Walk,
            {"x": tune.uniform(0.1, 1), "number": tune.uniform(0, 1), "place": str(tmp_path)},
            name="run", num_samples=9, scheduler=SCHEDULERS[name](), search_alg=searcher, resume="auto", seed=4,
            max_failures=1, checkpoint_freq=3, keep_checkpoints_num=1, time_budget_s=3600, executor=executor,
            callbacks=[] if reports is None else [Impatient(reports)],
        )  # fmt: skip

    monkeypatch.setattr(Controller, "step", noting(Controller.step, ordered))
    go(Listening(), reports=8)
    told = Listening()
    results = go(told)
    assert {trial.status for trial in results} == {"TERMINATED", "ERROR"}
    assert {type(order) for order in ordered} >= {c.Start, c.Tell, c.WakeAt}
    live = of_facts(ordered)

    monkeypatch.setattr(Controller, "replay", noting(Controller.replay, folded))
    again = Listening()
    go(again)
    assert of_facts(folded) == live
    assert again.told == told.told
    with EventReader.open_to_read(tmp_path / "run" / "experiment.db") as store:
        assert sum(type(event) is e.Failed for _, event in store.read()) > 2
