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


class _LeNet5Layers(Classifier):
    """The order of computation that both readings share; subclasses make the layers."""

    smallest: int
    made_for: int
    layer_names = ("conv1.pre", "conv1", "conv2.pre", "conv2", "fc1.pre", "fc1", "fc2.pre", "fc2", "logits")

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, width: float, padding: int) -> None:
        super().__init__()
        if not (math.isfinite(width) and width > 0):
            raise InputError(f"model.width is {width}; expected a finite number above 0")
        self.channels = (_scaled(6, width), _scaled(16, width))
        self.hidden = (_scaled(120, width), _scaled(84, width))
        self.input_shape = input_shape
        self.num_classes = num_classes
        self.relu = nn.ReLU()
        self.max_pool2d = nn.MaxPool2d(kernel_size=2, stride=2)
        self.flatten = nn.Flatten()
        library = kernels.for_device()
        self.uses_kernels = library is not None
        self.blocks: Any = None
        if library is not None:
            self.blocks = (kernels.conv_block(library, padding), kernels.conv_block(library, 0))
        self.no_bias = tuple(Tensor(np.zeros(count, np.float32)) for count in self.channels)

    @classmethod
    def require_size(cls, name: str, height: int, width: int) -> None:
        """Raise InputError for images from which two convolutions and poolings would leave nothing."""
        if min(height, width) < cls.smallest:
            raise InputError(f"{name} needs images of at least {cls.smallest}x{cls.smallest} pixels, got "
                             f"{height}x{width}; set data.image_size={cls.made_for}")

    def forward_to(self, x: Tensor, layer: str) -> Tensor:
        """See Classifier.forward_to."""
        if self.uses_kernels and not layer.startswith("conv"):
            x = self.blocks[0](x, self.conv1.weight, self.conv1.bias if self.conv1.has_bias else self.no_bias[0])[0]
            x = self.blocks[1](x, self.conv2.weight, self.conv2.bias if self.conv2.has_bias else self.no_bias[1])[0]
        else:
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
            x = self.max_pool2d(x)
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
        super().__init__(input_shape, num_classes, width, padding=0)
        channels, height, breadth = input_shape
        self.require_size("lenet5", height, breadth)
        side = [((size - 4) // 2 - 4) // 2 for size in (height, breadth)]
        self.conv1 = nn.Conv2d(channels, self.channels[0], 5, pad_mode="valid", weight_init=TruncatedNormal(0.02))
        self.conv2 = nn.Conv2d(*self.channels, 5, pad_mode="valid", weight_init=TruncatedNormal(0.02))
        self.fc1 = _dense(self.channels[1] * side[0] * side[1], self.hidden[0])
        self.fc2 = _dense(*self.hidden)
        self.fc3 = _dense(self.hidden[1], num_classes)


class LeNet5Bias(_LeNet5Layers):
    """LeNet5 with biases: padding 2 at the first convolution, biases everywhere, MindSpore's default init.

    Shape: (N, channels, 28, 28) → (N, num_classes); 61,706 parameters for one channel and ten classes. ``width``
    multiplies the numbers of channels and hidden units.
    """

    smallest, made_for = 12, 28

    def __init__(self, input_shape: tuple[int, int, int] = (1, 28, 28), num_classes: int = 10,
                 width: float = 1.0) -> None:
        super().__init__(input_shape, num_classes, width, padding=2)
        channels, height, breadth = input_shape
        self.require_size("lenet5_bias", height, breadth)
        side = [(size // 2 - 4) // 2 for size in (height, breadth)]
        self.conv1 = nn.Conv2d(channels, self.channels[0], 5, pad_mode="pad", padding=2, has_bias=True)
        self.conv2 = nn.Conv2d(*self.channels, 5, pad_mode="valid", has_bias=True)
        self.fc1 = nn.Dense(self.channels[1] * side[0] * side[1], self.hidden[0])
        self.fc2 = nn.Dense(*self.hidden)
        self.fc3 = nn.Dense(self.hidden[1], num_classes)


def _scaled(units: int, width: float) -> int:
    """Return how many units a layer has at a width, one at least."""
    return max(1, round(units * width))


def _dense(inputs: int, outputs: int) -> nn.Dense:
    """Return a dense layer with weight and bias drawn from TruncatedNormal(0.02)."""
    return nn.Dense(inputs, outputs, weight_init=TruncatedNormal(0.02), bias_init=TruncatedNormal(0.02))
