"""Magnitude pruning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

from mindleak.settings.fields import Section, setting
from mindleak.settings.limits import ROUNDS


@dataclass(frozen=True)
class Prune(Section, per_subject=True, per_variant=True, needs_method="prune"):
    """How much training.method=prune sets to zero after the last epoch."""

    sparsity: float = setting(0.95, "fraction of every pruned layer that becomes zero", above=0, below=1)
    layers: Union[str, list] = setting("auto", "which: as suppress.layers")
    finetune_epochs: int = setting(0, "further epochs, in which the zeros stay", least=0, most=ROUNDS)
    finetune_learning_rate: Optional[float] = setting(
        None, "size of a step in these; null: a tenth of training.learning_rate", above=0)
