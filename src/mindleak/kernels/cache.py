"""Where the compiled kernels are kept: a folder that this user alone can write, and files that are what was compiled.

Machine code that is loaded runs with all rights of whoever loads it, and a library that is cut or altered ends the
process in the middle of it. So the folder must be this user's own, and each library's name ends in its own digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from pathlib import Path

_DIGITS = 32
_PREFIX = "kernels-"


class UnsafeFolderError(Exception):
    """Others could put a library of theirs into the folder; the message says how."""


def private_folder(folder: Path) -> Path:
    """Return a folder, by its real path, that this user alone can write; it is made where missing.

    One of this user's that others could write is closed to them, and what could be theirs in it is removed.

    Raises:
        UnsafeFolderError: it is a link or another user's, or anybody could put another in its place.
        OSError: it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder = folder.parent.resolve() / folder.name
    for above in folder.parents:
        mode = above.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise UnsafeFolderError(f"everybody can write {above}, and so replace {folder}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    _require_own(folder, os.lstat(folder))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        status = os.fstat(descriptor)
        _require_own(folder, status)
        if status.st_mode & 0o077:
            os.fchmod(descriptor, 0o700)
        if status.st_mode & 0o022:
            _remove(folder, _PREFIX + "*")
    finally:
        os.close(descriptor)
    return folder


def _require_own(folder: Path, status: os.stat_result) -> None:
    """Refuse what is no folder of this user's."""
    if not stat.S_ISDIR(status.st_mode):
        raise UnsafeFolderError(f"{folder} is {'a symbolic link' if stat.S_ISLNK(status.st_mode) else 'no folder'}")
    if status.st_uid != os.geteuid():
        raise UnsafeFolderError(f"{folder} belongs to user {status.st_uid}, and this is user {os.geteuid()}")


def find(folder: Path, key: str) -> Path | None:
    """Return the library for ``key`` that is what was compiled, if there is one; others of that key are removed."""
    found = None
    for path in sorted(folder.glob(f"{_PREFIX}{key}-*.so")):
        if found is None and path == named(folder, key, _digest(path)):
            found = path
        elif found is None:
            _remove(folder, path.name)
    return found


def named(folder: Path, key: str, digest: str) -> Path:
    """Return the path of a library by its key and its content's digest (:func:`content_digest`)."""
    return folder / f"{_PREFIX}{key}-{digest}.so"


def content_digest(content: bytes) -> str:
    """Return the digest that a library's name ends in."""
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def sweep(folder: Path, seconds: float) -> None:
    """Remove what compilations have left that were killed at least ``seconds`` ago."""
    for left in folder.glob(f"{_PREFIX}*.part"):
        with contextlib.suppress(OSError):
            if time.time() - left.lstat().st_mtime > seconds:
                left.unlink()


def _digest(path: Path) -> str:
    """Return the digest of a file of this user's own; nothing of what is none or cannot be read."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            status = os.fstat(stream.fileno())
            own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
            return content_digest(stream.read()) if own else ""
    except OSError:
        return ""


def _remove(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            path.unlink()
