"""A convolutional network of Keras, of whose trials asynchronous HyperBand stops the slow learners.

Run it with:  KERAS_BACKEND=torch python examples/tutorial/mnist_keras.py [--smoke-test]
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import mnist

import tunesmith as tune
from tunesmith.integrations.keras import ReportCallback, restore


def build(config):
    """Return the network, ready to be trained."""
    model = keras.Sequential(
        [
            keras.layers.Input((28, 28, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Dropout(config["dropout1"]),
            keras.layers.Flatten(),
            keras.layers.Dense(config["hidden"], activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.SGD(config["lr"], momentum=config["momentum"])
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(config):
    """Report after each batch; each tenth report saves the network."""
    images, labels, test, test_labels = mnist.load()
    model = build(config)
    model.fit(
        images[..., None],
        labels,
        batch_size=128,
        epochs=12,
        initial_epoch=restore(model),
        validation_data=(test[..., None], test_labels),
        verbose=0,
        callbacks=[ReportCallback({"mean_accuracy": "accuracy"}, on="batch", save_every=10)],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke-test", action="store_true", help="finish quickly")
    parser.add_argument("--use-gpu", action="store_true", help="half a GPU for each trial")
    args = parser.parse_args()
    results = tune.run(
        train,
        config={
            "lr": tune.uniform(0.001, 0.1),
            "momentum": tune.uniform(0.1, 0.9),
            "hidden": tune.randint(32, 512),
            "dropout1": tune.uniform(0.2, 0.8),
        },
        metric="mean_accuracy",
        mode="max",
        num_samples=1 if args.smoke_test else 10,
        stop={"mean_accuracy": 0.99, "training_iteration": 10 if args.smoke_test else 300},
        scheduler=tune.AsyncHyperBandScheduler(max_t=400, grace_period=20),
        resources_per_trial={"cpu": 2, "gpu": 0.5 if args.use_gpu else 0},
        keep_checkpoints_num=1,
        seed=0,
    )
    print(f"best: {results.best_config}")
