"""HyperBand: brackets of trials, of which the worse part is stopped again and again. Paused trials wait in memory.

Run it with:  python examples/hyperband.py         (brackets as the paper has them)
         or:  python examples/hyperband.py 2019    (the brackets and the decisions of Ray Tune 0.6.5)
"""

import sys

from digits import Network

import tunesmith as tune


class Train(tune.Trainable):
    """A network that is trained by an epoch a step, and can be saved."""

    def setup(self, config):
        self.network = Network(**config)

    def step(self):
        self.network.train_one_epoch()
        return {"accuracy": self.network.accuracy(), "loss": self.network.loss()}

    def save_checkpoint(self, checkpoint_dir):
        self.network.save(checkpoint_dir)

    def load_checkpoint(self, checkpoint_dir):
        self.network.load(checkpoint_dir)


if __name__ == "__main__":
    rules = tune.RULES_2019 if "2019" in sys.argv else tune.RULES_TODAY
    results = tune.run(
        Train,
        config={
            "width": tune.lograndint(8, 129),
            "lr": tune.loguniform(1e-3, 1.0),
            "momentum": tune.uniform(0.0, 0.99),
        },
        metric="loss",
        mode="min",
        num_samples=20,
        scheduler=tune.HyperBandScheduler(max_t=100, rules=rules),
        checkpoint_at_end=True,
        seed=0,
    )
    print("\nWhat became of the trials:")
    for trial in results:
        print(f"  trial {trial.number:2}: {trial.last_result['training_iteration']:3} epochs; {trial.reason}")
    best = results.best_trial
    print(
        f"The best one reads {best.best_result()['accuracy']:.1%} of the validation images rightly: {best.checkpoint}"
    )
