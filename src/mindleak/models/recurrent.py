"""The recurrent family of the RNN tutorial: an image read as a sequence, the last step classified."""

from __future__ import annotations

from typing import Any

import numpy as np
from mindspore import Tensor, nn, ops

from mindleak import device, kernels
from mindleak.errors import InputError, nearest
from mindleak.models.base import Classifier
from mindleak.models.clockwork import ClockworkRNN, checked_periods
from mindleak.settings.model import CELLS, SEQUENCES

# MindSpore documents for nn.GRU that its operator on Ascend works on blocks of so many units.
ASCEND_GRU_UNITS = 16


class _Layers(nn.Cell):
    """Recurrent layers by MindSpore's operators.

    The layers stay the network's own; ``auto_prefix=False`` keeps their parameters' names as they are.
    """

    def __init__(self, layers: Any, kind: str) -> None:
        super().__init__(auto_prefix=False)
        self.layers = layers
        self.kind = kind

    def outputs(self, x: Tensor) -> Tensor:
        """Return the top layer's states at all steps, (N, T, hidden·D), for sequences (N, T, step size)."""
        return self.layers(x)[0]

    def last(self, x: Tensor) -> Tensor:
        """Return the top layer's last states, equal to the ends of ``outputs``, whose gradient would be larger."""
        states = self.layers(x)[1]
        if self.kind == "lstm":
            states = states[0]
        if self.layers.bidirectional:
            return ops.concat((states[-2], states[-1]), 1)
        return states[-1]


class _KernelLayers(nn.Cell):
    """The same by the native kernels."""

    def __init__(self, layers: Any, kind: str, steps: int, library: kernels.Library) -> None:
        super().__init__(auto_prefix=False)
        self.layers = layers
        self.kind = kind
        self.below_top = layers.num_layers - 1
        directions = 1 + layers.bidirectional
        self.every: Any = kernels.recurrent_layer(library, kind, directions)
        self.ends: Any = kernels.recurrent_last(library, kind, directions)
        self.ticks = layers.ticks if kind == "clockwork" else Tensor(np.ones((steps, layers.hidden_size), np.float32))

    def outputs(self, x: Tensor) -> Tensor:
        """See _Layers.outputs."""
        for index in range(self.below_top + 1):
            x = self.every(x, *self.weights(index))[0]
        return x

    def last(self, x: Tensor) -> Tensor:
        """See _Layers.last."""
        for index in range(self.below_top):
            x = self.every(x, *self.weights(index))[0]
        return self.ends(x, *self.weights(self.below_top))[-1]

    def weights(self, index: int) -> tuple[Tensor, ...]:
        """Return what the kernels take for one layer (kernels/operators.py)."""
        ticks = (self.ticks,) if self.kind in ("rnn", "clockwork") else ()
        if self.layers.bidirectional:
            return *self.of_direction(2 * index), *self.of_direction(2 * index + 1), *ticks
        return *self.of_direction(index), *ticks

    def of_direction(self, place: int) -> tuple[Tensor, ...]:
        """Return a direction's weights of inputs and states, and its bias."""
        made = self.layers
        w_ih, b_ih, b_hh = made.w_ih_list[place], made.b_ih_list[place], made.b_hh_list[place]
        if self.kind == "clockwork":
            return w_ih, made.recurrent_weight(place), b_ih + b_hh
        if self.kind == "gru":
            both = 2 * made.hidden_size
            bias = ops.concat((b_ih[both:], b_ih[:both] + b_hh[:both], b_hh[both:]))
            return w_ih, made.w_hh_list[place], bias
        return w_ih, made.w_hh_list[place], b_ih + b_hh


