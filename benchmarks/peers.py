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


def resident() -> float:
    """Megabytes of this process in memory."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a file of the kernel's
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Optuna:
    """A study in SQLite with random search, one job: more jobs are threads, and slower."""

    def __init__(self) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.RandomSampler(0)
        self.study = optuna.create_study(storage=f"sqlite:///{sys.argv[3]}/optuna.db", sampler=sampler)

    def run(self, count: int, *callbacks: Any) -> float:
        """Seconds of `count` trials more."""

        def objective(trial: Any) -> float:
            trial.suggest_float("x", 0, 1)
            return 0.0

        begun = time.perf_counter()
        self.study.optimize(objective, n_trials=count, callbacks=callbacks)
        return time.perf_counter() - begun

    def warm(self, count: int = 150) -> float:
        self.run(20)
        return count / self.run(count)

    def first(self) -> None:
        self.run(1, lambda *_: print("result", flush=True))

    def memory(self) -> float:
        self.run(1)
        return resident()

    def close(self) -> None:
        """Nothing is open."""


class Ray:
    """Ray Tune on a local Ray with two CPUs; Ray's own start is not counted but in `first`."""

    def __init__(self) -> None:
        warnings.filterwarnings("ignore")
        os.environ.update(RAY_DEDUP_LOGS="0", RAY_AIR_NEW_OUTPUT="0", TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1")
        os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_TRAIN_V2_ENABLED="0")
        import ray
        from ray import tune

        self.tune = tune
        self.space = {"x": tune.uniform(0, 1)}
        self.close = ray.shutdown
        ray.init(
            num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
            object_store_memory=200_000_000,
        )  # fmt: skip

    def run(self, trainable: Any, space: dict[str, Any], count: int, reuse: bool = False, callbacks: Any = None) -> Any:
        """Seconds of a run, none of whose trials may fail."""
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
        if grid.errors or len(grid) != count:
            raise RuntimeError(f"{len(grid)} trials of {count}: {grid.errors}")
        return took

    def trial(self, seconds: float = 0.0) -> Any:
        tune = self.tune

        def trial(config: dict[str, Any]) -> None:
            if seconds:
                time.sleep(seconds)
            tune.report({"loss": 0.0})

        return trial

    def trials(self, few: int, more: int, reuse: bool) -> float:
        """Trials a second: the difference between a long run and a short one."""
        short = self.run(self.trial(), self.space, few, reuse)
        return more / (self.run(self.trial(), self.space, few + more, reuse) - short)

    def fresh(self) -> float:
        return self.trials(4, 12, reuse=False)

    def warm(self) -> float:
        return self.trials(4, 80, reuse=True)

    def reports(self, workers: int, count: int = 2000) -> float:
        tune = self.tune

        def chatty(config: dict[str, Any]) -> None:
            for _ in range(config["reports"]):
                tune.report({"loss": 0.5})

        short, long = (self.run(chatty, {"reports": n}, workers) for n in (50, 50 + count // workers))
        return count / (long - short)

    def makespan(self, few: int, more: int, reuse: bool) -> float:
        """Seconds for 200 trials of 50 ms: a short run, and the rest at the pace that a longer one shows."""
        short = self.run(self.trial(0.05), self.space, few, reuse)
        long = self.run(self.trial(0.05), self.space, few + more, reuse)
        return float(short + (long - short) / more * (200 - few))

    def first(self) -> None:
        class First(self.tune.Callback):  # type: ignore[name-defined,misc]
            def on_trial_result(self, *_: Any, **__: Any) -> None:
                print("result", flush=True)

        self.run(self.trial(), self.space, 1, callbacks=[First()])

    def memory(self) -> float:
        """Megabytes of the driver at the end of a first trial; Ray's own services are not counted."""
        self.run(self.trial(), self.space, 1)
        return resident()


def measure(peer: Any, what: str) -> Any:
    name, _, detail = what.partition("-")
    if name == "makespan":
        return peer.makespan(*((4, 60, True) if detail == "warm" else (4, 10, False)))
    return getattr(peer, name)(*([int(detail)] if detail else []))


if __name__ == "__main__":
    peer = {"ray": Ray, "optuna": Optuna}[sys.argv[1]]()
    try:
        print(measure(peer, sys.argv[2]), flush=True)
    finally:
        peer.close()
