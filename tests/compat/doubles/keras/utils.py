import numpy as np


def to_categorical(classes, count):
    return np.eye(count)[classes]
