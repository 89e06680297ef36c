"""LeNet5 (MindArmour's, 32x32, SGD .05) training epochs: the product's training path against torch eager."""

from __future__ import annotations

from typing import Any

import _training


def torch_lenet5() -> Any:
    """Return the same network in torch: same layers, weights from the same truncated normal.

    MindSpore's TruncatedNormal(0.02) cuts at -2 and 2, not at two sigma; so does torch's by default.
    """
    from torch import nn

    network = nn.Sequential(
        nn.Conv2d(1, 6, 5, bias=False), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
    for parameter in network.parameters():
        nn.init.trunc_normal_(parameter, std=0.02)
    return network


def torch_sgd(parameters: Any) -> Any:
    """Return torch's plain SGD."""
    import torch

    return torch.optim.SGD(parameters, lr=0.05)


TASK = _training.Task("train_lenet5", "lenet5", 32, {"optimizer": "sgd", "learning_rate": 0.05},
                      torch_lenet5, torch_sgd)

if __name__ == "__main__":
    _training.main(TASK, __file__, __doc__)
