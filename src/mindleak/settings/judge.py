"""The judge of inverted images."""

from __future__ import annotations

from dataclasses import dataclass

from mindleak.settings.fields import Section, setting
from mindleak.settings.limits import ROUNDS
from mindleak.settings.training import OPTIMIZERS


@dataclass(frozen=True)
class Judge(Section):
    """The classifier that looks at inverted images in a person's place; trained by itself."""

    model: str = setting("lenet5_bias", "architecture")
    epochs: int = setting(5, "passes over the training data", least=1, most=ROUNDS)
    batch_size: int = setting(32, "images a step", least=1)
    optimizer: str = setting("momentum", "how a step follows from the gradient", choices=OPTIMIZERS)
    learning_rate: float = setting(0.01, "size of a step", above=0)
    momentum: float = setting(0.9, "of the optimizers momentum and nesterov", least=0, below=1)
