"""Handwritten digits, and a small network in NumPy that learns to read them: what the other examples tune."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

# 1,797 images of 8 x 8 pixels ship with scikit-learn. The test part is looked at once, at the end of an example.
_images, _digits = load_digits(return_X_y=True)
_rest, TEST, _rest_digits, TEST_DIGITS = train_test_split(
    _images / 16.0, _digits, test_size=0.3, random_state=0, stratify=_digits
)
TRAINING, VALIDATION, TRAINING_DIGITS, VALIDATION_DIGITS = train_test_split(
    _rest, _rest_digits, test_size=0.3, random_state=0, stratify=_rest_digits
)


class Network:
    """One hidden layer, trained by stochastic gradient descent with momentum.

    `lr`, `momentum` and `decay` (of weights) may be changed at any time; `width` is the hidden layer's size.
    """

    def __init__(self, width=32, lr=0.1, momentum=0.9, decay=0.0, seed=0):
        draw = np.random.default_rng(seed)
        self.lr, self.momentum, self.decay = lr, momentum, decay
        self.order = np.random.default_rng(seed + 1)
        self.weights = [
            draw.normal(0, np.sqrt(2 / 64), (64, width)), np.zeros(width),
            draw.normal(0, np.sqrt(2 / width), (width, 10)), np.zeros(10),
        ]  # fmt: skip
        self.speed = [np.zeros_like(w) for w in self.weights]

    def _forward(self, images):
        hidden = np.maximum(images @ self.weights[0] + self.weights[1], 0)
        scores = hidden @ self.weights[2] + self.weights[3]
        scores -= scores.max(axis=1, keepdims=True)
        likely = np.exp(scores)
        return hidden, likely / likely.sum(axis=1, keepdims=True)

    def train_one_epoch(self, batch_size=32):
        """Go through the training images once, in a random order."""
        order = self.order.permutation(len(TRAINING))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            images, wanted = TRAINING[batch], np.eye(10)[TRAINING_DIGITS[batch]]
            hidden, likely = self._forward(images)
            error = (likely - wanted) / len(batch)
            back = (error @ self.weights[2].T) * (hidden > 0)
            slopes = [images.T @ back, back.sum(0), hidden.T @ error, error.sum(0)]
            for weight, speed, slope in zip(self.weights, self.speed, slopes, strict=True):
                speed *= self.momentum
                speed -= self.lr * (slope + self.decay * weight)
                weight += speed

    def accuracy(self, images=VALIDATION, digits=VALIDATION_DIGITS):
        """Return the share of the images that are read rightly."""
        return float((self._forward(images)[1].argmax(axis=1) == digits).mean())

    def loss(self, images=VALIDATION, digits=VALIDATION_DIGITS):
        """Return the mean negative log-likelihood."""
        likely = self._forward(images)[1][np.arange(len(digits)), digits]
        return float(-np.log(np.maximum(likely, 1e-12)).mean())

    def save(self, folder):
        """Write the weights and their speed to a file in `folder`."""
        np.savez(Path(folder, "network.npz"), *self.weights, *self.speed)

    def load(self, folder):
        """Read what `save` has written."""
        with np.load(Path(folder, "network.npz")) as file:
            arrays = [file[name] for name in file.files]
        self.weights, self.speed = arrays[:4], arrays[4:]
