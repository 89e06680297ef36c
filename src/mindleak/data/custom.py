"""A data set of the user's own: one ``.npz`` file, or a folder with four IDX files.

The ``.npz`` holds ``x_train y_train x_test y_test`` and, if wanted, ``class_names`` (strings). Images are
NHW, NHWC or NCHW with 1 or 3 channels, uint8 or floating point in [0, 1]; labels are whole numbers from 0.
Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mindleak.data.checks import check_counts, check_labels, check_unit_range
from mindleak.data.dataset import RawData
from mindleak.data.idx import read_idx_files
from mindleak.data.locate import find_idx_files
from mindleak.errors import InputError
from mindleak.files import check_plain
from mindleak.printable import printable_line

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_NAMES = "class_names"
_CHANNELS = (1, 3)
_LONGEST_NAME = 200
# What a damaged archive makes zipfile, zlib and NumPy raise; NumPy reads headers with Python's own tokenizer.
_DAMAGE = (ValueError, OSError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError,
           NotImplementedError, RuntimeError, SyntaxError, tokenize.TokenError)
_READ_ERRORS = (*_DAMAGE, zipfile.BadZipFile, zlib.error)


def read_custom(path: Path) -> RawData:
    """Read ``path``, an ``.npz`` file or a folder of IDX files.

    Raises:
        InputError: missing, damaged or pickled content; wrong shapes, types, labels or pixel values.
    """
    if path.is_dir():
        return _read_idx_folder(path)
    check_plain(path)
    if not path.is_file():
        raise InputError(f"{path}: no such .npz file or folder with IDX files")
    arrays = _read_npz(path)
    return _assemble(arrays, {name: f"{path}: {name}" for name in ARRAYS}, _class_names(arrays, path))


def _read_idx_folder(folder: Path) -> RawData:
    files = find_idx_files("custom", [(folder, folder), (folder / "train", folder / "test")])
    arrays = dict(zip(ARRAYS, read_idx_files(files, image_dimensions=(3, 4))))
    return _assemble(arrays, {name: str(file) for name, file in zip(ARRAYS, files)}, None)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is not a complete .npz file (zip archive of arrays)")
    arrays = {}
    try:
        with _without_warnings(), np.load(path, allow_pickle=False) as archive:
            missing = [name for name in ARRAYS if name not in archive.files]
            if missing:
                held = ", ".join(sorted(archive.files)) or "nothing"
                raise InputError(f"{path} lacks {', '.join(missing)}; it holds {held}")
            for name in (*ARRAYS, _NAMES):
                if name in archive.files:
                    arrays[name] = _read_member(archive, name, path)
    except _READ_ERRORS as error:
        raise InputError(f"{path} is damaged: {_one_line(error)}") from error
    return arrays


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep NumPy from telling that a file was written by Python 2: it is read all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read_member(archive: np.lib.npyio.NpzFile, name: str, path: Path) -> np.ndarray:
    try:
        array = archive[name]
    except _READ_ERRORS as error:
        if "allow_pickle" in str(error):
            raise InputError(
                f"{path}: {name} is an object array (a pickle), which is never loaded; "
                "store plain numbers, and names as strings of fixed width"
            ) from error
        raise InputError(f"{path}: {name} is damaged: {_one_line(error)}") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: {name} is not a NumPy array")
    return array


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _class_names(arrays: dict[str, np.ndarray], path: Path) -> tuple[str, ...] | None:
    names = arrays.get(_NAMES)
    if names is None:
        return None
    if names.ndim != 1 or names.dtype.kind != "U" or len(names) == 0:
        raise InputError(f"{path}: class_names must be a one-dimensional array of strings")
    longest = max(names, key=len)
    if len(longest) > _LONGEST_NAME:
        raise InputError(f"{path}: class_names holds a name of {len(longest):,} characters; expected at most "
                         f"{_LONGEST_NAME}")
    listed = tuple(printable_line(str(name)) for name in names)
    if len(set(listed)) != len(listed):
        raise InputError(f"{path}: class_names holds a name twice")
    return listed


def _assemble(arrays: dict[str, np.ndarray], where: dict[str, str], class_names: tuple[str, ...] | None) -> RawData:
    images = {name: _as_nchw(arrays[name], where[name]) for name in ("x_train", "x_test")}
    labels = {name: _as_labels(arrays[name], where[name]) for name in ("y_train", "y_test")}
    for half in ("train", "test"):
        x, y = f"x_{half}", f"y_{half}"
        check_counts(len(images[x]), len(labels[y]), where[x], where[y])
    _check_same_kind(images["x_train"], images["x_test"], where)
    for name, pixels in images.items():
        if pixels.dtype != np.uint8:
            check_unit_range(pixels, where[name])
    if class_names is None:
        class_names = _numbered_names(labels["y_train"], where["y_train"])
    for name, values in labels.items():
        check_labels(values, len(class_names), where[name])
    return RawData(
        x_train=images["x_train"],
        y_train=labels["y_train"].astype(np.int32),
        x_test=images["x_test"],
        y_test=labels["y_test"].astype(np.int32),
        class_names=class_names,
        scale=255.0 if images["x_train"].dtype == np.uint8 else 1.0,
    )


def _check_same_kind(train: np.ndarray, test: np.ndarray, where: dict[str, str]) -> None:
    if train.shape[1:] != test.shape[1:]:
        raise InputError(
            f"{where['x_test']}: images of (channels, height, width) {test.shape[1:]}, "
            f"but x_train has {train.shape[1:]}"
        )
    if train.dtype != test.dtype:
        raise InputError(
            f"{where['x_test']}: {test.dtype} pixels, but x_train has {train.dtype}: "
            "store both as uint8 or both as floating point in [0, 1]"
        )


def _as_nchw(images: np.ndarray, where: str) -> np.ndarray:
    """Return images as contiguous (N, C, H, W), uint8 or float32."""
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise InputError(f"{where}: {images.dtype} pixels; store uint8, or floating point in [0, 1]")
    if images.ndim == 3:
        images = images[:, np.newaxis]
    elif images.ndim == 4:
        images = _channels_first(images, where)
    else:
        raise InputError(f"{where}: shape {images.shape}; expected (N,H,W), (N,H,W,C) or (N,C,H,W)")
    if 0 in images.shape[1:]:
        raise InputError(f"{where}: shape {images.shape} holds no pixels")
    kind = np.uint8 if images.dtype == np.uint8 else np.float32
    return np.ascontiguousarray(images, dtype=kind)


def _channels_first(images: np.ndarray, where: str) -> np.ndarray:
    first, last = images.shape[1] in _CHANNELS, images.shape[3] in _CHANNELS
    if first and last:
        raise InputError(
            f"{where}: shape {images.shape} can be read as (N,C,H,W) and as (N,H,W,C); "
            "sides of 1 or 3 pixels need (N,H,W)"
        )
    if not first and not last:
        raise InputError(f"{where}: shape {images.shape} has neither 1 nor 3 channels in front or at the end")
    return images if first else images.transpose(0, 3, 1, 2)


def _as_labels(labels: np.ndarray, where: str) -> np.ndarray:
    """Return labels as (N,); a column (N, 1) is taken as well."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise InputError(f"{where}: shape {labels.shape}; expected one label per image, shape (N,)")
    if labels.dtype.kind not in "iu":
        raise InputError(f"{where}: labels of type {labels.dtype}; whole numbers from 0 are wanted")
    return labels


