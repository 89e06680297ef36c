"""The native kernels as MindSpore operators with gradients: recurrent layers, and LeNet5's convolution block.

Each is an ``ops.Custom`` primitive whose ``bprop`` calls further ones, a separate one for every gradient, so that
the graph compiler drops those that nobody asks for (that of the images, in training). First derivatives only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import mindspore as ms
from mindspore import Tensor, ops

from mindleak.kernels.library import Library

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


def recurrent_layer(library: Library, cell: str, directions: int = 1) -> Any:
    """Return an operator (x, weights of each direction[, ticks]) → (h, kept of each, last), with gradients from h.

    The weights of a direction are w_ih, w_hh, bias. Of two directions the second reads the sequence backwards; its
    states stand beside those of the first, at the steps that they belong to.

    Shapes, with D directions: x (N, T, I); w_ih (G·H, I) and w_hh (G·H, H) with the gates in MindSpore's order;
    h (N, T, D·H); last, the state after the last step of each direction, (N, D·H). kept is for the backward pass. bias
    is (G·H,), the sum of both, and for the GRU (4·H,): input's of the new gate, the sums of reset and update gate,
    hidden state's of the new gate. ticks (T, H), for rnn and clockwork, is 1 where a unit moves and 0 where it holds
    its state, by the steps as a direction takes them.
    """
    return _recurrent(library, _CELLS[cell], directions, 0)


def recurrent_last(library: Library, cell: str, directions: int = 1) -> Any:
    """Return the operator of ``recurrent_layer`` with gradients from last, for those who use nothing else."""
    return _recurrent(library, _CELLS[cell], directions, 1 + directions)


def _recurrent(library: Library, cell: _Cell, directions: int, used: int) -> Any:
    """Return the forward operator whose gradient comes from its output number ``used``."""
    lanes, float32 = library.lanes, ms.float32
    prefix = ("both_" if directions == 2 else "") + cell.prefix

    def kept(x: Shape, w_hh: Shape, vectors: int) -> tuple[Shape, ...]:
        groups = -(-w_hh[1] // (cell.unit_vectors * lanes))
        return ([groups, x[1], x[0], vectors * lanes],) * directions

    def outputs(x: Shape, w_ih: Shape, w_hh: Shape, *_: Shape) -> tuple[Shape, ...]:
        states = directions * w_hh[1]
        return [*x[:2], states], *kept(x, w_hh, cell.kept_vectors), [x[0], states]

    def sums(x: Shape, w_hh: Shape, *_: Shape) -> Any:
        shapes = kept(x, w_hh, 4)
        return shapes if directions == 2 else shapes[0]

    def weight_shapes(x: Shape, w_hh: Shape, *_: Shape) -> tuple[Shape, ...]:
        return ([w_hh[0], x[2]], w_hh, [cell.bias_gates * w_hh[1]]) * directions

    backward = _operator(library, f"{prefix}_backward", sums, (float32,) * 2 if directions == 2 else float32)
    weights = _operator(library, f"{prefix}_weight_gradient", weight_shapes, (float32,) * 3 * directions)
    images = _operator(library, f"{prefix}_input_gradient", lambda x, *_: x, float32)

    def gradients(x: Tensor, w_ih: Any, w_hh: Any, clock: Any, out: Any, dout: Any) -> tuple[Tensor, ...]:
        summed = backward(x, *w_hh, *out[1:-1], dout[used], *clock)
        each = summed if directions == 2 else (summed,)
        d_weights = weights(x, w_hh[0], out[0], *each, *clock)
        return images(x, *w_ih, w_hh[0], *each, *clock), *d_weights

    # The graph compiler wants a bprop to name the operator's inputs.
    def one(x: Tensor, ih: Tensor, hh: Tensor, bias: Tensor, out: Any, dout: Any) -> tuple[Tensor, ...]:
        return gradients(x, (ih,), (hh,), (), out, dout)

    def one_ticking(x: Tensor, ih: Tensor, hh: Tensor, bias: Tensor, ticks: Tensor, out: Any,
                    dout: Any) -> tuple[Tensor, ...]:
        return *gradients(x, (ih,), (hh,), (ticks,), out, dout), ops.zeros_like(ticks)

    def both(x: Tensor, ih: Tensor, hh: Tensor, bias: Tensor, ih_back: Tensor, hh_back: Tensor, bias_back: Tensor,
             out: Any, dout: Any) -> tuple[Tensor, ...]:
        return gradients(x, (ih, ih_back), (hh, hh_back), (), out, dout)

    def both_ticking(x: Tensor, ih: Tensor, hh: Tensor, bias: Tensor, ih_back: Tensor, hh_back: Tensor,
                     bias_back: Tensor, ticks: Tensor, out: Any, dout: Any) -> tuple[Tensor, ...]:
        return *gradients(x, (ih, ih_back), (hh, hh_back), (ticks,), out, dout), ops.zeros_like(ticks)

    bprop = ((one, one_ticking), (both, both_ticking))[directions - 1][cell.ticks]
    types = (float32,) * (2 + directions)
    return _operator(library, f"{prefix}_forward", outputs, types, bprop, used)


class _Operator(ops.Custom):
    """An operator that a copied network shares with the original; MindSpore cannot copy a ``Custom``."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


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

    primitive = _Operator(f"{library.path}:{function}", shapes, checked, "aot", bprop)
    primitive.add_prim_attr("variant", variant)
    return primitive
