"""Tasks whose parameters depend on choices: trees of functions, and models of scikit-learn that crash now and then."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from searching.bbob import HIGH, LOW, function
from searching.problems import NOTHING, Evaluate, Instance, Task, plain, task
from searching.spaces import Category, Config, Number, Space, draw, numbers

FAMILY = "conditional"


def trees() -> Iterator[Task]:
    yield task("tree of 3 functions", FAMILY, partial(tree, (1, 15, 8), 0))
    yield task("tree of 4 functions, shared variables", FAMILY, partial(tree, (3, 21, 1, 17), 3))
    yield task("nested tree", FAMILY, nested)
    yield task("optional parts", FAMILY, optional)
    if find_spec("sklearn") is None:
        print("Tasks of scikit-learn are left out: pip install scikit-learn.", file=sys.stderr)
    else:
        for name in MODELS:
            yield Task(f"scikit-learn on {name}", FAMILY, partial(models, name))


def scaled(number: int, d: int, seed: int) -> tuple[Any, float]:
    """A function and its median, so that functions of a tree can be compared."""
    f, _ = function(number, d, seed)
    return f, float(np.median(f(np.random.default_rng(0).uniform(LOW, HIGH, (1000, d)))))


def tree(chosen: tuple[int, ...], shared: int, seed: int) -> tuple[Space, Evaluate, float]:
    """A choice among functions of 2 to 5 variables of their own and some in common; the best one is not the first."""
    rng = np.random.default_rng([seed, len(chosen)])
    sizes = rng.permutation(len(chosen)) % 4 + 2
    floors = rng.permutation(len(chosen)) * 0.05  # what the best of each branch is on the scale of medians
    common = [f"s{i}" for i in range(shared)]
    own = [[f"b{b}x{i}" for i in range(size)] for b, size in enumerate(sizes)]
    functions = [scaled(number, len(own[b]) + shared, seed) for b, number in enumerate(chosen)]
    branches = {f"b{b}": tuple(Number(name, LOW, HIGH) for name in names) for b, names in enumerate(own)}
    space = (*(Number(name, LOW, HIGH) for name in common), Category("branch", tuple(branches), branches))

    def value(config: Config) -> float:
        b = int(config["branch"][1:])
        f, median = functions[b]
        return float(floors[b] + np.sqrt(f(numbers(config, [*common, *own[b]])[None])[0] / median))

    return space, plain(value), 0.0


def nested(seed: int) -> tuple[Space, Evaluate, float]:
    """Choices in choices, 3 deep, with a number of another kind at each; what is best above shows only below."""
    rng = np.random.default_rng([seed, 77])
    costs: dict[str, float] = {}  # of the options
    every: dict[str, tuple[Number, float]] = {}  # the numbers, and where they are best

    def number(parameter: Number) -> Number:
        every[parameter.name] = parameter, rng.uniform(0.15, 0.85)
        return parameter

    def level(at: str, left: int) -> Space:
        if not left:
            return number(Number(f"{at}_n", 1, 64, is_whole=True)), number(Number(f"{at}_m", 0.0, 1.0))
        options = tuple(f"{at}{name}" for name in ("abc" if left == 2 else "ab"))
        costs.update(zip(options, rng.permutation(len(options)) * 0.08, strict=True))
        choice = Category(f"{at}_c", options, {option: level(option, left - 1) for option in options})
        return number(Number(f"{at}_n", 1e-4, 1.0, is_log=True)), choice

    def value(config: Config) -> float:
        loss = 0.0
        for name, chosen in config.items():
            if name in every:
                parameter, place = every[name]
                loss += (parameter.share(chosen) - place) ** 2
            else:
                loss += costs[chosen]
        return loss

    return level("r", 2), plain(value), 0.0


def optional(seed: int) -> tuple[Space, Evaluate, float]:
    """Four parts of a pipeline that may be left out, each with two numbers of its own; they act on one another."""
    rng = np.random.default_rng([seed, 78])
    parts = [f"part{i}" for i in range(4)]
    places = rng.uniform(0.1, 0.9, (4, 2))
    worth = rng.permutation([0.5, 0.3, 0.15, -0.1])  # what a part gives where its numbers are right
    pair = rng.choice(4, 2, replace=False)
    space = tuple(
        Category(p, ("off", "on"), {"on": (Number(f"{p}a", 0.0, 1.0), Number(f"{p}b", 1e-3, 1.0, is_log=True))})
        for p in parts
    )

    def value(config: Config) -> float:
        gains = np.zeros(4)
        for i, p in enumerate(parts):
            if config[p] == "on":
                off = np.array([config[f"{p}a"], np.log10(config[f"{p}b"]) / 3 + 1]) - places[i]
                gains[i] = worth[i] * np.exp(-8 * off @ off) - 0.05
        both = all(config[parts[i]] == "on" for i in pair)
        return float(1.2 - gains.sum() - 0.2 * both * gains[pair].clip(0).sum())

    return space, plain(value), 0.0


# -- scikit-learn

# The best and the median loss of 300 random configurations: python -m searching.trees, in the folder benchmarks.
MODELS = {"digits": (0.0150, 0.3008), "breast_cancer": (0.0105, 0.2053), "diabetes": (2971.6, 5072.7)}

SVC: Space = (
    Number("svc_c", 1e-3, 1e3, is_log=True),
    Number("svc_tol", 1e-5, 1e-1, is_log=True),
    Category(
        "kernel",
        ("linear", "rbf", "poly", "sigmoid"),
        {
            "rbf": (Number("rbf_gamma", 1e-5, 1e1, is_log=True),),
            "poly": (Number("poly_degree", 1, 6, is_whole=True), Number("poly_coef0", -1.0, 1.0)),
            "sigmoid": (Number("sigmoid_gamma", 1e-5, 1e1, is_log=True), Number("sigmoid_coef0", -1.0, 1.0)),
        },
    ),
)
TREES: Space = (
    Number("rate", 1e-3, 3.0, is_log=True),
    Number("leaves", 2, 64, is_log=True, is_whole=True),
    Number("rounds", 5, 40, is_log=True, is_whole=True),
    Number("l2", 1e-6, 1e2, is_log=True),
    Number("in_leaf", 1, 60, is_log=True, is_whole=True),
)
NETWORK: Space = (
    Number("width", 4, 64, is_log=True, is_whole=True),
    Number("alpha", 1e-6, 1e1, is_log=True),
    Category("activation", ("relu", "tanh", "logistic")),
    Category(
        "solver",
        ("adam", "sgd"),
        {
            "adam": (Number("adam_rate", 1e-4, 1e1, is_log=True),),
            "sgd": (Number("sgd_rate", 1e-4, 1e2, is_log=True), Number("momentum", 0.0, 0.99)),
        },
    ),
)
LINEAR: Space = (
    Number("linear_c", 1e-4, 1e3, is_log=True),
    Category("penalty", ("l1", "l2")),
    Category("loss", ("plain", "squared")),
    Category("dual", ("yes", "no")),  # not every combination of the three is possible
)
MODEL = {"linear": LINEAR, "svc": SVC, "trees": TREES, "network": NETWORK}
SPACE: Space = (Category("scaler", ("none", "standard", "minmax")), Category("model", tuple(MODEL), MODEL))


@cache
def data(name: str) -> tuple[Any, ...]:
    """At most 600 rows to train on and the rest to judge by."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return tuple(train_test_split(x, y, train_size=min(600, len(x) * 2 // 3), random_state=0))


