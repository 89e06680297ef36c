"""Feature inversion with MindArmour's ``ImageInversionAttack``: an image back from one layer's output.

Source: Mahendran & Vedaldi, arXiv 1412.0035, in MindArmour 2.0.0's form: sign of the gradient, fixed step .01,
one image at a time. ``batched`` computes the same many times faster; this is what it is held to. MindArmour's
total-variation term differs between CPU and other devices, so its figures of different targets are not comparable.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from mindspore import nn

from mindleak import device
from mindleak.attacks.inversion.attack import InversionAttack
from mindleak.attacks.inversion.layers import target_features
from mindleak.attacks.inversion.objective import ASCEND_MEAN, CPU_SUM, check_weights, objective
from mindleak.attacks.inversion.result import InversionResult, feature_distance, mean_squares, random_starts
from mindleak.attacks.target import Target
from mindleak.errors import InputError
from mindleak.quiet import mindarmour_call
from mindleak.training.loop import Predictor


@dataclass(frozen=True)
class MindArmourInversion(InversionAttack):
    """Reconstructs images from a layer's output by MindArmour's own class (arXiv 1412.0035).

    The distance is the relative squared one of features (``objective``); see ``InversionAttack.attack`` for shapes.

    Args:
        layer: which output the attacker has seen.
        iterations: gradient steps per image.
        loss_weights: of feature distance, total variation and squared norm, all above 0 (MindArmour's rule);
            the tutorial's are (1, .1, 5).
        seed: of the random starting images.

    Raises:
        InputError: iterations below 1, or weights that are not three finite numbers above 0.

    Example:
        >>> from mindspore import nn
        >>> _ = device.configure("CPU")
        >>> images = np.full((1, 1, 4, 4), 0.2, np.float32)
        >>> attack = MindArmourInversion("logits", iterations=30, loss_weights=(1, 1e-6, 1e-6))
        >>> result = attack.attack(nn.Flatten(), images)
        >>> bool(np.abs(result.inversions - images).max() < 0.02)
        True
    """

    layer: str
    iterations: int = 100
    loss_weights: Sequence[float] = (1.0, 0.1, 5.0)
    seed: int = 0
    engine: ClassVar[str] = "mindarmour"

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise InputError(f"inversion.iterations is {self.iterations}; expected at least 1")
        check_weights(self.loss_weights, zero_allowed=False)

    @property
    def tv(self) -> str:
        """The total variation that MindArmour takes on the device in use."""
        return CPU_SUM if device.current().target == "CPU" else ASCEND_MEAN

    def settings(self) -> dict[str, Any]:
        """Return what the result depends on beside network and images, for a stage's key and the report."""
        return {"engine": self.engine, **asdict(self), "loss_weights": list(self.loss_weights), "tv": self.tv,
                "optimizer": "sign", "restarts": 1, "patience": 0}

    def _run(self, target: Target, cell: nn.Cell, images: np.ndarray, starts: np.ndarray | None) -> InversionResult:
        predict = Predictor(cell, batch_size=max(len(images), 1))
        targets = target_features(target.name, self.layer, images, predict)
        squares = mean_squares(targets)
        dead = squares < np.finfo(np.float32).tiny
        inversions = random_starts(images.shape, self.seed)
        if not dead.all():
            inversions[~dead] = self._generate(cell, targets[~dead], images.shape[1:])
        distance = feature_distance(predict(inversions), targets)
        values = objective(inversions, distance, np.where(dead, 0, squares), self.tv, self.loss_weights)
        return InversionResult(images, inversions, distance, values, dead, np.where(dead, 0, self.iterations))

    def _generate(self, cell: nn.Cell, targets: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Call MindArmour; it takes (C, H, W) and draws its starts from NumPy's global state."""
        with mindarmour_call(self.seed), _names_kept(cell), device.graph_mode():
            from mindarmour.privacy.evaluation import ImageInversionAttack

            attack = ImageInversionAttack(cell, input_shape=tuple(int(side) for side in shape), input_bound=(0, 1),
                                          loss_weights=[float(weight) for weight in self.loss_weights])
            return attack.generate(targets, iters=self.iterations).astype(np.float32)


@contextlib.contextmanager
def _names_kept(network: nn.Cell) -> Iterator[None]:
    """Undo what MindArmour's loss Cells do to the names of the parameters of a network that they hold."""
    names = [(parameter, parameter.name) for parameter in network.get_parameters()]
    try:
        yield
    finally:
        for parameter, name in names:
            parameter.name = name
