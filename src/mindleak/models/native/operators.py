"""The native kernels as MindSpore operators with gradients: recurrent layers, and LeNet5's convolution block.

Each is an ``ops.Custom`` primitive whose ``bprop`` calls further ones, a separate one for every gradient, so that
the graph compiler drops those that nobody asks for (that of the images, in training). First derivatives only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import mindspore as ms
from mindspore import Tensor, ops

from mindleak.models.native.library import Library

Shape = list[int]


def conv_block(library: Library, padding: int) -> Any:
    """Return an operator (x, weight, bias) → (pooled, choice): 2x2 maxima of ReLU of a 5x5 convolution of stride 1.

    Shapes: x (N, C, H, W); weight (outputs, C, 5, 5); bias (outputs,); pooled (N, outputs, H', W') with
    H' = (H + 2·padding − 4) // 2. choice is for the backward pass.
    """

    def outputs(x: Shape, weight: Shape, _: Shape) -> tuple[Shape, Shape]:
        pooled = [x[0], weight[0], *((side + 2 * padding - 4) // 2 for side in x[2:])]
        return pooled, pooled

    weights = _operator(library, "conv_weight_gradient", lambda x, weight, *_: (weight, weight[:1]),
                        (ms.float32, ms.float32))
    images = _operator(library, "conv_input_gradient", lambda x, *_: x, ms.float32)

    def bprop(x: Tensor, weight: Tensor, bias: Tensor, out: Any, dout: Any) -> tuple[Tensor, ...]:
        d_weight, d_bias = weights(x, weight, out[1], dout[0])
        return images(x, weight, out[1], dout[0]), d_weight, d_bias

    return _operator(library, "conv_forward", outputs, (ms.float32, ms.uint8), bprop, padding)


@dataclass(frozen=True)
class _Cell:
    """One of the recurrent cells: its C functions' prefix, vectors per group of units, gates of the bias."""

    prefix: str
    unit_vectors: int
    kept_vectors: int
    ticks: bool
    bias_gates: int


# A Clockwork RNN is an Elman network whose units stand still at some steps.
_CELLS = {"lstm": _Cell("lstm", 1, 5, False, 4), "gru": _Cell("gru", 1, 5, False, 4),
          "rnn": _Cell("elman", 4, 4, True, 1), "clockwork": _Cell("elman", 4, 4, True, 1)}


def recurrent_layer(library: Library, cell: str) -> Any:
    """Return an operator (x, w_ih, w_hh, bias[, ticks]) → (h, kept, last), with gradients from h.

    Shapes: x (N, T, I); w_ih (G·H, I) and w_hh (G·H, H) with the gates in MindSpore's order; h (N, T, H); last, the
    hidden state after the last step, (N, H). kept is for the backward pass. bias is (G·H,), the sum of both, and for
    the GRU (4·H,): input's of the new gate, the sums of reset and update gate, hidden state's of the new gate. ticks
    (T, H), for rnn and clockwork, is 1 where a unit moves and 0 where it holds its state.
    """
    return _recurrent(library, _CELLS[cell], 0)


def recurrent_last(library: Library, cell: str) -> Any:
    """Return the operator of ``recurrent_layer`` with gradients from last, for those who use nothing else."""
    return _recurrent(library, _CELLS[cell], 2)


def _recurrent(library: Library, cell: _Cell, used: int) -> Any:
    """Return the forward operator whose gradient comes from its output number ``used``."""
    lanes, float32 = library.lanes, ms.float32

    def rows(x: Shape, w_hh: Shape) -> Shape:
        return [-(-w_hh[1] // (cell.unit_vectors * lanes)), x[1], x[0]]

    def outputs(x: Shape, w_ih: Shape, w_hh: Shape, *_: Shape) -> tuple[Shape, ...]:
        return [*x[:2], w_hh[1]], [*rows(x, w_hh), cell.kept_vectors * lanes], [x[0], w_hh[1]]

    backward = _operator(library, f"{cell.prefix}_backward", lambda x, w_hh, *_: [*rows(x, w_hh), 4 * lanes], float32)
    weights = _operator(library, f"{cell.prefix}_weight_gradient",
                        lambda x, w_hh, *_: ([w_hh[0], x[2]], w_hh, [cell.bias_gates * w_hh[1]]), (float32,) * 3)
    images = _operator(library, f"{cell.prefix}_input_gradient", lambda x, *_: x, float32)

    def bprop(x: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor, out: Any, dout: Any) -> tuple[Tensor, ...]:
        gradient = backward(x, w_hh, out[1], dout[used])
        d_ih, d_hh, d_bias = weights(x, w_hh, out[0], gradient)
        return images(x, w_ih, w_hh, gradient), d_ih, d_hh, d_bias

    def ticking_bprop(x: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor, ticks: Tensor, out: Any,
                      dout: Any) -> tuple[Tensor, ...]:
        gradient = backward(x, w_hh, out[1], dout[used], ticks)
        d_ih, d_hh, d_bias = weights(x, w_hh, out[0], gradient, ticks)
        return images(x, w_ih, w_hh, gradient, ticks), d_ih, d_hh, d_bias, ops.zeros_like(ticks)

    return _operator(library, f"{cell.prefix}_forward", outputs, (float32,) * 3,
                     ticking_bprop if cell.ticks else bprop, used)


def _operator(library: Library, function: str, shapes: Callable[..., Any], types: Any, bprop: Any = None,
              variant: int = 0) -> Any:
    """Return the primitive of one C function.

    ``shapes`` maps its inputs' shapes to its outputs', ``types`` are the outputs'. A kernel takes what it is given
    for floats, so other numbers are refused here. The graph compiler takes primitives of equal name and attributes
    for one and the same, with the first one's ``bprop``; ``variant`` tells apart those of one C function.
    """

    def checked(*given: Any) -> Any:
        for kind in (tensor.element_type() for tensor in given):
            if kind not in (ms.float32, ms.uint8):
                raise TypeError(f"the native kernels compute with float32, not {kind}; set device.kernels=mindspore")
        return types

    primitive = ops.Custom(f"{library.path}:{function}", shapes, checked, "aot", bprop)
    primitive.add_prim_attr("variant", variant)
    return primitive
