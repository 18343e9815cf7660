"""HyperOpt proposes configurations, from what it has seen; asynchronous HyperBand ends those that are worse.

The name of this file is not hyperopt.py: Python would take it for the package of that name.

Needs HyperOpt: pip install "tunesmith[hyperopt]"
Run it with:  python examples/tutorial/hyperopt_search.py [--smoke-test]
"""

import argparse

import tunesmith as tune
from tunesmith.integrations.hyperopt import HyperOptSearch

SPACE = {
    "iterations": 100,
    "width": tune.uniform(0, 20),
    "height": tune.uniform(-100, 100),
    "activation": tune.choice(["relu", "tanh"]),
}
# Tried first: of a choice the index of its option.
POINTS = [
    {"width": 4, "height": 2, "activation": 1},
    {"width": 1, "height": 2, "activation": 0},
]


def easy_objective(config):
    """Report a loss that is least at height 14, far from width 3; the activation makes no difference."""
    assert isinstance(config["activation"], str)
    loss = (config["height"] - 14) ** 2 - abs(config["width"] - 3)
    for step in range(config["iterations"]):
        tune.report(mean_loss=loss, timesteps_total=step)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke-test", action="store_true", help="finish quickly")
    args = parser.parse_args()
    results = tune.run(
        easy_objective,
        config=SPACE,
        metric="mean_loss",
        mode="min",
        num_samples=10 if args.smoke_test else 100,
        max_concurrent_trials=7,
        search_alg=HyperOptSearch(points_to_evaluate=POINTS),
        scheduler=tune.AsyncHyperBandScheduler(grace_period=10, max_t=100, reduction_factor=3),
        seed=0,
    )
    best = float("inf")
    for trial in results:
        loss, config = trial.last_result["mean_loss"], trial.config
        if loss < best:
            best = loss
            print(f"trial {trial.number:2}: {loss:7.3f} at height {config['height']:.3f}, width {config['width']:.3f}")
    for first in range(0, len(results), 20):
        part = results.trials[first : first + 20]
        near = sum(abs(trial.config["height"] - 14) < 10 for trial in part)
        steps = sum(trial.last_result["training_iteration"] for trial in part)
        print(f"trials {first:2} to {first + len(part) - 1}: {near:2} within 10 of height 14, {steps:4} steps")
