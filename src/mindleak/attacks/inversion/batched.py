"""Feature inversion of thousands of images in one device-resident compiled loop.

The objective is that of Mahendran & Vedaldi (arXiv 1412.0035) image by image (``objective``); images never mix. Two
optimisers: MindArmour's fixed sign step (2.0.0), so that its results can be had many times faster
(benchmarks/inversion.py), and Adam on the sign of the gradient with step decay, the recipe of Geiping et al.
(arXiv 2003.14053) as their framework `breaching` sets it by default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mindleak.attacks.inversion.attack import InversionAttack
from mindleak.attacks.inversion.layers import target_features
from mindleak.attacks.inversion.objective import (
    ISOTROPIC,
    check_tv,
    check_weights,
    objective,
    variation_with_gradient,
)
from mindleak.attacks.inversion.result import InversionResult, feature_distance, mean_squares, restart_starts
from mindleak.attacks.target import NetworkTarget, Target
from mindleak.errors import InputError, nearest
from mindleak.training.compiled import Shelf
from mindleak.training.loop import Predictor, interruptible

SIGN, ADAM = "sign", "adam"
OPTIMIZERS = (SIGN, ADAM)
SIGN_STEP, ADAM_STEP = 0.01, 0.1
# Adam's step falls to a tenth after each of these shares of the iterations.
DECAY_AFTER = (3 / 8, 5 / 8, 7 / 8)
BETAS, EPSILON = (0.9, 0.999), 1e-8
# An image makes progress while its objective falls by this share within ``patience`` iterations.
PROGRESS = 1e-4
BATCH_SIZE = 256


@dataclass
class _Compiled:
    """What was compiled for one network: the Cell up to the layer, its outputs, and the loop once it is needed.

    It holds the network, so that no other can get its id.
    """

    network: Any
    cell: nn.Cell
    features: Predictor
    loop: Any = None


@dataclass(frozen=True)
class BatchedInversion(InversionAttack):
    """Reconstructs images from a layer's output, all of them at once (arXiv 1412.0035; Adam: arXiv 2003.14053).

    The distance is the relative squared one of features (``objective``); see ``InversionAttack.attack`` for shapes.
    Compiled at the first call for a network and image shape; further calls on it with as many images, or with chunks as
    large, start at once.

    Args:
        layer: which output the attacker has seen.
        iterations: gradient steps per image.
        loss_weights: of feature distance (above 0), total variation and squared norm; the tutorial's are (1, .1, 5).
        seed: of the random starting images.
        tv: which total variation: isotropic, mindarmour_cpu or mindarmour_ascend (``objective``).
        optimizer: ``sign``, steps of .01 against the gradient's sign (MindArmour's), or ``adam``, Adam on the sign
            of the gradient, step .1 divided by ten after 3/8, 5/8 and 7/8 of the iterations. Both stay in [0, 1].
        restarts: attempts per image; the one with the smallest objective counts. The first starts nearly black, as
            MindArmour's does, the others from noise.
        patience: iterations without progress after which an image is frozen; 0 freezes none.
        batch_size: images per call of the compiled loop; memory grows with it.

    Raises:
        InputError: a parameter out of range, or an unknown name.

    Example:
        >>> from mindleak import device
        >>> _ = device.configure("CPU")
        >>> images = np.full((1, 1, 4, 4), 0.2, np.float32)
        >>> attack = BatchedInversion("logits", iterations=30, loss_weights=(1, 0, 0))
        >>> result = attack.attack(nn.Flatten(), images)
        >>> bool(np.abs(result.inversions - images).max() < 0.02)
        True
    """

    layer: str
    iterations: int = 100
    loss_weights: Sequence[float] = (1.0, 0.1, 5.0)
    seed: int = 0
    tv: str = ISOTROPIC
    optimizer: str = SIGN
    restarts: int = 1
    patience: int = 0
    batch_size: int = BATCH_SIZE
    engine: ClassVar[str] = "batched"
    takes_starts: ClassVar[bool] = True
    _compiled: Shelf[_Compiled] = field(default_factory=Shelf, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, least in (("iterations", 1), ("restarts", 1), ("patience", 0), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise InputError(f"inversion.{name} is {getattr(self, name)}; expected at least {least}")
        check_tv(self.tv)
        check_weights(self.loss_weights, zero_allowed=True)
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"inversion.optimizer '{self.optimizer}' is unknown{nearest(self.optimizer, OPTIMIZERS)}")

    def settings(self) -> dict[str, Any]:
        """Return what the result depends on beside network and images, for a stage's key and the report."""
        return {"engine": self.engine, "layer": self.layer, "iterations": self.iterations,
                "loss_weights": list(self.loss_weights), "seed": self.seed, "tv": self.tv, "optimizer": self.optimizer,
                "restarts": self.restarts, "patience": self.patience, "batch_size": self.batch_size}

    def _run(self, target: Target, cell: nn.Cell, images: np.ndarray, starts: np.ndarray | None) -> InversionResult:
        network = target.network if isinstance(target, NetworkTarget) else target
        compiled = self._compile(network, cell, images.shape[1:])
        targets = target_features(target.name, self.layer, images, compiled.features)
        if starts is None:
            starts = restart_starts(images.shape, self.seed, self.restarts)
        if len(starts) != self.restarts:
            raise InputError(f"starts have shape {starts.shape}; expected {(self.restarts, *images.shape)}")
        squares = mean_squares(targets)
        silent = squares < np.finfo(np.float32).tiny
        found, responded, steps = self._optimise(compiled, starts, targets, squares, silent)
        distance = np.stack([feature_distance(compiled.features(attempt), targets) for attempt in found])
        values = np.stack([objective(attempt, of, np.where(silent, 0, squares), self.tv, self.loss_weights)
                           for attempt, of in zip(found, distance)])
        best = np.nan_to_num(values, nan=np.inf).argmin(axis=0)
        chosen = (best, np.arange(len(images)))
        return InversionResult(images, found[chosen], distance[chosen], values[chosen],
                               silent | ~responded.any(axis=0), steps[chosen])

    def _compile(self, network: Any, cell: nn.Cell, shape: tuple[int, ...]) -> _Compiled:
        """Return the compiled parts for a network and an image shape, made once."""
        # The network is held by what was compiled of it, so no other can get its id.
        return self._compiled.get((id(network), shape), lambda: _Compiled(network, cell,
                                                                       Predictor(cell, self.batch_size)))

    def _optimise(self, compiled: _Compiled, starts: np.ndarray, targets: np.ndarray, squares: np.ndarray,
                  silent: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Run the loop over equal chunks; return images, whether features responded, and steps, per attempt."""
        restarts, count = starts.shape[:2]
        total = restarts * count
        size = math.ceil(total / math.ceil(total / self.batch_size))
        if compiled.loop is None:
            channels, height, width = starts.shape[2:]
            compiled.loop = _compile_loop(compiled.cell, (channels, height, width), self.tv, self.optimizer == ADAM,
                                          self.patience > 0)
        flat = starts.reshape(total, *starts.shape[2:])
        factors = np.where(silent, 0.0, 2 * self.loss_weights[0] / np.where(silent, 1.0, squares)
                           / math.prod(targets.shape[1:])).astype(np.float32)
        schedule = [Tensor(values, ms.float32) for values in (self.loss_weights[1:], *self._schedule())]
        limits = [Tensor(value, ms.int32) for value in (self.iterations, self.patience)]
        parts = []
        for begin in range(0, total, size):
            # The last chunk is filled up with attempts of the first: one shape means one compilation.
            rows = np.arange(begin, begin + size) % total
            which = rows % count
            shape = (size,) + (1,) * (targets.ndim - 1)
            given = (flat[rows], targets[which], factors[which].reshape(shape), ~silent[which])
            with interruptible():
                arrays = (Tensor(np.ascontiguousarray(array, np.float32)) for array in given)
                outputs = compiled.loop(*arrays, *schedule, *limits)
                parts.append([output.asnumpy() for output in outputs])
        images, response, steps = (np.concatenate(column)[:total] for column in zip(*parts))
        return (images.reshape(starts.shape), response.reshape(restarts, count) > 0,
                steps.reshape(restarts, count).astype(np.int64))

    def _schedule(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the step of every iteration, and Adam's bias corrections 1/(1 - βᵗ) as (iterations, 2)."""
        done = np.arange(self.iterations)
        if self.optimizer == SIGN:
            return np.full(self.iterations, SIGN_STEP), np.ones((self.iterations, 2))
        decays = np.sum([done >= share * self.iterations for share in DECAY_AFTER], axis=0)
        return ADAM_STEP * np.power(0.1, decays), 1 / (1 - np.power(np.array(BETAS), (done + 1)[:, None]))


def _compile_loop(cell: nn.Cell, shape: tuple[int, int, int], tv: str, adam: bool, freezes: bool) -> Any:
    """Return the compiled function from starts and targets to (images, response of the features, steps taken).

    Gradients of regularisers are written out, and that of the feature distance is taken of a surrogate with the same
    gradient: reductions and broadcasts differentiated by MindSpore cost more than the networks.
    """
    variation = variation_with_gradient(tv, shape)
    pixels = math.prod(shape)

    def surrogate(images: Tensor, targets: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
        difference = cell(images) - targets
        return (difference * ops.stop_gradient(factors * difference)).sum(), difference

    feature_gradient = ms.value_and_grad(surrogate, 0, None, has_aux=True)

    @ms.jit
    def loop(images: Tensor, targets: Tensor, factors: Tensor, active: Tensor, weights: Tensor, rates: Tensor,
             corrections: Tensor, iterations: Tensor, patience: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        count = images.shape[0]
        first = ops.zeros_like(images) if adam else ops.zeros((), ms.float32)
        second = ops.zeros_like(images) if adam else ops.zeros((), ms.float32)
        response = ops.zeros((count,), ms.float32)
        steps = ops.zeros((count,), ms.float32)
        lowest = ops.full((count,), 3e38, dtype=ms.float32)
        stale = ops.zeros((count,), ms.float32)
        step = ops.zeros((), ms.int32)
        while step < iterations:
            (_, difference), of_features = feature_gradient(images, targets, factors)
            response = response + ops.abs(of_features).reshape((count, -1)).sum(1)
            roughness, of_variation = variation(images)
            if freezes:
                distance = (difference * difference * factors).reshape((count, -1)).sum(1) / 2
                squares = (images * images).reshape((count, -1)).sum(1) / pixels
                value = distance + weights[0] * roughness + weights[1] * squares
                # Held against the value at the last progress: many small falls in a row are progress too.
                better = value < lowest * (1 - PROGRESS)
                lowest = ops.select(better, value, lowest)
                stale = (stale + 1) * (1 - better.astype(ms.float32))
                active = active * (stale < patience).astype(ms.float32)
            steps = steps + active
            direction = ops.sign(of_features + weights[0] * of_variation + (2 * weights[1] / pixels) * images)
            if adam:
                first = BETAS[0] * first + (1 - BETAS[0]) * direction
                second = BETAS[1] * second + (1 - BETAS[1]) * direction * direction
                direction = (first * corrections[step][0]) / (ops.sqrt(second * corrections[step][1]) + EPSILON)
            moved = images - rates[step] * active.reshape((count, 1, 1, 1)) * direction
            images = ops.minimum(ops.maximum(moved, 0.0), 1.0)
            step = step + 1
        return images, response, steps

    return loop
