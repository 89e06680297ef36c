"""The inversion objective: relative feature distance, total variation, squared norm (arXiv 1412.0035, eq. 1).

For one image x with pixels (C, H, W), features Φ(x) and target features Φ₀:

    w₁ · mean (Φ(x) - Φ₀)² / mean Φ₀²  +  w₂ · TV(x)  +  w₃ · mean x²

MindArmour has one definition of TV on CPU and another elsewhere, so the same weight means something else there;
both are offered by name, beside one that depends on neither device nor image size. d_v and d_h are differences to
the next pixel downwards and to the right:

- ``isotropic``: mean over all pixels and channels of √(d_v² + d_h² + ε²) - ε, differences over the border being 0
  (Rudin, Osher & Fatemi, Physica D 60, 1992, smoothed);
- ``mindarmour_cpu``: the sum over pairs of neighbouring rows of their mean squared difference, plus the same for
  columns;
- ``mindarmour_ascend``: mean d_v² + mean d_h², the pixel beyond the border being 0. Square images only: MindArmour
  takes the height for the width there, and fails on others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from mindleak.errors import InputError, nearest

ISOTROPIC, CPU_SUM, ASCEND_MEAN = "isotropic", "mindarmour_cpu", "mindarmour_ascend"
TV_KINDS = (ISOTROPIC, CPU_SUM, ASCEND_MEAN)
# ε of the isotropic TV: differences far below one grey level of 255 are noise, and count quadratically.
SMOOTHING = 1e-3

Shape = tuple[int, int, int]


def check_tv(kind: str) -> None:
    """Refuse a total variation that nobody has defined.

    Raises:
        InputError: the kind is unknown.
    """
    if kind not in TV_KINDS:
        raise InputError(f"inversion.tv '{kind}' is unknown{nearest(kind, TV_KINDS, TV_KINDS)}")


def check_tv_shape(kind: str, shape: Sequence[int]) -> None:
    """Refuse a total variation that is not defined for images of ``shape`` (C, H, W).

    Raises:
        InputError: ``mindarmour_ascend`` for images that are not square.
    """
    if kind == ASCEND_MEAN and shape[1] != shape[2]:
        raise InputError(f"inversion.tv '{ASCEND_MEAN}' is defined for square images only (MindArmour fails on "
                         f"others), not {shape[1]}x{shape[2]}; expected {ISOTROPIC} or {CPU_SUM}")


def check_weights(weights: Sequence[float], zero_allowed: bool) -> None:
    """Refuse weights that are not three finite numbers above 0; TV's and the norm's may be 0 where allowed.

    Raises:
        InputError: as said.
    """
    right = "three finite numbers above 0" + (" (the last two may be 0)" if zero_allowed else "")
    if (len(weights) != 3 or not all(math.isfinite(weight) and weight >= 0 for weight in weights)
            or not all(weights[: 1 if zero_allowed else 3])):
        raise InputError(f"inversion.loss_weights is {list(weights)}; expected {right}")


def total_variation(images: np.ndarray, kind: str) -> np.ndarray:
    """Return TV of each image of (N, C, H, W): float64 (N,), straight from the definition above."""
    x = np.asarray(images, np.float64)
    if kind == ASCEND_MEAN:
        down, right = np.zeros_like(x), np.zeros_like(x)
        down[:, :, :-1], right[..., :-1] = x[:, :, 1:], x[..., 1:]
        return np.asarray(((x - down) ** 2 + (x - right) ** 2).mean(axis=(1, 2, 3)))
    rows, columns = np.diff(x, axis=2), np.diff(x, axis=3)
    if kind == CPU_SUM:
        return np.asarray((rows**2).mean(axis=(1, 3)).sum(axis=1) + (columns**2).mean(axis=(1, 2)).sum(axis=1))
    squares = np.zeros_like(x)
    squares[:, :, :-1] += rows**2
    squares[..., :-1] += columns**2
    return np.asarray((np.sqrt(squares + SMOOTHING**2) - SMOOTHING).mean(axis=(1, 2, 3)))


def objective(images: np.ndarray, feature_mse: np.ndarray, target_squares: np.ndarray, kind: str,
              weights: Sequence[float]) -> np.ndarray:
    """Return the objective per image, float64 (N,); infinite where the target features are all zero.

    Args:
        images: the images found (N, C, H, W).
        feature_mse: mean (Φ(x) - Φ₀)² per image.
        target_squares: mean Φ₀² per image.
        kind: of TV.
        weights: of feature distance, TV and squared norm.
    """
    distance = np.divide(feature_mse, target_squares, out=np.full(len(images), np.inf), where=target_squares > 0)
    squares = np.square(np.asarray(images, np.float64)).mean(axis=(1, 2, 3))
    return np.asarray(weights[0] * distance + weights[1] * total_variation(images, kind) + weights[2] * squares)


def variation_with_gradient(kind: str, shape: Shape) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return the function images (N, C, H, W) → (TV (N,), its gradient (N, C, H, W)) for the compiled loop.

    Differences and their transposes are products with small matrices: on CPU MindSpore's gradients of slices and of
    broadcasts cost more than LeNet5's convolutions.
    """
    channels, height, width = shape
    if kind == ISOTROPIC:
        return _isotropic(shape)
    per_row, per_column = {CPU_SUM: (channels * width, channels * height),
                           ASCEND_MEAN: (channels * height * width,) * 2}[kind]
    # Both kinds are quadratic forms: TV = ½ Σ x·(Lx), with L = 2 D Dᵀ over the number of pixels averaged.
    rows, columns = _differences(height, kind == ASCEND_MEAN), _differences(width, kind == ASCEND_MEAN)
    down = Tensor(2 / per_row * rows @ rows.T, ms.float32)
    right = Tensor(2 / per_column * columns @ columns.T, ms.float32)

    def quadratic(images: Tensor) -> tuple[Tensor, Tensor]:
        gradient = _along_columns(images, down) + _along_rows(images, right)
        return 0.5 * (images * gradient).reshape((images.shape[0], -1)).sum(1), gradient

    return quadratic


