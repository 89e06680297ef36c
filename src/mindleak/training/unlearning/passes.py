"""Passes over rows of device-resident images: each is one call of a compiled loop, by one of a few losses.

A pass takes every row once, in batches whose order follows from (seed, pass). A last batch that is not full is filled
up with rows that weigh nothing, so that a small forget set is forgotten whole: an ordinary epoch would drop them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from scipy.special import log_softmax

from mindleak.training import in_place
from mindleak.training.loop import Predictor, epoch_order, interruptible, on_device


@dataclass(frozen=True)
class Objective:
    """What a step makes smaller: c · cross-entropy + k · KL(teacher ‖ network), the mean over a batch.

    With a negative weight it is made larger. ``bounded`` passes stop before the first step whose batch has a mean loss,
    its sign aside, above a bound.
    """

    cross_entropy: float = 0.0
    divergence: float = 0.0
    bounded: bool = False


LEARN = Objective(cross_entropy=1.0)


@dataclass(frozen=True)
class PassTotals:
    """What a pass has seen: the mean loss over its steps, each before it was taken, and how many there were."""

    loss: float
    steps: int


class Passes:
    """Passes of one optimiser over one set of images, each objective compiled once.

    Args:
        network: maps images to logits; trained in place.
        optimizer: over its trainable parameters.
        images: float32 (N, C, H, W).
        batch_size: of the steps; smaller where a pass has fewer rows.

    Attributes:
        optimizer: as given.
        predict: asks the network as it is.
    """

    def __init__(self, network: nn.Cell, optimizer: nn.Cell, images: np.ndarray, batch_size: int) -> None:
        self.optimizer = optimizer
        self.predict = Predictor(network)
        self._network = network
        # The array itself is kept, too: whoever looks compiled passes up by its id relies on that.
        self._source = images
        self._images = on_device(images, "mindleak.images")
        self._batch_size = batch_size
        self._compiled: dict[Objective, Any] = {}
        weights = {id(parameter) for parameter in network.get_parameters()}
        self._state = [parameter for parameter in optimizer.get_parameters() if id(parameter) not in weights]
        self._initial = [parameter.asnumpy().copy() for parameter in self._state]

    def restart(self, rate: float) -> None:
        """Bring the optimiser back to before its first step, at a learning rate."""
        for parameter, value in zip(self._state, self._initial):
            in_place.write(parameter, value)
        in_place.write(self.optimizer.learning_rate, np.array(rate, np.float32))

    def steps(self, rows: int) -> int:
        """Return how many steps a pass over so many rows has."""
        return -(-rows // min(self._batch_size, rows))

    def run(self, objective: Objective, rows: np.ndarray, order: tuple[int, int], labels: np.ndarray,
            teacher: np.ndarray | None = None, bound: float = math.inf,
            span: tuple[int, int] | None = None) -> PassTotals:
        """Take every row once, or some of the steps that do.

        Args:
            objective: what the steps make smaller.
            rows: int32 (n,).
            order: seed and number of the pass, which the batches follow from.
            labels: int32 (N,), of all images.
            teacher: log-probabilities float32 (N, classes) of all images, for an objective with a divergence.
            bound: of a bounded objective.
            span: the first step that is taken, and the first one after it that is not; all of the pass by default.
        """
        places, shares = batches(rows, self._batch_size, *order)
        if objective not in self._compiled:
            self._compiled[objective] = _compile(self._network, self.optimizer, objective)
        answers = np.zeros((1, 1), np.float32) if teacher is None else teacher
        first, stop = (0, len(places)) if span is None else span
        self._network.set_train(True)
        with interruptible():
            loss, taken = self._compiled[objective](
                self._images, Tensor(labels), Tensor(answers), Tensor(places), Tensor(shares),
                Tensor(first, ms.int32), Tensor(stop, ms.int32), Tensor(bound, ms.float32))
            total, steps = float(loss.asnumpy()), int(taken.asnumpy()) - first
        self._network.set_train(False)
        return PassTotals(total / max(steps, 1), steps)


def batches(rows: np.ndarray, batch_size: int, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the batches of a pass, int32 (steps, width), and what every entry weighs, float32 of that shape.

    The rows are in the order of ``loop.epoch_order``; weights of a batch add up to 1. What fills the last batch up are
    the first rows of the order, with weight 0.
    """
    count = len(rows)
    width = min(batch_size, count)
    steps = -(-count // width)
    places = np.resize(epoch_order(count, 1, seed, number)[:, 0], steps * width).reshape(steps, width)
    valid = (np.arange(steps * width) < count).reshape(steps, width)
    shares = valid / valid.sum(axis=1, keepdims=True)
    return rows[places].astype(np.int32), shares.astype(np.float32)


def log_probabilities(predict: Predictor, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return a network's log-probabilities for some rows, in a table float32 (N, classes) that is 0 elsewhere."""
    logits = predict(images[rows])
    table = np.zeros((len(images), logits.shape[1]), np.float32)
    table[rows] = log_softmax(logits.astype(np.float64), axis=1)
    return table


def classes_of(network: nn.Cell, images: np.ndarray) -> int:
    """Return the number of a network's logits, asked about one of the images."""
    network.set_train(False)
    return int(network(Tensor(np.ascontiguousarray(images[:1]))).shape[1])


def _compile(network: nn.Cell, optimizer: nn.Cell, objective: Objective) -> Any:
    """Return the compiled pass: (images, labels, teacher, order, shares, first step, last + 1, bound) → (loss, steps).

    The loss is the sum over the steps taken; ``steps`` counts them.
    """
    entropy = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="none")
    normalise = nn.LogSoftmax(axis=1)
    learnt, imitated, bounded = objective.cross_entropy, objective.divergence, objective.bounded

    def forward(images: Tensor, truth: Tensor, wanted: Tensor, share: Tensor) -> Tensor:
        logits = network(images)
        loss = ops.zeros_like(share)
        if learnt != 0:
            loss = loss + entropy(logits, truth) * learnt
        if imitated != 0:
            loss = loss + (ops.exp(wanted) * (wanted - normalise(logits))).sum(axis=1) * imitated
        return (loss * share).sum()

    gradient = ms.value_and_grad(forward, None, optimizer.parameters)

    @ms.jit
    def steps(images: Tensor, labels: Tensor, teacher: Tensor, order: Tensor, shares: Tensor, step: Tensor,
              stop: Tensor, bound: Tensor) -> tuple[Tensor, Tensor]:
        taken = step
        loss_sum = ops.zeros((), ms.float32)
        while step < stop:
            batch = order[step]
            wanted = shares[step]
            if imitated != 0:
                wanted = ops.gather(teacher, batch, 0)
            loss, gradients = gradient(ops.gather(images, batch, 0), ops.gather(labels, batch, 0), wanted,
                                       shares[step])
            if bounded:
                # Not ``abs(loss) > bound``: of a loss that is no number that would be false.
                if ops.abs(loss) <= bound:
                    optimizer(gradients)
                    loss_sum = loss_sum + loss
                    step = step + 1
                    taken = taken + 1
                else:
                    step = stop
            else:
                optimizer(gradients)
                loss_sum = loss_sum + loss
                step = step + 1
                taken = taken + 1
        return loss_sum, taken

    return steps

