"""Suppress training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from mindleak.settings.fields import Section, setting
from mindleak.settings.limits import ROUNDS

ENGINES = ("graph", "mindarmour")


@dataclass(frozen=True)
class Suppress(Section, per_subject=True, per_variant=True, needs_method="suppress"):
    """How far and when training.method=suppress sets weights to zero; the tutorial's values for 60,000 images."""

    sparse_end: float = setting(0.95, "fraction of each layer that is zero in the end, above sparse_start and below 1")
    sparse_start: float = setting(0.0, "fraction of zeros from which it starts, from 0 on")
    start_epoch: int = setting(3, "epoch of the first mask update", least=1, most=ROUNDS)
    mask_times: int = setting(1000, "mask updates in all", least=1, most=ROUNDS)
    layers: Union[str, list] = setting(
        "auto", "which: auto (every weight matrix and convolution kernel), or a list of parameter names or of entries "
        "{name, min_num, add_noise, lower_clip, upper_bound}")
    engine: str = setting("graph", "graph: compiled; mindarmour: its own classes, the reference", choices=ENGINES)
