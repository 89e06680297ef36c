"""What an inversion attack starts from and what it returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# MindArmour draws its starts from [0, .05): nearly black.
DARK = 0.05


@dataclass(frozen=True)
class InversionResult:
    """What the attack got back.

    Attributes:
        originals: float32 (N, C, H, W) in [0, 1].
        inversions: the images found, same shape and range.
        feature_mse: float64 (N,), mean squared difference of the layer's outputs on the two.
        objective: float64 (N,), what the attack minimised, at the images found; infinite where the target features
            are all zero.
        dead: bool (N,), there was nothing to follow: the target features are all zero (their mean square divides the
            objective; the image stays a random start), or, with the batched engine, no pixel ever changed them.
        iterations: int (N,), gradient steps taken until the image was frozen.
    """

    originals: np.ndarray
    inversions: np.ndarray
    feature_mse: np.ndarray
    objective: np.ndarray
    dead: np.ndarray
    iterations: np.ndarray


def random_starts(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return images drawn as MindArmour draws its starts, uniform in [0, .05): the attack that does nothing."""
    return (np.random.default_rng(seed).random(shape) * DARK).astype(np.float32)


def restart_starts(shape: tuple[int, ...], seed: int, restarts: int) -> np.ndarray:
    """Return the starts of all restarts (restarts, N, C, H, W): ``random_starts``, then uniform in [0, 1)."""
    further = np.random.default_rng([seed, 1]).random((restarts - 1, *shape), dtype=np.float32)
    return np.concatenate([random_starts(shape, seed)[None], further])


def mean_squares(features: np.ndarray) -> np.ndarray:
    """Return the mean square of each sample's features, float32 (N,), the precision in which MindArmour divides."""
    return np.square(features, dtype=np.float32).reshape(len(features), -1).mean(axis=1)


def feature_distance(found: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the mean squared difference of each sample's features, float64 (N,)."""
    difference = found.astype(np.float64) - targets
    return np.asarray((difference**2).reshape(len(targets), -1).mean(axis=1))
