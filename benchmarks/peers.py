"""One measurement of a peer, printed as a number. Each runs in a process of its own.

python benchmarks/peers.py ray|optuna WHAT FOLDER
"""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from typing import Any


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a file of the kernel's
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Optuna:
    """A study in SQLite with random search, one job: more jobs are threads, and slower."""

    def warm(self, count: int = 150) -> float:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(
            storage=f"sqlite:///{sys.argv[3]}/optuna.db", sampler=optuna.samplers.RandomSampler(0)
        )

        def objective(trial: Any) -> float:
            trial.suggest_float("x", 0, 1)
            return 0.0

        study.optimize(objective, n_trials=20)
        begun = time.perf_counter()
        study.optimize(objective, n_trials=count)
        return count / (time.perf_counter() - begun)


class Ray:
    """Ray Tune on a local Ray with two CPUs; Ray's own start is not counted but in `first`."""

    def __init__(self) -> None:
        warnings.filterwarnings("ignore")
        os.environ.update(RAY_DEDUP_LOGS="0", RAY_AIR_NEW_OUTPUT="0", TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1")
        os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_TRAIN_V2_ENABLED="0")
        self.begun = time.perf_counter()
        import ray
        from ray import tune

        self.tune = tune
        ray.init(
            num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
            object_store_memory=200_000_000,
        )  # fmt: skip

    def run(self, trainable: Any, space: dict[str, Any], count: int, reuse: bool = False, callbacks: Any = None) -> Any:
        """Seconds of a run."""
        begun = time.perf_counter()
        grid = self.tune.Tuner(
            trainable,
            param_space=space,
            tune_config=self.tune.TuneConfig(
                metric="loss", mode="min", num_samples=count, reuse_actors=reuse, max_concurrent_trials=2
            ),
            run_config=self.tune.RunConfig(storage_path=sys.argv[3], verbose=0, callbacks=callbacks),
        ).fit()
        took = time.perf_counter() - begun
        assert not grid.errors, grid.errors[0]
        return took

    def nothing(self) -> Any:
        tune = self.tune

        def nothing(config: dict[str, Any]) -> None:
            tune.report({"loss": 0.0})

        return nothing

    def trials(self, count: int, reuse: bool) -> float:
        space = {"x": self.tune.uniform(0, 1)}
        short = self.run(self.nothing(), space, 4, reuse)
        return count / (self.run(self.nothing(), space, 4 + count, reuse) - short)

    def fresh(self) -> float:
        return self.trials(12, reuse=False)

    def warm(self) -> float:
        return self.trials(80, reuse=True)

    def reports(self, workers: int = 1) -> float:
        tune = self.tune

        def chatty(config: dict[str, Any]) -> None:
            for _ in range(config["reports"]):
                tune.report({"loss": 0.5})

        short, long = (self.run(chatty, {"reports": n}, workers) for n in (50, 50 + 2000 // workers))
        return 2000 / (long - short)

    def makespan(self, reuse: bool, count: int) -> float:
        """Seconds for 200 trials, measured on `count` of them."""

        tune = self.tune

        def doze(config: dict[str, Any]) -> None:
            time.sleep(0.05)
            tune.report({"loss": 0.0})

        return float(self.run(doze, {"x": tune.uniform(0, 1)}, count, reuse)) * 200 / count

    def first(self) -> float:
        class First(self.tune.Callback):  # type: ignore[name-defined,misc]
            def on_trial_result(self, *_: Any, **__: Any) -> None:
                print("result", flush=True)

        self.run(self.nothing(), {"x": self.tune.uniform(0, 1)}, 1, callbacks=[First()])
        return 0.0

    def memory(self) -> float:
        """Megabytes of the driver at the end of a first trial; Ray's own services are not counted."""
        self.run(self.nothing(), {"x": self.tune.uniform(0, 1)}, 1)
        return resident() / 1e6


if __name__ == "__main__":
    peer = {"ray": Ray, "optuna": Optuna}[sys.argv[1]]()
    name, _, workers = sys.argv[2].partition("-")
    if name == "makespan":
        print(peer.makespan(workers == "warm", 100 if workers == "warm" else 10))  # type: ignore[union-attr]
    elif name == "reports":
        print(peer.reports(int(workers)))  # type: ignore[union-attr]
    else:
        print(getattr(peer, name)())
    sys.stdout.flush()
    os._exit(0)
