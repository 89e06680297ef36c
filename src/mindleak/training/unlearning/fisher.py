"""Diagonal Fisher information: how much the loss of single samples depends on every weight."""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindleak.training import in_place
from mindleak.training.loop import interruptible, on_device


class FisherDiagonal:
    """Sums over samples of the squared gradients of their cross-entropy, for every trainable weight of a network.

    A square must be taken sample by sample. The compiled loop has batches of one, so that this is exact for every
    network, its native kernels included; ``training.per_sample`` would have to form every sample's gradient as well,
    has it for some layers only, and by slower operators. The square of a batch's mean gradient, which public code takes
    instead, is something else: it shrinks with the batch size.

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
        self._sums = ParameterTuple([Parameter(Tensor(np.zeros(weight.shape, np.float32)), name=f"fisher.{weight.name}",
                                               requires_grad=False) for weight in network.trainable_params()])
        self._add = _compile(network, self._sums)

    def __call__(self, labels: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
        """Return the sums over rows, float64, in the order and of the shapes of ``trainable_params``.

        Args:
            labels: int32 (N,), of all images.
            rows: int32 (n,).
        """
        self._network.set_train(False)
        for total in self._sums:
            in_place.write(total, np.zeros(total.shape, np.float32))
        with interruptible():
            self._add(self._images, Tensor(labels), Tensor(rows[:, None]), Tensor(0, ms.int32),
                      Tensor(len(rows), ms.int32)).asnumpy()
            return [total.asnumpy().astype(np.float64) for total in self._sums]


def _compile(network: nn.Cell, sums: ParameterTuple) -> Any:
    """Return the compiled function (images, labels, order (n, 1), first step, last + 1) → steps, which adds to sums."""
    cross_entropy = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="sum")

    def forward(image: Tensor, label: Tensor) -> Tensor:
        return cross_entropy(network(image), label)

    gradient = ms.grad(forward, None, ParameterTuple(network.trainable_params()))

    @ms.jit
    def add(images: Tensor, labels: Tensor, order: Tensor, step: Tensor, stop: Tensor) -> Tensor:
        while step < stop:
            row = order[step]
            gradients = gradient(ops.gather(images, row, 0), ops.gather(labels, row, 0))
            for index in range(len(sums)):
                ops.assign_add(sums[index], ops.square(gradients[index]))
            step = step + 1
        return step

    return add
