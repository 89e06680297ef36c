"""Networks are asked about images of the data set here, and nowhere in silence: an answer must be a finite number.

What is trained or attacked is asked about both splits before any work is done. Otherwise one black image that a network
divides by ends a training as if the learning rate were too high, or an attack in a traceback after hours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mindspore import nn

from mindleak.data.dataset import TEST, TRAINING, Dataset
from mindleak.errors import NotFiniteError
from mindleak.evaluation.finite import complaint
from mindleak.models.registry import CLASSIFIERS
from mindleak.training.divergence import not_finite_weights
from mindleak.training.loop import Predictor


def ask(predict: Callable[[np.ndarray], np.ndarray], data: Dataset, split: str, name: str,
        rows: np.ndarray | None = None, change: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """Return a network's answers about rows of a split, (N, …).

    Args:
        predict: returns the answers about images.
        data: whose images.
        split: ``TRAINING`` or ``TEST``.
        name: what messages call the network.
        rows: of the split; all by default.
        change: of the images before the network is asked.

    Raises:
        NotFiniteError: an answer is not finite; the message names the row.
    """
    images, _ = data.of_split(split)
    images = images if rows is None else images[rows]
    images = images if change is None else change(images)
    answers = predict(images)
    said = complaint(answers, images, split, rows)
    if said is not None:
        raise NotFiniteError(f"model '{name}', {said}")
    return answers


def require_finite(network: nn.Cell, data: Dataset, name: str, trained: bool) -> None:
    """Ask a network about every image of both splits; what is asked later is among these.

    Args:
        network: left in evaluation mode. An untrained one of the project's own is known to answer.
        data: whose images.
        name: what messages call it.
        trained: whether its weights come from a checkpoint.

    Raises:
        NotFiniteError: an answer, or a weight, is not finite.
    """
    if type(network) in CLASSIFIERS.values() and not trained:
        return
    weights = not_finite_weights(network)
    if weights is not None:
        raise NotFiniteError(f"model '{name}' has weights that are not finite: {weights}")
    predict = Predictor(network)
    for split in (TRAINING, TEST):
        ask(predict, data, split, name)
