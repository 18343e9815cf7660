"""Population based training: the weak go on from the state of the strong, with hyperparameters changed a little.

Run it with:  python examples/pbt.py
"""

from digits import TEST, TEST_DIGITS, Network

import tunesmith as tune


class Train(tune.Trainable):
    """A network whose learning rate and momentum may change while it is trained."""

    def setup(self, config):
        self.network = Network(width=64)
        self.reset_config(config)

    def reset_config(self, new_config):
        """Take up new hyperparameters in place, so that no worker has to be started for them."""
        self.network.lr, self.network.momentum = new_config["lr"], new_config["momentum"]
        return True

    def step(self):
        self.network.train_one_epoch()
        return {"loss": self.network.loss(), "accuracy": self.network.accuracy()}

    def save_checkpoint(self, checkpoint_dir):
        self.network.save(checkpoint_dir)

    def load_checkpoint(self, checkpoint_dir):
        self.network.load(checkpoint_dir)


if __name__ == "__main__":
    results = tune.run(
        Train,
        config={"lr": tune.loguniform(1e-3, 1.0), "momentum": tune.uniform(0.0, 0.9)},
        metric="loss",
        mode="min",
        num_samples=8,
        stop={"training_iteration": 60},
        scheduler=tune.PopulationBasedTraining(
            time_attr="training_iteration",
            perturbation_interval=5,
            hyperparam_mutations={"lr": tune.loguniform(1e-3, 1.0), "momentum": tune.uniform(0.0, 0.9)},
        ),
        checkpoint_at_end=True,
        seed=0,
    )
    best = results.best_trial
    print(f"\nThe life of the best trial, {best.name}:")
    for decided in best.decisions:
        if decided.action == "clone":
            print(f"  epoch {decided.iteration}: {decided.reason}")

    network = Network(width=64)
    network.load(best.checkpoint.path)
    print(f"Its network reads {network.accuracy(TEST, TEST_DIGITS):.1%} of the test images rightly.")
