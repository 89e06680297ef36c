"""Per-sample gradients without a loop over samples: their norms, the sum of the clipped ones, and that of squares.

One backward pass of the summed loss gives every layer's output gradient per sample, and the layer's input is known:
together they are the sample's gradient, Σ_t δ_t ⊗ a_t, which need not be formed for its norm (Goodfellow, arXiv
1510.01799; over time or places the Gram form of Li et al., arXiv 2110.05679, section 4) nor for the weighted sum, which
is one matrix product (Bu et al., arXiv 2210.00038, "book-keeping"). Convolutions do form it: with few channels and many
places that is cheaper (Bu et al., arXiv 2205.10683, section 4).

It is a twin of the network that is differentiated, with the same parameters, in which stand-ins that show what passes
through them (``LAYERS``) have the layers' places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindleak.errors import InputError, first_line
from mindleak.models.base import by_operators, twin
from mindleak.models.clockwork import ClockworkRNN
from mindleak.training.tapped_layers import Shape, Tapped, TappedConv2d, TappedDense
from mindleak.training.tapped_recurrent import TappedClockwork, TappedGRU, TappedLSTM, TappedRNN

# The kinds of layer whose per-sample gradients are known; a further one is one entry more.
LAYERS: dict[type[nn.Cell], type[Tapped]] = {
    nn.Dense: TappedDense, nn.Conv2d: TappedConv2d, nn.LSTM: TappedLSTM, nn.GRU: TappedGRU, nn.RNN: TappedRNN,
    ClockworkRNN: TappedClockwork}


@dataclass(frozen=True)
class _Plan:
    """One layer of the network, its stand-in, and what makes gradients of its probes' values."""

    layer: nn.Cell
    tapped: Tapped
    gradients: nn.Cell


