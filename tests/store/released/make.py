"""Makes the databases of the present schema that every later version has to read.

    python tests/store/released/make.py tests/store/released/schema-1

Run it once when the schema has changed, with a new folder, and never again for an old one: what a released version
wrote is what the folder is for. Each experiment is a real one that was interrupted and resumed, with trials that fail;
``expected.json`` is what the version that wrote them read.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import tunesmith as tune


class Walk(tune.Trainable):
    """A few numbers, with every kind of end: some configurations fail at times or for good."""

    def setup(self, config: dict[str, Any]) -> None:
        self.config, self.at = config, 0.0

    def step(self) -> dict[str, Any]:
        if self.config["fate"] == "fails" and self.iteration == 2:
            raise ValueError("nothing came of it")
        self.at += self.config["speed"]
        return {"loss": 1 / (1 + self.at), "worst": float("inf"), "shape": [1, 2.5, None]}

    def save_checkpoint(self, folder: str) -> None:
        Path(folder, "at").write_text(str(self.at))

    def load_checkpoint(self, folder: str) -> None:
        self.at = float(Path(folder, "at").read_text())


SPACE = {
    "speed": tune.uniform(0.1, 1.0),
    "fate": tune.sample_from(lambda spec: "fails" if spec.config["speed"] > 0.9 else "ends"),
    "sizes": tune.choice([(8, 8), (16,)]),
}


def asha(samples: int) -> dict[str, Any]:
    return {"scheduler": tune.ASHAScheduler(max_t=9, reduction_factor=3), "num_samples": samples}


def pbt(samples: int) -> dict[str, Any]:
    scheduler = tune.PopulationBasedTraining(
        time_attr="training_iteration", perturbation_interval=2, hyperparam_mutations={"speed": tune.uniform(0.3, 1.0)}
    )
    return {"scheduler": scheduler, "num_samples": samples, "stop": {"training_iteration": 8}, "checkpoint_freq": 2}


EXPERIMENTS = {"asha": (asha, 12), "pbt": (pbt, 4), "asha-tail": (asha, 12)}


class Copy(tune.Callback):
    """Copies the store when all is written and before it is closed: as it is when its driver is killed."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def on_start(self, path: Path, *_: Any) -> None:
        self.path = path

    def on_end(self) -> None:
        for file in self.path.glob("experiment.db*"):
            if file.stat().st_size and not file.name.endswith("-shm"):
                shutil.copy(file, self.target)


class Impatient(tune.Callback):
    """Leaves the run as Ctrl-C does after some reports."""

    def __init__(self, reports: int) -> None:
        self.left = reports

    def on_events(self, events: Any) -> None:
        import os
        import signal

        self.left -= sum(type(event).__name__ == "Reported" for event in events)
        if self.left <= 0:
            self.left = 10**9
            os.kill(os.getpid(), signal.SIGINT)


def run(folder: Path, name: str, samples: int, **arguments: Any) -> tune.Results:
    """Begin the experiment `name` in `folder`, or go on with it."""
    given = EXPERIMENTS[name][0](samples) | arguments
    return tune.run(
        Walk, SPACE, metric="loss", mode="min", name=name, storage_path=folder, seed=5, max_failures=1,
        resume="auto", verbose=0, **given,
    )  # fmt: skip


def told(results: tune.Results) -> dict[str, Any]:
    """What a reader learns of an experiment, in plain values."""
    keys = ("training_iteration", "loss", "pid", "timestamp", "shape")
    return {
        "best": [results.best_trial.number, results.best_result["loss"], results.best_config["speed"]],
        "trials": [
            {
                "name": trial.name,
                "status": trial.status,
                "reason": trial.reason,
                "failures": trial.failures,
                "config": {k: list(v) if isinstance(v, tuple) else v for k, v in trial.config.items()},
                "history": [{key: result[key] for key in keys} for result in trial.history],
                "decisions": [[d.action, d.reason, d.iteration, d.donor] for d in trial.decisions],
            }
            for trial in results
        ],
    }


def main() -> None:
    target = Path(sys.argv[1])
    target.mkdir()
    with tempfile.TemporaryDirectory() as place:
        for name, (_, samples) in EXPERIMENTS.items():
            run(Path(place), name, samples, callbacks=[Impatient(9)])
            (target / name).mkdir()
            left_open = name.endswith("-tail")
            results = run(Path(place), name, samples, callbacks=[Copy(target / name)] if left_open else [])
            if not left_open:
                shutil.copy(results.path / "experiment.db", target / name)
            (target / name / "expected.json").write_text(json.dumps(told(results), indent=1) + "\n")


if __name__ == "__main__":
    main()
