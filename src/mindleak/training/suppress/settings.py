"""What to suppress, how far and when; refused where it could not do what it says.

Field names and defaults are those of the tutorial. ``grad_idx``, ``batch_num`` and ``lr`` of MindArmour's
classes follow from the network, the data and the recipe; nobody is asked for them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mindspore import nn

from mindleak.errors import InputError, Key, keys_renamed, nearest
from mindleak.settings.suppress import Suppress

# Entries stand in suppress.layers or, read by the same rules, in prune.layers: whoever reads them says where.
_LAYERS = Key("layers")


@dataclass(frozen=True)
class MaskLayer:
    """One layer to suppress; the fields are those of MindArmour's ``MaskLayerDes``, less ``grad_idx``.

    ``min_num`` weights at least are left (−1: no floor). Noise and lower clipping are without effect in layers of
    more than 10,000 weights; so is the upper bound, except in the network's first parameter.

    Raises:
        InputError: a field of another type, or an upper bound that is not a finite number from .1 on (MindArmour
            takes NaN and anything smaller for .1 without a word).
    """

    name: str
    min_num: int = -1
    add_noise: bool = True
    lower_clip: bool = False
    upper_bound: float = 1.2

    def __post_init__(self) -> None:
        entry = f" entry '{self.name}'"
        if not isinstance(self.name, str):
            raise InputError(_LAYERS, f": name {self.name!r} is no parameter name")
        if type(self.min_num) is not int or self.min_num < -1:
            raise InputError(_LAYERS, f"{entry}: min_num is {self.min_num!r}; expected a whole number, from 0 on or -1 "
                             "(no floor)")
        for field in ("add_noise", "lower_clip"):
            if type(getattr(self, field)) is not bool:
                raise InputError(_LAYERS, f"{entry}: {field} is {getattr(self, field)!r}; expected true or false")
        bound = self.upper_bound
        if type(bound) not in (int, float) or not 0.1 <= bound < math.inf:
            raise InputError(_LAYERS, f"{entry}: upper_bound is {bound!r}; expected a finite number from 0.1 on")

    def zeros_at(self, sparsity: float, size: int) -> int:
        """Return how many of the layer's ``size`` weights shall be zero at ``sparsity``, the floor respected."""
        return int(size * min(1.0 - min(self.min_num, size) / size, sparsity))

    def reachable(self, target: float, size: int) -> float:
        """Return the fraction of zeros that the floor allows, at most ``target``."""
        return min(target, 1.0 - min(max(self.min_num, 0), size) / size)


@dataclass(frozen=True)
class SuppressSettings:
    """How far and when to suppress; field names are the keys of ``suppress`` in a configuration.

    The tutorial's values for 60,000 samples are the defaults. ``layers`` is ``"auto"`` (every
    weight matrix and convolution kernel) or a list of parameter names or of ``MaskLayer`` fields. ``engine`` is
    ``"graph"`` (graph.py) or ``"mindarmour"`` (mindarmour.py).
    """

    sparse_end: float = 0.95
    sparse_start: float = 0.0
    start_epoch: int = 3
    mask_times: int = 1000
    layers: Any = "auto"
    engine: str = "graph"

    def __post_init__(self) -> None:
        Suppress.require(self.as_dict(), "suppress")
        if not 0 <= self.sparse_start < self.sparse_end < 1:
            raise InputError(Key("suppress.sparse_start"), f" is {self.sparse_start} and ", Key("suppress.sparse_end"),
                             f" {self.sparse_end}; expected 0 ≤ sparse_start < sparse_end < 1 (",
                             Key("training.method"), "=ordinary suppresses nothing)")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dict."""
        return asdict(self)

    def scaled(self, samples: int, reference_samples: int) -> SuppressSettings:
        """Return the settings for a smaller training set, with as many updates per sample."""
        times = max(1, round(self.mask_times * samples / reference_samples))
        return SuppressSettings(**{**self.as_dict(), "mask_times": times})


def mask_layers(network: nn.Cell, layers: Any, section: str = "suppress") -> list[MaskLayer]:
    """Return the layers to suppress, or to prune, whose ``section`` has the key ``layers``.

    ``"auto"`` takes every trainable tensor of two or more dimensions by the tutorial's pattern:
    convolutions with noise and lower clipping, the last dense layer with a floor of 50 weights, a first
    convolution with one of 10 and further ones with 50; tensors no larger than their floor are left alone.

    Raises:
        InputError: a name that is no trainable parameter, named twice, or nothing to choose.
    """
    with keys_renamed(lambda key: Key(f"{section}.{key}")):
        if isinstance(layers, str) and layers == "auto":
            return _tutorial_pattern(network, section)
        return _named_layers(layers, [parameter.name for parameter in network.trainable_params()])


def _named_layers(layers: Any, names: list[str]) -> list[MaskLayer]:
    """Return the layers that a list names, of a network that has parameters of these ``names``."""
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise InputError(_LAYERS, f" must be 'auto' or a list of parameter names, got {layers!r}")
    chosen = [_mask_layer(entry) for entry in layers]
    for layer in chosen:
        if layer.name not in names:
            weight = f"{layer.name}.weight"
            raise InputError(_LAYERS, f" names '{layer.name}', which is no trainable parameter",
                             f"; did you mean '{weight}'?" if weight in names else nearest(layer.name, names))
    for name, times in Counter(layer.name for layer in chosen).items():
        if times > 1:
            raise InputError(_LAYERS, f" names '{name}' twice")
    return chosen


def _mask_layer(entry: Any) -> MaskLayer:
    """Read one entry of a list of layers."""
    if isinstance(entry, str):
        return MaskLayer(entry)
    try:
        return MaskLayer(**entry)
    except TypeError as error:
        raise InputError(_LAYERS, f" entry {entry!r} is not understood; fields: name, min_num, add_noise, lower_clip, "
                         "upper_bound") from error


def _tutorial_pattern(network: nn.Cell, section: str) -> list[MaskLayer]:
    """Generalise the tutorial's mask layers for LeNet5 to any network."""
    weights = [parameter for parameter in network.trainable_params() if parameter.ndim >= 2]
    chosen: list[MaskLayer] = []
    for parameter in weights:
        convolution = parameter.ndim == 4
        floor = 50 if convolution or parameter is weights[-1] else -1
        if convolution and parameter is weights[0]:
            floor = 10
        if parameter.size > floor:
            chosen.append(MaskLayer(parameter.name, floor, True, convolution))
    if not chosen:
        raise InputError(f"there is nothing to {section}: the network has no trainable weight matrix of more than 50 "
                         "weights; name ", _LAYERS)
    return chosen
