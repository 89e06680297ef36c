"""Reconstruction of images from a layer's output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

from mindleak.settings.fields import Section, setting
from mindleak.settings.limits import MODELS, ROUNDS


@dataclass(frozen=True)
class Inversion(Section, per_subject=True):
    """Can images be reconstructed from what a layer gives?"""

    enabled: bool = setting(True, "whether an audit does it")
    engine: str = setting("batched", "batched: many images in one compiled loop; mindarmour: ImageInversionAttack "
                          "itself, the reference")
    layer: Union[None, str, list] = setting(
        None, "layer's name, or a list of names; null: fc1 as in the tutorial, or the last layer before the logits")
    images: int = setting(30, "how many training images, from 1 on")
    iterations: int = setting(100, "steps an image", least=1, most=ROUNDS)
    loss_weights: list[float] = setting([1.0, 0.1, 5.0], "three weights: of the distance between layer outputs, of "
                                        "total variation, and of the squared norm")
    tv: Optional[str] = setting(None, "kind of total variation: isotropic, mindarmour_cpu or mindarmour_ascend; null: "
                                "the engine's own")
    optimizer: Optional[str] = setting(None, "sign (steps against the gradient's sign) or adam; null: the engine's own")
    batch_size: Optional[int] = setting(None, "images at once; null: the engine's own", least=1)
    restarts: int = setting(1, "attempts an image, of which the best counts", least=1, most=MODELS)
    patience: int = setting(0, "iterations without progress after which an image is done; 0: never", least=0)
