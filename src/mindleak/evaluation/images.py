"""Distances between batches of images: SSIM, PSNR, L2 and relative L2, one number per image.

Images are NCHW, in [0, 1] unless ``data_range`` says otherwise. Everything is computed in float64 over blocks
of images, so memory stays bounded and no loop runs over samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter

WINDOW = 11
_SIGMA = 1.5
_UNIFORM = 7
_K1, _K2 = 0.01, 0.03
# Pixels per block: five float64 maps of it take 40 MiB.
_BLOCK_PIXELS = 1 << 20


def ssim(x: ArrayLike, y: ArrayLike, data_range: float = 1.0) -> NDArray[np.float64]:
    """Return the structural similarity of each pair of images, shape (N,), 1 for equal images.

    Wang, Bovik, Sheikh & Simoncelli (IEEE TIP 13, 2004), eq. 13: Gaussian window 11×11 with σ 1.5 at the
    positions where it lies inside the image, K₁ = .01, K₂ = .03, averaged over positions and channels; as
    ``mindspore.nn.SSIM`` defines it by default, with ``max_val = data_range``.

    Args:
        x: images of shape (N, C, H, W), H and W at least 11: a smaller image has no position for the window,
            and a smaller window would be another measure under the same name.
        y: images of the same shape.
        data_range: largest minus smallest possible pixel value.

    Raises:
        ValueError: shapes that differ or are not NCHW, images below 11 pixels, or a data range not positive.
    """
    first, second = _pair(x, y)
    _check_range(data_range)
    height, width = first.shape[2:]
    if min(height, width) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW}x{WINDOW} pixels, got {height}x{width}")
    rows, columns = _blur_matrix(height), _blur_matrix(width).T
    result = np.empty(first.shape[0])
    block = max(1, _BLOCK_PIXELS // max(1, first[:1].size))
    for start in range(0, first.shape[0], block):
        part = slice(start, start + block)
        result[part] = _ssim_block(
            first[part].astype(np.float64), second[part].astype(np.float64), rows, columns, data_range
        )
    return result


def ssim_mindarmour(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Return SSIM as MindArmour 2.0.0's ``compute_ssim`` defines it, shape (N,), for the column beside ours.

    A uniform 7×7 window with sample covariances, and a data range of 2 whatever the images', so it is never the
    figure to quote (docs/methods.md).

    Raises:
        ValueError: shapes that differ or are not NCHW, or images below 7 pixels.
    """
    first, second = _pair(x, y)
    height, width = first.shape[2:]
    if min(height, width) < _UNIFORM:
        raise ValueError(f"this SSIM needs images of at least {_UNIFORM}x{_UNIFORM} pixels, got {height}x{width}")
    result = np.empty(first.shape[0])
    block = max(1, _BLOCK_PIXELS // max(1, first[:1].size))
    for start in range(0, first.shape[0], block):
        part = slice(start, start + block)
        result[part] = _uniform_ssim_block(first[part].astype(np.float64), second[part].astype(np.float64))
    return result


def _uniform_ssim_block(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    c1, c2 = (_K1 * 2) ** 2, (_K2 * 2) ** 2
    sample = _UNIFORM**2 / (_UNIFORM**2 - 1)
    inside = slice(_UNIFORM // 2, -(_UNIFORM // 2))

    def mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(uniform_filter(image, size=(1, 1, _UNIFORM, _UNIFORM)))[..., inside, inside]

    mean_first, mean_second = mean(first), mean(second)
    variance_first = sample * (mean(first * first) - mean_first * mean_first)
    variance_second = sample * (mean(second * second) - mean_second * mean_second)
    covariance = sample * (mean(first * second) - mean_first * mean_second)
    numerator = (2 * mean_first * mean_second + c1) * (2 * covariance + c2)
    denominator = (mean_first**2 + mean_second**2 + c1) * (variance_first + variance_second + c2)
    return np.asarray((numerator / denominator).mean(axis=(1, 2, 3)))


def psnr(x: ArrayLike, y: ArrayLike, data_range: float = 1.0) -> NDArray[np.float64]:
    """Return the peak signal-to-noise ratio 10 log₁₀(data_range²/MSE) in dB, shape (N,); inf if equal.

    Raises:
        ValueError: shapes that differ or are not NCHW, or a data range that is not positive.
    """
    _check_range(data_range)
    first, second = _pair(x, y)
    pixels = np.prod(first.shape[1:])
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(data_range**2 * pixels / _squared_distance(first, second)))


def l2(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Return ‖x-y‖₂ over all pixels and channels of each image, shape (N,).

    Raises:
        ValueError: shapes that differ or are not NCHW.
    """
    return np.sqrt(_squared_distance(*_pair(x, y)))


def l2_relative(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Return ‖x-y‖₂/‖x‖₂ of each image, shape (N,), x being the original; NaN where the original is all zero.

    MindArmour's inversion attack and the tutorial call this quantity "L2".

    Raises:
        ValueError: shapes that differ or are not NCHW.
    """
    original, other = _pair(x, y)
    norm = np.sqrt(_squared_distance(original, np.zeros_like(original)))
    distance = np.sqrt(_squared_distance(original, other))
    return np.divide(distance, norm, out=np.full(norm.shape, np.nan), where=norm > 0)


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    first, second = np.asarray(x), np.asarray(y)
    if first.ndim != 4 or first.shape != second.shape:
        raise ValueError(f"two batches of one shape (N, C, H, W), not {first.shape} and {second.shape}")
    return first, second


def _check_range(data_range: float) -> None:
    if not data_range > 0:
        raise ValueError(f"data_range must be positive, got {data_range}")


def _squared_distance(first: NDArray[np.generic], second: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the squared Euclidean distance per image, shape (N,)."""
    result = np.empty(first.shape[0])
    block = max(1, _BLOCK_PIXELS // max(1, first[:1].size))
    for start in range(0, first.shape[0], block):
        part = slice(start, start + block)
        # Converted before subtracting: uint8 would wrap around.
        difference = first[part].astype(np.float64) - second[part].astype(np.float64)
        result[part] = np.einsum("nchw,nchw->n", difference, difference)
    return result


def _blur_matrix(size: int) -> NDArray[np.float64]:
    """Return the matrix (size - 10, size) that takes a line of pixels to its valid Gaussian averages.

    The window is separable, so blurring is one matrix product per axis; at image sizes of a few dozen pixels
    that beats a filter routine.
    """
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    positions = size - WINDOW + 1
    matrix = np.zeros((positions, size))
    matrix[np.arange(positions)[:, None], np.arange(positions)[:, None] + np.arange(WINDOW)] = weights / weights.sum()
    return matrix


def _ssim_block(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    data_range: float,
) -> NDArray[np.float64]:
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2

    def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(rows @ image @ columns)

    mean_first, mean_second = blur(first), blur(second)
    product_of_means = mean_first * mean_second
    sum_of_squared_means = mean_first**2 + mean_second**2
    covariance = blur(first * second) - product_of_means
    variances = blur(first**2 + second**2) - sum_of_squared_means
    luminance = (2 * product_of_means + c1) / (sum_of_squared_means + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return np.asarray((luminance * structure).mean(axis=(1, 2, 3)))
