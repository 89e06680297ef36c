"""Training with differential privacy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from mindleak.settings.fields import Section, setting

ACCOUNTANTS = ("pld", "rdp")


@dataclass(frozen=True)
class Dp(Section, per_subject=True, per_variant=True, needs_method="dp_sgd"):
    """How private training.method=dp_sgd is; one of noise_multiplier and target_epsilon is given."""

    clip_norm: float = setting(1.0, "largest norm of one image's gradient", above=0)
    noise_multiplier: Optional[float] = setting(
        None, "standard deviation of the noise divided by clip_norm; null: what target_epsilon asks for", least=0)
    target_epsilon: Optional[float] = setting(None, "ε of the whole training; null: what noise_multiplier gives",
                                              above=0)
    delta: float = setting(1e-5, "δ beside ε", above=0, below=1, hint="well below 1/(training samples)")
    accountant: str = setting("pld", "how ε is worked out: pld (privacy loss distributions) or rdp (Rényi)",
                            choices=ACCOUNTANTS)
