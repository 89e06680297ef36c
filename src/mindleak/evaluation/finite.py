"""Answers that are no finite numbers: which image gets the first of them, and what is likely to be behind it."""

from __future__ import annotations

import numpy as np

LARGEST_HALF = 65504


def complaint(answers: np.ndarray, images: np.ndarray, split: str, rows: np.ndarray | None = None) -> str | None:
    """Return what is wrong with the first answer that is not finite, in a sentence; None where all are.

    Args:
        answers: (N, classes), of any float type.
        images: (N, C, H, W), what was asked about.
        split: what messages call the split: 'training', 'test', ...
        rows: which rows of the split these are, (N,); the first N by default.
    """
    if len(answers) == 0:
        return None
    finite = np.isfinite(answers).reshape(len(answers), -1)
    bad = np.flatnonzero(~finite.all(axis=1))
    if len(bad) == 0:
        return None
    first = int(bad[0])
    values = answers.reshape(len(answers), -1)[first]
    classes = np.flatnonzero(~finite[first])
    row = first if rows is None else int(rows[first])
    value = "NaN" if np.isnan(values[classes[0]]) else f"{values[classes[0]]:g}"
    which = "" if len(classes) == len(values) else f" for class {', '.join(map(str, classes[:5]))}"
    return (f"{split} row {row}: the network answers {value}{which} ({len(bad):,} of the {len(answers):,} images asked "
            f"about); expected finite numbers.{_reason(values[classes], answers.dtype, images[first])}")


def _reason(values: np.ndarray, dtype: np.dtype, image: np.ndarray) -> str:
    """Return what such values of an image usually come from, as a sentence behind a space; empty where unknown."""
    if not np.isfinite(image).all():
        return " The image itself has pixels that are no finite numbers"
    if dtype == np.float16:
        return f" It answers in float16, whose largest number is {LARGEST_HALF}; answer in float32"
    if (values == -np.inf).all():
        return " A class that never occurs is left out by a large negative number, such as -1e4: -inf has no gradient"
    if image.min() == image.max():
        return (f" All pixels of this image are {image.max():g}: does the network divide by their mean, sum or "
                "deviation, or take their logarithm?")
    return ""
