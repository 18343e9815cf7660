"""A run with its checkpoints elsewhere, as a program that a test may kill: ``python experiment.py SETTINGS``."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import tunesmith as tune

SETTINGS: dict[str, Any] = json.loads(sys.argv[1]) if __name__ == "__main__" else {}


def train(config: dict[str, Any]) -> None:
    """Count to `steps` and save each step, with a file of `mb` mebibytes; trial 1 saves nothing if `bystander`."""
    checkpoint = tune.get_checkpoint()
    begun = int(Path(checkpoint.path, "step").read_text()) if checkpoint else 0
    saves = not (config["bystander"] and tune.get_context().trial_number == 1)
    for step in range(begun, config["steps"]):
        print("step", step, flush=True)
        if saves:
            Path("made").mkdir(exist_ok=True)
            Path("made/step").write_text(str(step + 1))
            with Path("made/weights").open("wb") as file:
                file.truncate(config["mb"] << 20)
        saved = {"checkpoint": tune.Checkpoint.from_directory("made")} if saves else {}
        tune.report({"loss": -step, "begun": begun}, **saved)
        time.sleep(config["pause"])


def main() -> None:
    given = SETTINGS
    config = {name: given.get(name, value) for name, value in
              {"steps": 3, "mb": 0, "pause": 0, "bystander": False}.items()}  # fmt: skip
    storage = tune.RemoteStorage(given["url"], given["options"], copy_every_s=given.get("copy_every_s", 0.2),
                                 retry_s=given.get("retry_s", 60))  # fmt: skip
    results = tune.run(
        train, config, metric="loss", mode="min", num_samples=given.get("samples", 2), name="experiment", verbose=1,
        storage_path=storage, resume=given.get("resume", False), keep_checkpoints_num=1, seed=1, retry_pause_s=0,
        executor=tune.LocalExecutor(cpus=2), max_failures=given.get("max_failures", 0),
    )  # fmt: skip
    print(json.dumps({
        "status": [trial.status for trial in results],
        "errors": [str(trial.error) for trial in results.errors],
        "iterations": [[row["training_iteration"] for row in trial.history] for trial in results],
        "begun": [trial.last_result["begun"] if trial.last_result else None for trial in results],
    }))  # fmt: skip


if __name__ == "__main__":
    os.environ.pop("TERM", None)
    main()
