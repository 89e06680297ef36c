"""Small data and networks for the tests of suppress training."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from mindspore import Tensor, nn

from mindleak import device
from mindleak.models.registry import build
from mindleak.training.request import TrainingData
from mindleak.training.suppress.settings import SuppressSettings

SETTINGS = SuppressSettings(start_epoch=2, mask_times=6, sparse_end=0.9, engine="mindarmour")


def digits(shape: tuple[int, int, int] = (1, 16, 16), samples: int = 96, bright: float = 1.0) -> TrainingData:
    generator = np.random.default_rng(0)
    labels = (np.arange(samples) % 10).astype(np.int32)
    noisy = generator.random((10, *shape))[labels] + generator.normal(0, 0.2, (samples, *shape))
    images = (np.clip(noisy, 0, 1) * bright).astype(np.float32)
    return TrainingData(images, labels, images[:30], labels[:30], "digits")


def lenet(seed: int = 1) -> nn.Cell:
    # With deviation .02 it would learn nothing in a few steps.
    network = build("lenet5", (1, 16, 16), 10, seed)
    for parameter in network.trainable_params():
        parameter.set_data(Tensor(parameter.asnumpy() * 5))
    return network


def named(first: str = "dense1", second: str = "dense2") -> nn.Cell:
    """Two dense layers by these names, in this order."""
    with device.seeded(0):
        return nn.SequentialCell(OrderedDict([("flatten", nn.Flatten()), (first, nn.Dense(6, 20)),
                                              (second, nn.Dense(20, 3))]))
