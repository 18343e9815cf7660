"""Asynchronous HyperBand: at each rung of its bracket a trial has to be as good as the best third of those before it.

Run it with:  python examples/tutorial/async_hyperband.py [--smoke-test]
"""

import argparse

from sigmoid import SPACE, Sigmoid

import tunesmith as tune

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke-test", action="store_true", help="finish quickly")
    args = parser.parse_args()
    results = tune.run(
        Sigmoid,
        config=SPACE,
        metric="episode_reward_mean",
        mode="max",
        num_samples=30,
        stop={"training_iteration": 1 if args.smoke_test else 99999},
        scheduler=tune.AsyncHyperBandScheduler(grace_period=5, max_t=100, reduction_factor=3, brackets=3),
        seed=0,
    )
    for trial in results:
        print(f"trial {trial.number:2}: {trial.last_result['training_iteration']:3} steps; {trial.reason}")
