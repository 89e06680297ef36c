"""Which layer's output is inverted: the Cell up to it, the default, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mindspore import nn

from mindleak.errors import InputError, first_line, nearest
from mindleak.models.base import LOGITS
from mindleak.training.loop import Predictor

# What people call the step behind the logits; no network here has it as a layer.
AFTER_LOGITS = ("softmax", "log_softmax", "probabilities", "posterior", "confidence")


def layer_names(network: nn.Cell) -> Sequence[str]:
    """Return the layers whose outputs can be inverted, in order of computation; any network has 'logits'."""
    return getattr(network, "layer_names", (LOGITS,)) if hasattr(network, "until") else (LOGITS,)


def features_cell(network: nn.Cell, layer: str) -> nn.Cell:
    """Return the Cell from images to the output of ``layer``; it shares the network's parameters.

    Raises:
        InputError: the network has no such layer.
    """
    known, name = layer_names(network), type(network).__name__
    listed = f"known: {', '.join(known)}"
    if layer.lower() in AFTER_LOGITS and layer not in known:
        raise InputError(f"layer '{layer}' would come after the logits of {name}, where inversion has no gradient to "
                         f"follow; {listed}")
    if layer not in known:
        suggestion = nearest(layer, known)
        if not hasattr(network, "until"):
            suggestion = f": a Cell without named layers offers '{LOGITS}' only"
        elif "did you mean" in suggestion:
            suggestion += f" ({listed})"
        else:
            suggestion = f"; {listed}"
        raise InputError(f"layer '{layer}' does not exist in {name}{suggestion}")
    cell: nn.Cell = network.until(layer) if hasattr(network, "until") else network
    return cell


def default_layer(network: nn.Cell) -> str:
    """Return the tutorial's ``fc1`` where there is one, else the layer before the logits, else the logits."""
    names = layer_names(network)
    if "fc1" in names:
        return "fc1"
    return names[-2] if len(names) > 1 else LOGITS


def target_features(name: str, layer: str, images: np.ndarray, predict: Predictor) -> np.ndarray:
    """Return the layer's outputs on ``images``, (N, …) float32: what the attacker has seen.

    Args:
        name: of the target, for messages.
        layer: of the target.
        images: float32 (N, C, H, W) in [0, 1].
        predict: of the Cell up to the layer.

    Raises:
        InputError: a network that fails on them, outputs that are not finite, or probabilities where features should
            be.
    """
    try:
        targets = predict(images)
    except Exception as error:
        raise InputError(f"{name} fails on images of shape {images.shape}: {first_line(error)}") from error
    if not np.isfinite(targets).all():
        raise InputError(f"layer '{layer}' of {name} gives numbers that are not finite")
    if len(targets) != len(images):
        raise InputError(f"layer '{layer}' of {name} gives {len(targets)} outputs for {len(images)} images")
    if _are_probabilities(targets):
        raise InputError(f"layer '{layer}' of {name} gives probabilities, so it lies after the softmax, where "
                         f"inversion has next to no gradient; expected a layer up to the logits")
    return targets


def _are_probabilities(outputs: np.ndarray) -> bool:
    """Tell whether every row is a distribution over two classes or more."""
    if outputs.ndim != 2 or outputs.shape[1] < 2 or outputs.min() < 0:
        return False
    return bool(np.allclose(outputs.sum(axis=1), 1.0, atol=1e-4))
