"""What a round does: an experiment and the faults that meet it, drawn from the round's seed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

import tunesmith as tune
from tests.faults.points import IN_DRIVER, IN_WORKER, OUTSIDE, Fault

MAX_T = 9
SPACE = {"x": tune.uniform(0, 1), "lr": tune.loguniform(1e-3, 1e-1)}
MUTATIONS = {"lr": tune.loguniform(1e-3, 1e-1)}
MAX_FAILURES = 20  # more than a round kills workers

SCHEDULERS: dict[str, Callable[[], tune.Scheduler]] = {
    "fifo": tune.FIFOScheduler,
    "asha": lambda: tune.ASHAScheduler(max_t=MAX_T, reduction_factor=3),
    "promotion": lambda: tune.ASHAScheduler(max_t=MAX_T, reduction_factor=3, variant="promotion"),
    "hyperband": lambda: tune.HyperBandScheduler(max_t=MAX_T, reduction_factor=3),
    "pbt": lambda: tune.PopulationBasedTraining(
        "training_iteration", perturbation_interval=2, hyperparam_mutations=MUTATIONS
    ),
    "pbt synch": lambda: tune.PopulationBasedTraining(
        "training_iteration", perturbation_interval=2, hyperparam_mutations=MUTATIONS, synch=True
    ),
}


class Settings(msgspec.Struct, frozen=True):
    """An experiment. `every` is how many steps lie between two checkpoints, 0: there are none."""

    scheduler: str
    trainable: str  # "function" or "class"
    trials: int
    length: int
    workers: int
    reuse_workers: bool
    every: int
    keep: int | None
    park: int
    seed: int
    durability: str
    place: str = "disk"  # or "shared", a folder as of several machines, or "elsewhere", a URL

    def arguments(self) -> dict[str, Any]:
        """Return what `tune.run` is given besides the trainable, its place and its executor."""
        arguments = {
            "config": SPACE,
            "metric": "loss",
            "mode": "min",
            "num_samples": self.trials,
            "scheduler": SCHEDULERS[self.scheduler](),
            "reuse_workers": self.reuse_workers,
            "max_concurrent_trials": self.workers,
            "max_failures": MAX_FAILURES,
            "retry_pause_s": 0,
            "keep_checkpoints_num": self.keep,
            "checkpoint_freq": self.every if self.trainable == "class" else 0,
            "seed": self.seed,
            "verbose": 0,
        }
        if "durability" in inspect.signature(tune.run).parameters:
            arguments["durability"] = self.durability
        if self.place == "shared":
            arguments["shared_folder"] = True
        return arguments


class Plan(msgspec.Struct, frozen=True):
    """A round. Each of `faults` meets a start of its own; the last start is left alone.

    `at_once`: the next start does not wait until the processes of the one before are gone.
    """

    seed: int
    settings: Settings
    faults: tuple[Fault, ...]
    at_once: bool


def draw(seed: int) -> Plan:
    """Return the round of a seed. The schedulers take turns."""
    names = list(SCHEDULERS)
    random = Random(f"faults {seed}")
    settings = _draw_settings(names[seed % len(names)], random)
    place = Random(f"place {seed}").choice(["disk", "disk", "shared", "elsewhere"])
    settings = msgspec.structs.replace(settings, place=place)
    faults = [_draw_fault(settings, random) for _ in range(random.randint(2, 4))]
    while faults[0].point == "replay":  # the first start has nothing to fold
        faults[0] = _draw_fault(settings, random)
    return Plan(seed, settings, tuple(faults), at_once=random.random() < 0.7)


def _draw_settings(scheduler: str, random: Random) -> Settings:
    workers = random.choice([1, 1, 2])
    return Settings(
        scheduler=scheduler,
        trainable=random.choice(["function", "class"]),
        trials=random.choice([4, 6, 9]),
        length=random.choice([MAX_T, 12]) if scheduler != "fifo" else random.choice([4, 8]),
        workers=workers,
        reuse_workers=random.random() < 0.5,
        every=random.choice([1, 2, 3, 0] if not scheduler.startswith("pbt") else [1, 2, 2]),
        keep=random.choice([None, 1, 2]),
        park=random.choice([0, 2, 32]),
        seed=random.randrange(3),
        durability=random.choice(["normal", "normal", "full"]),
    )


def _draw_fault(settings: Settings, random: Random) -> Fault:
    reports = settings.trials * settings.length // 2
    points = [*IN_DRIVER, *OUTSIDE, *OUTSIDE, *(IN_WORKER if settings.every else ())]
    point = random.choice(points)
    if point in IN_WORKER:
        who = random.choice(["worker", "driver", "both"])
        return Fault(who, point, random.randint(1, 4 if point != "checkpoint file" else 40))
    if point in OUTSIDE:
        who = random.choice(["driver", "driver", "worker", "zygote", "all"])
        return Fault(who, point, random.randint(0, 900) if point == "time" else random.randint(0, reports))
    few = {"statement": 60, "moved": 8, "driver file": 24}
    most = {"replay": 3 * reports, **few}.get(point, reports)
    # Half of the time early: the opening of the folder, of the database and of the session.
    return Fault("driver", point, random.randint(1, most if random.random() < 0.6 else 6))
