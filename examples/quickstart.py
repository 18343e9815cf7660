"""Tune a classifier on handwritten digits, and check the winner against the library's default settings.

Run it with:  python examples/quickstart.py
"""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import tunesmith as tune

EPOCHS = 15
warnings.simplefilter("ignore", ConvergenceWarning)

# 1,797 images of 8 x 8 pixels ship with scikit-learn. The test part is looked at once, at the very end.
images, digits = load_digits(return_X_y=True)
images = images / 16.0
rest, test, rest_digits, test_digits = train_test_split(images, digits, test_size=0.3, random_state=0, stratify=digits)
training, validation, training_digits, validation_digits = train_test_split(
    rest, rest_digits, test_size=0.3, random_state=0, stratify=rest_digits
)


def epochs(config, inputs, labels):
    """Train a network epoch by epoch; yield it after each one."""
    settings = {"batch_size": "auto", **config, "hidden_layer_sizes": (config.get("width", 100),)}
    settings.pop("width", None)
    network = MLPClassifier(random_state=0, **settings)
    for _ in range(EPOCHS):
        network.partial_fit(inputs, labels, classes=np.arange(10))
        yield network


def train(config):
    """Report the accuracy on the validation part after each epoch."""
    for network in epochs(config, training, training_digits):
        tune.report(accuracy=network.score(validation, validation_digits))


def accuracy_on_test(config):
    """Train on everything but the test part, and look at the test part."""
    *_, network = epochs(config, rest, rest_digits)
    return network.score(test, test_digits)


if __name__ == "__main__":
    results = tune.run(
        train,
        config={
            "width": tune.lograndint(16, 257),
            "learning_rate_init": tune.loguniform(1e-4, 1e-1),
            "batch_size": tune.choice([16, 32, 64, 128]),
            "alpha": tune.loguniform(1e-6, 1e-1),
            "activation": tune.choice(["relu", "tanh", "logistic"]),
        },
        metric="accuracy",
        mode="max",
        num_samples=50,
        search_alg="auto",
        seed=0,
    )
    print(f"The winning configuration: {results.best_config}")
    print(f"  on the held-out test images:       {accuracy_on_test(results.best_config):.1%}")
    print(f"  scikit-learn's default settings:   {accuracy_on_test({}):.1%}")
