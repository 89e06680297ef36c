"""The binary version of STL-10 (Coates, Lee, Ng, "An Analysis of Single Layer Networks", AISTATS 2011).

``*_X.bin``: 27,648 bytes an image, 96x96 red, then green, then blue, each plane column by column. ``*_y.bin``:
one byte a label, 1 to 10. The number of images is the file's size / 27,648, so that subsets are read as well.
The 100,000 unlabelled images of the archive are of no use here and are never unpacked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mindleak.data.checks import check_counts, check_labels
from mindleak.data.dataset import RawData
from mindleak.data.planes import columns_to_rows
from mindleak.errors import InputError

FOLDER = "stl10_binary"
TRAIN_FILES = ("train_X.bin", "train_y.bin")
TEST_FILES = ("test_X.bin", "test_y.bin")
FILES = (*TRAIN_FILES, *TEST_FILES)
_SHAPE = (3, 96, 96)
IMAGE_BYTES = 3 * 96 * 96


def read_stl10(folder: Path, class_names: tuple[str, ...]) -> RawData:
    """Read the labelled images of ``folder``.

    Raises:
        InputError: a file is missing, cut, empty or swapped with another, or a label is outside 1..10.
    """
    x_train, y_train = _read_half(folder, TRAIN_FILES, len(class_names))
    x_test, y_test = _read_half(folder, TEST_FILES, len(class_names))
    return RawData(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, class_names=class_names)


def count_rows(path: Path) -> int:
    """Return the number of images or labels in one file, which is sound.

    Raises:
        InputError: see :func:`read_stl10`.
    """
    if path.name in (TRAIN_FILES[0], TEST_FILES[0]):
        return len(_read_images(path))
    return len(_read_labels(path, 10))


def _read_half(folder: Path, names: tuple[str, str], num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 (N, 3, 96, 96) and labels int32 (N,) from 0."""
    images_path, labels_path = (folder / name for name in names)
    labels = _read_labels(labels_path, num_classes)
    images = _read_images(images_path)
    check_counts(len(images), len(labels), str(images_path), str(labels_path))
    return columns_to_rows(images), labels


def _read_images(path: Path) -> np.ndarray:
    content = _read(path)
    if len(content) % IMAGE_BYTES:
        whole = -(-len(content) // IMAGE_BYTES) * IMAGE_BYTES
        raise InputError(
            f"{path} is cut or holds no images: {len(content)} bytes found, {whole} expected for whole images "
            f"of {IMAGE_BYTES}"
        )
    return content.reshape(-1, *_SHAPE)


def _read_labels(path: Path, num_classes: int) -> np.ndarray:
    content = _read(path)
    check_labels(content, num_classes, str(path), first=1)
    return content.astype(np.int32) - 1


def _read(path: Path) -> np.ndarray:
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) == 0:
        raise InputError(f"{path} is empty")
    return content
