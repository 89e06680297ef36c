"""Fetching public data sets: streamed, checked, and either wholly there afterwards or not at all.

A file arrives under a temporary name, is compared with the published size and SHA-256, synced, and only then
renamed; whatever goes wrong, nothing half-written stays. Files that are already there and sound are not
fetched again, and files with other content are never overwritten.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mindleak.data import catalogue
from mindleak.data.archive import unpack
from mindleak.data.catalogue import PublicFiles
from mindleak.data.locate import ENVIRONMENT
from mindleak.data.sources import PublishedFile
from mindleak.data.verify import check_file
from mindleak.errors import InputError

# Called with (file name, bytes received so far, bytes in all).
Progress = Callable[[str, int, int], None]

_ATTEMPTS = 2
_TIMEOUT_SECONDS = 30.0
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Delivery:
    """One file of a data set after :func:`download`; ``fetched`` is False where it was there before."""

    path: Path
    fetched: bool


@dataclass(frozen=True)
class _Transfer:
    """Into which folder, from which addresses, watched by whom, with how much patience (seconds)."""

    folder: Path
    addresses: tuple[str, ...]
    progress: Progress | None
    timeout: float


class _TransferError(Exception):
    """One attempt failed; ``final`` where a second one at the same address would fail alike."""

    def __init__(self, message: str, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


def download(
    name: str,
    data_dir: str | Path | None = None,
    mirrors: Sequence[str] | None = None,
    progress: Progress | None = None,
    timeout: float = _TIMEOUT_SECONDS,
) -> list[Delivery]:
    """Fetch a data set into ``data_dir``/``name``, leaving alone what is already there.

    Args:
        name: a public data set of the catalogue.
        data_dir: folder with the data sets, made where missing (default: MINDLEAK_DATA_DIR).
        mirrors: addresses of folders with the same files, used instead of the catalogue's, in order.
        progress: called after every block.
        timeout: seconds without an answer after which an attempt counts as failed.

    Raises:
        InputError: nothing to fetch under that name, no address delivers a file that agrees with the
            published checksum, a file with other content is in the way, or the folder cannot be written.
    """
    wanted = catalogue.entry(name)
    if wanted.files is None:
        raise InputError(f"data set '{name}' has nothing to download ({wanted.origin})")
    root = _make_root(data_dir)
    source = wanted.files.source
    present = _present_files(wanted.files, root, root / name)
    missing = [file for file in source.installed if file not in present]
    delivered = [Delivery(path, fetched=False) for path in present.values()]
    if not missing:
        return delivered
    if delivered and source.unpacked:
        lacking = ", ".join(file.name for file in missing)
        raise InputError(f"{delivered[0].path.parent} lacks {lacking}; move or delete it to fetch the set again")
    transfer = _Transfer(root / name, tuple(mirrors or source.addresses), progress, timeout)
    with _writing_to(transfer.folder):
        transfer.folder.mkdir(parents=True, exist_ok=True)
        if source.unpacked:
            return _fetch_archive(source.files[0], source.unpacked, transfer)
        fetched = [_fetch_file(file, transfer) for file in missing]
    return delivered + [Delivery(path, fetched=True) for path in fetched]


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


def _fetch_file(file: PublishedFile, transfer: _Transfer) -> Path:
    """Fetch one file from the first address that delivers it; each is tried twice.

    Raises:
        InputError: none does; the message has each address' last reason.
    """
    reasons = []
    for address in transfer.addresses:
        url = f"{address.rstrip('/')}/{file.name}"
        for _ in range(_ATTEMPTS):
            try:
                return _fetch_once(url, file, transfer)
            except _TransferError as error:
                reason = f"{url}: {error}"
                if error.final:
                    break
        reasons.append(reason)
    raise InputError(f"{file.name} could not be fetched, nothing was kept ({'; '.join(reasons)})")


def _fetch_once(url: str, file: PublishedFile, transfer: _Transfer) -> Path:
    target = transfer.folder / file.name
    digest = hashlib.sha256()
    received = 0
    with _temporary_beside(target) as stream:
        for block in _blocks(url, transfer.timeout):
            received += len(block)
            if received > file.size:
                raise _TransferError(f"more than the {file.size} bytes expected")
            digest.update(block)
            stream.write(block)
            if transfer.progress:
                transfer.progress(file.name, received, file.size)
        if received < file.size:
            raise _TransferError(f"{received} bytes received, {file.size} expected")
        if digest.hexdigest() != file.sha256:
            raise _TransferError(f"wrong checksum: SHA-256 {digest.hexdigest()}, {file.sha256} expected")
    return target


def _blocks(url: str, timeout: float) -> Iterator[bytes]:
    """Yield the body at ``url``; every failure of the network or the server is a _TransferError."""
    if not url.startswith(("http://", "https://")):
        raise _TransferError("not an http or https address", final=True)
    request = urllib.request.Request(url, headers={"User-Agent": "mindleak"})
    received = 0
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            announced = response.headers.get("Content-Length")
            while block := response.read(_BLOCK):
                received += len(block)
                yield block
    except urllib.error.HTTPError as error:
        raise _TransferError(f"HTTP {error.code} {error.reason}", final=400 <= error.code < 500) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise _TransferError(f"the transfer failed after {received} bytes ({reason})") from error
    if announced is not None and announced.isdigit() and received < int(announced):
        raise _TransferError(f"the transfer broke off after {received} of {announced} bytes")


@contextmanager
def _temporary_beside(target: Path) -> Iterator[BinaryIO]:
    """Offer a stream that becomes ``target`` if the block ends well, and nothing otherwise."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _fetch_archive(archive: PublishedFile, contents: Sequence[PublishedFile], transfer: _Transfer) -> list[Delivery]:
    packed = _fetch_file(archive, transfer)
    try:
        unpacked = unpack(packed, transfer.folder, [file.name for file in contents])
    finally:
        packed.unlink(missing_ok=True)
    return [Delivery(unpacked / file.name, fetched=True) for file in contents]


def _make_root(data_dir: str | Path | None) -> Path:
    value = data_dir or os.environ.get(ENVIRONMENT)
    if not value:
        raise InputError(f"no data directory: give --data_dir or set {ENVIRONMENT}")
    root = Path(value).expanduser()
    with _writing_to(root):
        root.mkdir(parents=True, exist_ok=True)
    return root


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Turn a full disk or an unwritable folder into the user's one line."""
    try:
        yield
    except OSError as error:
        free = ""
        if folder.is_dir():
            free = f" ({shutil.disk_usage(folder).free // 2**20} MiB free)"
        raise InputError(f"cannot write to {folder}: {error.strerror}{free}; nothing was kept") from error
