"""A training whose loss is not finite any more: what it comes from, the learning rate last."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from mindspore import nn

from mindleak.errors import Key, NotFiniteError
from mindleak.evaluation.finite import LARGEST_HALF, complaint
from mindleak.training.history import EpochRecord
from mindleak.training.request import TrainingData


def require_finite(record: EpochRecord, network: nn.Cell, predict: Callable[[np.ndarray], np.ndarray],
                   data: TrainingData, optimizer: str, kind: str = "training") -> None:
    """Stop a training that has diverged, in the epoch's steps or in its last one.

    Args:
        record: of the epoch.
        network: as the epoch has left it.
        predict: returns the network's logits (N, classes) for images (N, C, H, W).
        data: what it is trained and validated on.
        optimizer: name in the recipe.
        kind: what messages call the training.

    Raises:
        NotFiniteError: the training or the validation loss, or a weight, is not finite. Where the weights are, an image
            is to blame, and the message names it; otherwise it says what weights of their type do, and at last the
            learning rate.
    """
    watched = math.isfinite(record.train_loss)
    loss = record.val_loss if watched else record.train_loss
    weights = not_finite_weights(network)
    if math.isfinite(loss):
        if weights is not None:
            raise NotFiniteError(f"{kind} fails in epoch {record.epoch}: weights are not finite ({weights}), though "
                                 f"the loss is {loss:g}. {_hidden(data)}")
        return
    which = f"the {'validation' if watched else 'training'} loss is {loss:g}"
    if weights is None:
        said = _blamed_image(predict, data)
        if said is not None:
            raise NotFiniteError(f"{kind} fails in epoch {record.epoch}: {which}, and the weights are finite. {said}")
    half = _half(network, predict(data.x_val[:1]), optimizer)
    raise NotFiniteError(f"{kind} diverged in epoch {record.epoch}: {which}; {half}lower ",
                         Key("training.learning_rate"), f" (now {record.learning_rate:g})")


def not_finite_weights(network: nn.Cell) -> str | None:
    """Return which parameter of a network has numbers that are not finite, and how many; None where none has."""
    for parameter in network.get_parameters():
        bad = int((~np.isfinite(parameter.asnumpy())).sum()) if "Float" in str(parameter.dtype) else 0
        if bad:
            return f"{bad:,} of {int(parameter.size):,} in '{parameter.name}'"
    return None


def _hidden(data: TrainingData) -> str:
    """Say what makes weights NaN under a finite loss: a ReLU makes 0 of NaN, so no answer shows it."""
    images, _ = data.own()
    flat = images.reshape(len(images), -1)
    places = np.flatnonzero(flat.min(axis=1) == flat.max(axis=1))
    what = "does the network divide by an image's mean, sum or deviation, or take its logarithm, before a ReLU?"
    if not len(places):
        return f"A ReLU makes 0 of NaN: {what}"
    row = places[0] if data.rows is None else data.rows[places[0]]
    return (f"All pixels of training row {row} are {flat[places[0], 0]:g} ({len(places):,} such images): {what} A ReLU "
            "makes 0 of NaN, so that no answer shows it")


def _blamed_image(predict: Callable[[np.ndarray], np.ndarray], data: TrainingData) -> str | None:
    """Return which image a network with finite weights gives no finite answer about."""
    said = complaint(predict(data.x_val), data.x_val, data.watched, data.watched_rows)
    if said is not None:
        return said
    images, _ = data.own()
    return complaint(predict(images), images, "training", data.rows)


def _half(network: nn.Cell, answers: np.ndarray, optimizer: str) -> str:
    """Return what to do about half precision where there is any, to be followed by what else could be done."""
    half = next((parameter.name for parameter in network.get_parameters() if str(parameter.dtype) == "Float16"), None)
    if half is None:
        return "" if answers.dtype != np.float16 else (
            f"it answers in float16, whose largest number is {LARGEST_HALF}: answer in float32. If that is not it, ")
    divides = f", which {optimizer} divides by" if optimizer == "adam" else ""
    return (f"weights such as '{half}' are float16, in which numbers above {LARGEST_HALF} are infinite and squares of "
            f"small gradients 0{divides}; make them float32, and cast to float16 inside the network. If that is not "
            "it, ")