def _isotropic(shape: Shape) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return value and gradient of the isotropic TV."""
    pixels = math.prod(shape)
    rows, columns = (_differences(size, False).astype(np.float32) for size in shape[1:])
    down, down_back = Tensor(rows), Tensor(rows.T.copy())
    right, right_back = Tensor(columns), Tensor(columns.T.copy())

    def isotropic(images: Tensor) -> tuple[Tensor, Tensor]:
        vertical, horizontal = _along_columns(images, down), _along_rows(images, right)
        length = ops.sqrt(vertical * vertical + horizontal * horizontal + SMOOTHING * SMOOTHING)
        inverse = (1.0 / pixels) / length
        gradient = _along_columns(vertical * inverse, down_back) + _along_rows(horizontal * inverse, right_back)
        return (length - SMOOTHING).reshape((images.shape[0], -1)).sum(1) / pixels, gradient

    return isotropic


def _differences(size: int, padded: bool) -> np.ndarray:
    """Return D (size, size) with (x D)ⱼ = xⱼ₊₁ - xⱼ; the last is 0, or -x_last where a zero follows."""
    matrix = np.eye(size, k=-1) - np.eye(size)
    if not padded:
        matrix[:, -1] = 0.0
    return matrix


def _along_rows(images: Tensor, matrix: Tensor) -> Tensor:
    """Multiply every row of pixels by ``matrix`` (W, W)."""
    return ops.matmul(images.reshape((-1, images.shape[3])), matrix).reshape(images.shape)


def _along_columns(images: Tensor, matrix: Tensor) -> Tensor:
    """Multiply every column of pixels by ``matrix`` (H, H)."""
    return _along_rows(images.transpose((0, 1, 3, 2)), matrix).transpose((0, 1, 3, 2))
