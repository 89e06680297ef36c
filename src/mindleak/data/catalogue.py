"""The data sets that mindleak knows by name, and how to load one.

An entry says what a data set is, where it comes from and how its files are read into a ``RawData``; loading,
verification, download and the command line all go through it, so a further data set is one reader module plus
one entry here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindleak.data.checks import check_labels
from mindleak.data.cifar import read_batch, read_cifar10
from mindleak.data.custom import read_custom
from mindleak.data.dataset import Dataset, RawData
from mindleak.data.digits import read_digits
from mindleak.data.idx import IdxFiles, read_content, read_idx, read_idx_files
from mindleak.data.locate import (
    data_root,
    expanded,
    find_idx_files,
    find_named_folder,
    idx_folders,
    locate_idx,
    locate_named,
)
from mindleak.data.prepare import prepare
from mindleak.data.sources import CIFAR10, FASHION_MNIST, KMNIST, MNIST, STL10, SVHN, Source
from mindleak.data.stl10 import count_rows, read_stl10
from mindleak.data.svhn import read_half, read_svhn
from mindleak.errors import InputError, nearest
from mindleak.files import read_bytes

DIGIT_NAMES = tuple("0123456789")
FASHION_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
KMNIST_NAMES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
STL10_NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class PublicFiles:
    """The files of a public data set: where from, where on disk, and how to read one.

    ``locate`` takes the data directory and returns the path of each file of ``source.installed``, None where
    it is missing; ``count_rows`` reads one file and returns its number of rows. ``labels`` are the places in that list
    of the training and of the test files that hold labels; together these have a row for every image.
    """

    source: Source
    locate: Callable[[Path], list[Path | None]]
    count_rows: Callable[[Path], int]
    labels: tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Entry:
    """One data set of the catalogue.

    ``shape`` is (channels, height, width) and ``rows`` (training, test) as published; both are None for
    ``custom``, whose files decide. ``files`` is None where there is nothing to fetch.
    """

    name: str
    title: str
    origin: str
    read: Callable[[str | Path | None], RawData]
    shape: tuple[int, int, int] | None = None
    rows: tuple[int, int] | None = None
    class_names: tuple[str, ...] = ()
    files: PublicFiles | None = None


def describe() -> tuple[Entry, ...]:
    """Return all entries: shape, classes, published number of rows, where each comes from."""
    return tuple(_CATALOGUE.values())


def entry(name: str) -> Entry:
    """Return one entry.

    Raises:
        InputError: there is none of that name.
    """
    if name not in _CATALOGUE and ("/" in name or name.endswith(".npz")):
        raise InputError(f"data set '{name}' is a path; a file or folder of your own is --dataset custom --data_dir "
                         f"{name}")
    if name not in _CATALOGUE:
        raise InputError(f"data set '{name}' is unknown{nearest(name, _CATALOGUE)}")
    return _CATALOGUE[name]


def load(
    name: str,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    resize: str = "bilinear",
) -> Dataset:
    """Load a data set: float32 NCHW in [0, 1], labels int32.

    Args:
        name: of an entry (:func:`describe`).
        data_dir: folder with the data sets (default: the environment's MINDLEAK_DATA_DIR); for ``custom`` the
            ``.npz`` file or the folder with IDX files; not needed for ``digits``.
        image_size: side of the square images wanted; None leaves the size as it is.
        resize: ``bilinear`` or ``pad`` (centred in zeros), used where the size differs.

    Raises:
        InputError: unknown name, missing files (the message names files and places), damaged or
            implausible content, an impossible size.
    """
    return prepare(name, entry(name).read(data_dir), image_size, resize)


def _read_embedded(data_dir: str | Path | None) -> RawData:
    return read_digits(DIGIT_NAMES)


def _read_named_idx(name: str) -> Callable[[str | Path | None], RawData]:
    def read(data_dir: str | Path | None) -> RawData:
        return _read_idx(_CATALOGUE[name], find_idx_files(name, idx_folders(name, data_root(data_dir))))

    return read


def _read_idx(wanted: Entry, files: IdxFiles) -> RawData:
    arrays = read_idx_files(files)
    owner = _namesake(wanted.name, files.test_labels)
    if owner is not None:
        raise InputError(f"{files.test_labels} belongs to {owner.title}, not to {wanted.title}")
    for images, path in ((arrays.x_train, files.train_images), (arrays.x_test, files.test_images)):
        if wanted.shape is not None and images.shape[1:] != wanted.shape[1:]:
            side = "x".join(str(length) for length in images.shape[1:])
            raise InputError(f"{path} holds {side} images; {wanted.title} has {wanted.shape[1]}x{wanted.shape[2]}")
    for labels, path in ((arrays.y_train, files.train_labels), (arrays.y_test, files.test_labels)):
        check_labels(labels, len(wanted.class_names), str(path))
    return RawData(
        x_train=arrays.x_train[:, np.newaxis],
        y_train=arrays.y_train.astype(np.int32),
        x_test=arrays.x_test[:, np.newaxis],
        y_test=arrays.y_test.astype(np.int32),
        class_names=wanted.class_names,
    )


def _locate_own_idx(name: str, root: Path) -> list[Path | None]:
    """Locate an IDX data set, passing over folders that hold another one under the same file names."""
    folders = idx_folders(name, root)
    own = []
    for pair in folders:
        test_labels = locate_idx([pair])[-1]
        if test_labels is None or _namesake(name, test_labels) is None:
            own.append(pair)
    return locate_idx(own) if own else [None] * 4


def _namesake(name: str, test_labels: Path) -> Entry | None:
    """Return the data set other than ``name`` that these test labels are known to belong to.

    MNIST and its relatives all use the same file names, sizes and counts, so that only the content tells them
    apart; the test labels (10 kB) are enough for that.
    """
    try:
        contents = (read_bytes(test_labels), read_content(test_labels))
    except (OSError, InputError):
        return None  # The reader of the file will say what is wrong with it.
    found = {hashlib.sha256(content).hexdigest() for content in contents}
    for other in _CATALOGUE.values():
        if other.files is not None and other.name != name:
            published = other.files.source.installed[-1]
            if found & {published.sha256, published.content_sha256}:
                return other
    return None


def _idx_files(name: str, source: Source) -> PublicFiles:
    return PublicFiles(
        source=source,
        locate=lambda root: _locate_own_idx(name, root),
        count_rows=lambda path: len(read_idx(path, (1, 3))),
        labels=((1,), (3,)),
    )


def _read_named(
    name: str, reader: Callable[[Path, tuple[str, ...]], RawData]
) -> Callable[[str | Path | None], RawData]:
    def read(data_dir: str | Path | None) -> RawData:
        wanted, folder = _CATALOGUE[name], find_named_folder(name, data_root(data_dir))
        raw = reader(folder, wanted.class_names)
        assert wanted.rows is not None
        if (len(raw.x_test), len(raw.x_train)) == wanted.rows != (len(raw.x_train), len(raw.x_test)):
            raise InputError(f"{folder}: training and test files of {wanted.title} are swapped: "
                             f"{len(raw.x_train)} and {len(raw.x_test)} images")
        return raw

    return read


def _named_files(name: str, source: Source, count: Callable[[Path], int], train: tuple[int, ...],
                 test: tuple[int, ...]) -> PublicFiles:
    return PublicFiles(source, lambda root: locate_named(name, root), count, (train, test))


def _read_own(data_dir: str | Path | None) -> RawData:
    if data_dir is None:
        raise InputError("data set 'custom' needs --data_dir: an .npz file, or a folder with four IDX files")
    return read_custom(expanded(data_dir))


_CATALOGUE: dict[str, Entry] = {
    item.name: item
    for item in (
        Entry(
            name="digits",
            title="Optical digits",
            origin="embedded in scikit-learn; test part of UCI Optical Recognition of Handwritten Digits",
            read=_read_embedded,
            shape=(1, 8, 8),
            rows=(1297, 500),
            class_names=DIGIT_NAMES,
        ),
        Entry(
            name="mnist",
            title="MNIST",
            origin="LeCun, Cortes, Burges; from NIST special databases 1 and 3",
            read=_read_named_idx("mnist"),
            shape=(1, 28, 28),
            rows=(60_000, 10_000),
            class_names=DIGIT_NAMES,
            files=_idx_files("mnist", MNIST),
        ),
        Entry(
            name="fashion_mnist",
            title="Fashion-MNIST",
            origin="Xiao, Rasul, Vollgraf, arXiv 1708.07747; MIT licence",
            read=_read_named_idx("fashion_mnist"),
            shape=(1, 28, 28),
            rows=(60_000, 10_000),
            class_names=FASHION_NAMES,
            files=_idx_files("fashion_mnist", FASHION_MNIST),
        ),
        Entry(
            name="kmnist",
            title="Kuzushiji-MNIST",
            origin="Clanuwat et al., arXiv 1812.01718; CC BY-SA 4.0",
            read=_read_named_idx("kmnist"),
            shape=(1, 28, 28),
            rows=(60_000, 10_000),
            class_names=KMNIST_NAMES,
            files=_idx_files("kmnist", KMNIST),
        ),
        Entry(
            name="cifar10",
            title="CIFAR-10",
            origin="Krizhevsky 2009, technical report on tiny images; no licence stated",
            read=_read_named("cifar10", read_cifar10),
            shape=(3, 32, 32),
            rows=(50_000, 10_000),
            class_names=CIFAR10_NAMES,
            files=_named_files("cifar10", CIFAR10, lambda path: len(read_batch(path, 10)[1]), (0, 1, 2, 3, 4), (5,)),
        ),
        Entry(
            name="svhn",
            title="SVHN (cropped digits)",
            origin="Netzer et al. 2011, Street View House Numbers, Format 2; for non-commercial use",
            read=_read_named("svhn", read_svhn),
            shape=(3, 32, 32),
            rows=(73_257, 26_032),
            class_names=DIGIT_NAMES,
            files=_named_files("svhn", SVHN, lambda path: len(read_half(path, 10)[1]), (0,), (1,)),
        ),
        Entry(
            name="stl10",
            title="STL-10",
            origin="Coates, Lee, Ng, AISTATS 2011; from ImageNet; the labelled images only (2.6 GB to fetch)",
            read=_read_named("stl10", read_stl10),
            shape=(3, 96, 96),
            rows=(5_000, 8_000),
            class_names=STL10_NAMES,
            files=_named_files("stl10", STL10, count_rows, (1,), (3,)),
        ),
        Entry(
            name="custom",
            title="your own data",
            origin="an .npz file with x_train y_train x_test y_test, or a folder with four IDX files",
            read=_read_own,
        ),
    )
}
