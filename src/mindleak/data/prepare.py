"""From files' pixels to a :class:`Dataset`: scaling into [0, 1], resizing or padding, digest."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindleak.data.copies import number_images, number_prepared
from mindleak.data.dataset import Dataset, RawData
from mindleak.data.doubts import doubts
from mindleak.data.resize import pad_centre, resize_bilinear, scale_pixels
from mindleak.errors import InputError, nearest
from mindleak.settings.data import RESIZE_METHODS

_LARGEST_SIDE = 4096


def prepare(name: str, raw: RawData, image_size: int | None, resize: str) -> Dataset:
    """Return ``raw`` as float32 in [0, 1] at ``image_size`` x ``image_size`` (None: as it is).

    Raises:
        InputError: unknown ``resize``, ``image_size`` out of range, padding to less than the images, or images of which
            there is nothing to learn.
    """
    if resize not in RESIZE_METHODS:
        raise InputError(f"resize '{resize}' is unknown{nearest(resize, RESIZE_METHODS)}")
    if image_size is not None and not 1 <= image_size <= _LARGEST_SIDE:
        raise InputError(f"image_size {image_size} is out of range: 1 to {_LARGEST_SIDE}")
    height, width = raw.x_train.shape[2:]
    target = (height, width) if image_size is None else (image_size, image_size)
    method = "none" if target == (height, width) else resize
    preparation: dict[str, Any] = {
        "source_shape": [int(side) for side in raw.x_train.shape[1:]],
        "divided_by": raw.scale,
        "image_size": [int(side) for side in target],
        "resize": method,
    }
    found = doubts(raw)
    train, test = (_fit(images, target, method, raw.scale) for images in (raw.x_train, raw.x_test))
    copies = number_images(raw.x_train, raw.x_test)
    # Enlarged images differ where their sources do; shrinking reads some of the pixels only.
    if method == "bilinear" and (target[0] < height or target[1] < width):
        copies = number_prepared(copies, train, test)
    return Dataset(
        name=name,
        x_train=train,
        y_train=raw.y_train,
        x_test=test,
        y_test=raw.y_test,
        class_names=raw.class_names,
        preparation=preparation,
        digest=raw.digest(name, preparation),
        doubts=(*found, *copies.doubts(raw.y_train)),
        copies=copies,
    )


def _fit(images: np.ndarray, target: tuple[int, int], method: str, scale: float) -> np.ndarray:
    if method == "bilinear":
        return resize_bilinear(images, *target, scale=scale)
    if method == "pad":
        return pad_centre(images, *target, scale=scale)
    return scale_pixels(images, scale)