class Recurrent(Classifier):
    """Recurrent layers over an image, last state → Dense (docs/methods.md).

    ``sequence="rows"`` reads (N, C, H, W) as H steps of C·W numbers (the RNN tutorial's classifier);
    ``"channels"`` reads it as C steps of H·W numbers (the model its membership attack uses).
    ``cell`` is ``rnn`` (Elman, tanh), ``gru``, ``lstm`` or ``clockwork``; ``periods`` are the last one's.

    Parameters stand under the cell's name, called as PyTorch and MindSpore call them: ``gru.weight_ih_l0``,
    ``gru.bias_hh_l1_reverse``. Their shapes, the order of gates, and two biases per layer are the same there.

    Shape: (N, C, H, W) → (N, num_classes). Layers, with D = 2 directions if ``bidirectional``, else 1: the cell's name
    (all steps of the top layer, (N, T, hidden·D)), ``last`` (its state after the last step, that of the backward
    direction after the first one beside it, (N, hidden·D)), ``logits``.

    Raises:
        InputError: an option out of its range, periods without a clockwork, or a GRU that Ascend cannot run.
    """

    default_epochs = 20

    def __init__(self, input_shape: tuple[int, int, int] = (1, 28, 28), num_classes: int = 10,
                 hidden_size: int = 128, layers: int = 1, sequence: str = "rows", cell: str = "lstm",
                 bidirectional: bool = False, periods: int | list[int] | None = None) -> None:
        super().__init__()
        _check(hidden_size, layers, sequence, cell, periods)
        self.input_shape = input_shape
        self.num_classes = num_classes
        self.kind = cell
        self.layer_names = (cell, "last", "logits")
        self.by_rows = sequence == "rows"
        channels, height, width = input_shape
        self.steps = height if self.by_rows else channels
        self.step_size = channels * width if self.by_rows else height * width
        made = _layers(self.step_size, self.steps, hidden_size, layers, cell, bidirectional, periods)
        # Parameters' names begin with the attribute's name. The graph compiler cannot look up an attribute by a
        # computed name, so it reaches the layers through the tuple.
        setattr(self, cell, made)
        self.fc = nn.Dense(hidden_size * (1 + bidirectional), num_classes)
        self.compute_with(kernels.for_device())

    def compute_with(self, library: kernels.Library | None) -> None:
        """See Classifier.compute_with."""
        layers = getattr(self, self.kind)
        made = (_Layers(layers, self.kind) if library is None
                else _KernelLayers(layers, self.kind, self.steps, library))
        # In a tuple it is no child of the network, whose children's names its parameters have.
        self.recurrent = (made,)

    def forward_to(self, x: Tensor, layer: str) -> Tensor:
        """See Classifier.forward_to."""
        if self.by_rows:
            x = x.transpose((0, 2, 1, 3))
        x = x.reshape((x.shape[0], self.steps, self.step_size))
        if layer == self.kind:
            return self.recurrent[0].outputs(x)
        last = self.recurrent[0].last(x)
        if layer == "last":
            return last
        return self.fc(last)


def label(cell: str, bidirectional: bool) -> str:
    """Return what a network of the family is called in reports and file names: lstm_rnn, bidirectional_gru_rnn."""
    return ("bidirectional_" if bidirectional else "") + ("rnn" if cell == "rnn" else f"{cell}_rnn")


def _check(hidden_size: int, layers: int, sequence: str, cell: str, periods: int | list[int] | None) -> None:
    """Refuse options out of their range."""
    for name, value, known in (("sequence", sequence, SEQUENCES), ("cell", cell, CELLS)):
        if value not in known:
            raise InputError(f"model.{name} '{value}' is unknown{nearest(value.lower(), known)}")
    for name, number in (("hidden_size", hidden_size), ("layers", layers)):
        if number < 1:
            raise InputError(f"model.{name} is {number}; expected at least 1")
    if periods is not None and cell != "clockwork":
        raise InputError(f"model.periods is {periods}, and the {cell} cell has no clock; expected null, or "
                         "model.cell=clockwork")
    if cell == "gru" and hidden_size % ASCEND_GRU_UNITS and device.current().target == "Ascend":
        raise InputError(f"model.hidden_size is {hidden_size}; MindSpore's GRU on Ascend takes multiples of "
                         f"{ASCEND_GRU_UNITS} only; nearest are "
                         f"{max(1, hidden_size // ASCEND_GRU_UNITS) * ASCEND_GRU_UNITS} and "
                         f"{(hidden_size // ASCEND_GRU_UNITS + 1) * ASCEND_GRU_UNITS}")


def _layers(step_size: int, steps: int, hidden_size: int, layers: int, cell: str, bidirectional: bool,
            periods: int | list[int] | None) -> Any:
    """Return the recurrent layers, MindSpore's own but for the clockwork."""
    if cell == "clockwork":
        return ClockworkRNN(step_size, hidden_size, checked_periods(periods, hidden_size), steps, layers, bidirectional)
    kinds = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
    return kinds[cell](step_size, hidden_size, layers, batch_first=True, bidirectional=bidirectional)
