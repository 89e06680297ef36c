"""Many FCNets of two outputs trained at once: their weights are stacked along a model axis, matrix products batched.

One step of all costs little more than one step of one, whose operators are too small to keep a core busy. A loss on two
logits sees their difference only, the margin. Adam moves the two outputs' weights by equal amounts in opposite
directions, so the margin's weights are kept alone, and move twice as fast. Biases are the weights of a constant: one
more input, and one more hidden unit, which nothing moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from mindleak.models.fcnet import FCNet
from mindleak.training.loop import interruptible

# The defaults of nn.Adam.
_BETAS = (0.9, 0.999)
_EPSILON = 1e-8
# Steps are filled up to a multiple of this, so that stacks of nearly the same size are compiled once.
_STEPS = 16

_product, _transposed_product = ops.BatchMatMul(), ops.BatchMatMul(transpose_a=True)


class FCNetStack:
    """FCNets with a softmax over two outputs, trained side by side with Adam on one table of rows.

    Every model has its own batches, its own number of steps and its own optimiser state: it ends with the weights that
    it would have had alone.

    Args:
        networks: freshly initialised, equal in shape, with two outputs.
        features: float32 (N, dim_in).
        targets: (N,), 0 or 1.
        learning_rate: of Adam.
    """

    def __init__(self, networks: Sequence[FCNet], features: np.ndarray, targets: np.ndarray,
                 learning_rate: float) -> None:
        self.weights = np.stack([_flat(network) for network in networks])
        self._moments = (np.zeros_like(self.weights), np.zeros_like(self.weights))
        self._taken = np.zeros(len(networks), np.int64)
        self._learning_rate = learning_rate
        constant = np.ones((len(features), 1), np.float32)
        # Tensors are copied to the device at every epoch, but with parameters every stack would be compiled anew.
        self._features = Tensor(np.concatenate([features, constant], axis=1))
        self._targets = Tensor(targets.astype(np.float32))
        hidden = networks[0].fc1.out_channels
        into = np.ones((features.shape[1] + 1, hidden + 1), np.float32)
        into[:, hidden] = 0
        self._speed = np.concatenate([into.ravel(), np.full(hidden + 1, 2, np.float32)])

    def epoch(self, batches: Sequence[np.ndarray | None]) -> None:
        """Take one step per batch.

        Args:
            batches: per model the row numbers of its batches, int (steps, size), or None for a model that rests.
        """
        steps = np.array([0 if rows is None else len(rows) for rows in batches])
        sizes = np.array([1 if rows is None else rows.shape[1] for rows in batches])
        most = int(steps.max())
        order = np.zeros((-(-most // _STEPS) * _STEPS, len(batches), sizes.max()), np.int32)
        for model, rows in enumerate(batches):
            if rows is not None:
                order[:len(rows), model, :rows.shape[1]] = rows
        shares = (np.arange(sizes.max()) < sizes[:, None]) / sizes[:, None]
        rates = self._rates(steps, len(order))
        with interruptible():
            state = _steps(*map(Tensor, (self.weights, *self._moments)), self._features, self._targets, Tensor(order),
                           Tensor(shares[:, :, None].astype(np.float32)), Tensor(rates), Tensor(self._speed),
                           Tensor(0, ms.int32), Tensor(most, ms.int32))
            self.weights, *moments = (values.asnumpy() for values in state)
        self._moments = (moments[0], moments[1])
        self._taken += steps

    def margins(self, model: int, features: np.ndarray) -> np.ndarray:
        """Return a model's second logit minus its first, float64 (N,), for float32 (N, dim_in)."""
        weights, inputs = self.weights[model].astype(np.float64), features.shape[1] + 1
        into, out = np.split(weights, [len(weights) // (inputs + 1) * inputs])
        into = into.reshape(inputs, -1)
        margins: np.ndarray = np.maximum(features @ into[:-1] + into[-1], 0) @ out
        return margins

    def _rates(self, steps: np.ndarray, length: int) -> np.ndarray:
        """Return, float32 (length, 3, models, 1), how fast the moments and the weights move: 0 where a model rests."""
        taken = self._taken + 1 + np.arange(length)[:, None]
        first, second = (1 - beta ** taken for beta in _BETAS)
        speeds = [np.full(taken.shape, 1 - _BETAS[0]), np.full(taken.shape, 1 - _BETAS[1]),
                  self._learning_rate * np.sqrt(second) / first]
        active = np.arange(length)[:, None] < steps
        return np.stack([speed * active for speed in speeds], axis=1)[..., None].astype(np.float32)


def _flat(network: FCNet) -> np.ndarray:
    """Return a network's weights in one row: inputs and constant to hidden units and constant, these to margin."""
    first, first_bias, second, second_bias = (
        parameter.asnumpy() for layer in (network.fc1, network.fc2) for parameter in (layer.weight, layer.bias))
    into = np.zeros((first.shape[1] + 1, first.shape[0] + 1), np.float32)
    into[:-1, :-1], into[-1, :-1], into[-1, -1] = first.T, first_bias, 1
    return np.concatenate([into.ravel(), second[1] - second[0], second_bias[1:] - second_bias[:1]])


@ms.jit
def _steps(weights: Tensor, first: Tensor, second: Tensor, features: Tensor, targets: Tensor, order: Tensor,
           shares: Tensor, rates: Tensor, speed: Tensor, step: Tensor, stop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Take the steps ``step`` to ``stop``; return weights and moments, (models, numbers) each.

    The gradient is written out: the graph compiler's own takes a third more operators.
    """
    models, size, inputs = order.shape[1], order.shape[2], features.shape[1]
    units = weights.shape[1] // (inputs + 1)
    while step < stop:
        rows = order[step].reshape((-1,))
        x = ops.gather(features, rows, 0).reshape((models, size, inputs))
        truth = ops.gather(targets, rows, 0).reshape((models, size, 1))
        out = weights[:, inputs * units:]
        hidden = ops.relu(_product(x, weights[:, :inputs * units].reshape((models, inputs, units))))
        error = (ops.sigmoid(_product(hidden, out.reshape((models, units, 1)))) - truth) * shares
        back = error * out.reshape((models, 1, units)) * ops.sign(hidden)
        gradient = ops.concat((_transposed_product(x, back).reshape((models, -1)),
                               _transposed_product(hidden, error).reshape((models, -1))), 1)
        rate = rates[step]
        first = first + (gradient - first) * rate[0]
        second = second + (gradient * gradient - second) * rate[1]
        weights = weights - first / (ops.sqrt(second) + _EPSILON) * speed * rate[2]
        step = step + 1
    return weights, first, second
