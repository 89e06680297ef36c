"""LeNet5 in two readings: MindArmour's tutorial's, and the one with biases that most tutorials have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from mindspore import Tensor, nn
from mindspore.common.initializer import TruncatedNormal

from mindleak import kernels
from mindleak.errors import InputError
from mindleak.models.base import Classifier


class _Convolutions(nn.Cell):
    """LeNet5's two convolutions, each with ReLU and pooling behind it, by MindSpore's operators.

    The layers stay the network's own; ``auto_prefix=False`` keeps their parameters' names as they are.
    """

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        super().__init__(auto_prefix=False)
        self.conv1 = first
        self.conv2 = second
        self.relu = nn.ReLU()
        self.max_pool2d = nn.MaxPool2d(kernel_size=2, stride=2)

    def forward_to(self, x: Tensor, layer: str) -> Tensor:
        """Compute the output of ``layer`` if it is one of these, else what the first dense layer takes."""
        x = self.conv1(x)
        if layer == "conv1.pre":
            return x
        x = self.relu(x)
        if layer == "conv1":
            return x
        x = self.conv2(self.max_pool2d(x))
        if layer == "conv2.pre":
            return x
        x = self.relu(x)
        if layer == "conv2":
            return x
        return self.max_pool2d(x)


class _KernelConvolutions(_Convolutions):
    """The same by the native kernels, each of which takes a convolution, its ReLU and its pooling at once.

    What lies within such a step is had from MindSpore's operators.
    """

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d, library: kernels.Library) -> None:
        super().__init__(first, second)
        self.blocks: Any = tuple(kernels.conv_block(library, layer.padding if layer.pad_mode == "pad" else 0)
                                 for layer in (first, second))
        self.no_bias = tuple(Tensor(np.zeros(layer.out_channels, np.float32)) for layer in (first, second))

    def forward_to(self, x: Tensor, layer: str) -> Tensor:
        """See _Convolutions.forward_to."""
        if layer.startswith("conv"):
            return super().forward_to(x, layer)
        x = self.blocks[0](x, self.conv1.weight, self.conv1.bias if self.conv1.has_bias else self.no_bias[0])[0]
        return self.blocks[1](x, self.conv2.weight, self.conv2.bias if self.conv2.has_bias else self.no_bias[1])[0]


class _LeNet5Layers(Classifier):
    """The order of computation that both readings share; subclasses make the layers, then choose what computes."""

    smallest: int
    made_for: int
    layer_names = ("conv1.pre", "conv1", "conv2.pre", "conv2", "fc1.pre", "fc1", "fc2.pre", "fc2", "logits")

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, width: float) -> None:
        super().__init__()
        if not (math.isfinite(width) and width > 0):
            raise InputError(f"model.width is {width}; expected a finite number above 0")
        self.channels = (_scaled(6, width), _scaled(16, width))
        self.hidden = (_scaled(120, width), _scaled(84, width))
        self.input_shape = input_shape
        self.num_classes = num_classes
        self.relu = nn.ReLU()
        self.flatten = nn.Flatten()

    def compute_with(self, library: kernels.Library | None) -> None:
        """See Classifier.compute_with."""
        made = (_Convolutions(self.conv1, self.conv2) if library is None
                else _KernelConvolutions(self.conv1, self.conv2, library))
        # In a tuple it is no child of the network, whose children's names its parameters have.
        self.convolutions = (made,)

    @classmethod
    def require_size(cls, name: str, height: int, width: int) -> None:
        """Raise InputError for images from which two convolutions and poolings would leave nothing."""
        if min(height, width) < cls.smallest:
            raise InputError(f"{name} needs images of at least {cls.smallest}x{cls.smallest} pixels, got "
                             f"{height}x{width}; set data.image_size={cls.made_for}")

    def forward_to(self, x: Tensor, layer: str) -> Tensor:
        """See Classifier.forward_to."""
        x = self.convolutions[0].forward_to(x, layer)
        if layer.startswith("conv"):
            return x
        x = self.fc1(self.flatten(x))
        if layer == "fc1.pre":
            return x
        x = self.relu(x)
        if layer == "fc1":
            return x
        x = self.fc2(x)
        if layer == "fc2.pre":
            return x
        x = self.relu(x)
        if layer == "fc2":
            return x
        return self.fc3(x)


class LeNet5(_LeNet5Layers):
    """MindArmour's LeNet5: valid 5x5 convolutions without bias, all weights TruncatedNormal(0.02).

    Shape: (N, channels, 32, 32) → (N, num_classes); 61,684 parameters for one channel and ten classes.
    Other image sizes from 16 pixels on are possible; fc1 grows with them. ``width`` multiplies the numbers of channels
    and hidden units.
    Source: the MindArmour example network that its suppress tutorial trains.
    """

    smallest, made_for = 16, 32

    def __init__(self, input_shape: tuple[int, int, int] = (1, 32, 32), num_classes: int = 10,
                 width: float = 1.0) -> None:
        super().__init__(input_shape, num_classes, width)
        channels, height, breadth = input_shape
        self.require_size("lenet5", height, breadth)
        side = [((size - 4) // 2 - 4) // 2 for size in (height, breadth)]
        self.conv1 = nn.Conv2d(channels, self.channels[0], 5, pad_mode="valid", weight_init=TruncatedNormal(0.02))
        self.conv2 = nn.Conv2d(*self.channels, 5, pad_mode="valid", weight_init=TruncatedNormal(0.02))
        self.fc1 = _dense(self.channels[1] * side[0] * side[1], self.hidden[0])
        self.fc2 = _dense(*self.hidden)
        self.fc3 = _dense(self.hidden[1], num_classes)
        self.compute_with(kernels.for_device())


class LeNet5Bias(_LeNet5Layers):
    """LeNet5 with biases: padding 2 at the first convolution, biases everywhere, MindSpore's default init.

    Shape: (N, channels, 28, 28) → (N, num_classes); 61,706 parameters for one channel and ten classes. ``width``
    multiplies the numbers of channels and hidden units.
    """

    smallest, made_for = 12, 28

    def __init__(self, input_shape: tuple[int, int, int] = (1, 28, 28), num_classes: int = 10,
                 width: float = 1.0) -> None:
        super().__init__(input_shape, num_classes, width)
        channels, height, breadth = input_shape
        self.require_size("lenet5_bias", height, breadth)
        side = [(size // 2 - 4) // 2 for size in (height, breadth)]
        self.conv1 = nn.Conv2d(channels, self.channels[0], 5, pad_mode="pad", padding=2, has_bias=True)
        self.conv2 = nn.Conv2d(*self.channels, 5, pad_mode="valid", has_bias=True)
        self.fc1 = nn.Dense(self.channels[1] * side[0] * side[1], self.hidden[0])
        self.fc2 = nn.Dense(*self.hidden)
        self.fc3 = nn.Dense(self.hidden[1], num_classes)
        self.compute_with(kernels.for_device())


def _scaled(units: int, width: float) -> int:
    """Return how many units a layer has at a width, one at least."""
    return max(1, round(units * width))


def _dense(inputs: int, outputs: int) -> nn.Dense:
    """Return a dense layer with weight and bias drawn from TruncatedNormal(0.02)."""
    return nn.Dense(inputs, outputs, weight_init=TruncatedNormal(0.02), bias_init=TruncatedNormal(0.02))
