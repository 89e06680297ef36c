"""Layers that show what passes through them, and the per-sample gradients that follow from it.

A compiled graph gives out nothing but its results and gradients. A *probe* is a parameter of zeros whose "gradient" is
the value wanted: a layer's input, or the gradient of its output. ``training.per_sample`` uses both;
``training.tapped_recurrent`` has the recurrent layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

Shape = tuple[int, ...]


class Reveal(nn.Cell):
    """Identity whose gradient with respect to ``probe`` is the value that went through."""

    def construct(self, value: Tensor, probe: Tensor) -> Tensor:
        """Return ``value``."""
        return value

    def bprop(self, value: Tensor, probe: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of ``construct``'s arguments; the second one is no gradient but the message."""
        return dout, value


class Tapped(nn.Cell):
    """A layer's stand-in that computes what the layer does and shows what passes through it, one subclass per kind.

    It shares the layer's parameters without renaming them. A subclass gives ``construct`` and the class methods.

    Args:
        layer: of the kind.
        name: of the layer in its network, for the probes' names.
        shapes: of the probes.
    """

    def __init__(self, layer: Any, name: str, shapes: Sequence[Shape]) -> None:
        super().__init__(auto_prefix=False)
        self.layer = layer
        self.reveal = Reveal()
        # Not by setattr, which would give the tuple another type and the probes other names.
        self.__dict__["probes"] = tuple(
            Parameter(Tensor(np.zeros(shape, np.float32)), name=f"mindleak.probe.{name}.{place}")
            for place, shape in enumerate(shapes))

    def __getattr__(self, name: str) -> Any:
        """Answer for the layer: a network may ask more of it than its output."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            layer = self.__dict__.get("_cells", {}).get("layer")
            if layer is None:
                raise
            return getattr(layer, name)

    @classmethod
    def objection(cls, layer: Any, taken: Shape) -> str | None:
        """Say why the layer's per-sample gradients are not to be had, None where they are.

        Args:
            layer: of the kind.
            taken: shape of its input, without the samples' axis.
        """
        raise NotImplementedError

    @classmethod
    def probe_shapes(cls, layer: Any, taken: Shape, given: Shape, batch: int) -> list[Shape]:
        """Return the shapes of the probes for batches of ``batch`` samples, input ``taken`` and output ``given``."""
        return [(batch, *taken), (batch, *given)]

    @classmethod
    def parameters(cls, layer: Any) -> list[Parameter]:
        """Return the layer's parameters, in the order in which ``gradients`` has their sums."""
        return [layer.weight, layer.bias] if layer.has_bias else [layer.weight]

    @classmethod
    def gradients(cls, layer: Any, taken: Shape) -> nn.Cell:
        """Return the Cell with ``measure``, ``collect``, ``collect_squares`` that makes gradients of probes' values."""
        raise NotImplementedError


class TappedDense(Tapped):
    """``nn.Dense`` on vectors with probes on its input and on its output before the activation."""

    def construct(self, x: Tensor) -> Tensor:
        """Return what ``nn.Dense`` returns."""
        x = self.reveal(x, self.probes[0])
        x = ops.matmul(x, self.layer.weight.swapaxes(0, 1))
        if self.layer.has_bias:
            x = x + self.layer.bias
        x = x + self.probes[1]
        if self.layer.activation_flag:
            x = self.layer.activation(x)
        return x

    @classmethod
    def objection(cls, layer: nn.Dense, taken: Shape) -> str | None:
        """See Tapped.objection."""
        return None if len(taken) == 1 else f"is a Dense on arrays of {len(taken)} axes per image"

    @classmethod
    def gradients(cls, layer: nn.Dense, taken: Shape) -> nn.Cell:
        """See Tapped.gradients."""
        return DenseGradients(layer)


class TappedConv2d(Tapped):
    """``nn.Conv2d`` of one group with probes on its input and output."""

    def construct(self, x: Tensor) -> Tensor:
        """Return what ``nn.Conv2d`` returns."""
        x = self.layer.conv2d(self.reveal(x, self.probes[0]), self.layer.weight)
        if self.layer.has_bias:
            x = self.layer.bias_add(x, self.layer.bias)
        return x + self.probes[1]

    @classmethod
    def objection(cls, layer: nn.Conv2d, taken: Shape) -> str | None:
        """See Tapped.objection."""
        if layer.group != 1 or layer.data_format != "NCHW":
            return f"has group {layer.group}, format {layer.data_format}"
        return None if layer.pad_mode in ("valid", "same", "pad") else f"has pad_mode {layer.pad_mode}"

    @classmethod
    def gradients(cls, layer: nn.Conv2d, taken: Shape) -> nn.Cell:
        """See Tapped.gradients."""
        return ConvolutionGradients(layer, taken)


