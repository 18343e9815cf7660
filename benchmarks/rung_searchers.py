"""Judges searchers below ASHA in virtual time, beside random search: 8 workers, MF-Hartmann and LCBench.

    python benchmarks/rung_searchers.py [--seeds 10] [--workers 8] [--jobs 1] [--lcbench FOLDER] [--only PATTERN]
        [--tasks TEXT]

A run lasts as long as 8 times the median configuration takes to be trained in full. The incumbent is the configuration
with the best value that was observed, at whatever fidelity, and is scored by what it gives when it is fully trained,
without noise. Regret is 0 at the best that there is (LCBench: that is in a table of random configurations) and 1 at the
median configuration; it is averaged over the logarithm of time, from when a tenth of the time is over, as no trial has
been trained in full before. LCBench comes from github.com/slds-lmu/yahpo_data and needs onnxruntime.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scoring import MOMENTS
from tasks import ETA, HARTMANN, OPTIMA, OUTSIDE, QUALITIES, Array, hartmann, mf_hartmann
from tasks import lcbench as lcbench_tables

import tunesmith as tune

LATE = MOMENTS >= 0.1
DRAWS = 2000  # of the bootstrap
HORIZON = 8.0


class Problem(NamedTuple):
    """A space, and the curves of a configuration: observed and actual losses by report, and the seconds of each."""

    name: str
    fidelities: tuple[int, ...]
    space: dict[str, Any]
    curves: Callable[[dict[str, Any]], tuple[Array, Array, float]]
    best: float
    median: float
    unit: float


def hartmann_problem(dims: int, quality: str) -> Problem:
    """MF-Hartmann at any point; its noise is the point's own."""
    bias, noise = QUALITIES[quality]
    task = mf_hartmann(dims, quality, rows=4000)
    low, high = np.log(HARTMANN[0]), np.log(HARTMANN[-1])
    lacks = (high - np.log(HARTMANN)) / (high - low)

    def curves(config: dict[str, Any]) -> tuple[Array, Array, float]:
        x = np.array([[config[f"x{i}"] for i in range(dims)]])
        draw = np.random.default_rng([int(v * 2**40) for v in x[0]])
        actual = np.array([hartmann(x, lack, bias)[0] for lack in lacks])
        return actual + np.abs(draw.normal(size=len(lacks))) * noise * lacks, actual, 1.0

    space = {f"x{i}": tune.uniform(0, 1) for i in range(dims)}
    return Problem(task.name, HARTMANN, space, curves, OPTIMA[dims], task.median, task.unit)


def lcbench_problem(folder: Path, instance: str) -> Problem:
    """The surrogate at any configuration."""
    import json

    import onnxruntime
    from tasks import ACCURACY, COLUMNS, EPOCHS, SKIPPED, TIME

    (task,) = lcbench_tables(folder, [instance], rows=4000)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = onnxruntime.InferenceSession(folder / "model.onnx", options)
    code = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"][instance]
    described = json.loads((folder / "config_space.json").read_text())["hyperparameters"]
    space = {}
    for entry in described:
        if "lower" in entry and entry["name"] != "epoch":
            low, high = entry["lower"], entry["upper"]
            if entry["type"] == "uniform_int":
                domain = tune.qlograndint(low, high, 1) if entry["log"] else tune.qrandint(low, high, 1)
            else:
                domain = tune.loguniform(low, high) if entry["log"] else tune.uniform(low, high)
            space[entry["name"]] = domain

    def curves(config: dict[str, Any]) -> tuple[Array, Array, float]:
        rows = [[config.get(name, epoch + SKIPPED) for name in COLUMNS] for epoch in EPOCHS]
        inputs = {"x_cat": np.full((len(rows), 1), code, np.int32), "x_cont": np.array(rows, np.float32)}
        found = model.run(None, inputs)[0].astype(float)
        loss = -found[:, ACCURACY]
        return loss, loss, max(float(found[-1, TIME]), 1e-3) / EPOCHS[-1]

    return Problem(task.name, EPOCHS, space, curves, task.best, task.median, task.unit)


MAKERS: dict[str, Callable[[Problem], Any]] = {
    "random": lambda problem: "random",
    "TPE": lambda problem: "tpe",
    "BOHB": lambda problem: tune.BOHBSearch(**rungs(problem)),
    "Hyper-Tune, TPE": lambda problem: tune.HyperTuneSearch(**rungs(problem)),
    "PriorBand, good prior": lambda problem: tune.PriorBandSearch(believed(problem, 64), **rungs(problem)),
    "PriorBand, bad prior": lambda problem: tune.PriorBandSearch(believed(problem, 64, worst=True), **rungs(problem)),
}


def rungs(problem: Problem) -> dict[str, Any]:
    return {"time_attr": "fidelity", "grace_period": problem.fidelities[0], "reduction_factor": ETA}


def believed(problem: Problem, count: int, *, worst: bool = False) -> dict[str, Any]:
    """The best, or the worst, of some random configurations, fully trained."""
    from tunesmith.space import Space

    space = Space(problem.space)
    drawn = [space.sample(12345, number) for number in range(count)]
    order = sorted(drawn, key=lambda config: problem.curves(config)[1][-1])
    return order[-1 if worst else 0]


