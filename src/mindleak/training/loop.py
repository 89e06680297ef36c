"""The compiled loops: many training steps, or a forward pass over many images, in few calls.

Images and labels lie on the device; a call runs a ``while`` loop of steps inside one compiled graph, so MindSpore's
dispatch, which costs several times a small network's step, is paid once per call (benchmarks/train_lenet5.py and
benchmarks/train_lstm_rnn.py compare it with PyTorch).
"""

from __future__ import annotations

import contextlib
import signal
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindleak import device
from mindleak.training.recipe import Recipe


def make_optimizer(network: nn.Cell, recipe: Recipe) -> nn.Optimizer:
    """Return the recipe's optimiser over the network's trainable parameters, at its initial learning rate."""
    weights = network.trainable_params()
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return nn.SGD(weights, rate, weight_decay=decay)
    if recipe.optimizer == "adam":
        return nn.Adam(weights, rate, weight_decay=decay)
    if recipe.optimizer == "nesterov":
        # nn.Momentum(use_nesterov=True) takes plain momentum steps on CPU (MindSpore 2.8.0).
        return nn.SGD(weights, rate, recipe.momentum, weight_decay=decay, nesterov=True)
    return nn.Momentum(weights, rate, recipe.momentum, weight_decay=decay)


def epoch_order(samples: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """Return which samples form which batch in ``epoch``: int32 (steps, batch_size).

    Depends on seed and epoch only, so an interrupted run continues with the batches it would have had.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    steps = samples // batch_size
    return generator.permutation(samples)[: steps * batch_size].reshape(steps, batch_size).astype(np.int32)


def filled_up(order: np.ndarray) -> np.ndarray:
    """Return an order (steps, batch_size) filled up to a multiple of ``STEPS`` with steps that nobody takes.

    A compiled loop is compiled anew for another shape; trainings on more or fewer samples thus share one.
    """
    return np.pad(order, ((0, -len(order) % STEPS), (0, 0)))


def own_part(order: np.ndarray) -> np.ndarray:
    """Return this process's part of every batch, int32 (steps, batch_size / shards); all of it in one process.

    Args:
        order: as ``epoch_order`` returns it; the batch size is a multiple of the number of processes.
    """
    where = device.current()
    return np.ascontiguousarray(order[:, where.rank::where.world_size]) if where.shards > 1 else order


# So many steps are one shape: all epochs of up to 65,000 samples in batches of 32, at 4 bytes a sample.
STEPS = 2048

# Read-only arrays that are on the device already, by identity and name. Entries are weak and keep nothing alive.
_resident: dict[tuple[int, str], tuple[weakref.ref[np.ndarray], weakref.ref[Parameter]]] = {}


@dataclass
class LoopTotals:
    """Sums over the steps of an epoch so far."""

    loss: float = 0.0
    correct: float = 0.0
    steps: int = 0


class TrainingLoop:
    """Training steps on device-resident data, compiled once for all epochs.

    Args:
        network: maps images to logits.
        optimizer: updates the network's parameters in place.
        images: float32 (N, C, H, W), or (N, features) for attack models.
        labels: int32 (N,).
    """

    def __init__(self, network: nn.Cell, optimizer: nn.Cell, images: np.ndarray, labels: np.ndarray) -> None:
        self._network = network
        self._images = on_device(images, "mindleak.images")
        self._labels = on_device(labels, "mindleak.labels")
        self._steps = _compile_steps(network, optimizer)

    def run(self, order: Tensor, start: int, stop: int, totals: LoopTotals) -> None:
        """Take the steps ``start`` to ``stop`` of ``order`` (steps, batch_size) and add to ``totals``.

        ``order`` is this process's part of every batch (``own_part``); totals are those of the whole batches.
        """
        self._network.set_train(True)
        with interruptible():
            sums = self._steps(self._images, self._labels, order, Tensor(start, ms.int32), Tensor(stop, ms.int32))
            loss, correct = (float(value.asnumpy()) for value in sums)
        totals.loss += loss
        totals.correct += correct
        totals.steps += stop - start
        self._network.set_train(False)


def on_device(values: np.ndarray, name: str) -> Parameter:
    """Return an array of any shape as a parameter ``name``, which stays on the device.

    A tensor argument of a compiled function is copied there at every call (MNIST: 0.1 s and 240 MB), a parameter
    is not. An array that nobody can write to is put there once, for all loops that hold it at a time.
    """
    key = (id(values), name)
    if key in _resident and not values.flags.writeable:
        array, parameter = _resident[key]
        if array() is values and (there := parameter()) is not None:
            return there
    made = Parameter(Tensor.from_numpy(np.ascontiguousarray(values)), name=name, requires_grad=False)
    if not values.flags.writeable:
        _resident[key] = (weakref.ref(values), weakref.ref(made, lambda _: _resident.pop(key, None)))
    return made


def _compile_steps(network: nn.Cell, optimizer: nn.Cell) -> Any:
    """Return the compiled function (images, labels, order, start, stop) → (sum of losses, number correct).

    Where batches are divided, gradients are means over all processes before the optimiser sees them, so that every
    process takes the same step: what the optimiser does with them, masks and their terms included, it does everywhere.
    """
    shards = device.current().shards
    average = nn.DistributedGradReducer(optimizer.parameters, mean=True, degree=shards) if shards > 1 else None
    summed = ops.AllReduce() if shards > 1 else None
    cross_entropy = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")

    def forward(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = network(images)
        return cross_entropy(logits, labels), logits

    gradient = ms.value_and_grad(forward, None, optimizer.parameters, has_aux=True)

    @ms.jit
    def steps(images: Tensor, labels: Tensor, order: Tensor, start: Tensor, stop: Tensor) -> tuple[Tensor, Tensor]:
        step = start
        loss_sum = ops.zeros((), ms.float32)
        correct = ops.zeros((), ms.float32)
        while step < stop:
            batch = order[step]
            truth = ops.gather(labels, batch, 0)
            (loss, logits), gradients = gradient(ops.gather(images, batch, 0), truth)
            if average is not None:
                gradients = average(gradients)
            optimizer(gradients)
            loss_sum = loss_sum + loss
            correct = correct + ops.equal(ops.argmax(logits, 1).astype(ms.int32), truth).astype(ms.float32).sum()
            step = step + 1
        if summed is not None:
            loss_sum = summed(loss_sum) / shards
            correct = summed(correct)
        return loss_sum, correct

    return steps


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise ``KeyboardInterrupt`` when the compiled call in the block, with its results, is done.

    While a compiled graph runs, MindSpore answers SIGINT by sending SIGTERM to its own process, which would end it
    on the spot: no message, no clean-up, and a notebook's kernel gone. So SIGTERM interrupts, too, unless the
    program around has plans of its own for it (the command line has).
    """
    if (threading.current_thread() is not threading.main_thread()
            or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL):
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Predictor:
    """The network's answers for any number of images, in fixed-size compiled batches, in evaluation mode.

    Args:
        network: any Cell with one input and one output.
        batch_size: images per call; the last batch is padded, since one shape means one compilation.
    """

    def __init__(self, network: nn.Cell, batch_size: int = 1000) -> None:
        self._network = network
        self._batch_size = batch_size
        self._forward = _compile_forward(network)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs (N, …) for inputs (N, …), float32."""
        self._network.set_train(False)
        count = len(images)
        size = min(self._batch_size, max(count, 1))
        with interruptible():
            outputs = [self._forward(Tensor(_padded(images[start:start + size], size))).asnumpy()
                       for start in range(0, count, size)]
        return np.concatenate(outputs)[:count]


def _compile_forward(network: nn.Cell) -> Any:
    """Return the compiled forward pass; a named function, since the graph parser takes no lambdas."""

    @ms.jit
    def forward(images: Tensor) -> Tensor:
        return network(images)

    return forward


def _padded(images: np.ndarray, size: int) -> np.ndarray:
    """Fill a batch up to ``size`` with copies of its first image."""
    missing = size - len(images)
    if missing == 0:
        return images
    return np.concatenate([images, np.broadcast_to(images[:1], (missing, *images.shape[1:]))])
