"""MNIST where its four files are, in ``~/data/MNIST/raw`` as torchvision leaves them; else scikit-learn's digits.

The digits are 1,797 images of 8 x 8 pixels. They are enlarged to MNIST's 28 x 28, so that the same networks read both.
"""

import gzip
from pathlib import Path

import numpy as np

FOLDER = Path("~/data/MNIST/raw")
_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def load(folder=FOLDER):
    """Return training images, training labels, test images and test labels: float32 in 0 ... 1, int64."""
    paths = [_find(Path(folder).expanduser(), name) for name in _FILES]
    if None in paths:
        return _digits()
    train, train_labels, test, test_labels = (_read(path) for path in paths)
    return _scaled(train, 255), train_labels.astype("int64"), _scaled(test, 255), test_labels.astype("int64")


def _find(folder, name):
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), None)


def _read(path):
    """Return what a file in the IDX format holds: a header of big-endian numbers, then bytes."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    dimensions = content[3]
    shape = np.frombuffer(content, ">i4", count=dimensions, offset=4)
    return np.frombuffer(content, "u1", offset=4 + 4 * dimensions).reshape(shape)


def _scaled(images, most):
    return images.astype("float32") / most


def _digits():
    from sklearn.datasets import load_digits

    digits = load_digits()
    large = np.kron(digits.images, np.ones((3, 3)))  # 24 x 24
    images = _scaled(np.pad(large, ((0, 0), (2, 2), (2, 2))), 16)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1400], order[1400:]
    labels = digits.target.astype("int64")
    return images[train], labels[train], images[test], labels[test]
