"""Attack models of the shadow-model attack: one FCNet per class (Shokri et al., arXiv 1610.05820; seed 000)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindleak import device
from mindleak.errors import InputError
from mindleak.models.fcnet import FCNet
from mindleak.training.loop import LoopTotals, Predictor, TrainingLoop


@dataclass(frozen=True)
class AttackTraining:
    """How the attack models are trained: field names are the keys of ``membership.attack``."""

    dim_hidden: int = 20
    epochs: int = 50
    batch_size: int = 100
    learning_rate: float = 0.01
    patience: int = 5

    def __post_init__(self) -> None:
        for name in ("dim_hidden", "epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"membership.attack.{name} is {getattr(self, name)}; at least 1 is needed")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"membership.attack.learning_rate is {self.learning_rate}; a finite number above 0 "
                             "is needed")


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """What attack models learn from: features float32 (N, F), class labels (N,), members int32 (N,) of 0 and 1."""

    features: np.ndarray
    labels: np.ndarray
    members: np.ndarray

    def smaller_side(self, label: int) -> int:
        """Return how many rows of a class the rarer of in and out has."""
        return min(len(side) for side in self._sides(label))

    def balanced(self, label: int, seed: int) -> np.ndarray:
        """Return as many in as out rows of a class, drawn at random from the larger side."""
        generator = np.random.default_rng(np.random.SeedSequence([seed, label]))
        size = self.smaller_side(label)
        return np.concatenate([generator.choice(side, size, replace=False) for side in self._sides(label)])

    def _sides(self, label: int) -> list[np.ndarray]:
        """Return the rows of a class that are out and in."""
        return [np.flatnonzero((self.labels == label) & (self.members == side)) for side in (0, 1)]


class ClassModels:
    """One FCNet after the other in the same compiled loop: between classes only weights and indices change.

    Every array handed to compiled code has one shape for all classes, so nothing is compiled twice.
    """

    def __init__(self, fit: LabelledRows, stop: LabelledRows, num_classes: int, training: AttackTraining,
                 seed: int) -> None:
        self._fit = fit
        self._stop = stop
        self._training = training
        self._num_classes = num_classes
        self._seed = seed
        self._network = self._fresh(0)
        self._optimizer = nn.Adam(self._network.trainable_params(), training.learning_rate)
        self._untouched = [parameter.asnumpy().copy() for parameter in self._optimizer.get_parameters()]
        self._loop = TrainingLoop(self._network, self._optimizer, fit.features, fit.members)
        self._predict = Predictor(self._network, batch_size=10_000)
        most = max(2 * fit.smaller_side(label) for label in range(num_classes))
        self._most_steps = max(1, most // training.batch_size)

    def _fresh(self, label: int) -> FCNet:
        """Return an attack model with the initial weights of a class."""
        with device.seeded(self._seed * 1000 + label):
            return FCNet(self._num_classes, self._training.dim_hidden)

    def fit(self, label: int) -> int:
        """Train on the class's balanced rows until the held-out loss stops falling; return how many rows."""
        rows = self._fit.balanced(label, self._seed)
        held_out = self._stop.balanced(label, self._seed)
        _assign(self._optimizer.get_parameters(), self._untouched)
        _assign(self._network.get_parameters(), _values(self._fresh(label)))
        generator = np.random.default_rng(np.random.SeedSequence([self._seed, label, 1]))
        best_loss, best_weights, waited = np.inf, _values(self._network), 0
        for _ in range(self._training.epochs):
            self._epoch(generator.permutation(rows))
            loss = self._held_out_loss(held_out)
            if loss < best_loss:
                best_loss, best_weights, waited = loss, _values(self._network), 0
            else:
                waited += 1
            if waited >= self._training.patience:
                break
        _assign(self._network.get_parameters(), best_weights)
        return len(rows)

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return the log-odds of membership, float64 (N,)."""
        logits = self._predict(features).astype(np.float64)
        return logits[:, 1] - logits[:, 0]

    def _epoch(self, rows: np.ndarray) -> None:
        """Take one pass over ``rows`` in whole batches."""
        size = min(self._training.batch_size, len(rows))
        steps = len(rows) // size
        order = np.zeros((self._most_steps, size), np.int32)
        order[:steps] = rows[:steps * size].reshape(steps, size)
        self._loop.run(Tensor(order), 0, steps, LoopTotals())

    def _held_out_loss(self, rows: np.ndarray) -> float:
        """Return the mean cross-entropy on held-out shadows."""
        scores = self.score(self._stop.features)[rows]
        signs = np.where(self._stop.members[rows] == 1, 1.0, -1.0)
        return float(np.logaddexp(0.0, -signs * scores).mean())


def _values(network: nn.Cell) -> list[np.ndarray]:
    """Return a copy of the network's weights."""
    return [parameter.asnumpy().copy() for parameter in network.get_parameters()]


def _assign(parameters: Iterable[Parameter], values: Iterable[np.ndarray]) -> None:
    """Write values into parameters where they lie.

    ``Parameter.set_data`` would give them other memory, and a loop compiled before goes on with the old: the
    attack models of all classes but the first then learn nothing.
    """
    for parameter, value in zip(parameters, values):
        ops.assign(parameter, Tensor(value))