class Listener(tune.Callback):
    """Notes the regret of the best configuration so far."""

    def __init__(self, problem: Problem, curves: Callable[[dict[str, Any]], tuple[Array, Array, float]]) -> None:
        self.problem, self.curves = problem, curves
        self.best, self.times, self.regrets = np.inf, [0.0], [1.0]

    def on_events(self, events: Sequence[Any]) -> None:
        for event in events:
            if type(event).__name__ == "Reported" and event.metrics["loss"] < self.best:
                self.best = event.metrics["loss"]
                actual = event.metrics["actual"]
                regret = (actual - self.problem.best) / (self.problem.median - self.problem.best)
                self.times.append(event.timestamp)
                self.regrets.append(min(max(regret, 0.0), 1.0))


PROBLEMS: list[Problem] = []  # for the processes, which are forked


def measure(index: int, workers: int, case: tuple[str, int]) -> Array:
    """The regret of a searcher with a seed at each of the moments."""
    problem, (name, seed) = PROBLEMS[index], case
    known: dict[str, tuple[Array, Array, float]] = {}

    def model(config: dict[str, Any], step: int) -> tuple[dict[str, Any], float] | None:
        if step > len(problem.fidelities):
            return None
        key = repr(sorted(config.items()))
        if key not in known:
            known[key] = problem.curves(config)
        observed, actual, seconds = known[key]
        lower = problem.fidelities[step - 2] if step > 1 else 0
        fidelity = problem.fidelities[step - 1]
        metrics = {"loss": float(observed[step - 1]), "fidelity": fidelity, "actual": float(actual[-1])}
        return metrics, seconds * (fidelity - lower)

    listener, horizon = Listener(problem, problem.curves), HORIZON * problem.unit
    with tempfile.TemporaryDirectory(prefix="tunesmith-benchmark-") as folder:
        tune.run(
            model, problem.space, metric="loss", mode="min", num_samples=-1,
            executor=tune.SimulatedExecutor(workers=workers), search_alg=MAKERS[name](problem),
            scheduler=tune.ASHAScheduler(
                "fidelity", max_t=problem.fidelities[-1], grace_period=problem.fidelities[0], reduction_factor=ETA
            ),
            time_budget_s=horizon, callbacks=[listener], storage_path=folder, seed=seed, verbose=0,
        )  # fmt: skip
    places = np.searchsorted(listener.times, MOMENTS * horizon, side="right") - 1
    return np.array(listener.regrets)[places]


def interval(values: Array) -> str:
    """The mean over tasks and seeds, shape (tasks, seeds), with a 95 % interval by a bootstrap of both."""
    draw = np.random.default_rng(0)
    tasks = draw.integers(len(values), size=(DRAWS, len(values), 1))
    seeds = draw.integers(values.shape[1], size=(DRAWS, *values.shape))
    low, high = np.percentile(values[tasks, seeds].mean(axis=(1, 2)), (2.5, 97.5))
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--lcbench", type=Path, default=OUTSIDE)
    parser.add_argument("--only", default="", help="searchers whose name has this pattern, and random search")
    parser.add_argument("--tasks", default="", help="tasks whose name has this text")
    given = parser.parse_args()
    problems = [hartmann_problem(dims, quality) for dims, quality in product((3, 6), QUALITIES)]
    if (given.lcbench / "model.onnx").exists() and importlib.util.find_spec("onnxruntime"):
        problems += [lcbench_problem(given.lcbench, instance) for instance in ("126026", "167168", "168910", "189906")]
    else:
        print("LCBench is left out: it needs onnxruntime and --lcbench FOLDER.", file=sys.stderr)
    PROBLEMS[:] = problems = [problem for problem in problems if given.tasks in problem.name]
    names = [name for name in MAKERS if name == "random" or re.search(given.only, name)]
    results: dict[str, list[Array]] = {name: [] for name in names}
    for index, problem in enumerate(problems):
        cases = list(product(names, range(given.seeds)))
        with ProcessPoolExecutor(given.jobs, mp_context=get_context("fork")) as pool:
            measured = list(pool.map(partial(measure, index, given.workers), cases))
        for name in names:
            curves = np.stack([c for (other, _), c in zip(cases, measured, strict=True) if other == name])
            results[name].append(curves)
            print(
                f"{problem.name:24}{name:24}{curves[:, LATE].mean():.3f}  final {curves[:, -1].mean():.3f}",
                file=sys.stderr,
            )
    groups = {"MF-Hartmann": [], "LCBench": []}
    for index, problem in enumerate(problems):
        groups[problem.name.split(" ")[0].rstrip(",")].append(index)
    print("| searcher below ASHA | tasks | regret over log time | final regret |\n|---|---|---|---|")
    for group, indices in groups.items():
        for name in names if indices else ():
            curves = np.stack([results[name][index] for index in indices])
            print(f"| {name} | {group} | {interval(curves[:, :, LATE].mean(axis=2))} | {interval(curves[:, :, -1])} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
