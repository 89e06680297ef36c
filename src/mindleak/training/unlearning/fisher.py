"""Diagonal Fisher information: how much the loss of single samples depends on every weight."""

from __future__ import annotations

import math
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindleak.models.registry import CLASSIFIERS
from mindleak.training import in_place
from mindleak.training.loop import interruptible, on_device
from mindleak.training.per_sample import PerSampleGradients

# A batch of per-sample gradients has at most so many samples, and so many numbers of one layer.
_WIDEST, _NUMBERS = 64, 2**24


class FisherDiagonal:
    """Sums over samples of the squared gradients of their cross-entropy, for every trainable weight of a network.

    A square must be taken sample by sample. Registered networks have per-sample gradients in batches
    (``training.per_sample``); any other network is taken in batches of one, which is as exact and several times slower.
    The square of a batch's mean gradient, which public code takes, is something else: it shrinks with the batch size.

    The network is in evaluation mode, so that no sample depends on others.

    Args:
        network: maps images to logits.
        images: float32 (N, C, H, W).
    """

    def __init__(self, network: nn.Cell, images: np.ndarray) -> None:
        self._network = network
        # The array itself is kept, too: whoever looks this up by its id relies on that.
        self._source = images
        self._images = on_device(images, "mindleak.images")
        weights = network.trainable_params()
        self._sums = ParameterTuple([Parameter(Tensor(np.zeros(weight.shape, np.float32)), name=f"fisher.{weight.name}",
                                               requires_grad=False) for weight in weights])
        if type(network) in CLASSIFIERS.values():
            self._width = max(1, min(_WIDEST, _NUMBERS // max(int(weight.size) for weight in weights)))
            self._add = _compile_batches(PerSampleGradients(network, images.shape[1:], self._width, math.inf),
                                         self._sums)
        else:
            self._width = 1
            self._add = _compile_singles(network, self._sums)

    def __call__(self, labels: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
        """Return the sums over rows, float64, in the order and of the shapes of ``trainable_params``.

        Args:
            labels: int32 (N,), of all images.
            rows: int32 (n,).
        """
        self._network.set_train(False)
        for total in self._sums:
            in_place.write(total, np.zeros(total.shape, np.float32))
        steps = -(-len(rows) // self._width)
        order = np.resize(rows, (steps, self._width)).astype(np.int32)
        valid = (np.arange(order.size) < len(rows)).reshape(order.shape).astype(np.float32)
        with interruptible():
            self._add(self._images, Tensor(labels), Tensor(order), Tensor(valid), Tensor(0, ms.int32),
                      Tensor(steps, ms.int32)).asnumpy()
            return [total.asnumpy().astype(np.float64) for total in self._sums]


def _compile_batches(gradients: PerSampleGradients, sums: ParameterTuple) -> Any:
    """Return the function (images, labels, order, valid, first step, last + 1) → last + 1 that adds to ``sums``.

    ``order`` int32 (steps, width) are the rows; ``valid``, of that shape, is 0 for those that fill a batch up.
    """
    backward, squared_sum = gradients.backward, gradients.squared_sum
    gradients.set_train(False)

    @ms.jit
    def add(images: Tensor, labels: Tensor, order: Tensor, valid: Tensor, step: Tensor, stop: Tensor) -> Tensor:
        while step < stop:
            rows = order[step]
            _, values = backward(ops.gather(images, rows, 0), ops.gather(labels, rows, 0))
            squares = squared_sum(values, valid[step])
            for index in range(len(sums)):
                ops.assign_add(sums[index], squares[index])
            step = step + 1
        return step

    return add


def _compile_singles(network: nn.Cell, sums: ParameterTuple) -> Any:
    """Return what ``_compile_batches`` does, for batches of one and any network."""
    cross_entropy = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="sum")

    def forward(image: Tensor, label: Tensor) -> Tensor:
        return cross_entropy(network(image), label)

    gradient = ms.grad(forward, None, ParameterTuple(network.trainable_params()))

    @ms.jit
    def add(images: Tensor, labels: Tensor, order: Tensor, valid: Tensor, step: Tensor, stop: Tensor) -> Tensor:
        while step < stop:
            row = order[step]
            gradients = gradient(ops.gather(images, row, 0), ops.gather(labels, row, 0))
            for index in range(len(sums)):
                ops.assign_add(sums[index], ops.square(gradients[index]))
            step = step + 1
        return step

    return add
