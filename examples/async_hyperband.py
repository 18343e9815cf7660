"""Stop hopeless trials early, without waiting for the others: asynchronous successive halving (ASHA).

Run it with:  python examples/async_hyperband.py
"""

from digits import TEST, TEST_DIGITS, Network

import tunesmith as tune

EPOCHS = 81


def train(config):
    """Report after each epoch. A trial that is stopped does not come back from `tune.report`."""
    network = Network(**config)
    for _ in range(EPOCHS):
        network.train_one_epoch()
        tune.report(loss=network.loss(), accuracy=network.accuracy())


if __name__ == "__main__":
    results = tune.run(
        train,
        config={
            "width": tune.lograndint(8, 129),
            "lr": tune.loguniform(1e-3, 1.0),
            "momentum": tune.uniform(0.0, 0.99),
            "decay": tune.loguniform(1e-6, 1e-1),
        },
        metric="loss",
        mode="min",
        num_samples=100,
        scheduler=tune.ASHAScheduler(max_t=EPOCHS, grace_period=1, reduction_factor=3),
        seed=0,
    )
    epochs = sum(trial.last_result["training_iteration"] for trial in results)
    print(f"\n{epochs:,} epochs were trained; without stopping it would have been {len(results) * EPOCHS:,}.")
    print("Why some of the trials ended:")
    for trial in results.trials[:5]:
        print(f"  trial {trial.number}: {trial.reason or 'it came to its own end'}")

    network = Network(**results.best_config)
    for _ in range(results.best_result["training_iteration"]):
        network.train_one_epoch()
    print(f"The best configuration reads {network.accuracy(TEST, TEST_DIGITS):.1%} of the test images rightly.")
