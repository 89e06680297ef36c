"""Finding a data set's files in the layouts that people already have on their disks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mindleak.data import cifar, stl10, svhn
from mindleak.data.idx import IdxFiles
from mindleak.data.sources import IDX_STEMS
from mindleak.errors import InputError

ENVIRONMENT = "MINDLEAK_DATA_DIR"
# The names of torchvision's folders.
_TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}

# Data sets whose files have names that no other set uses.
NAMED_FILES = {"cifar10": cifar.FILES, "svhn": svhn.FILES, "stl10": stl10.FILES}
_PLACES = {
    "cifar10": (f"cifar10/{cifar.FOLDER}", cifar.FOLDER, "cifar10", "."),
    "svhn": ("svhn", "SVHN", "."),
    "stl10": (f"stl10/{stl10.FOLDER}", stl10.FOLDER, "stl10", f"STL10/{stl10.FOLDER}", "."),
}


def data_root(data_dir: str | Path | None) -> Path:
    """Return the data directory: the one given, else that of the environment.

    Raises:
        InputError: neither is set, or it is not a directory.
    """
    root = named_root(data_dir)
    if not root.is_dir():
        origin = "--data_dir" if data_dir else ENVIRONMENT
        raise InputError(f"data directory {root} ({origin}) is not a directory")
    return root


def named_root(data_dir: str | Path | None) -> Path:
    """Return the data directory that is named, whether it is there or not.

    Raises:
        InputError: neither an argument nor the environment names one.
    """
    value = os.environ.get(ENVIRONMENT) if data_dir is None else data_dir
    if value is None:
        raise InputError(f"no data directory: give --data_dir or set {ENVIRONMENT}")
    if not str(value).strip():
        raise InputError(f"{ENVIRONMENT if data_dir is None else '--data_dir'} is empty; expected a folder")
    return expanded(value)


def expanded(path: str | Path) -> Path:
    """Return a path with the home folder in place of ``~`` and ``~user``.

    Raises:
        InputError: nobody has that name, or the user no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"'{path}' begins with the home folder of a user who is not here; write ./{path} if that is "
                         "its name") from error


def idx_folders(name: str, root: Path) -> list[tuple[Path, Path]]:
    """Return where the (training, test) files of an IDX data set may lie, the most specific place first."""
    torchvision = _TORCHVISION[name]
    own = [root / name, root / torchvision / "raw", root / torchvision]
    pairs = [(folder, folder) for folder in own]
    if name == "mnist":
        # The MindSpore tutorials unpack MNIST to MNIST_unzip or MNIST_Data.
        bases = [root / "MNIST_unzip", root / "MNIST_Data", root]
        pairs += [(base / "train", base / "test") for base in bases]
    return [*pairs, (root, root)]


def locate_idx(folders: Sequence[tuple[Path, Path]]) -> list[Path | None]:
    """Return the paths of the four files (None: missing) in the pair of folders that holds most of them.

    Plain files are preferred to ``.gz``; ``images-idx3`` may also be spelt ``images.idx3``.
    """
    candidates = (
        [_find(train, stem) for stem in IDX_STEMS[:2]] + [_find(test, stem) for stem in IDX_STEMS[2:]]
        for train, test in folders
    )
    return _fullest(candidates)


def find_idx_files(name: str, folders: Sequence[tuple[Path, Path]]) -> IdxFiles:
    """Return the four files of an IDX data set.

    Raises:
        InputError: naming what is missing and where it was looked for.
    """
    wanted = [f"{stem}[.gz]" for stem in IDX_STEMS]
    return IdxFiles(*_all_of(name, wanted, locate_idx(folders), [train for train, _ in folders]))


def named_folders(name: str, root: Path) -> list[Path]:
    """Return where files with names of their own (``NAMED_FILES``) may lie, the most specific place first."""
    return [root / place for place in _PLACES[name]]


def locate_named(name: str, root: Path) -> list[Path | None]:
    """Return the paths of the files of ``NAMED_FILES[name]`` (None: missing) in the folder that holds most of them."""
    return _fullest(
        [folder / file if (folder / file).is_file() else None for file in NAMED_FILES[name]]
        for folder in named_folders(name, root)
    )


def find_named_folder(name: str, root: Path) -> Path:
    """Return the folder that holds all files of ``NAMED_FILES[name]``.

    Raises:
        InputError: naming what is missing and where it was looked for.
    """
    return _all_of(name, NAMED_FILES[name], locate_named(name, root), named_folders(name, root))[0].parent


def _fullest(candidates: Iterable[list[Path | None]]) -> list[Path | None]:
    # Of several equally full ones, min returns the first, and so the preferred place.
    return min(candidates, key=lambda paths: paths.count(None))


def _all_of(name: str, wanted: Sequence[str], found: Sequence[Path | None], places: Sequence[Path]) -> list[Path]:
    """Return ``found`` when complete; else raise the one line that says what is missing where."""
    present = [path for path in found if path is not None]
    if len(present) == len(wanted):
        return present
    missing = ", ".join(label for label, path in zip(wanted, found) if path is None)
    looked = ", ".join(dict.fromkeys(str(place) for place in places))
    where = f"beside {present[0]}" if present else f"in {looked}"
    fetch = "" if name == "custom" else f"; `mindleak data download {name}` fetches them"
    raise InputError(f"{name}: {missing} not found {where}{fetch}")


def _find(folder: Path, stem: str) -> Path | None:
    for spelling in (stem, stem.replace("-idx", ".idx")):
        for ending in ("", ".gz"):
            path = folder / f"{spelling}{ending}"
            if path.is_file():
                return path
    return None
