"""The native kernels as MindSpore operators with gradients: an LSTM layer, and LeNet5's convolution block.

Each is an ``ops.Custom`` primitive whose ``bprop`` calls further ones, a separate one for every gradient, so that
the graph compiler drops those that nobody asks for (that of the images, in training). First derivatives only.
"""

from __future__ import annotations

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


def lstm_layer(library: Library) -> Any:
    """Return an operator (x, w_ih, w_hh, bias) → (h, gates, cells, last), with gradients from h.

    Shapes: x (N, T, I); w_ih (4H, I), w_hh (4H, H) and bias (4H,) with the gates in MindSpore's order; h (N, T, H);
    last, the hidden state after the last step, (N, H). gates and cells are for the backward pass.
    """
    return _lstm(library, 0)


def lstm_last(library: Library) -> Any:
    """Return the operator of ``lstm_layer`` with gradients from last, for those who use nothing else."""
    return _lstm(library, 3)


def _lstm(library: Library, used: int) -> Any:
    """Return the forward operator whose gradient comes from its output number ``used``."""
    lanes, float32 = library.lanes, ms.float32

    def kept(x: Shape, w_hh: Shape) -> tuple[Shape, Shape]:
        rows = [-(-w_hh[1] // lanes), x[1], x[0]]
        return [*rows, 4 * lanes], [*rows, lanes]

    def outputs(x: Shape, w_ih: Shape, w_hh: Shape, bias: Shape) -> tuple[Shape, ...]:
        return ([*x[:2], w_hh[1]], *kept(x, w_hh), [x[0], w_hh[1]])

    backward = _operator(library, "lstm_backward", lambda x, w_hh, *_: kept(x, w_hh)[0], float32)
    weights = _operator(library, "lstm_weight_gradient",
                        lambda x, w_hh, *_: ([4 * w_hh[1], x[2]], w_hh, w_hh[:1]), (float32,) * 3)
    images = _operator(library, "lstm_input_gradient", lambda x, *_: x, float32)

    def bprop(x: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor, out: Any, dout: Any) -> tuple[Tensor, ...]:
        gradient = backward(x, w_hh, out[1], out[2], dout[used])
        d_ih, d_hh, d_bias = weights(x, w_hh, out[0], gradient)
        return images(x, w_ih, w_hh, gradient), d_ih, d_hh, d_bias

    return _operator(library, "lstm_forward", outputs, (float32,) * 4, bprop, used)


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
