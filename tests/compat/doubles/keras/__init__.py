"""A double of Keras on TensorFlow 1: what one script of 2019 takes from it. Its models learn by the clock."""

from __future__ import annotations

from keras import backend as backend
from keras import callbacks as callbacks
from keras import datasets as datasets
from keras import layers as layers
from keras import losses as losses
from keras import models as models
from keras import optimizers as optimizers
from keras import utils as utils
