"""Population based training: the weak go on from the state of the strong, with their factors changed a little.

Run it with:  python examples/tutorial/pbt.py [--smoke-test]
"""

import argparse
import json
import time
from pathlib import Path
from random import Random

import tunesmith as tune


class Factors(tune.Trainable):
    """A stand-in for training whose reward grows fastest where ``factor_1`` is 10, and with ``factor_2``."""

    def setup(self, config):
        self.factors = config["factor_1"], config["factor_2"]
        self.value = 0.0
        self.random = Random(self.trial_id)

    def step(self):
        time.sleep(0.01)
        first, second = self.factors
        self.value += max(0.0, self.random.gauss(5.0 - (first - 10.0) ** 2, 2.0))
        self.value += self.random.gauss(second, 1.0)
        return {"episode_reward_mean": self.value}

    def save_checkpoint(self, checkpoint_dir):
        Path(checkpoint_dir, "state.json").write_text(json.dumps({"value": self.value}))

    def load_checkpoint(self, checkpoint_dir):
        self.value = json.loads(Path(checkpoint_dir, "state.json").read_text())["value"]

    def reset_config(self, new_config):
        """Take up other factors in place, so that a clone needs no new worker."""
        self.factors = new_config["factor_1"], new_config["factor_2"]
        return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke-test", action="store_true", help="finish quickly")
    args = parser.parse_args()
    results = tune.run(
        Factors,
        config={"factor_1": 4.0, "factor_2": 1.0},
        metric="episode_reward_mean",
        mode="max",
        num_samples=10,
        stop={"training_iteration": 20 if args.smoke_test else 100},
        scheduler=tune.PopulationBasedTraining(
            time_attr="training_iteration",
            perturbation_interval=10,
            hyperparam_mutations={
                "factor_1": tune.uniform(0.0, 20.0),  # multiplied by 1.2 or 0.8, or drawn from here once more
                "factor_2": [1, 2],  # one of these
            },
        ),
        reuse_workers=True,
        seed=0,
    )
    for trial in results:
        for decided in trial.decisions:
            if decided.action == "clone":
                print(f"step {decided.iteration}: {trial.number} goes on from {decided.donor} with {decided.config}")
    print(f"best: {results.best_trial.name} with {results.best_result['episode_reward_mean']:.1f}")
