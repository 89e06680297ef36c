"""How networks are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from mindleak.settings.fields import Section, setting
from mindleak.settings.limits import ROUNDS

METHODS = ("ordinary", "suppress", "dp_sgd", "prune")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam")
SCHEDULES = ("constant", "step", "cosine", "plateau")


@dataclass(frozen=True)
class Training(Section, per_subject=True, per_variant=True):
    """How networks are trained."""

    method: str = setting("ordinary", "the way to train; suppress, dp_sgd and prune have a section each",
                          choices=METHODS)
    epochs: Optional[int] = setting(None, "passes over the training data; null: what the architecture asks for, 20 "
                                    "for recurrent networks and otherwise 10", least=1, most=ROUNDS)
    batch_size: int = setting(32, "images a step; with dp_sgd, on average", least=1)
    optimizer: str = setting("sgd", "how a step follows from the gradient", choices=OPTIMIZERS)
    learning_rate: float = setting(0.05, "size of a step", above=0)
    momentum: float = setting(0.9, "of the optimizers momentum and nesterov", least=0, below=1)
    weight_decay: float = setting(0.0, "L2 penalty: this times the weight is added to its gradient", least=0)
    schedule: str = setting("constant", "how the learning rate changes from epoch to epoch", choices=SCHEDULES)
    schedule_every: int = setting(10, "step: epochs between two changes", least=1)
    schedule_factor: float = setting(0.5, "step and plateau: factor of each change", above=0, most=1)
    schedule_patience: int = setting(3, "plateau: epochs without a smaller training loss before a change", least=1)
