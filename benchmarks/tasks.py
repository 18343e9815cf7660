"""What schedulers are judged on: tables of learning curves, the same for every scheduler and peer.

MF-Hartmann 3 and 6 are functions of the literature: a Hartmann function whose low fidelities are flattened and noisy.
LCBench is the surrogate of YAHPO Gym: neural networks on tabular data, 50 epochs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"

ROWS = 20_000  # configurations of a task, drawn at random once; every seed takes them in an order of its own
ETA = 3  # by which every halving is done
OUTSIDE = Path(__file__).parents[2] / "shared" / "data" / "yahpo" / "lcbench"  # beside the checkout


class Task(NamedTuple):
    """A table of learning curves: a row for each configuration, a column for each report. The lower the better.

    `observed` is what trials report when they have got to a fidelity, `actual` the same without noise. `seconds`
    is what a unit of fidelity takes. Regret is 0 at `best` and 1 at `median`.
    """

    name: str
    family: str
    fidelities: tuple[int, ...]
    observed: Array
    actual: Array
    seconds: Array
    best: float
    median: float

    @property
    def grace(self) -> int:
        """The fidelity of the first report: the lowest rung."""
        return self.fidelities[0]

    @property
    def full(self) -> int:
        """The fidelity of the last report."""
        return self.fidelities[-1]

    @property
    def unit(self) -> float:
        """The seconds that the median configuration takes to its last report."""
        return float(np.median(self.seconds)) * self.full

    def times(self, row: int) -> Array:
        """The seconds from the start of a trial to each of its reports, if it is never paused."""
        return self.seconds[row] * np.array(self.fidelities, float)

    def regret(self, actual: Array) -> Array:
        """How much of the way from the best to the median these values lie."""
        return np.clip((actual - self.best) / (self.median - self.best), 0.0, 1.0)


def order(task: Task, seed: int) -> Array:
    """The rows in the order in which every scheduler starts them under this seed."""
    return np.random.default_rng([seed, task.full]).permutation(len(task.seconds))


# -- MF-Hartmann

QUALITIES = {"good": (2.5, 2.0), "moderate": (3.0, 3.0), "bad": (3.5, 4.0), "terrible": (4.0, 5.0)}  # bias, noise
HARTMANN = (3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64, 81, 100)  # its fidelities go from 3 to 100
OPTIMA = {3: -3.86278, 6: -3.32237}
ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
A = {
    3: np.array([[3.0, 10, 30], [0.1, 10, 35], [3.0, 10, 30], [0.1, 10, 35]]),
    6: np.array(
        [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ]
    ),
}
P = {
    3: 1e-4 * np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]),
    6: 1e-4
    * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    ),
}


def hartmann(x: Array, lack: float = 0.0, bias: float = 0.0) -> Array:
    """The Hartmann function of 3 or 6 dimensions at each row of `x`; `lack` is 0 at full fidelity and 1 at the lowest.

    >>> optimum = np.array([[0.114614, 0.555649, 0.852547]])
    >>> float(hartmann(optimum)[0].round(4)), float(hartmann(optimum, lack=1.0, bias=2.5)[0].round(4))
    (-3.8628, -0.7951)
    """
    dims = x.shape[1]
    bumps = np.exp(-np.sum(A[dims] * (x[:, None, :] - P[dims]) ** 2, axis=-1))
    return -bumps @ (ALPHA - bias * lack)


def mf_hartmann(dims: int, quality: str, rows: int = ROWS) -> Task:
    """MF-Hartmann: what lacks in fidelity, on a logarithmic scale, takes `bias` from the peaks and adds noise.

    Source: Kandasamy et al., Multi-fidelity Bayesian Optimisation with Continuous Approximations, ICML 2017, for a
    Hartmann function with fidelities; Mallik et al., PriorBand, NeurIPS 2023, for this one and its four qualities.
    """
    bias, noise = QUALITIES[quality]
    draw = np.random.default_rng([dims, *quality.encode()])
    x = draw.random((rows, dims))
    low, high = np.log(HARTMANN[0]), np.log(HARTMANN[-1])
    lacks = (high - np.log(HARTMANN)) / (high - low)
    actual = np.stack([hartmann(x, lack, bias) for lack in lacks], axis=1)
    observed = actual + np.abs(draw.normal(size=actual.shape)) * noise * lacks
    family = f"MF-Hartmann, {'good and moderate' if quality in {'good', 'moderate'} else 'bad and terrible'}"
    name = f"MF-Hartmann {dims}, {quality}"
    median = float(np.median(actual[:, -1]))
    return Task(name, family, HARTMANN, observed, actual, np.ones(rows), OPTIMA[dims], median)


# -- LCBench

INSTANCES = ("126026", "167168", "168910", "189906")
COLUMNS = (
    "epoch", "batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units", "max_dropout",
)  # fmt: skip
EPOCHS = (1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 43, 50)
TIME, ACCURACY = 0, 3  # what the surrogate gives, among other things: seconds so far, balanced validation accuracy
SKIPPED = 1  # the surrogate's first epoch is not to be trusted, and neither is its last, the 52nd


def lcbench(folder: Path, instances: Sequence[str] = INSTANCES, rows: int = ROWS) -> Iterator[Task]:
    """LCBench tasks from the surrogate in `folder`, which has no noise.

    Source: Zimmer et al., Auto-PyTorch, TPAMI 2021; Pfisterer et al., YAHPO Gym, AutoML 2022.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = onnxruntime.InferenceSession(folder / "model.onnx", options)
    codes = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"]
    space = json.loads((folder / "config_space.json").read_text())["hyperparameters"]
    for instance in instances:
        draw = np.random.default_rng(int(instance))
        columns = {entry["name"]: sampled(entry, draw.random(rows)) for entry in space if "lower" in entry}
        curves = []
        for epoch in EPOCHS:
            columns["epoch"] = np.full(rows, epoch + SKIPPED)
            inputs = {
                "x_cat": np.full((rows, 1), codes[instance], np.int32),
                "x_cont": np.stack([columns[name] for name in COLUMNS], axis=1).astype(np.float32),
            }
            curves.append(model.run(None, inputs)[0].astype(float))
        outputs = np.stack(curves, axis=1)
        loss, seconds = -outputs[:, :, ACCURACY], outputs[:, -1, TIME] / EPOCHS[-1]
        best, median = float(loss[:, -1].min()), float(np.median(loss[:, -1]))
        yield Task(f"LCBench {instance}", "LCBench", EPOCHS, loss, loss, seconds, best, median)


def sampled(entry: dict[str, Any], u: Array) -> Array:
    """Values of a hyperparameter from uniform numbers."""
    low, high = float(entry["lower"]), float(entry["upper"])
    is_whole = entry["type"] == "uniform_int"
    if is_whole:
        low, high = low - 0.5, high + 0.5
    values = np.exp(np.log(low) + u * np.log(high / low)) if entry["log"] else low + u * (high - low)
    return values.round() if is_whole else values
