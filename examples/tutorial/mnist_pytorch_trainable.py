"""The same network as a class with steps, under HyperBand, which pauses trials and lets the better ones go on.

Run it with:  python examples/tutorial/mnist_pytorch_trainable.py [--smoke-test]
"""

import argparse

import torch
from net import Net, loaders, test, train_one_epoch

import tunesmith as tune
from tunesmith.integrations.torch import device, load, save


class TrainMNIST(tune.Trainable):
    """An epoch a step."""

    def setup(self, config):
        torch.manual_seed(1)
        self.training, self.testing = loaders()
        self.model = Net().to(device())
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=config["lr"], momentum=config["momentum"])

    def step(self):
        train_one_epoch(self.model, self.optimizer, self.training)
        return test(self.model, self.testing)

    def save_checkpoint(self, checkpoint_dir):
        save(checkpoint_dir, model=self.model, optimizer=self.optimizer)

    def load_checkpoint(self, checkpoint_dir):
        load(checkpoint_dir, model=self.model, optimizer=self.optimizer)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke-test", action="store_true", help="finish quickly")
    args = parser.parse_args()
    results = tune.run(
        TrainMNIST,
        config={"lr": tune.uniform(0.001, 0.1), "momentum": tune.uniform(0.1, 0.9)},
        metric="mean_loss",
        mode="min",
        num_samples=1 if args.smoke_test else 20,
        stop={"mean_accuracy": 0.95, "training_iteration": 1 if args.smoke_test else 20},
        scheduler=tune.HyperBandScheduler(rules=tune.RULES_2019),
        checkpoint_at_end=True,
        seed=0,
    )
    best = results.best_trial
    print(f"best: {best.name}, saved in {best.checkpoint}")