class PerSampleGradients:
    """Clipped sums of per-sample gradients of the cross-entropy, and sums of their squares, for batches of one size.

    Args:
        network: maps images to logits; its trainable parameters belong to ``nn.Dense``, ``nn.Conv2d`` (one group),
            ``nn.LSTM``, ``nn.GRU``, ``nn.RNN`` (batch first, no dropout, tanh) and ``ClockworkRNN`` only, each used
            once.
        sample_shape: shape of one input.
        batch_size: samples per call.
        clip_norm: C of Abadi et al.; squares are not clipped.

    Raises:
        InputError: a network whose per-sample gradients are not to be had this way.
    """

    def __init__(self, network: nn.Cell, sample_shape: Shape, batch_size: int, clip_norm: float) -> None:
        plain = _plain(network)
        plans = _plan(plain, sample_shape, batch_size)
        self._tapped = twin(plain, [(plan.layer, plan.tapped) for plan in plans])
        owned = [id(parameter) for plan in plans for parameter in plan.tapped.parameters(plan.layer)]
        order = [owned.index(id(parameter)) for parameter in network.trainable_params()]
        counts = [len(plan.tapped.probes) for plan in plans]
        self.clipped_sum = _ClippedSum([plan.gradients for plan in plans], counts, order, clip_norm)
        self.squared_sum = _SquaredSum([plan.gradients for plan in plans], counts, order)
        self.backward = self._backward([probe for plan in plans for probe in plan.tapped.probes])

    def _backward(self, probes: list[Parameter]) -> Any:
        """Return the function (images, labels) → ((losses (N,), logits), values of the probes)."""
        network = self._tapped
        cross_entropy = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="none")

        def forward(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            logits = network(images)
            losses = cross_entropy(logits, labels)
            return losses.sum(), losses, logits

        return ms.value_and_grad(forward, None, ParameterTuple(probes), has_aux=True)

    def set_train(self, mode: bool) -> None:
        """Bring what is differentiated into training or evaluation mode; the network itself has its own."""
        self._tapped.set_train(mode)


class _ClippedSum(nn.Cell):
    """Σ min(1, C/‖g_i‖) · g_i over the samples of a batch (Abadi et al., algorithm 1), from the probes' values."""

    def __init__(self, layers: list[nn.Cell], counts: list[int], order: list[int], clip_norm: float) -> None:
        super().__init__(auto_prefix=False)
        self.layers = nn.CellList(layers)
        self.counts = tuple(counts)
        self.order = tuple(order)
        self.clip_norm = clip_norm

    def construct(self, values: tuple[Tensor, ...], valid: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the sum per trainable parameter, in the network's order, and the norms (N,).

        ``valid`` (N,) is 1 for a sample of the batch and 0 for padding.
        """
        squared = ops.zeros_like(valid)
        kept: tuple[tuple[Tensor, ...], ...] = ()
        start = 0
        for index in range(len(self.layers)):
            own, needed = self.layers[index].measure(values[start:start + self.counts[index]])
            squared = squared + own
            kept += (needed,)
            start += self.counts[index]
        norms = ops.sqrt(squared)
        # A gradient of zero is within any bound; the floor only keeps its quotient finite.
        factors = valid * ops.minimum(self.clip_norm / ops.maximum(norms, 1e-30), 1.0)
        sums: tuple[Tensor, ...] = ()
        for index in range(len(self.layers)):
            sums += self.layers[index].collect(kept[index], factors)
        ordered: tuple[Tensor, ...] = ()
        for place in self.order:
            ordered += (sums[place],)
        return ordered, norms


class _SquaredSum(nn.Cell):
    """Σ g_i², element by element, over the samples of a batch, from the probes' values."""

    def __init__(self, layers: list[nn.Cell], counts: list[int], order: list[int]) -> None:
        super().__init__(auto_prefix=False)
        self.layers = nn.CellList(layers)
        self.counts = tuple(counts)
        self.order = tuple(order)

    def construct(self, values: tuple[Tensor, ...], valid: Tensor) -> tuple[Tensor, ...]:
        """Return the sum per trainable parameter, in the network's order; ``valid`` (N,) as in ``_ClippedSum``."""
        sums: tuple[Tensor, ...] = ()
        start = 0
        for index in range(len(self.layers)):
            _, kept = self.layers[index].measure(values[start:start + self.counts[index]])
            sums += self.layers[index].collect_squares(kept, valid)
            start += self.counts[index]
        ordered: tuple[Tensor, ...] = ()
        for place in self.order:
            ordered += (sums[place],)
        return ordered


def require_separable(network: nn.Cell, sample_shape: Shape) -> None:
    """Refuse a network whose per-sample gradients are not to be had from its layers.

    Raises:
        InputError: see ``PerSampleGradients``.
    """
    _plan(_plain(network), sample_shape, 2)


def require_exact(network: nn.Cell, images: np.ndarray, labels: np.ndarray) -> None:
    """Hold clipped sums against the gradients of one sample at a time, for a network that nobody has tested here.

    Args:
        network: left in evaluation mode.
        images: a few samples (n, ...).
        labels: int32 (n,).

    Raises:
        InputError: they differ: samples see each other (batch statistics), or weights are used outside their layers.
    """
    network.set_train(True)
    # Dropout draws anew for every call; it touches every sample by itself, and so may be left out of the comparison.
    for _, cell in network.cells_and_names():
        if isinstance(cell, nn.Dropout):
            cell.set_train(False)
    alone = _alone(network, images, labels)
    norms = np.sqrt(sum(np.square(gradient, dtype=np.float64).reshape(len(images), -1).sum(axis=1)
                        for gradient in alone))
    clip_norm = float(max(np.median(norms), 1e-6))
    factors = np.minimum(1.0, clip_norm / np.maximum(norms, 1e-30))
    expected = [np.tensordot(factors, gradient, 1) for gradient in alone]
    together = _together(network, images, labels, clip_norm)
    network.set_train(False)
    for found, wanted in zip(together, expected):
        if not np.allclose(found, wanted, rtol=1e-2, atol=1e-3 * clip_norm):
            raise _refusal("its gradients in a batch are not those of its samples alone")


def _alone(network: nn.Cell, images: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Return the gradient of every sample in a batch of its own, (n, ...) per trainable parameter."""
    cross_entropy = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="sum")

    def forward(image: Tensor, label: Tensor) -> Tensor:
        return cross_entropy(network(image), label)

    gradient = ms.grad(forward, None, network.trainable_params())
    rows = [[part.asnumpy() for part in gradient(Tensor(images[place:place + 1]), Tensor(labels[place:place + 1]))]
            for place in range(len(images))]
    return [np.stack(parts) for parts in zip(*rows)]


def _together(network: nn.Cell, images: np.ndarray, labels: np.ndarray, clip_norm: float) -> list[np.ndarray]:
    """Return the clipped sum per trainable parameter, by ``PerSampleGradients``."""
    gradients = PerSampleGradients(network, images.shape[1:], len(images), clip_norm)
    backward, clipped_sum = gradients.backward, gradients.clipped_sum

    @ms.jit
    def summed(batch: Tensor, truth: Tensor, valid: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        _, values = backward(batch, truth)
        return clipped_sum(values, valid)

    sums, _ = summed(Tensor(images), Tensor(labels), Tensor(np.ones(len(images), np.float32)))
    return [part.asnumpy() for part in sums]


def _plain(network: nn.Cell) -> nn.Cell:
    """Return a twin of the network whose layers are all called, and nothing else computes in their place."""
    try:
        return by_operators(network)
    except Exception as error:
        raise _refusal(f"it cannot be copied ({first_line(error)})") from error


def _plan(network: nn.Cell, sample_shape: Shape, batch_size: int) -> list[_Plan]:
    """Return a plan for every layer with trainable parameters of a network by ``_plain``.

    Raises:
        InputError: see ``PerSampleGradients``.
    """
    layers = _layers(network)
    shapes = _observed_shapes(network, layers, sample_shape)
    plans = []
    for name, layer in layers.items():
        kind, (taken, given) = LAYERS[type(layer)], shapes[name]
        objection = kind.objection(layer, taken)
        if objection is not None:
            raise _refusal(f"'{name}' {objection}")
        tapped = kind(layer, name, kind.probe_shapes(layer, taken, given, batch_size))
        plans.append(_Plan(layer, tapped, kind.gradients(layer, taken)))
    return plans


def _layers(network: nn.Cell) -> dict[str, nn.Cell]:
    """Return the layers that own the trainable parameters, by name."""
    owners: dict[str, nn.Cell] = {}
    seen: set[int] = set()
    for name, cell in network.cells_and_names():
        own = {id(parameter): parameter for _, parameter in cell.parameters_and_names(expand=False)
               if parameter.requires_grad}
        if type(cell) in LAYERS:
            own = {id(parameter): parameter for parameter in LAYERS[type(cell)].parameters(cell)
                   if parameter.requires_grad}
        if not own.keys() - seen:
            continue
        if type(cell) not in LAYERS:
            raise _refusal(f"'{name or type(network).__name__}' is a {type(cell).__name__} with trainable parameters")
        if own.keys() & seen:
            raise _refusal(f"'{name}' shares a parameter with another layer")
        if len(own) != len(list(cell.get_parameters())):
            raise _refusal(f"some parameters of '{name}' are frozen")
        seen |= own.keys()
        owners[name] = cell
    return owners


def _refusal(reason: str) -> InputError:
    """Say why a network's per-sample gradients are not to be had."""
    return InputError(f"dp_sgd cannot take this network's gradients per sample: {reason}; expected Dense, Conv2d "
                      "(group 1) and LSTM, GRU and RNN (batch_first, no dropout, tanh), each used once per image")


def _observed_shapes(network: nn.Cell, layers: dict[str, nn.Cell],
                     sample_shape: Shape) -> dict[str, tuple[Shape, Shape]]:
    """Return the shapes, without the samples' axis, of every layer's input and output, from a try with 2 samples."""
    shapes: dict[str, list[Any]] = {name: [] for name in layers}

    def watch(name: str) -> Any:
        def hook(_cell: nn.Cell, inputs: tuple[Any, ...], output: Any) -> None:
            shapes[name].append((inputs, output[0] if isinstance(output, tuple) else output))
        return hook

    handles = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    try:
        network(Tensor(np.zeros((2, *sample_shape), np.float32)))
    except Exception as error:
        raise _refusal(first_line(error)) from error
    finally:
        for handle in handles:
            handle.remove()
    return {name: _single_call(name, calls) for name, calls in shapes.items()}


def _single_call(name: str, calls: list[Any]) -> tuple[Shape, Shape]:
    """Return input and output shape of a layer that was called once, with one tensor of 2 samples."""
    if len(calls) != 1:
        raise _refusal(f"'{name}' is used {len(calls)} times")
    inputs, output = calls[0]
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor):
        raise _refusal(f"'{name}' is given more than one tensor")
    if inputs[0].shape[0] != 2 or output.shape[0] != 2:
        raise _refusal(f"the first axis of what '{name}' takes is not that of the images")
    return tuple(inputs[0].shape[1:]), tuple(output.shape[1:])
