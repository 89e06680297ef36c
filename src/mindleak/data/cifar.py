"""The binary version of CIFAR-10 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009).

A row is one label byte and 3,072 pixel bytes: 32x32 red, then green, then blue. The number of rows is the
file's size / 3,073, so that subsets of the official 10,000 per file are read as well.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mindleak.data.checks import check_labels
from mindleak.data.dataset import RawData
from mindleak.errors import InputError
from mindleak.files import read_bytes, read_text

FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
FILES = (*TRAIN_FILES, TEST_FILE)
NAMES_FILE = "batches.meta.txt"
ROW_BYTES = 1 + 3 * 32 * 32
_CIFAR100_ROW_BYTES = ROW_BYTES + 1


def read_cifar10(folder: Path, class_names: tuple[str, ...]) -> RawData:
    """Read the five training files and the test file of ``folder``.

    ``class_names`` serve where ``batches.meta.txt`` is missing.

    Raises:
        InputError: a file is missing, cut, empty or holds other labels; the names are not ten.
    """
    halves = [read_batch(folder / name, len(class_names)) for name in TRAIN_FILES]
    x_test, y_test = read_batch(folder / TEST_FILE, len(class_names))
    return RawData(
        x_train=np.concatenate([images for images, _ in halves]),
        y_train=np.concatenate([labels for _, labels in halves]),
        x_test=x_test,
        y_test=y_test,
        class_names=_read_names(folder / NAMES_FILE, class_names),
    )


def read_batch(path: Path, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Read one file: images uint8 (N, 3, 32, 32), labels int32 (N,).

    Raises:
        InputError: see :func:`read_cifar10`.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    size = len(content)
    if size == 0:
        raise InputError(f"{path} is empty")
    if size % ROW_BYTES:
        hint = " (is it CIFAR-100?)" if size % _CIFAR100_ROW_BYTES == 0 else ""
        whole = -(-size // ROW_BYTES) * ROW_BYTES
        raise InputError(
            f"{path} is cut or of another format{hint}: {size} bytes found, "
            f"{whole} expected for whole rows of {ROW_BYTES}"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, ROW_BYTES)
    labels = rows[:, 0].astype(np.int32)
    check_labels(labels, num_classes, str(path))
    return np.ascontiguousarray(rows[:, 1:]).reshape(-1, 3, 32, 32), labels


def _read_names(path: Path, default: tuple[str, ...]) -> tuple[str, ...]:
    if not path.exists():
        return default
    try:
        lines = read_text(path).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) != len(default):
        raise InputError(f"{path} names {len(names)} classes; {len(default)} expected, one a line")
    return names
