"""Fetching public data sets: checked, resumed, and under their own names either wholly there or not at all.

A file arrives as ``NAME.part``, is compared with the published size and checksum, synced, and only then renamed;
what has arrived of it is kept for the next try. Files that are already there and sound are not fetched again, and
files with other content are never overwritten.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mindleak.data import catalogue
from mindleak.data.archive import check_free, unpack
from mindleak.data.catalogue import PublicFiles
from mindleak.data.fetch import Progress, Report, Transfer, fetch
from mindleak.data.locate import named_root
from mindleak.data.partial import PartialFile
from mindleak.data.sources import Archive, PublishedFile
from mindleak.data.verify import check_file
from mindleak.errors import InputError
from mindleak.files import folder_for

_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Delivery:
    """One file of a data set after :func:`download`; ``fetched`` is False where it was there before."""

    path: Path
    fetched: bool


def download(
    name: str,
    data_dir: str | Path | None = None,
    mirrors: Sequence[str] | None = None,
    progress: Progress = lambda file, received, total: None,
    report: Report = lambda line: None,
    timeout: float = _TIMEOUT_SECONDS,
) -> list[Delivery]:
    """Fetch a data set into ``data_dir``/``name``, leaving alone what is already there.

    Args:
        name: a public data set of the catalogue.
        data_dir: folder with the data sets, made where missing (default: MINDLEAK_DATA_DIR).
        mirrors: addresses of folders with the same files, used instead of the catalogue's, in order.
        progress: called after every block.
        report: called with one line where an address failed and the next is tried, where another process is
            waited for, and before an archive is unpacked.
        timeout: seconds without an answer after which an attempt counts as failed.

    Raises:
        InputError: nothing to fetch under that name, no address delivers a file that agrees with the
            published checksum, a file with other content is in the way, or the folder cannot be written.
    """
    wanted = catalogue.entry(name)
    if wanted.files is None:
        raise InputError(f"data set '{name}' has nothing to download ({wanted.origin})")
    root = named_root(data_dir)
    source = wanted.files.source
    present = _present_files(wanted.files, root, root / name)
    missing = [file for file in source.installed if file not in present]
    delivered = [Delivery(path, fetched=False) for path in present.values()]
    if not missing:
        return delivered
    if delivered and source.archive:
        lacking = ", ".join(file.name for file in missing)
        raise InputError(f"{delivered[0].path.parent} lacks {lacking}; move or delete it to fetch the set again")
    folder = root / name
    transfer = Transfer(tuple(mirrors or source.addresses), progress, report, timeout)
    with _writing_to(folder), folder_for(folder):
        if source.archive:
            return _fetch_archive(source.files[0], source.archive, folder, transfer)
        return delivered + [_fetch_file(file, folder, transfer) for file in missing]


def _present_files(files: PublicFiles, root: Path, folder: Path) -> dict[PublishedFile, Path]:
    """Return the files that need no fetching: a complete set anywhere under ``root``, else those in ``folder``.

    Raises:
        InputError: a file there is not what is published; the user's files are not ours to replace.
    """
    located = files.locate(root)
    if any(path is None for path in located):
        named = [folder / file.name for file in files.source.installed]
        located = [
            path if path is not None and folder in path.parents else name if name.exists() else None
            for path, name in zip(located, named)
        ]
    present = {file: path for file, path in zip(files.source.installed, located) if path is not None}
    for file, path in present.items():
        check = check_file(path, file, files)
        if not check.official:
            raise InputError(f"{path} is in the way: not as published ({check.detail}); move or delete it first")
    return present


def _fetch_file(file: PublishedFile, folder: Path, transfer: Transfer) -> Delivery:
    target = folder / file.name
    with PartialFile(target, _waiting(file, transfer)) as partial:
        if target.exists():  # Another process has fetched it while this one waited.
            return Delivery(target, fetched=False)
        fetch(file, partial, transfer)
        return Delivery(partial.finish(), fetched=True)


def _fetch_archive(file: PublishedFile, archive: Archive, folder: Path, transfer: Transfer) -> list[Delivery]:
    """Fetch and unpack an archive; it is kept, as a partial file that lacks nothing, until its files are there."""
    unpacked = folder / archive.folder
    check_free(unpacked)
    with PartialFile(folder / file.name, _waiting(file, transfer)) as partial:
        fetched = not unpacked.exists()
        if fetched:
            fetch(file, partial, transfer)
            transfer.report(f"unpacking {file.name}")
            unpack(partial.path, folder, archive)
            partial.discard()
    return [Delivery(unpacked / member.name, fetched) for member in archive.files]


def _waiting(file: PublishedFile, transfer: Transfer) -> Callable[[], None]:
    return lambda: transfer.report(f"another process is fetching {file.name}; waiting for it")


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Turn a full disk or an unwritable folder into the user's one line."""
    try:
        yield
    except OSError as error:
        free = ""
        if folder.is_dir():
            free = f" ({shutil.disk_usage(folder).free // 2**20} MiB free)"
        raise InputError(f"cannot write to {folder}: {error.strerror}{free}{_parts_in(folder)}") from error


def _parts_in(folder: Path) -> str:
    """Name the partial files in ``folder``: they are what takes the room, and what the next try goes on from."""
    parts = ", ".join(sorted(path.name for path in folder.glob("*.part")))
    return f"; {parts} stays for the next try" if parts else ""
