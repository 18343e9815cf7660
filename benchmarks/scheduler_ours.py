"""Tunesmith's schedulers in virtual time, by the same call as any other run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from scoring import Log, Run
from tasks import ETA, Array, Task

import tunesmith as tune


class Listener(tune.Callback):
    """Notes every report up to the horizon."""

    def __init__(self, horizon: float) -> None:
        self.horizon = horizon
        self.log = Log([], [], [])

    def on_events(self, events: Sequence[Any]) -> None:
        for event in events:
            if type(event).__name__ == "Reported" and event.timestamp <= self.horizon:
                for values, value in zip(
                    self.log, (event.timestamp, event.metrics["row"], event.iteration - 1), strict=True
                ):
                    values.append(value)


def tunesmith(make: Callable[[Task], Any]) -> Run:
    """A run of a scheduler until the horizon."""

    def run(task: Task, rows: Array, workers: int, horizon: float, seed: int) -> Log:
        def model(config: dict[str, Any], step: int) -> tuple[dict[str, Any], float] | None:
            if step > len(task.fidelities):
                return None
            row, times = config["row"], curves[config["row"]]
            metrics = {"loss": float(task.observed[row, step - 1]), "fidelity": task.fidelities[step - 1], "row": row}
            return metrics, float(times[step - 1] - (times[step - 2] if step > 1 else 0.0))

        curves = {row: task.times(row) for row in rows.tolist()}
        listener = Listener(horizon)
        with tempfile.TemporaryDirectory(prefix="tunesmith-benchmark-") as folder:
            tune.run(
                model,
                {"row": tune.grid_search(rows.tolist())},
                metric="loss",
                mode="min",
                executor=tune.SimulatedExecutor(workers=workers),
                scheduler=make(task),
                time_budget_s=horizon,
                callbacks=[listener],
                storage_path=folder,
                seed=seed,
                verbose=0,
            )
        return listener.log

    return run


def fifo(task: Task) -> Any:
    return tune.FIFOScheduler()


def stopping(task: Task) -> Any:
    return tune.ASHAScheduler("fidelity", max_t=task.full, grace_period=task.grace, reduction_factor=ETA)


def promotion(task: Task) -> Any:
    return tune.ASHAScheduler(
        "fidelity", max_t=task.full, grace_period=task.grace, reduction_factor=ETA, variant="promotion"
    )


def pasha(task: Task) -> Any:
    return tune.PASHAScheduler("fidelity", max_t=task.full, grace_period=task.grace, reduction_factor=ETA)


def hyperband(task: Task) -> Any:
    return tune.HyperBandScheduler("fidelity", max_t=task.full, reduction_factor=ETA)


def median(task: Task) -> Any:
    return tune.MedianStoppingRule("fidelity", grace_period=task.grace, min_samples_required=5)


OURS: dict[str, Run] = {
    "FIFO, random search": tunesmith(fifo),
    "ASHA, stopping": tunesmith(stopping),
    "ASHA, promotion": tunesmith(promotion),
    "HyperBand": tunesmith(hyperband),
    "PASHA": tunesmith(pasha),
    "median stopping": tunesmith(median),
}
