"""What is needed to train one network, checked once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from mindleak.errors import InputError, Key
from mindleak.settings.training import Training


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; field names are the keys of ``training`` in a configuration.

    ``schedule`` changes the learning rate from epoch to epoch: ``step`` multiplies it by
    ``schedule_factor`` every ``schedule_every`` epochs, ``cosine`` falls to zero over all epochs, ``plateau``
    multiplies by ``schedule_factor`` when the training loss has not improved for ``schedule_patience`` epochs.
    """

    method: str = "ordinary"
    epochs: int = 10
    batch_size: int = 32
    optimizer: str = "sgd"
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "constant"
    schedule_every: int = 10
    schedule_factor: float = 0.5
    schedule_patience: int = 3

    def __post_init__(self) -> None:
        Training.require(self.as_dict(), "training")
        if self.optimizer == "nesterov" and self.momentum == 0:
            raise InputError(Key("training.optimizer"), " 'nesterov' needs ", Key("training.momentum"), " above 0")

    def steps_per_epoch(self, samples: int) -> int:
        """Whole batches in ``samples``; the rest of an epoch's permutation is left to later epochs.

        Raises:
            InputError: not even one batch.
        """
        if samples < self.batch_size:
            raise InputError(Key("training.batch_size"), f" {self.batch_size} is larger than the {samples} training "
                             "samples")
        return samples // self.batch_size

    def as_dict(self) -> dict[str, object]:
        """Return the fields as a plain dict, for keys and records."""
        return dataclasses.asdict(self)


def learning_rate_at(recipe: Recipe, epoch: int, losses: list[float]) -> float:
    """Return the learning rate of ``epoch`` (1-based), given the training losses of the epochs before.

    A pure function of the history, so a resumed run continues on the same schedule.
    """
    rules: dict[str, Callable[[], float]] = {
        "constant": lambda: 1.0,
        "step": lambda: recipe.schedule_factor ** ((epoch - 1) // recipe.schedule_every),
        "cosine": lambda: 0.5 * (1 + math.cos(math.pi * (epoch - 1) / recipe.epochs)),
        "plateau": lambda: recipe.schedule_factor ** _plateaus(losses, recipe.schedule_patience),
    }
    return recipe.learning_rate * rules[recipe.schedule]()


def _plateaus(losses: list[float], patience: int) -> int:
    """Count how often the loss failed to improve for more than ``patience`` epochs in a row."""
    best, waited, count = math.inf, 0, 0
    for loss in losses:
        if loss < best:
            best, waited = loss, 0
        else:
            waited += 1
        if waited > patience:
            count, waited = count + 1, 0
    return count
