"""Plays scripts of 2019 under the launcher, as their authors wrote them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SEED = ROOT.parent / "shared" / "seed" / "tune-tutorial-2019.zh.md"
DOUBLES = Path(__file__).parent / "doubles"
SCRIPTS = (
    "logging_example", "async_hyperband_example", "hyperband_example", "hyperopt_example", "pbt_example",
    "pbt_ppo_example", "tune_mnist_keras", "mnist_pytorch", "mnist_pytorch_trainable",
)  # fmt: skip
# What the printed page has in the place of characters of Python: section 0 of the description of 2019.
REPAIRS = str.maketrans({"\u3000": " ", "\uff03": "#", "\uff17": "7"})


class Played(NamedTuple):
    """What became of a script."""

    status: int
    out: str
    err: str
    results: Path

    @property
    def told(self) -> Any:
        """What the script printed as JSON, in its last line that begins with TOLD."""
        return json.loads([line for line in self.out.splitlines() if line.startswith("TOLD ")][-1][5:])

    def last_status(self) -> str:
        """The last status block."""
        return self.out.rpartition("== Status ==\n")[2]

    def trials(self) -> dict[str, str]:
        """The trials of the last status block: what is said of each, by its name."""
        return dict(re.findall(r"^ - (.*):\t(.*)$", self.last_status(), re.MULTILINE))

    def folders(self, experiment: str) -> list[Path]:
        """The trials' folders of an experiment."""
        return sorted(path for path in (self.results / experiment).iterdir() if path.is_dir())


def play(folder: Path, source: str, *arguments: str, options: tuple[str, ...] = (), **environ: str) -> Played:
    """Run a script's text to its end. It may call ``tell(value)``, which `Played.told` returns."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "script.py"
    script.write_text(source, encoding="utf-8")
    results = folder / "ray_results"
    path = os.pathsep.join([str(ROOT / "src"), str(DOUBLES)])
    done = subprocess.run(
        [sys.executable, "-m", "tunesmith.compat.ray", *options, str(script), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "TUNE_RESULT_DIR": str(results), "HOME": str(folder), **environ},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return Played(done.returncode, done.stdout, done.stderr, results)


HEAD = """
import json, os, random, sys, time
import ray
from ray import tune
from ray.tune import Experiment, Trainable, TuneError, run, run_experiments, grid_search, sample_from

def tell(value):
    print("TOLD " + json.dumps(value, default=str), flush=True)

class Count(Trainable):
    def _setup(self, config):
        self.x = 0
    def _train(self):
        self.x += 1
        return {"episode_reward_mean": self.x * self.config.get("w", 1)}
    def _save(self, folder):
        path = os.path.join(folder, "state")
        with open(path, "w") as f:
            f.write(str(self.x))
        return path
    def _restore(self, path):
        with open(path) as f:
            self.x = int(f.read())

def climb(config, reporter):
    for i in range(config.get("n", 3)):
        reporter(episode_reward_mean=i, timesteps_total=i)
"""


def act(folder: Path, body: str, *arguments: str, options: tuple[str, ...] = (), **environ: str) -> Played:
    """Run `body` behind the imports of 2019, a trainable ``Count`` and a function ``climb``; it must end well."""
    played = play(folder, HEAD + body, *arguments, options=options, **environ)
    assert played.status == 0, played.err
    return played


def tutorial() -> dict[str, str]:
    """The nine scripts of the tutorial, with the three repairs."""
    if not SEED.exists():
        pytest.skip(f"the tutorial is not at {SEED}")
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", SEED.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    found = [
        block.translate(REPAIRS) for block in blocks if re.search(r"^\s*(import ray|from ray)", block, re.MULTILINE)
    ]
    assert len(found) == len(SCRIPTS)
    return dict(zip(SCRIPTS, found, strict=True))
