"""Controls of the inversion attack itself: what it reaches where the layer hides nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Union

import numpy as np
from mindspore import Tensor, nn

from mindleak.attacks.inversion.batched import BatchedInversion
from mindleak.attacks.inversion.mindarmour import MindArmourInversion
from mindleak.attacks.inversion.result import InversionResult
from mindleak.models.base import LOGITS

Attack = Union[BatchedInversion, MindArmourInversion]
# Steps of .01 from a nearly black start reach white after 100, and settle within a few more.
ENOUGH_ITERATIONS = 120


class Identity(nn.Cell):
    """The network whose features are the pixels themselves."""

    def construct(self, x: Tensor) -> Tensor:
        """Return the pixels (N, C·H·W) of images (N, C, H, W)."""
        return x.reshape((x.shape[0], -1))


def invert_identity(attack: Attack, images: np.ndarray) -> InversionResult:
    """Invert the identity network with the attack's optimiser, without regularisers.

    An optimiser in order returns the images at more than 40 dB; one that does not has nothing to say on a network.
    """
    free = replace(_batched(attack), iterations=max(attack.iterations, ENOUGH_ITERATIONS), loss_weights=(1.0, 0.0, 0.0))
    return free.attack(Identity(), images)


def invert_identity_regularised(attack: Attack, images: np.ndarray) -> InversionResult:
    """Invert the identity network with the attack's own settings: no layer can give more back under its weights."""
    return _batched(attack).attack(Identity(), images)


def _batched(attack: Attack) -> BatchedInversion:
    """Return the attack on the identity network; MindArmour's own, image by image, would take minutes for the same."""
    if isinstance(attack, BatchedInversion):
        return replace(attack, layer=LOGITS)
    return BatchedInversion(LOGITS, attack.iterations, attack.loss_weights, attack.seed, attack.tv)
