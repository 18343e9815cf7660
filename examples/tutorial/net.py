"""A small convolutional network of PyTorch, and what is done with it in an epoch."""

import mnist
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tunesmith.integrations.torch import device


class Net(nn.Module):
    """Two convolutions and two dense layers."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.dropout = nn.Dropout2d()
        self.dense1 = nn.Linear(320, 50)
        self.dense2 = nn.Linear(50, 10)

    def forward(self, images):
        """Return the logarithms of the probabilities."""
        x = functional.relu(functional.max_pool2d(self.conv1(images), 2))
        x = functional.relu(functional.max_pool2d(self.dropout(self.conv2(x)), 2))
        x = functional.relu(self.dense1(x.flatten(1)))
        x = functional.dropout(x, training=self.training)
        return functional.log_softmax(self.dense2(x), dim=1)


def loaders(batch_size=64):
    """Return the training images and the test images, in batches."""
    images, labels, test, test_labels = (torch.from_numpy(array) for array in mnist.load())
    training = TensorDataset(images[:, None], labels)
    return DataLoader(training, batch_size, shuffle=True), DataLoader(TensorDataset(test[:, None], test_labels), 1000)


def train_one_epoch(model, optimizer, loader):
    """Go through the training images once."""
    model.train()
    for images, labels in loader:
        optimizer.zero_grad()
        functional.nll_loss(model(images.to(device())), labels.to(device())).backward()
        optimizer.step()


def test(model, loader):
    """Return the mean loss and the accuracy on the test images."""
    model.eval()
    loss = right = count = 0
    with torch.no_grad():
        for images, labels in loader:
            likely = model(images.to(device()))
            loss += functional.nll_loss(likely, labels.to(device()), reduction="sum").item()
            right += (likely.argmax(1).cpu() == labels).sum().item()
            count += len(labels)
    return {"mean_loss": loss / count, "mean_accuracy": right / count}
