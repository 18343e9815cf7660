"""Peers in virtual time: Syne Tune in its own simulator, Optuna's pruners in a loop of workers."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import numpy as np
from scoring import Log, Run
from tasks import ETA, Array, Task

# -- Optuna


def optuna(make: Callable[[Task], Any]) -> Run:
    """A run of a pruner: trials are asked for when a worker is free, and report when the virtual time has come."""

    def run(task: Task, rows: Array, workers: int, horizon: float, seed: int) -> Log:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(study_name=f"seed {seed}", pruner=make(task))
        waiting = iter(rows.tolist())
        log = Log([], [], [])
        agenda: list[tuple[float, int, int, Array, Any]] = []  # next report: time, row, column; all times; the trial

        def start(now: float) -> None:
            row = next(waiting)
            times = now + task.times(row)
            heappush(agenda, (times[0], row, 0, times, study.ask()))

        for _ in range(workers):
            start(0.0)
        while agenda[0][0] <= horizon:
            now, row, column, times, trial = heappop(agenda)
            for values, value in zip(log, (now, row, column), strict=True):
                values.append(value)
            trial.report(task.observed[row, column], task.fidelities[column])
            if column + 1 == len(task.fidelities):
                study.tell(trial, task.observed[row, column])
                start(now)
            elif trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                start(now)
            else:
                heappush(agenda, (times[column + 1], row, column + 1, times, trial))
        return log

    return run


def successive_halving(task: Task) -> Any:
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(min_resource=task.grace, reduction_factor=ETA)


def hyperband(task: Task) -> Any:
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(min_resource=task.grace, max_resource=task.full, reduction_factor=ETA)


def median(task: Task) -> Any:
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=5, n_warmup_steps=task.grace)


# -- Syne Tune

NAP = 5.0  # seconds of its simulator between two moments at which it decides
NAPS = 20  # so many until the median configuration reports first


def syne_tune(name: str, *, gapless: bool = False, **settings: Any) -> Run:
    """A run of one of its schedulers in its own simulator, without delays.

    `gapless`: it needs a report at every unit of fidelity, and is told the last one again where the task has none.
    """

    def run(task: Task, rows: Array, workers: int, horizon: float, seed: int) -> Log:
        scale = NAP * NAPS / (float(np.median(task.seconds)) * task.grace)
        fidelities = tuple(range(1, task.full + 1)) if gapless else task.fidelities
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            table = blackbox(task, rows, fidelities, scale)
            results = simulate(name, settings, task, table, workers, horizon * scale, seed)
        columns = {fidelity: column for column, fidelity in enumerate(task.fidelities)}
        results = [result for result in results if result[0] <= horizon * scale and result[2] in columns]
        return Log(
            [time / scale for time, _, _ in results],
            [int(rows[trial]) for _, trial, _ in results],
            [columns[fidelity] for _, _, fidelity in results],
        )

    return run


def blackbox(task: Task, rows: Array, fidelities: tuple[int, ...], scale: float) -> Any:
    """The task as one of its benchmarks."""
    from syne_tune.blackbox_repository.blackbox import Blackbox
    from syne_tune.config_space import randint

    columns = np.maximum(np.searchsorted(task.fidelities, fidelities, side="right") - 1, 0)
    elapsed = task.seconds[rows, None] * np.array(fidelities) * scale
    curves = np.stack([task.observed[rows][:, columns], elapsed], axis=-1)

    class Table(Blackbox):  # type: ignore[misc]
        fidelity_values = np.array(fidelities)

        def _objective_function(self, configuration: Any, fidelity: Any = None, seed: Any = None) -> Any:
            return curves[configuration["trial"]]

    return Table(
        configuration_space={"trial": randint(0, len(rows) - 1)},
        fidelity_space={"fidelity": randint(1, task.full)},
        objectives_names=["loss", "elapsed"],
    )


def simulate(
    name: str, settings: dict[str, Any], task: Task, table: Any, workers: int, horizon: float, seed: int
) -> list[tuple[float, int, int]]:
    """Time, trial and fidelity of each report."""
    os.environ["SYNETUNE_FOLDER"] = tempfile.gettempdir()
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend.simulator_backend.simulator_backend import SimulatorConfig
    from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
    from syne_tune.blackbox_repository import UserBlackboxBackend
    from syne_tune.optimizer import legacy_baselines
    from syne_tune.tuner_callback import TunerCallback

    logging.getLogger().setLevel(logging.ERROR)
    results: list[tuple[float, int, int]] = []

    class Listener(TunerCallback):  # type: ignore[misc]
        def on_trial_result(self, trial: Any, status: str, result: dict[str, Any], decision: str) -> None:
            results.append((result["st_tuner_time"], trial.config["trial"], result["fidelity"]))

    backend = UserBlackboxBackend(
        table,
        elapsed_time_attr="elapsed",
        tuner_sleep_time=NAP,
        simulator_config=SimulatorConfig(0, 0, 0, 0, 0),
    )
    scheduler = getattr(legacy_baselines, name)(
        {**table.configuration_space, "most": task.full},
        metric="loss",
        mode="min",
        resource_attr="fidelity",
        max_resource_attr="most",
        grace_period=task.grace,
        reduction_factor=ETA,
        random_seed=seed,
        points_to_evaluate=[{"trial": trial} for trial in range(len(table.configuration_space["trial"]))],
        **settings,
    )
    Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=StoppingCriterion(max_wallclock_time=horizon),
        n_workers=workers,
        sleep_time=0,
        callbacks=[SimulatorCallback(), Listener()],
        save_tuner=False,
        results_update_interval=float("inf"),
        print_update_interval=float("inf"),
        tuner_name="benchmark",
    ).run()
    return results


PEERS: dict[str, Run] = {
    "Syne Tune ASHA, stopping": syne_tune("ASHA", type="stopping"),
    "Syne Tune ASHA, promotion": syne_tune("ASHA", type="promotion"),
    "Syne Tune HyperBand": syne_tune("SyncHyperband"),
    "Syne Tune PASHA": syne_tune("PASHA", gapless=True),
    "Optuna successive halving": optuna(successive_halving),
    "Optuna Hyperband": optuna(hyperband),
    "Optuna median": optuna(median),
}
