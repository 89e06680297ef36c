"""Random labels: the network learns other labels for the forgotten rows, beside the true ones of the retained."""

from __future__ import annotations

from typing import Optional

import numpy as np

from mindleak.errors import InputError
from mindleak.training.unlearning.passes import LEARN, classes_of
from mindleak.training.unlearning.stepwise import Stepwise
from mindleak.training.unlearning.unlearning import UnlearningRequest, UnlearningResult

# Keeps the labels apart from what else is drawn by the same seed.
_STREAM = int.from_bytes(b"labels", "big")


class RandomLabels(Stepwise):
    """Training on all rows of the request, of which the forgotten have labels drawn among the other classes.

    w ← w − η ∇ mean cross-entropy, with y′ uniform over the classes but y for forgotten rows and y for retained ones.
    Labels are drawn once, from the seed.

    Source: Graves et al., arXiv 2010.10981 ("amnesiac unlearning" by relabelling).

    Traps: the network becomes sure of wrong labels instead of unsure, so that the forgotten rows stand out by a loss
    that no unseen row has: a low accuracy on them is no success.

    Args:
        passes: over all rows of the request.
        learning_rate: η; None is the recipe's.

    Raises:
        InputError: a hyper-parameter out of its range, or a network of one class.

    Shape: images (N, C, H, W) and labels (N,) of the request, logits (N, classes) of its network.

    Example:
        >>> result = RandomLabels(passes=1).unlearn(request)  # doctest: +SKIP
    """

    name = "random_labels"
    source = "arXiv 2010.10981"
    traps = "The network becomes sure of wrong labels, which makes the forgotten samples easy to find by their loss."
    grid = ({"rate": 1.0}, {"rate": 0.3}, {"rate": 0.1})

    def __init__(self, *, passes: int = 3, learning_rate: Optional[float] = None) -> None:
        super().__init__(passes, learning_rate)

    def _unlearn(self, request: UnlearningRequest) -> UnlearningResult:
        labels = request.y.copy()
        labels[request.forget] = other_labels(request.y[request.forget],
                                              classes_of(request.network, request.x[request.forget]), request.seed)
        rows = np.union1d(request.forget, request.retained)
        losses = self._repeat(self._begin(request), LEARN, request, rows, labels)
        return UnlearningResult(request.network, float(self.passes * len(rows)), record={"losses": losses})


def other_labels(labels: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Return for every label (n,) another one, uniform over the rest of the classes, int32 (n,).

    Raises:
        InputError: there is one class only.
    """
    if classes < 2:
        raise InputError(f"the network has {classes} class; expected at least 2 to draw another label from")
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _STREAM])))
    return ((labels + generator.integers(1, classes, len(labels))) % classes).astype(np.int32)
