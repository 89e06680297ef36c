"""What every membership attack against reference models returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mindleak.attacks.membership.signals import Floats


@dataclass(frozen=True)
class AttackScores:
    """What one attack says, higher = more member-like; NaN where a sample cannot be scored.

    Attributes:
        target: (samples,).
        references: (models, samples), each reference scored as the target and left out of its own references.
        notes: what a reader must know: the σ used, the ``a`` tuned, ties broken.
        tuned_on: number of the reference that a parameter was tuned on; it sets no threshold.
        in_turn: (samples,), the target scored by as few references as each of these had, which is what their
            thresholds are for; None where scores need no references.
        share: (samples,), RMIA's score as the paper has it, before ties are broken; None for other attacks.
    """

    target: Floats
    references: Floats
    notes: dict[str, str | float | int] = field(default_factory=dict)
    tuned_on: int | None = None
    in_turn: Floats | None = None
    share: Floats | None = None

    @property
    def decided(self) -> Floats:
        """The target's scores that the references' thresholds are applied to, (samples,)."""
        return self.target if self.in_turn is None else self.in_turn

    @property
    def judged(self) -> np.ndarray:
        """Numbers of the references that thresholds may be fixed on."""
        return np.array([number for number in range(len(self.references)) if number != self.tuned_on])
