"""Bringing images to the network's input size: bilinear interpolation or zero padding.

Bilinear with half-pixel centres, the convention of OpenCV's and MindSpore's ``INTER_LINEAR``: output pixel i
samples the source at (i + 1/2)·n_in/n_out − 1/2, clamped at the border, without smoothing when shrinking.
Interpolation is linear and separable, so a whole batch is two products with small banded matrices. The
result stays float32; the MindSpore tutorial resizes bytes and rounds, a difference of at most half a
grey level (1/510).
"""

from __future__ import annotations

import numpy as np

from mindleak.errors import InputError

# Enough rows for an efficient product, few enough that the float copies stay tens of MB.
_CHUNK_PIXELS = 4_000_000


def bilinear_matrix(n_in: int, n_out: int) -> np.ndarray:
    """Return the (n_out, n_in) float32 matrix that resamples one axis; each row sums to 1."""
    centre = (np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5
    centre = np.clip(centre, 0, n_in - 1)
    low = np.floor(centre).astype(np.int64)
    high = np.minimum(low + 1, n_in - 1)
    weight = centre - low
    matrix = np.zeros((n_out, n_in))
    rows = np.arange(n_out)
    np.add.at(matrix, (rows, low), 1 - weight)
    np.add.at(matrix, (rows, high), weight)
    return matrix.astype(np.float32)


def resize_bilinear(images: np.ndarray, height: int, width: int, scale: float = 1.0) -> np.ndarray:
    """Resample (N, C, H, W) images, divided by ``scale``, to float32 (N, C, height, width)."""
    count, channels, rows, columns = images.shape
    across = np.ascontiguousarray(bilinear_matrix(columns, width).T / np.float32(scale))
    down = bilinear_matrix(rows, height)
    planes = images.reshape(-1, rows, columns)
    resized = np.empty((len(planes), height, width), np.float32)
    step = max(1, _CHUNK_PIXELS // max(rows * columns, height * width))
    for start in range(0, len(planes), step):
        chunk = planes[start : start + step].astype(np.float32)
        wide = (chunk.reshape(-1, columns) @ across).reshape(-1, rows, width)
        np.matmul(down, wide, out=resized[start : start + step])
    # Weights sum to 1 up to rounding: keep the promise that pixels stay inside [0, 1].
    np.clip(resized, 0, 1, out=resized)
    return resized.reshape(count, channels, height, width)


def scale_pixels(images: np.ndarray, scale: float) -> np.ndarray:
    """Divide (N, C, H, W) images by ``scale`` into a new float32 array."""
    return np.divide(images, np.float32(scale), dtype=np.float32)


def pad_centre(images: np.ndarray, height: int, width: int, scale: float = 1.0) -> np.ndarray:
    """Divide by ``scale`` and set into the middle of zeros: float32 (N, C, height, width).

    An odd difference puts the extra line at the bottom and right.

    Raises:
        InputError: the images are larger than the target.
    """
    count, channels, rows, columns = images.shape
    if rows > height or columns > width:
        raise InputError(
            f"image_size {height}x{width} is smaller than the images ({rows}x{columns}): "
            "padding cannot shrink; use resize 'bilinear'"
        )
    padded = np.zeros((count, channels, height, width), np.float32)
    top, left = (height - rows) // 2, (width - columns) // 2
    inner = padded[:, :, top : top + rows, left : left + columns]
    np.divide(images, np.float32(scale), out=inner, dtype=np.float32)
    return padded
