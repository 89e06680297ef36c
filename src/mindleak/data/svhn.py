"""The cropped digits of SVHN (Netzer et al., "Reading Digits in Natural Images", 2011; "Format 2").

A MATLAB 5 file per half with two variables: ``X``, bytes (32, 32, 3, N) as height, width, channel, image, and
``y``, labels (N, 1) from 1 to 10, where 10 stands for the digit 0. SciPy reads it; MATLAB 5 holds numbers, and
nothing in it is ever executed.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from mindleak.data.checks import check_counts, check_labels
from mindleak.data.dataset import RawData
from mindleak.data.planes import columns_to_rows
from mindleak.errors import InputError

TRAIN_FILE = "train_32x32.mat"
TEST_FILE = "test_32x32.mat"
FILES = (TRAIN_FILE, TEST_FILE)
_IMAGE = (32, 32, 3)
_VARIABLES = ("X", "y")
# Ten times the largest half that exists ("extra": 531,131); what a hostile header announces beyond is not read.
_MAX_IMAGES = 5_000_000


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
    variables = _load(path)
    images, labels = variables["X"], variables["y"].reshape(-1)
    check_counts(images.shape[-1], len(labels), f"{path}: X", "y")
    check_labels(labels, num_classes, f"{path}: y", first=1)
    # MATLAB's order makes the transpose of X C-contiguous: image, channel, column, row.
    by_columns = np.ascontiguousarray(images.T)
    return columns_to_rows(by_columns), (labels % num_classes).astype(np.int32)


def _load(path: Path) -> dict[str, np.ndarray]:
    """Return X and y, of the shapes and types that the format asks for."""
    # Imported here: SciPy's readers take a tenth of a second, and only this data set needs them.
    from scipy.io import loadmat, whosmat

    try:
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("error")  # a variable that stands twice, say
            _check_headers(path, whosmat(stream))
            stream.seek(0)
            variables = loadmat(stream, variable_names=_VARIABLES)
    except InputError:
        raise
    except NotImplementedError as error:
        raise InputError(
            f"{path} is a MATLAB 7.3 file; the cropped digits (Format 2) are MATLAB 5 files"
        ) from error
    # What a damaged file makes the reader stumble over is not one kind of error.
    except Exception as error:
        raise InputError(_damage(path, error)) from error
    arrays = {name: variables[name] for name in _VARIABLES}
    _check_arrays(path, {name: (array.shape, array.dtype.name) for name, array in arrays.items()})
    return arrays


def _damage(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{path} cannot be read: {error.strerror}"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{path} is cut, damaged or no MATLAB 5 file ({reason})"


def _check_headers(path: Path, headers: list[tuple[str, tuple[int, ...], str]]) -> None:
    """Check what the file announces before any of it is read into memory."""
    found = {name: (tuple(shape), kind) for name, shape, kind in headers}
    missing = [name for name in _VARIABLES if name not in found]
    if missing:
        held = ", ".join(sorted(found)) or "nothing"
        raise InputError(f"{path} lacks the variable {' and '.join(missing)}; it holds {held}")
    _check_arrays(path, {name: found[name] for name in _VARIABLES})


def _check_arrays(path: Path, found: dict[str, tuple[tuple[int, ...], str]]) -> None:
    shape, kind = found["X"]
    if len(shape) != 4 or shape[:3] != _IMAGE or not 0 < shape[3] <= _MAX_IMAGES or kind != "uint8":
        raise InputError(f"{path}: X is {kind} {shape}; images are uint8 (32, 32, 3, N)")
    shape, kind = found["y"]
    if len(shape) != 2 or 1 not in shape or kind != "uint8":
        raise InputError(f"{path}: y is {kind} {shape}; labels are uint8 (N, 1)")
