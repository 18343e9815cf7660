"""A network of PyTorch as a function that reports after each epoch, with a checkpoint to go on from.

Run it with:  python examples/tutorial/mnist_pytorch.py [--smoke-test]
"""

import argparse

import torch
from net import Net, loaders, test, train_one_epoch

import tunesmith as tune
from tunesmith.integrations.torch import device, load, save


def train(config):
    """Train, epoch by epoch, from the last checkpoint if there is one."""
    torch.manual_seed(1)
    training, testing = loaders()
    model = Net().to(device())
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=config["momentum"])
    state = load(tune.get_checkpoint(), model=model, optimizer=optimizer)
    for epoch in range(state.get("epoch", 0), config["epochs"]):
        train_one_epoch(model, optimizer, training)
        checkpoint = save(model=model, optimizer=optimizer, epoch=epoch + 1)
        tune.report(test(model, testing), checkpoint=checkpoint)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke-test", action="store_true", help="finish quickly")
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    results = tune.run(
        train,
        config={"lr": tune.uniform(0.001, 0.1), "momentum": tune.uniform(0.1, 0.9), "epochs": args.epochs},
        metric="mean_loss",
        mode="min",
        num_samples=1 if args.smoke_test else 10,
        stop={"mean_accuracy": 0.98, "training_iteration": 1 if args.smoke_test else 20},
        scheduler=tune.AsyncHyperBandScheduler(max_t=20, grace_period=2),
        resources_per_trial={"cpu": 1, "gpu": 1 if torch.cuda.is_available() else 0},
        keep_checkpoints_num=1,
        seed=0,
    )
    print(f"best: {results.best_config}")
