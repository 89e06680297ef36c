"""Attack models of the shadow-model attack: one FCNet per class (Shokri et al., arXiv 1610.05820; the RNN tutorial)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindleak import device
from mindleak.attacks.membership.balancing import ByClass
from mindleak.errors import InputError
from mindleak.models.fcnet import FCNet
from mindleak.training.stacked import FCNetStack


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
                raise InputError(f"membership.attack.{name} is {getattr(self, name)}; expected at least 1")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"membership.attack.learning_rate is {self.learning_rate}; expected a finite number "
                             "above 0")


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """What attack models learn from: features float32 (N, F), class labels (N,), members int32 (N,) of 0 and 1."""

    features: np.ndarray
    labels: np.ndarray
    members: np.ndarray

    @property
    def by_class(self) -> ByClass:
        """The rows by class and side."""
        return ByClass(self.labels, self.members.astype(np.bool_))


class ClassModels:
    """One attack model per class, all of them trained at once, each until its own held-out loss stops falling.

    Args:
        fit: rows to learn from.
        stop: rows whose loss ends the training.
        classes: which classes get a model; both need members and non-members of each.
        training: how they are trained.
        seed: of initialisation, balancing and shuffling; a class's model does not depend on which others there are.
    """

    def __init__(self, fit: LabelledRows, stop: LabelledRows, classes: Sequence[int], training: AttackTraining,
                 seed: int) -> None:
        self.classes = list(classes)
        self._training = training
        self._seed = seed
        by_class = fit.by_class
        self._rows = [by_class.balanced(label, seed) for label in self.classes]
        self._stack = FCNetStack([self._fresh(label, fit.features.shape[1]) for label in self.classes], fit.features,
                                 fit.members, training.learning_rate)
        held_by_class = stop.by_class
        held_out = [held_by_class.balanced(label, seed) for label in self.classes]
        self._held_out = [(stop.features[rows], stop.members[rows]) for rows in held_out]
        self._fit()

    @property
    def rows(self) -> dict[int, int]:
        """How many rows the model of each class was trained on."""
        return {label: len(rows) for label, rows in zip(self.classes, self._rows)}

    def score(self, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the log-odds of membership by the model of each row's class, float64 (N,); NaN where there is none."""
        scores = np.full(len(labels), np.nan)
        for model, label in enumerate(self.classes):
            of_class = labels == label
            scores[of_class] = self._stack.margins(model, features[of_class])
        return scores

    def _fresh(self, label: int, inputs: int) -> FCNet:
        """Return an attack model with the initial weights of a class."""
        with device.seeded(self._seed * 1000 + label):
            return FCNet(inputs, self._training.dim_hidden)

    def _fit(self) -> None:
        """Train; a model whose patience is at an end rests, and all go back to their best weights."""
        generators = [np.random.default_rng(np.random.SeedSequence([self._seed, label, 1])) for label in self.classes]
        best = self._stack.weights.copy()
        best_losses = np.full(len(self.classes), np.inf)
        waited = np.zeros(len(self.classes), np.int64)
        for _ in range(self._training.epochs):
            alive = waited < self._training.patience
            if not alive.any():
                break
            self._stack.epoch([self._batches(generator.permutation(rows)) if lives else None
                               for generator, rows, lives in zip(generators, self._rows, alive)])
            losses = self._held_out_losses()
            better = alive & (losses < best_losses)
            best[better], best_losses[better] = self._stack.weights[better], losses[better]
            waited = np.where(better, 0, waited + 1)
        self._stack.weights = best

    def _batches(self, rows: np.ndarray) -> np.ndarray:
        """Return rows in whole batches, (steps, size)."""
        size = min(self._training.batch_size, len(rows))
        return rows[:len(rows) // size * size].reshape(-1, size)

    def _held_out_losses(self) -> np.ndarray:
        """Return every model's mean cross-entropy on held-out shadows."""
        return np.array([np.logaddexp(0.0, self._stack.margins(model, features) * (1 - 2 * members)).mean()
                         for model, (features, members) in enumerate(self._held_out)])
