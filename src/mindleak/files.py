"""Files opened only where they are plain: nothing waits for a pipe, nothing is written through a link.

A name that can be foretold, such as ``NAME.part``, may have been taken by somebody else: by a symbolic or hard link to
a file that writing would damage, or by a named pipe, which blocks whoever opens it until the other end answers.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Union

from mindleak.errors import InputError

PathLike = Union[str, "os.PathLike[str]"]

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_plain(path: PathLike) -> None:
    """Refuse a path that leads, by links or not, to something other than a file; one to nothing passes.

    Raises:
        InputError: it is a folder, a named pipe, a device or a socket.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # whoever opens the file says what is wrong
    _require_file(path, mode)


def open_plain(path: PathLike) -> BufferedReader:
    """Open a file for reading; links are followed.

    Raises:
        InputError: it is a folder, a named pipe, a device or a socket.
        OSError: it is not there or may not be read.
    """
    check_plain(path)  # opening a device may already do something
    # O_NONBLOCK means nothing for a file; a named pipe that has taken its place meanwhile would be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_file(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: PathLike) -> bytes:
    """Return a file's content. Raises as :func:`open_plain`."""
    with open_plain(path) as stream:
        return stream.read()


def read_text(path: PathLike) -> str:
    """Return a file's content as UTF-8 text. Raises as :func:`open_plain`, and ``UnicodeDecodeError``."""
    return read_bytes(path).decode("utf-8")


def open_own(path: PathLike, flags: int) -> int:
    """Open, or with ``os.O_CREAT`` make, a file that this program alone writes; return its descriptor.

    What stands under the name must be a file with no other name, so that no file of somebody else's is written through
    it. ``os.O_TRUNC`` must not be among the flags: it would empty the file before that is known.

    Raises:
        InputError: it is a symbolic link, has a further name (hard link), or is no file.
        OSError: the disk refuses.
    """
    if flags & os.O_TRUNC:
        raise ValueError("O_TRUNC empties a file before it is known to be this program's")
    with contextlib.suppress(FileNotFoundError):
        _require_own(path, os.lstat(path))
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    try:
        _require_own(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def require_own_folder(path: PathLike) -> None:
    """Refuse what stands under the name of a folder that this program makes; nothing there passes.

    Raises:
        InputError: it is a symbolic link, or no folder.
    """
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # whoever makes the folder says what is wrong
    if not stat.S_ISDIR(mode):
        raise InputError(f"'{Path(path)}' is {_kind(mode)}; expected a folder; remove it")


@contextlib.contextmanager
def folder_for(path: PathLike) -> Iterator[None]:
    """Make a folder and its parents; those that were not there and stay empty go again at the end.

    Raises:
        OSError: the disk refuses.
    """
    folder = Path(path)
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for made in missing:
            with contextlib.suppress(OSError):
                made.rmdir()


def _require_file(path: PathLike, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise InputError(f"'{Path(path)}' is {_kind(mode)}; expected a file")


def _require_own(path: PathLike, status: os.stat_result) -> None:
    plain = stat.S_ISREG(status.st_mode)
    if not plain or status.st_nlink > 1:
        kind = "another file's second name (a hard link)" if plain else _kind(status.st_mode)
        raise InputError(f"'{Path(path)}' is {kind}; expected a file of this program's own; remove it")


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "a file")
