"""LeNet5 (MindArmour's layers, 32x32, SGD .1) training epochs: the product's training path against torch eager.

Both draw their first weights as their frameworks do by default: from MindArmour's initialisation plain SGD takes
thousands of steps to get anywhere.
"""

from __future__ import annotations

from typing import Any

import _training


def torch_lenet5() -> Any:
    """Return the same network in torch; its default initialisation is that of ``_training.draw_weights``."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 6, 5, bias=False), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))


def torch_sgd(parameters: Any) -> Any:
    """Return torch's plain SGD."""
    import torch

    return torch.optim.SGD(parameters, lr=0.1)


TASK = _training.Task("train_lenet5", "lenet5", 32, {"optimizer": "sgd", "learning_rate": 0.1},
                      torch_lenet5, torch_sgd, redraws=True)

if __name__ == "__main__":
    _training.main(TASK, __file__, __doc__)
