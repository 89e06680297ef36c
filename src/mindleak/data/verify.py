"""Are a data set's files there, whole, and what their publishers serve?

A file that someone compressed again has another checksum but the right content, so the unpacked bytes are
compared as well; a file with unknown content (a subset, say) is read once to see that it is sound.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mindleak.data import catalogue
from mindleak.data.catalogue import Entry, PublicFiles
from mindleak.data.copies import number_images
from mindleak.data.doubts import doubts
from mindleak.data.idx import read_content
from mindleak.data.locate import data_root
from mindleak.data.sources import PublishedFile
from mindleak.errors import InputError
from mindleak.files import open_plain

PUBLISHED = "as published"
SAME_CONTENT = "same content"
OTHER_CONTENT = "other content"
READABLE = "readable"
DAMAGED = "damaged"
MISSING = "missing"


@dataclass(frozen=True)
class FileCheck:
    """What was found out about one file; ``size`` in bytes, ``detail`` for the reader."""

    file: str
    status: str
    path: Path | None = None
    size: int | None = None
    detail: str = ""

    @property
    def usable(self) -> bool:
        """Whether the file can be loaded."""
        return self.status not in (DAMAGED, MISSING)

    @property
    def official(self) -> bool:
        """Whether the content is what the data set's publishers serve."""
        return self.status in (PUBLISHED, SAME_CONTENT)


@dataclass(frozen=True)
class Presence:
    """Whether a data set can be found.

    Attributes:
        name: of the catalogue.
        present: True where all its files are there.
        place: their folder, or why there is none.
        rows: how many training and test images the files hold; None where they are not there or damaged.
        damage: what is wrong with a file that is there and cannot be read.
    """

    name: str
    present: bool
    place: str
    rows: tuple[int, int] | None = None
    damage: str = ""


def verify(name: str, data_dir: str | Path | None = None) -> list[FileCheck]:
    """Check every file of a data set; one result per file, plus one for the set where its parts disagree.

    Raises:
        InputError: unknown name or no data directory (what is wrong with files is in the results).
    """
    wanted = catalogue.entry(name)
    if wanted.files is None:
        return [_check_by_reading(wanted, data_dir)]
    root = data_root(data_dir)
    published = wanted.files.source.installed
    checks = [check_file(*pair, wanted.files) for pair in zip(wanted.files.locate(root), published)]
    if all(check.usable for check in checks) and not all(check.official for check in checks):
        whole = _check_by_reading(wanted, root)
        if not whole.usable:
            checks.append(whole)
    return checks


def available(data_dir: str | Path | None = None) -> list[Presence]:
    """Say for each data set of the catalogue but ``custom`` whether its files are there, and how many images they hold.

    Only files with labels are read for that, so images may still be damaged (:func:`verify`).
    """
    try:
        root = data_root(data_dir)
    except InputError as error:
        root, reason = None, str(error)
    found = []
    for item in catalogue.describe():
        if item.files is None:
            if item.shape is not None:
                found.append(Presence(item.name, True, item.origin, item.rows))
        elif root is None:
            found.append(Presence(item.name, False, reason))
        else:
            found.append(_presence(item.name, item.files, root))
    return found


def check_file(path: Path | None, published: PublishedFile, files: PublicFiles) -> FileCheck:
    """Compare one file with what is published; where that fails, see whether it can be read."""
    if path is None:
        return FileCheck(published.name, MISSING)
    try:
        size = path.stat().st_size
        algorithm, expected = published.checksum
        if _checksum(path, algorithm) == expected:
            return FileCheck(published.name, PUBLISHED, path, size)
        if published.content_sha256 is not None and _content_sha256(path) == published.content_sha256:
            return FileCheck(published.name, SAME_CONTENT, path, size, "packed differently")
        rows = files.count_rows(path)
    except InputError as error:
        return FileCheck(published.name, DAMAGED, path, size, str(error))
    except OSError as error:
        return FileCheck(published.name, DAMAGED, path, None, f"{path} cannot be read: {error.strerror}")
    return FileCheck(published.name, OTHER_CONTENT, path, size, f"readable, {rows} rows")


def _check_by_reading(wanted: Entry, data_dir: str | Path | None) -> FileCheck:
    """Check a data set as a whole by reading it."""
    try:
        raw = wanted.read(data_dir)
        found = (*doubts(raw), *number_images(raw.x_train, raw.x_test).doubts(raw.y_train))
    except InputError as error:
        return FileCheck(wanted.name, DAMAGED, detail=str(error))
    rows = f"{len(raw.x_train)} training and {len(raw.x_test)} test rows"
    said = "".join(f"; warning: {doubt}" for doubt in found)
    return FileCheck(wanted.name, READABLE, detail=f"{rows}, {len(raw.class_names)} classes{said}")


def _presence(name: str, files: PublicFiles, root: Path) -> Presence:
    paths = files.locate(root)
    there = [path for path in paths if path is not None]
    if len(there) == len(paths):
        try:
            train, test = (sum(files.count_rows(there[place]) for place in half) for half in files.labels)
        except InputError as error:
            return Presence(name, True, str(there[0].parent), damage=str(error))
        return Presence(name, True, str(there[0].parent), (train, test))
    return Presence(name, False, f"{len(there)} of {len(paths)} files under {root}")


def _checksum(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open_plain(path) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _content_sha256(path: Path) -> str:
    return hashlib.sha256(read_content(path)).hexdigest()
