"""Checks that every file format shares: as many labels as images, labels inside the classes, sane pixels."""

from __future__ import annotations

import numpy as np

from mindleak.errors import InputError


def check_counts(images: int, labels: int, images_from: str, labels_from: str) -> None:
    """Check that there are as many labels as images, and at least one.

    Raises:
        InputError: the numbers differ or are 0; names ``images_from`` and ``labels_from``, the files.
    """
    if images != labels:
        raise InputError(
            f"{images_from} holds {images} images but {labels_from} {labels} labels: "
            "they belong to different sets, or one of them is cut"
        )
    if images == 0:
        raise InputError(f"{images_from} holds no images")


def check_labels(labels: np.ndarray, num_classes: int, where: str, first: int = 0) -> None:
    """Check that all labels, whole numbers (N,), lie in first .. first + num_classes - 1.

    Raises:
        InputError: one does not; names the file ``where`` and the first such row.
    """
    last = first + num_classes - 1
    wrong = np.flatnonzero((labels < first) | (labels > last))
    if len(wrong):
        raise InputError(
            f"{where}: label {labels[wrong[0]]} in row {wrong[0]} ({len(wrong)} such rows) is outside the "
            f"{num_classes} classes {first}..{last}"
        )


def check_unit_range(images: np.ndarray, where: str) -> None:
    """Check that all pixels of images (N, ...) are finite and in [0, 1].

    Raises:
        InputError: one is not; names the file ``where`` and the first such row.
    """
    low, high = float(images.min()), float(images.max())
    # This is false for NaN, which min and max pass on.
    if low >= 0 and high <= 1:
        return
    bad = ~((images >= 0) & (images <= 1))
    row = int(np.flatnonzero(bad.reshape(len(images), -1).any(axis=1))[0])
    value = float(images[row][bad[row]][0])
    hint = _scale_hint(low, high)
    kind = "outside [0, 1]" if np.isfinite(value) else "not finite"
    raise InputError(f"{where}: pixel value {value:g} in row {row} is {kind}{hint}")


def _scale_hint(low: float, high: float) -> str:
    """Say how values of a usual other scale come into [0, 1]; empty where they are of none, or not finite."""
    if not np.isfinite([low, high]).all():
        return ""
    if low < 0:
        return (f" (all lie in {low:.3g} to {high:.3g}); a normalisation by mean and deviation belongs into the "
                "network, so store images without it")
    if 16 < high <= 255:
        return "; store bytes as uint8, or divide by 255"
    return f"; divide both splits by the value that stands for white ({high:g} is the largest here)"
