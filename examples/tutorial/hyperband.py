"""HyperBand: brackets of trials that are halved together, each at its own milestones.

Run it with:  python examples/tutorial/hyperband.py [--smoke-test]
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
        num_samples=20,
        stop={"training_iteration": 1 if args.smoke_test else 99999},
        scheduler=tune.HyperBandScheduler(max_t=100, rules=tune.RULES_2019),  # 5, 8 and 7 trials in three brackets
        seed=0,
    )
    for trial in results:
        print(f"trial {trial.number:2}: {trial.last_result['training_iteration']:3} steps; {trial.reason}")
