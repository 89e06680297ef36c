"""The cropped digits of SVHN (Netzer et al., "Reading Digits in Natural Images", 2011; "Format 2").

A MATLAB 5 file per half with two variables: ``X``, bytes (32, 32, 3, N) as height, width, channel, image, and
``y``, bytes (N, 1), labels from 1 to 10, where 10 stands for the digit 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mindleak.data.checks import check_counts, check_labels
from mindleak.data.dataset import RawData
from mindleak.data.matlab import ANY, read_byte_arrays
from mindleak.data.planes import columns_to_rows

TRAIN_FILE = "train_32x32.mat"
TEST_FILE = "test_32x32.mat"
FILES = (TRAIN_FILE, TEST_FILE)
_VARIABLES = {"X": (32, 32, 3, ANY), "y": (ANY, 1)}


def read_svhn(folder: Path, class_names: tuple[str, ...]) -> RawData:
    """Read the training and the test file of ``folder``.

    Raises:
        InputError: a file is missing, cut, damaged, of another MATLAB version, or holds other variables, shapes,
            types or labels.
    """
    x_train, y_train = read_half(folder / TRAIN_FILE, len(class_names))
    x_test, y_test = read_half(folder / TEST_FILE, len(class_names))
    return RawData(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, class_names=class_names)


def read_half(path: Path, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Read one file: images uint8 (N, 3, 32, 32), labels int32 (N,), the digit itself.

    Raises:
        InputError: see :func:`read_svhn`.
    """
    variables = read_byte_arrays(path, _VARIABLES)
    images, labels = variables["X"], variables["y"].reshape(-1)
    check_counts(len(images), len(labels), f"{path}: X", "y")
    check_labels(labels, num_classes, f"{path}: y", first=1)
    return columns_to_rows(images), (labels % num_classes).astype(np.int32)
