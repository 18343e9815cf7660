"""Judges population based training where the best hyperparameter moves while a model trains, and prints a table.

    python benchmarks/population.py [--seeds 20]

The task is the noisy quadratic: a step with the learning rate a turns the expected loss L into (1 - a)^2 L + a^2. A
constant rate learns fast or ends low; the best one at each moment is L / (L + 1), which falls all the time. Source:
Schaul et al., No More Pesky Learning Rates, ICML 2013, equations 5 to 7.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from scoring import mean
from tasks import Array

import tunesmith as tune

STEPS = 200
START = 100.0  # the loss of a new model; 1 is the variance of its gradients
RATES = tune.loguniform(1e-3, 1.0)
Make: TypeAlias = Callable[["Quadratic"], Any]


class Quadratic:
    """A model with a state, although the simulator asks for a function: the configuration names the state's history.

    A clone gets a history of its own, which goes on from its donor's at whatever step it was taken.
    """

    def __init__(self) -> None:
        self.losses: list[dict[int, float]] = []
        self.donors: list[int] = []

    def begin(self, donor: int = -1) -> int:
        self.losses.append({0: START} if donor < 0 else {})
        self.donors.append(donor)
        return len(self.losses) - 1

    def loss(self, history: int, step: int) -> float:
        while step not in self.losses[history]:
            history = self.donors[history]
        return self.losses[history][step]

    def explore(self, config: dict[str, Any]) -> dict[str, Any]:
        """Give the clone a history."""
        return {**config, "history": self.begin(config["history"])}

    def __call__(self, config: dict[str, Any], step: int) -> tuple[dict[str, Any], float] | None:
        if step > STEPS:
            return None
        rate = config["rate"]
        loss = (1 - rate) ** 2 * self.loss(config["history"], step - 1) + rate**2
        self.losses[config["history"]][step] = loss
        return {"loss": loss}, 1.0


class Best(tune.Callback):
    """The lowest loss in the population at each step."""

    def __init__(self) -> None:
        self.losses = np.full(STEPS, np.inf)

    def on_events(self, events: Sequence[Any]) -> None:
        for event in events:
            if type(event).__name__ == "Reported":
                place = event.iteration - 1
                self.losses[place] = min(self.losses[place], event.metrics["loss"])


def fifo(model: Quadratic) -> Any:
    return tune.FIFOScheduler()


def pbt(model: Quadratic) -> Any:
    return tune.PopulationBasedTraining(
        "training_iteration",
        perturbation_interval=10,
        hyperparam_mutations={"rate": RATES},
        custom_explore_fn=model.explore,
    )


def pb2(bounds: Any) -> Make:
    return lambda model: tune.PB2(
        "training_iteration",
        perturbation_interval=10,
        hyperparam_bounds={"rate": bounds},
        custom_explore_fn=model.explore,
    )


SCHEDULERS: dict[str, Make] = {
    "FIFO, random search": fifo,
    "PBT": pbt,
    "PB2": pb2(RATES),
    "PB2, bounds without a scale": pb2([RATES.low, RATES.high]),
}
POPULATION = 8


def losses(make: Make, population: int, seed: int) -> Array:
    """The best loss at each step of a run."""
    model, best = Quadratic(), Best()
    with tempfile.TemporaryDirectory(prefix="tunesmith-benchmark-") as folder:
        tune.run(
            model,
            {"rate": RATES, "history": tune.grid_search([model.begin() for _ in range(population)])},
            metric="loss",
            mode="min",
            executor=tune.SimulatedExecutor(workers=population),
            scheduler=make(model),
            callbacks=[best],
            storage_path=folder,
            name="quadratic",
            seed=seed,
            verbose=0,
        )
    return best.losses


def best_schedule() -> Array:
    """The loss at each step if every step takes the best rate there is."""
    loss, found = START, []
    for _ in range(STEPS):
        loss /= loss + 1
        found.append(loss)
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = range(parser.parse_args().seeds)
    print("| scheduler | loss at the end, times the best schedule's |\n| --- | --- |")
    for name, make in SCHEDULERS.items():
        runs = np.stack([losses(make, POPULATION, seed) for seed in seeds])
        score = mean((runs[:, -1] / best_schedule()[-1])[None])
        print(f"| {name} | {score.value:.2f} ({score.low:.2f} to {score.high:.2f}) |")


if __name__ == "__main__":
    main()