def estimator(c: Config, is_regression: bool) -> Any:
    """The model of a configuration."""
    from sklearn import ensemble, neural_network, svm

    if c["model"] == "linear":
        settings = {"C": c["linear_c"], "dual": c["dual"] == "yes", "max_iter": 200, "random_state": 0}
        if is_regression:
            loss = {"plain": "epsilon_insensitive", "squared": "squared_epsilon_insensitive"}[c["loss"]]
            return svm.LinearSVR(loss=loss, **settings)
        loss = {"plain": "hinge", "squared": "squared_hinge"}[c["loss"]]
        return svm.LinearSVC(penalty=c["penalty"], loss=loss, **settings)
    if c["model"] == "svc":
        kernel = c["kernel"]
        degree, gamma = c.get("poly_degree", 3), c.get(f"{kernel}_gamma", "scale")
        settings = {"kernel": kernel, "C": c["svc_c"], "tol": c["svc_tol"], "degree": degree, "gamma": gamma}
        settings |= {"coef0": c.get(f"{kernel}_coef0", 0.0), "max_iter": 2000}
        return svm.SVR(**settings) if is_regression else svm.SVC(**settings)
    if c["model"] == "trees":
        kind = ensemble.HistGradientBoostingRegressor if is_regression else ensemble.HistGradientBoostingClassifier
        settings = {"learning_rate": c["rate"], "max_leaf_nodes": c["leaves"], "max_iter": c["rounds"]}
        settings |= {"l2_regularization": c["l2"], "min_samples_leaf": c["in_leaf"], "max_bins": 32}
        return kind(early_stopping=False, random_state=0, **settings)
    kind = neural_network.MLPRegressor if is_regression else neural_network.MLPClassifier
    settings = {"hidden_layer_sizes": (c["width"],), "alpha": c["alpha"], "activation": c["activation"]}
    settings |= {"solver": c["solver"], "learning_rate_init": c[f"{c['solver']}_rate"]}
    return kind(momentum=c.get("momentum", 0.9), max_iter=15, random_state=0, **settings)


@cache
def _loss(name: str, items: tuple[tuple[str, Any], ...]) -> float:
    from sklearn import metrics, preprocessing

    train, test, target, truth = data(name)
    config = dict(items)
    scaler = {"standard": preprocessing.StandardScaler, "minmax": preprocessing.MinMaxScaler}.get(config["scaler"])
    if scaler:
        fitted = scaler().fit(train)
        train, test = fitted.transform(train), fitted.transform(test)
    is_regression = name == "diabetes"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            guessed = estimator(config, is_regression).fit(train, target).predict(test)
            return float(metrics.mean_squared_error(truth, guessed) if is_regression else np.mean(guessed != truth))
        except ValueError:
            return NOTHING  # weights have gone to infinity, for instance


@cache
def models(name: str, seed: int) -> Instance:
    """A choice of model, of its kernel or solver, and of their parameters."""
    best, median = MODELS[name]
    return Instance(SPACE, plain(lambda config: _loss(name, tuple(sorted(config.items())))), best, median)


def main() -> None:
    for name in MODELS:
        rng = np.random.default_rng(0)
        losses = [_loss(name, tuple(sorted(draw(SPACE, rng).items()))) for _ in range(300)]
        print(name, "best", min(losses), "median", np.median(np.nan_to_num(losses, nan=np.inf)))
        print("crashes", np.mean(np.isnan(losses)))


if __name__ == "__main__":
    main()
