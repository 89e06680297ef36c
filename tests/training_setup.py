"""Small networks and data for the tests of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mindspore import Tensor, nn

from mindleak import device
from mindleak.training.checkpoint import CheckpointFolder
from mindleak.training.history import EpochPrinter
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingData, TrainingRequest, TrainingResult
from mindleak.training.trainer import Training

# As the product does, and before any test has MindSpore run something: it cannot be done later.
device.configure("CPU")

FEATURES, CLASSES = 6, 3
SHAPE = (1, 2, 3)


class Linear(nn.Cell):
    """(N, 1, 2, 3) → (N, 3); small enough for every step to be worked out in NumPy."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.dense = nn.Dense(FEATURES, CLASSES)

    def construct(self, x: Tensor) -> Tensor:
        return self.dense(self.flatten(x))


class Stochastic(nn.Cell):
    """The same with batch statistics and Dropout, which behave differently in training."""

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.hidden = nn.Dense(FEATURES, 16)
        self.norm = nn.BatchNorm1d(16)
        self.dropout = nn.Dropout(p=dropout)
        self.out = nn.Dense(16, CLASSES)

    def construct(self, x: Tensor) -> Tensor:
        return self.out(self.dropout(self.norm(self.hidden(self.flatten(x)))))


def seeded(make: type[nn.Cell], seed: int = 0, **options: float) -> nn.Cell:
    with device.seeded(seed):
        return make(**options)


def arrays(samples: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping clouds in [0, 1]."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(samples) % CLASSES).astype(np.int32)
    centres = np.random.default_rng(99).random((CLASSES, FEATURES))
    points = np.clip(centres[labels] + generator.normal(0, 0.3, (samples, FEATURES)), 0, 1)
    return points.reshape(samples, *SHAPE).astype(np.float32), labels


def data(samples: int = 40) -> TrainingData:
    return TrainingData(*arrays(samples), *arrays(21, seed=1), digest=f"clouds-{samples}")


def quiet(epochs: int = 1) -> EpochPrinter:
    return EpochPrinter("", epochs, enabled=False)


def weights(network: nn.Cell) -> dict[str, np.ndarray]:
    return {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def train(recipe: Recipe, folder: Path | None = None, *, seed: int = 5, resume: bool = False, samples: int = 40,
          network: nn.Cell | None = None) -> TrainingResult:
    checkpoints = None if folder is None else CheckpointFolder(folder, "linear", samples // recipe.batch_size)
    return Training.train(TrainingRequest(seeded(Linear) if network is None else network, data(samples), recipe, seed,
                                          printer=quiet(recipe.epochs), checkpoints=checkpoints, resume=resume))
