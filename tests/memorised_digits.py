"""Digits of which two in five have a wrong label, and networks that learn them by heart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mindspore import Tensor, nn

from mindleak import device
from mindleak import settings as config
from mindleak.data.catalogue import load
from mindleak.jobs.session import open_session
from mindleak.subjects.session import Session
from mindleak.training.history import EpochPrinter
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingData, TrainingRequest
from mindleak.training.trainer import Training

MEMBERS = np.arange(0, 1297, 5)


class Determined(nn.Cell):
    """A network that learns 200 digits by heart, without dropout: trained again, it has the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.hidden = nn.Dense(64, 128)
        self.relu = nn.ReLU()
        self.head = nn.Dense(128, 10)

    def construct(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.hidden(self.flatten(x))))


class Perceptron(nn.Cell):
    """An own model with enough weights to learn 200 digits by heart, and dropout to tell training from evaluation."""

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.hidden = nn.Dense(64, hidden)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(p=0.2)
        self.head = nn.Dense(hidden, 10)

    def construct(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.relu(self.hidden(self.flatten(x)))))


def open_in(folder: Path, *assignments: str) -> Session:
    """Open a session on CPU that has its run and its checkpoints in a folder."""
    merged = config.load(None, ["device.target=CPU", *assignments])
    return open_session(merged, str(folder / "run"), str(folder / "ckpt"), "test")


def noisy_digits(folder: Path) -> Path:
    """Digits with two in five training labels drawn at random: what can be known of them must be learnt by heart."""
    digits = load("digits", None, None, "bilinear")
    generator = np.random.default_rng(0)
    labels = digits.y_train.copy()
    wrong = generator.random(len(labels)) < 0.4
    labels[wrong] = generator.integers(0, 10, int(wrong.sum()))
    path = folder / "noisy.npz"
    np.savez(path, x_train=digits.x_train[:, 0], y_train=labels, x_test=digits.x_test[:, 0], y_test=digits.y_test)
    return path


def trained(folder: Path, rows: np.ndarray, seed: int, epochs: int = 60) -> Perceptron:
    """Train an own model on rows of the digits with their wrong labels, well past learning them by heart."""
    digits = load("custom", noisy_digits(folder))
    with device.seeded(seed):
        network = Perceptron()
    data = TrainingData(digits.x_train[rows], digits.y_train[rows], digits.x_test, digits.y_test, "")
    recipe = Recipe(epochs=epochs, batch_size=20, optimizer="adam", learning_rate=0.01)
    Training.train(TrainingRequest(network, data, recipe, seed, printer=EpochPrinter("", epochs, enabled=False)))
    return network
