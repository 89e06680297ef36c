"""The contract of inversion attacks: a layer's output in, an image that would give it out."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, final

import numpy as np
from mindspore import nn

from mindleak.attacks.checks import require_images
from mindleak.attacks.contract import Attack
from mindleak.attacks.inversion.objective import check_tv_shape
from mindleak.attacks.inversion.result import InversionResult
from mindleak.attacks.target import GRADIENTS, LAYERS, NetworkTarget, Target, require
from mindleak.errors import InputError


class InversionAttack(Attack):
    """Reconstructs images from what one layer of a target gives on them (Mahendran & Vedaldi, arXiv 1412.0035).

    Attributes:
        layer: which output the attacker has seen.
        tv: which total variation (``objective``).
        engine: what ``inversion.engine`` calls the attack.
    """

    needs = frozenset({LAYERS, GRADIENTS})
    layer: str
    tv: Any
    engine: ClassVar[str]
    takes_starts: ClassVar[bool] = False

    @final
    def attack(self, target: Target | nn.Cell, images: np.ndarray,
               starts: np.ndarray | None = None) -> InversionResult:
        """Invert the layer's outputs on ``images``.

        Leaves a network in evaluation mode and otherwise as it was.

        Args:
            target: the attacked one; a Cell stands for ``NetworkTarget(cell)``.
            images: the originals, float32 (N, C, H, W) in [0, 1]; the attack sees their features only.
            starts: where to begin instead of the random starts: (restarts, N, C, H, W) in [0, 1].

        Raises:
            InputError: a target without layers or gradients, or without this layer; images that are none, of another
                shape than the target's, or not in [0, 1]; a layer after the softmax or whose output is not finite; a
                TV that is not defined for the shape; or starts that do not fit, or to an attack that takes none.
        """
        offered = target if isinstance(target, Target) else NetworkTarget(target)
        require(offered, self.needs)
        cell = offered.differentiable(self.layer)
        require_images("images to invert", images, offered.name, offered.image_shape)
        check_tv_shape(self.tv, images.shape[1:])
        if starts is not None:
            self._check_starts(starts, images.shape)
        cell.set_train(False)
        return self._run(offered, cell, images, starts)

    def _check_starts(self, starts: np.ndarray, shape: tuple[int, ...]) -> None:
        if not self.takes_starts:
            raise InputError(f"starts are given, and the engine '{self.engine}' draws its own; expected none")
        if starts.shape[1:] != shape:
            raise InputError(f"starts have shape {starts.shape}; expected (restarts, {', '.join(map(str, shape))})")
        require_images("starts", starts.reshape(-1, *shape[1:]), "the attack", shape[1:])

    @abstractmethod
    def _run(self, target: Target, cell: nn.Cell, images: np.ndarray, starts: np.ndarray | None) -> InversionResult:
        """Invert what ``cell``, the target up to the layer, gives on images that have been checked."""
