"""What every room is handed as "the data": four arrays at the network's input size, and their digest.

The contract (docs/architecture.md, "Contracts between rooms"): images are float32 NCHW in [0, 1] at the
size the network sees, labels int32; resizing is a data step and therefore part of the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindleak.data.copies import Copies

TRAINING, TEST = "training", "test"


@dataclass(frozen=True, eq=False)
class RawData:
    """A data set as its files hold it, before scaling and resizing.

    ``x_*`` are (N, C, H, W), uint8 or float32; dividing by ``scale`` (255 for bytes) brings them into
    [0, 1]. ``y_*`` are (N,) int32.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    scale: float = 255.0

    def digest(self, name: str, preparation: Mapping[str, Any]) -> str:
        """Return the SHA-256 of names, preparation and the raw arrays (hex).

        The preparation is deterministic, so raw values plus its description pin the prepared pixels, and
        hashing bytes instead of the float32 result costs an eighth.
        """
        heading = {"schema": 1, "name": name, "classes": self.class_names, "preparation": preparation}
        digest = hashlib.sha256(json.dumps(heading, sort_keys=True).encode())
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared data set: images float32 (N, C, H, W) in [0, 1], labels int32 (N,), all read-only.

    ``preparation`` says what was done to the files' pixels (JSON-able); ``digest`` is a SHA-256 over names,
    preparation and pixels: two data sets with equal digests are equal. ``doubts`` are what users must hear of the data
    before they believe a figure (:func:`mindleak.data.doubts.doubts`), a sentence or two each. ``copies`` numbers the
    images, equal ones alike; without it, all are taken for different.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    preparation: dict[str, Any]
    digest: str
    doubts: tuple[str, ...] = ()
    copies: Copies = None  # type: ignore[assignment]  # never None once made

    def __post_init__(self) -> None:
        if self.copies is None:
            train, test = len(self.y_train), len(self.y_test)
            object.__setattr__(self, "copies", Copies(np.arange(train), np.arange(train, train + test)))
        # A digest over arrays that someone changes afterwards would vouch for the wrong pixels.
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            array.setflags(write=False)

    @property
    def num_classes(self) -> int:
        """Number of classes; labels run from 0 to one less."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        channels, height, width = self.x_train.shape[1:]
        return int(channels), int(height), int(width)

    def of_split(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Return images and labels of a split, ``TRAINING`` or ``TEST``."""
        return (self.x_train, self.y_train) if split == TRAINING else (self.x_test, self.y_test)

    @property
    def mean_image(self) -> np.ndarray:
        """The mean of the training split, float32 (C, H, W): what an attacker without any features would show."""
        mean: np.ndarray = self.x_train.mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean
