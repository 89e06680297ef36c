"""What every attack checks of what it is given, before its algorithm runs: shapes, ranges, and finite numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mindleak.errors import InputError


def require_answers(whose: str, logits: ArrayLike, labels: ArrayLike, classes: int | None = None) -> None:
    """Refuse logits that are not finite numbers (N, classes), and labels that do not belong to them.

    Args:
        whose: what messages call the model, "the subject" or "shadow 2".
        logits: of N samples.
        labels: their true classes, (N,).
        classes: how many there are; any number from 2 on by default.

    Raises:
        InputError: as said.
    """
    answers = np.asarray(logits)
    wanted = "classes" if classes is None else str(classes)
    if answers.ndim != 2 or answers.shape[1] < 2 or answers.shape[1] != (classes or answers.shape[1]):
        raise InputError(f"logits of {whose} have shape {answers.shape}; expected (samples, {wanted})")
    require_finite(f"logits of {whose}", answers)
    require_labels(whose, labels, *answers.shape)


def require_labels(whose: str, labels: ArrayLike, samples: int, classes: int) -> None:
    """Refuse labels that are not whole numbers (samples,) below the number of classes.

    Raises:
        InputError: as said.
    """
    truth = np.asarray(labels)
    if truth.shape != (samples,):
        raise InputError(f"labels of {whose} have shape {truth.shape}; expected ({samples},)")
    if samples and not np.issubdtype(truth.dtype, np.integer):
        raise InputError(f"labels of {whose} are of type {truth.dtype}; expected whole numbers")
    if samples and not 0 <= truth.min() <= truth.max() < classes:
        raise InputError(f"labels of {whose} lie in {truth.min()} to {truth.max()}; expected 0 to {classes - 1}")


def require_members(whose: str, members: ArrayLike, samples: int) -> None:
    """Refuse flags of membership that are not booleans (samples,).

    Raises:
        InputError: as said.
    """
    flags = np.asarray(members)
    if flags.shape != (samples,) or flags.dtype != np.bool_:
        raise InputError(f"members of {whose} are {flags.dtype} of shape {flags.shape}; expected booleans of shape "
                         f"({samples},)")


def require_finite(what: str, values: ArrayLike) -> None:
    """Refuse values of which one is no finite number.

    Raises:
        InputError: as said.
    """
    array = np.asarray(values)
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise InputError(f"{what} have {bad} values of {array.size} that are not finite; expected finite numbers")


def require_images(what: str, images: np.ndarray, name: str, shape: Sequence[int] | None = None) -> None:
    """Refuse what is not (N, C, H, W) with pixels in [0, 1].

    Args:
        what: what messages call the images.
        images: at least one.
        name: of the target that takes them.
        shape: (C, H, W) that it takes; any by default.

    Raises:
        InputError: as said.
    """
    if len(images) == 0:
        raise InputError(f"{what} are none; expected at least one image")
    if images.ndim != 4 or (shape is not None and tuple(shape) != images.shape[1:]):
        wanted = "channels, height, width" if shape is None else ", ".join(str(side) for side in shape)
        raise InputError(f"{what} have shape {images.shape}; {name} takes (N, {wanted})")
    require_finite(what, images)
    if images.min() < 0 or images.max() > 1:
        raise InputError(f"{what} lie in {images.min():g} to {images.max():g}; expected pixels in 0 to 1")
