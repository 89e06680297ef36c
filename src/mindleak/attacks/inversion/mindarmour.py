"""Feature inversion with MindArmour's ``ImageInversionAttack``: an image back from one layer's output.

Source: Mahendran & Vedaldi, arXiv 1412.0035, in MindArmour 2.0.0's form: sign of the gradient, fixed step .01,
one image at a time (docs/methods.md). Its total-variation term differs between CPU and other devices, so
figures of different device targets are not comparable.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from mindspore import nn

from mindleak import device
from mindleak.errors import InputError
from mindleak.models.base import LOGITS, Classifier
from mindleak.quiet import mindarmour_call
from mindleak.training.loop import Predictor


@dataclass(frozen=True)
class InversionResult:
    """What the attack got back.

    Attributes:
        originals: float32 (N, C, H, W) in [0, 1].
        inversions: the images found, same shape and range.
        feature_mse: float64 (N,), mean squared difference of the layer's outputs on the two.
        dead: bool (N,), MindArmour's objective is not a number there, since the target features are zero
            (it divides by their mean square): the image is a random start.
    """

    originals: np.ndarray
    inversions: np.ndarray
    feature_mse: np.ndarray
    dead: np.ndarray


def features_cell(network: nn.Cell, layer: str) -> nn.Cell:
    """Return the Cell from images to the output of ``layer``; any network has the layer 'logits'.

    Raises:
        InputError: the network has no such layer.
    """
    if isinstance(network, Classifier) or hasattr(network, "until"):
        cell: nn.Cell = network.until(layer)
        return cell
    if layer == LOGITS:
        return network
    raise InputError(f"layer '{layer}' does not exist in {type(network).__name__}: a Cell without named layers "
                     f"offers '{LOGITS}' only")


def default_layer(network: nn.Cell) -> str:
    """Return the tutorial's ``fc1`` where there is one, else the layer before the logits, else the logits."""
    names: Sequence[str] = getattr(network, "layer_names", (LOGITS,)) if hasattr(network, "until") else (LOGITS,)
    if "fc1" in names:
        return "fc1"
    return names[-2] if len(names) > 1 else LOGITS


class MindArmourInversion:
    """Reconstructs images from a layer's output by MindArmour's own class.

    Args:
        layer: which output the attacker has seen.
        iterations: gradient steps per image.
        loss_weights: of feature distance, total variation and squared norm, all above 0 (MindArmour's rule);
            the tutorial's are (1, .1, 5).
        seed: of the random starting images.

    Raises:
        InputError: iterations below 1, or weights that are not three finite numbers above 0.
    """

    def __init__(self, layer: str, iterations: int = 100, loss_weights: Sequence[float] = (1.0, 0.1, 5.0),
                 seed: int = 0) -> None:
        if iterations < 1:
            raise InputError(f"inversion.iterations is {iterations}; at least 1 is needed")
        if len(loss_weights) != 3 or not all(math.isfinite(weight) and weight > 0 for weight in loss_weights):
            raise InputError(f"inversion.loss_weights is {list(loss_weights)}; three finite numbers above 0 are needed")
        self.layer = layer
        self.iterations = iterations
        self.loss_weights = [float(weight) for weight in loss_weights]
        self.seed = seed

    def attack(self, network: nn.Cell, images: np.ndarray) -> InversionResult:
        """Invert the layer's outputs on ``images``, float32 (N, C, H, W) in [0, 1].

        Leaves the network in evaluation mode and otherwise as it was.

        Raises:
            InputError: no images, no such layer, or a layer whose output is not finite.
        """
        if len(images) == 0:
            raise InputError("inversion needs at least one image")
        cell = features_cell(network, self.layer)
        cell.set_train(False)
        predict = Predictor(cell, batch_size=len(images))
        targets = predict(images)
        if not np.isfinite(targets).all():
            raise InputError(f"layer '{self.layer}' of {type(network).__name__} gives numbers that are not finite")
        dead = _mean_squares(targets) < np.finfo(np.float32).tiny
        inversions = random_starts(images.shape, self.seed)
        if not dead.all():
            inversions[~dead] = self._generate(cell, targets[~dead], images.shape[1:])
        difference = predict(inversions).astype(np.float64) - targets
        return InversionResult(images, inversions, (difference**2).reshape(len(images), -1).mean(axis=1), dead)

    def _generate(self, cell: nn.Cell, targets: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Call MindArmour; it takes (C, H, W) and draws its starts from NumPy's global state."""
        with mindarmour_call(self.seed), _names_kept(cell), device.graph_mode():
            from mindarmour.privacy.evaluation import ImageInversionAttack

            attack = ImageInversionAttack(cell, input_shape=tuple(int(side) for side in shape), input_bound=(0, 1),
                                          loss_weights=self.loss_weights)
            return attack.generate(targets, iters=self.iterations).astype(np.float32)


def random_starts(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return images drawn as MindArmour draws its starts, uniform in [0, .05): the attack that does nothing."""
    return (np.random.default_rng(seed).random(shape) * 0.05).astype(np.float32)


def _mean_squares(targets: np.ndarray) -> np.ndarray:
    """Return the mean square of each sample's features, float32 (N,), the precision in which MindArmour divides."""
    return np.square(targets, dtype=np.float32).reshape(len(targets), -1).mean(axis=1)


@contextlib.contextmanager
def _names_kept(network: nn.Cell) -> Iterator[None]:
    """Undo what MindArmour's loss Cells do to the names of the parameters of a network that they hold."""
    names = [(parameter, parameter.name) for parameter in network.get_parameters()]
    try:
        yield
    finally:
        for parameter, name in names:
            parameter.name = name


def mindarmour_ssim(originals: np.ndarray, inversions: np.ndarray) -> np.ndarray:
    """Return MindArmour's SSIM per image (N,), for the column beside ours.

    It hard-codes a data range of 2 and a uniform 7x7 window, so it is never the figure to quote (docs/methods.md).
    """
    with mindarmour_call():
        from mindarmour.utils.util import compute_ssim

        pairs = zip(originals.transpose(0, 2, 3, 1), inversions.transpose(0, 2, 3, 1))
        return np.array([compute_ssim(original, inversion) for original, inversion in pairs], np.float64)