class DenseGradients(nn.Cell):
    """Per-sample gradients of a dense layer, from inputs (N, I) and output gradients (N, O): δ ⊗ a, and δ."""

    def __init__(self, layer: nn.Dense) -> None:
        super().__init__(auto_prefix=False)
        self.has_bias = bool(layer.has_bias)

    def measure(self, values: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return squared norms (N,) and what ``collect`` needs."""
        inputs, errors = values
        size = ops.square(inputs).sum(axis=1)
        if self.has_bias:
            size = size + 1.0
        return ops.square(errors).sum(axis=1) * size, (inputs, errors)

    def collect(self, kept: Sequence[Tensor], factors: Tensor) -> tuple[Tensor, ...]:
        """Return Σ factor · gradient over the samples, per parameter."""
        inputs, errors = kept
        weighted = errors * factors.expand_dims(1)
        weight = ops.matmul(weighted.swapaxes(0, 1), inputs)
        return (weight, weighted.sum(axis=0)) if self.has_bias else (weight,)

    def collect_squares(self, kept: Sequence[Tensor], factors: Tensor) -> tuple[Tensor, ...]:
        """Return Σ factor · gradient², element by element, over the samples, per parameter."""
        inputs, errors = kept
        weighted = ops.square(errors) * factors.expand_dims(1)
        weight = ops.matmul(weighted.swapaxes(0, 1), ops.square(inputs))
        return (weight, weighted.sum(axis=0)) if self.has_bias else (weight,)


class ConvolutionGradients(nn.Cell):
    """Per-sample gradients of a convolution: output gradients (N, O, places) times patches (N, C·k·k, places)."""

    def __init__(self, layer: nn.Conv2d, input_shape: tuple[int, ...]) -> None:
        super().__init__(auto_prefix=False)
        self.has_bias = bool(layer.has_bias)
        self.kernel = tuple(layer.kernel_size)
        self.stride = _two(layer.stride)
        self.dilation = _two(layer.dilation)
        self.border = border(layer, input_shape)
        self.padded = any(self.border)
        self.weight_shape = tuple(layer.weight.shape)
        self.product = ops.BatchMatMul(transpose_b=True)

    def measure(self, values: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return squared norms (N,) and what ``collect`` needs: the gradients themselves, flat."""
        inputs, errors = values
        if self.padded:
            inputs = ops.pad(inputs, self.border)
        patches = ops.unfold(inputs, self.kernel, self.dilation, 0, self.stride)
        errors = errors.reshape((errors.shape[0], errors.shape[1], -1))
        weight = self.product(errors, patches).reshape((errors.shape[0], -1))
        norms = ops.square(weight).sum(axis=1)
        if not self.has_bias:
            return norms, (weight,)
        bias = errors.sum(axis=2)
        return norms + ops.square(bias).sum(axis=1), (weight, bias)

    def collect(self, kept: Sequence[Tensor], factors: Tensor) -> tuple[Tensor, ...]:
        """Return Σ factor · gradient over the samples, per parameter."""
        row = factors.expand_dims(0)
        weight = ops.matmul(row, kept[0]).reshape(self.weight_shape)
        return (weight, ops.matmul(row, kept[1]).reshape((-1,))) if self.has_bias else (weight,)

    def collect_squares(self, kept: Sequence[Tensor], factors: Tensor) -> tuple[Tensor, ...]:
        """Return Σ factor · gradient², element by element, over the samples, per parameter."""
        return self.collect([ops.square(gradient) for gradient in kept], factors)


def _two(value: Any) -> tuple[int, int]:
    """Return stride or dilation as (vertical, horizontal)."""
    return (value, value) if isinstance(value, int) else tuple(value)[-2:]


def border(layer: nn.Conv2d, input_shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return how many zeros a convolution puts around an image: left, right, top, bottom."""
    if layer.pad_mode == "valid":
        return (0, 0, 0, 0)
    if layer.pad_mode == "pad":
        padding = layer.padding
        top, bottom, left, right = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        return (left, right, top, bottom)
    ends = []
    for size, kernel, stride, dilation in zip(input_shape[-2:], layer.kernel_size, _two(layer.stride),
                                              _two(layer.dilation)):
        reach = (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1
        missing = max(reach - size, 0)
        ends.append((missing // 2, missing - missing // 2))
    (top, bottom), (left, right) = ends
    return (left, right, top, bottom)
