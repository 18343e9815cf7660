"""One measurement on a Ray that is there already, printed as a number. Each runs in a process of its own.

python benchmarks/on_ray_sides.py ours|tune|raw WHAT ADDRESS FOLDER
"""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from typing import Any

from ours import First, chatty, nothing

import tunesmith as tune

SIDE, WHAT, ADDRESS, FOLDER = sys.argv[1:5]
ASHA = {"time_attr": "training_iteration", "max_t": 1_000_000, "grace_period": 1, "reduction_factor": 4}
WORKERS, CPUS = 2, 8  # as many trials at once as the machine has CPUs; as many as it is said to have


def doze(config: dict[str, Any]) -> float:
    time.sleep(1.0)
    return 0.0


def join() -> Any:
    """Join the Ray, whose start and whose joining count for `first` alone."""
    warnings.filterwarnings("ignore")
    os.environ.update(RAY_DEDUP_LOGS="0", RAY_AIR_NEW_OUTPUT="0", TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1")
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_TRAIN_V2_ENABLED="0")
    import ray

    ray.init(ADDRESS, log_to_driver=False, logging_level=logging.ERROR)
    return ray


class Side:
    """What both sides are asked."""

    def run(self, trainable: str, count: int, *, reuse: bool, reports: int = 0, at_once: int = WORKERS) -> float:
        """Seconds of a run, none of whose trials may fail or be stopped."""
        raise NotImplementedError

    def trials(self, few: int, more: int, *, reuse: bool) -> float:
        """Trials a second: the difference between a long run and a short one, after one that is not counted."""
        self.run("nothing", few, reuse=reuse)
        short = self.run("nothing", few, reuse=reuse)
        return more / (self.run("nothing", few + more, reuse=reuse) - short)

    def reports(self, count: int) -> float:
        """Reports a second that ASHA decides on, of two workers that do nothing else, measured likewise."""
        self.run("chatty", WORKERS, reuse=True, reports=50)
        short, long = (self.run("chatty", WORKERS, reuse=True, reports=n) for n in (50, 50 + count // WORKERS))
        return count / (long - short)

    def makespan(self) -> float:
        """Seconds of 200 trials of one second each, eight at a time."""
        return self.run("doze", 200, reuse=True, at_once=CPUS)


class Ours(Side):
    def run(self, trainable: str, count: int, *, reuse: bool, reports: int = 0, at_once: int = WORKERS) -> float:
        begun = time.perf_counter()
        results = tune.run(
            {"nothing": nothing, "chatty": chatty, "doze": doze}[trainable],
            {"x": tune.uniform(0, 1), "reports": reports},
            executor=tune.RayExecutor(),
            scheduler=tune.ASHAScheduler(**ASHA) if reports else None,
            metric="loss",
            mode="min",
            num_samples=count,
            max_concurrent_trials=at_once,
            reuse_workers=reuse,
            storage_path=FOLDER,
            verbose=0,
        )
        took = time.perf_counter() - begun
        if results.errors or len(results.trials) != count:
            raise RuntimeError(f"{len(results.trials)} trials of {count}, {len(results.errors)} failed")
        if reports and any(trial.last_result["training_iteration"] != reports for trial in results.trials):
            raise RuntimeError("a trial was stopped")
        return took

    def fresh(self) -> float:
        return self.trials(4, 16, reuse=False)

    def warm(self) -> float:
        return self.trials(50, 3000, reuse=True)

    def asha(self) -> float:
        return self.reports(20_000)

    def first(self) -> None:
        tune.run(
            nothing,
            {"x": tune.uniform(0, 1)},
            executor=tune.RayExecutor(ADDRESS),
            metric="loss",
            mode="min",
            storage_path=FOLDER,
            verbose=0,
            callbacks=[First()],
        )


class Tune(Side):
    def __init__(self) -> None:
        from ray import tune as ray_tune

        self.tune = ray_tune

    def run(self, trainable: str, count: int, *, reuse: bool, reports: int = 0, at_once: int = WORKERS) -> float:
        from ray.tune.schedulers import ASHAScheduler

        ray_tune = self.tune

        def trial(config: dict[str, Any]) -> None:
            if trainable == "doze":
                time.sleep(1.0)
            for _ in range(config["reports"] or 1):
                ray_tune.report({"loss": 0.5})

        begun = time.perf_counter()
        grid = ray_tune.Tuner(
            trial,
            param_space={"x": ray_tune.uniform(0, 1), "reports": reports},
            tune_config=ray_tune.TuneConfig(
                metric="loss",
                mode="min",
                num_samples=count,
                reuse_actors=reuse,
                max_concurrent_trials=at_once,
                scheduler=ASHAScheduler(**ASHA) if reports else None,
            ),
            run_config=ray_tune.RunConfig(storage_path=FOLDER, verbose=0, callbacks=self.callbacks()),
        ).fit()
        took = time.perf_counter() - begun
        if grid.errors or len(grid) != count:
            raise RuntimeError(f"{len(grid)} trials of {count}: {grid.errors}")
        if reports and any(result.metrics["training_iteration"] != reports for result in grid):
            raise RuntimeError("a trial was stopped")
        return took

    def callbacks(self) -> Any:
        if WHAT != "first":
            return None

        class Telling(self.tune.Callback):  # type: ignore[name-defined,misc]
            def on_trial_result(self, *_: Any, **__: Any) -> None:
                print("result", flush=True)

        return [Telling()]

    def fresh(self) -> float:
        return self.trials(4, 16, reuse=False)

    def warm(self) -> float:
        return self.trials(4, 80, reuse=True)

    def asha(self) -> float:
        return self.reports(4000)

    def first(self) -> None:
        self.run("nothing", 1, reuse=False)


class Raw:
    """What Ray itself can do, with nobody around it."""

    def __init__(self, ray: Any) -> None:
        self.ray = ray

        class Actor:
            def ping(self) -> None: ...

            def doze(self) -> None:
                time.sleep(1.0)

        self.actor = ray.remote(Actor).options(num_cpus=1)

    def starts(self, count: int = 20) -> float:
        """Actors a second that are started, answer once and are killed, two at a time."""
        ray, pending, left = self.ray, {}, count

        def start() -> None:
            actor = self.actor.remote()
            pending[actor.ping.remote()] = actor

        begun = time.perf_counter()
        for _ in range(WORKERS):
            start()
        while left:
            for done in ray.wait(list(pending))[0]:
                ray.kill(pending.pop(done))
                left -= 1
                start()
        took = time.perf_counter() - begun
        for actor in pending.values():
            ray.kill(actor)
        return count / took

    def makespan(self, count: int = 200) -> float:
        """Seconds that eight new actors take for as many calls of one second, one at a time each."""
        ray, left = self.ray, count
        begun = time.perf_counter()
        actors = [self.actor.remote() for _ in range(CPUS)]
        pending = {actor.doze.remote(): actor for actor in actors}
        left -= CPUS
        while pending:
            for done in ray.wait(list(pending))[0]:
                actor = pending.pop(done)
                if left:
                    left -= 1
                    pending[actor.doze.remote()] = actor
        took = time.perf_counter() - begun
        for actor in actors:
            ray.kill(actor)
        return took

    def calls(self, count: int = 4000) -> float:
        """Calls a second of two actors, each of which has one under way: what reports through Ray could come to."""
        ray = self.ray
        actors = [self.actor.remote() for _ in range(WORKERS)]
        ray.get([actor.ping.remote() for actor in actors])
        begun = time.perf_counter()
        pending = {actor.ping.remote(): actor for actor in actors}
        for _ in range(count):
            done = ray.wait(list(pending))[0][0]
            actor = pending.pop(done)
            ray.get(done)
            pending[actor.ping.remote()] = actor
        return count / (time.perf_counter() - begun)


if __name__ == "__main__":
    if SIDE == "ours":
        side: Any = Ours()
        if WHAT != "first":
            join()
    elif SIDE == "tune":
        join()
        side = Tune()
    else:
        side = Raw(join())
    print(getattr(side, WHAT)(), flush=True)
