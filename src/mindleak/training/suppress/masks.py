"""When weights are set to zero, and which: MindArmour's ``SuppressCtrl`` as array operations.

``Schedule`` is its ``update_status`` and the sparsity part of ``update_mask``, ``update_layer`` the rest: given equal
weights, masks and noise, it gives the same mask and the same de-weight term, bit for bit (``test_masks.py``
drives both). NumPy only, so that every process of a job that holds the same weights gets the same masks, whatever its
device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Optional

import numpy as np

from mindleak.training.suppress.settings import MaskLayer, SuppressSettings

# MindArmour's constants: weight_lower_bound, add_noise_thd, noise_volume, para_many_num, sparse_valid_max_weight.
LOWER_BOUND = 0.005
NOISE_ABOVE = 0.5
NOISE_VOLUME = 0.1
LARGE_LAYER = 10_000
COLLAPSED = 0.02


@dataclass(frozen=True)
class Schedule:
    """After which steps the masks are updated, and to which sparsity; steps are counted from 1 over all epochs."""

    settings: SuppressSettings
    epochs: int
    steps_per_epoch: int

    @property
    def first_step(self) -> int:
        """The first step of ``start_epoch``."""
        return (self.settings.start_epoch - 1) * self.steps_per_epoch + 1

    @property
    def steps(self) -> int:
        """The number of steps from ``first_step`` on."""
        return (self.epochs - self.settings.start_epoch + 1) * self.steps_per_epoch

    @cached_property
    def updates(self) -> tuple[int, ...]:
        """The steps after which the masks are updated.

        An update is due when ``steps / mask_times`` steps have passed since the one before (rounded up, steps being
        whole), and two steps before the end in any case.
        """
        return tuple(self._due())

    def _due(self) -> Iterator[int]:
        """Yield the steps of ``updates``."""
        interval = self.steps / self.settings.mask_times
        last = self.epochs * self.steps_per_epoch
        previous = 0
        for step in range(self.first_step, last + 1):
            closing = step == last - 2 and self.steps_per_epoch > 2
            if step >= previous + interval or closing:
                previous = step
                yield step

    def sparsity(self, step: int) -> float:
        """Return the fraction of zeros wanted after ``step``: a cubic from ``sparse_start`` to ``sparse_end``."""
        start, end = self.settings.sparse_start, self.settings.sparse_end
        wanted = end + (start - end) * (1.0 - (step - self.first_step) / self.steps) ** 3
        return max(start, min(wanted, end))


class NoiseStream:
    """The numbers that MindArmour draws from NumPy's global state when it starts from ``seed``.

    ``drawn`` is all that must be kept to go on with the stream later.
    """

    def __init__(self, seed: int, drawn: int = 0) -> None:
        self._state = np.random.RandomState(seed % 2**32)
        self.drawn = 0
        self.draw(drawn)

    def draw(self, count: int) -> np.ndarray:
        """Return the next ``count`` numbers, float64, uniform on ±.1."""
        self.drawn += count
        return self._state.uniform(-NOISE_VOLUME, NOISE_VOLUME, count)


@dataclass(frozen=True)
class LayerUpdate:
    """One layer after an update: ``dead`` bool, and ``removal``, what the next step takes from each weight.

    ``removal`` is the weight itself where dead, its excess over a bound where clipped, noise where large, otherwise 0.
    """

    dead: np.ndarray
    removal: np.ndarray

    def term(self, learning_rate: float) -> np.ndarray:
        """Return MindArmour's de-weight term, float32: what added to the gradient makes an SGD step take ``removal``.

        Divided in the precision of ``removal``, as MindArmour does.
        """
        return (self.removal / learning_rate).astype(np.float32)


def update_masks(layers: Sequence[MaskLayer], first: str, weights: Mapping[str, np.ndarray],
                 dead: Mapping[str, np.ndarray], sparsity: float, noise: NoiseStream) -> dict[str, LayerUpdate]:
    """Return the layers that an update changes, by name.

    A function of its arguments and of how many numbers ``noise`` has given so far; nothing else.

    Args:
        layers: in the network's order of parameters, since they share the noise.
        first: name of the network's first parameter. MindArmour ranks it one by one however large it is, and where it
            has collapsed (no weight from .02 on) leaves all layers as they are.
        weights: float32 by layer.
        dead: bool by layer, which weights are masked already.
        sparsity: the fraction of zeros to reach.
        noise: advanced by what is drawn.
    """
    changed: dict[str, LayerUpdate] = {}
    for layer in layers:
        values, before = weights[layer.name], dead[layer.name]
        count = layer.zeros_at(sparsity, values.size)
        by_rank = values.size <= LARGE_LAYER or layer.name == first
        if count <= 0 or (not by_rank and count <= before.sum()):
            continue
        if layer.name == first and np.abs(values).max() < COLLAPSED:
            return changed
        update = update_by_rank(layer, values, before, count, noise) if by_rank \
            else update_by_threshold(values, before, count)
        if update is not None:
            changed[layer.name] = update
    return changed


def update_by_rank(layer: MaskLayer, weights: np.ndarray, dead: np.ndarray, count: int,
                   noise: NoiseStream) -> LayerUpdate:
    """Update a layer up to exactly ``count`` zeros, with its floor, clipping and noise (``update_mask_layer``).

    Weights on the threshold die in the order of their index until there are enough. The arithmetic is in float64, as
    NumPy 1 does it for a float32 scalar and a Python float, and is rounded once, in ``LayerUpdate.term``.
    """
    flat, dead_before = weights.ravel(), dead.ravel()
    magnitude = np.abs(flat)
    threshold = np.partition(magnitude, count - 1)[count - 1]
    low = ~dead_before & (magnitude <= threshold)
    dying = low & (np.cumsum(dead_before | low) <= min(flat.size - layer.min_num, count))
    dead_after = dead_before | dying
    others = ~(dead_before | low)
    small_layer = flat.size <= LARGE_LAYER

    wide, sign = flat.astype(np.float64), np.where(flat > 0, 1.0, -1.0)
    removal = np.where(dead_after, wide, 0.0)
    spared = low & ~dying
    # A threshold below the bound is a float32, and so is the difference from it.
    removal[spared] = (flat - sign.astype(np.float32) * threshold if threshold < LOWER_BOUND
                       else wide - sign * LOWER_BOUND)[spared]
    if layer.lower_clip and small_layer and threshold > LOWER_BOUND * 0.5:
        low_clipped = others & (magnitude.astype(np.float64) <= LOWER_BOUND)
        removal[low_clipped] = (wide - sign * LOWER_BOUND)[low_clipped]
        others &= ~low_clipped
    clipped = others & (np.abs(wide) > layer.upper_bound)
    removal[clipped] = (wide - sign * layer.upper_bound)[clipped]
    if layer.add_noise and small_layer:
        noisy = others & ~clipped & (magnitude > NOISE_ABOVE)
        removal[noisy] = noise.draw(int(noisy.sum()))
    return LayerUpdate(dead_after.reshape(weights.shape), removal.reshape(weights.shape))


def update_by_threshold(weights: np.ndarray, dead: np.ndarray, count: int) -> Optional[LayerUpdate]:
    """Update a large layer to about ``count`` zeros (``update_mask_layer_approximity``); None where it stays.

    The threshold is the k-th smallest *distinct* magnitude among the living, k being how many zeros are missing (at
    the first update, the k-th smallest of all). The dead lie far below it. float32 throughout. (Layers of more than
    10⁹ weights, which MindArmour takes in parts, are taken whole.)
    """
    magnitude = np.abs(weights)
    missing = count - int(dead.sum())
    if dead.any():
        threshold = _kth_distinct(magnitude[~dead], missing)
        if threshold is None or not threshold > 0:
            return None
    else:
        rank = min(missing, magnitude.size - 1)
        threshold = np.partition(magnitude, rank - 1, axis=None)[rank - 1]
    dead_after = magnitude <= threshold
    return LayerUpdate(dead_after, np.where(dead_after, weights, np.float32(0)))


def _kth_distinct(values: np.ndarray, k: int) -> Optional[np.float32]:
    """Return the k-th smallest distinct value, or the last but one where there are fewer; None of a single value.

    Sorts no more of ``values`` than needed: usually the k + 1 smallest.
    """
    reach = k + 1
    while True:
        head = values if reach >= values.size else np.partition(values, reach - 1)[:reach]
        distinct = np.unique(head)
        if distinct.size > k or reach >= values.size:
            break
        reach *= 2
    rank = min(k, distinct.size - 1)
    return None if rank <= 0 else distinct[rank - 1]
