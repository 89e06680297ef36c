"""Folders in use, told from folders left behind by a kill.

A process that uses a folder holds a ``flock`` on the file ``<folder>.lock`` beside it. The kernel drops the
lock when the process dies, however it dies and on whichever machine, so no process id has to be trusted.
Where a file system has no such locks, folders are used all the same and none is ever taken for abandoned.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

from mindleak.errors import InputError
from mindleak.files import open_own, require_own_folder

_SUFFIX = ".lock"


class Claim:
    """A folder this process uses; ``shared`` lets several processes use it at once.

    The folder is made when missing. Raises ``OSError`` when it cannot be made, and :class:`InputError` where its name
    or its lock file's is taken by a link or by something else.
    """

    def __init__(self, folder: Path, *, shared: bool) -> None:
        self.folder = folder
        self._lock = _lock_path(folder)
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = self._acquire(fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        try:
            require_own_folder(folder)
            folder.mkdir(exist_ok=True)
        except (OSError, InputError):
            self.release()
            raise

    def _acquire(self, operation: int) -> int:
        while True:
            descriptor = open_own(self._lock, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(descriptor, operation)
            except OSError:
                return descriptor
            # Whoever removed an abandoned folder removed its lock file too: then this lock guards nothing.
            if _is_still(descriptor, self._lock):
                return descriptor
            os.close(descriptor)

    def release(self) -> None:
        """Stop using the folder and leave it where it is."""
        # Closing alone would leave the lock to any child that was forked meanwhile.
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)

    def discard(self) -> None:
        """Stop using the folder and remove it, unless another process still uses it."""
        self.release()
        remove_abandoned(self.folder)


def remove_abandoned(folder: Path) -> bool:
    """Remove ``folder`` and its lock file if no process uses it; return whether it was removed."""
    lock = _lock_path(folder)
    try:
        require_own_folder(folder)
        descriptor = open_own(lock, os.O_RDWR)
    except (OSError, InputError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_still(descriptor, lock):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def claimed_folders(parent: Path) -> list[Path]:
    """Return the folders in ``parent`` that are, or before a kill were, claimed, sorted by name."""
    return sorted(lock.with_name(lock.name[: -len(_SUFFIX)]) for lock in parent.glob("*" + _SUFFIX))


def _lock_path(folder: Path) -> Path:
    return folder.with_name(folder.name + _SUFFIX)


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
