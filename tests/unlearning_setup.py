"""Requests to forget on a linear network, and its steps in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from mindspore import nn

from mindleak.training.recipe import Recipe
from mindleak.training.unlearning.unlearning import UnlearningRequest
from training_setup import CLASSES, Linear, arrays, seeded

FORGET, RETAINED = np.arange(0, 6), np.arange(6, 30)
RECIPE = Recipe(batch_size=64, optimizer="sgd", learning_rate=0.5)


def untrained(seed: int) -> nn.Cell:
    return seeded(Linear, seed)


def request(network: nn.Cell | None = None, **changes: Any) -> UnlearningRequest:
    """Six rows to forget, 24 retained, ten in neither set; one batch takes them all."""
    x, y = arrays(40)
    given = {"network": seeded(Linear) if network is None else network, "x": x, "y": y, "forget": FORGET,
             "retained": RETAINED, "recipe": RECIPE, "seed": 3, "fresh": untrained}
    return UnlearningRequest(**{**given, **changes})


class Affine:
    """The linear network in float64."""

    def __init__(self, network: nn.Cell) -> None:
        self.weight, self.bias = (parameter.asnumpy().astype(np.float64) for parameter in network.trainable_params())

    def log_probabilities(self, x: np.ndarray) -> np.ndarray:
        logits = x.reshape(len(x), -1).astype(np.float64) @ self.weight.T + self.bias
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def loss(self, x: np.ndarray, y: np.ndarray) -> float:
        return float(-self.log_probabilities(x)[np.arange(len(y)), y].mean())

    def errors(self, x: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """The gradient by logits of the cross-entropy with, and of the KL from, wanted probabilities."""
        return np.exp(self.log_probabilities(x)) - wanted

    def step(self, x: np.ndarray, errors: np.ndarray, rate: float) -> Affine:
        """Return the network after a step down the mean over rows."""
        moved = object.__new__(Affine)
        moved.weight = self.weight - rate * errors.T @ x.reshape(len(x), -1) / len(x)
        moved.bias = self.bias - rate * errors.mean(axis=0)
        return moved

    def equals(self, network: nn.Cell) -> bool:
        other = Affine(network)
        return (np.allclose(self.weight, other.weight, rtol=1e-5, atol=1e-6)
                and np.allclose(self.bias, other.bias, rtol=1e-5, atol=1e-6))


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(CLASSES)[labels]