def _numbered_names(labels: np.ndarray, where: str) -> tuple[str, ...]:
    """Return '0', '1', … for labels without names, which must then use every number from 0 up."""
    present = np.unique(labels)
    if present[0] < 0:
        raise InputError(f"{where}: label {present[0]} is negative; whole numbers from 0 are wanted")
    gap = np.flatnonzero(present != np.arange(len(present), dtype=present.dtype))
    if len(gap):
        raise InputError(
            f"{where}: label {gap[0]} never occurs but {present[gap[0]]} does; number the classes from 0 "
            "without gaps, or give class_names in an .npz file if a class is empty on purpose"
        )
    return tuple(str(label) for label in present)


def read_rows(path: Path) -> np.ndarray:
    """Read a ``.npy`` file of row numbers, such as the rows that a model was trained on.

    Returns:
        The array as stored; :func:`mindleak.data.splits.check_rows` holds it against a data set.

    Raises:
        InputError: missing, damaged, or a pickle.
    """
    check_plain(path)
    try:
        with _without_warnings():
            rows = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except _READ_ERRORS as error:
        raise InputError(f"{path} is not a readable .npy file of numbers: {_one_line(error)}") from error
    if not isinstance(rows, np.ndarray):
        raise InputError(f"{path} is an archive of arrays; expected one array of row numbers (.npy)")
    return rows
