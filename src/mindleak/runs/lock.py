"""One command at a time in a run directory or a folder of checkpoints; a further one waits, and says for whom.

A command holds a ``flock`` on the file ``.lock`` in the folder for as long as it works there. The kernel drops it when
the process dies, however it dies, so a dead process locks nobody out. The file tells a waiting command which process
it waits for, and is removed at the end. Processes of one distributed job hold the lock together.

Where a file system has no such locks the command says so and goes on: checkpoints and stages appear whole and equal
ones are equal files, so that what is at stake is work done twice.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mindleak import files
from mindleak.runs.atomic import write_failure

NAME = ".lock"
SECONDS_BETWEEN_TRIES = 0.5

_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM}
_LONGEST_NOTE = 1000


class _HeldError(Exception):
    """Another command holds the lock; the message says which, where its note is already written."""


def say_on_stderr(line: str) -> None:
    """Print a line that is no result."""
    print(f"mindleak: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def alone_in(folders: Iterable[Path], say: Callable[[str], None] = say_on_stderr,
             job: str | None = None) -> Iterator[None]:
    """Keep other commands out of folders, which are made where missing and removed again if they stay empty.

    A folder that may not be written is not locked: whoever writes there will be refused anyway.

    Args:
        folders: any number; the same one may be named twice.
        say: told in one line what is waited for, or that a file system has no locks.
        job: what the processes that may work here together have in common; None for a process alone.

    Raises:
        InputError: something other than a file of ours has the lock's name, or the disk refuses.
    """
    # In one order everywhere, or two commands could each hold a folder that the other waits for.
    ordered = sorted({Path(os.path.realpath(folder)): folder for folder in folders}.items())
    with contextlib.ExitStack() as stack:
        for place, shown in ordered:
            stack.enter_context(_alone_in(place, shown, say, job))
        yield


@contextlib.contextmanager
def _alone_in(folder: Path, shown: Path, say: Callable[[str], None], job: str | None) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(files.folder_for(folder))
            descriptor = _wait_for(folder / NAME, shown, say, job)
        except OSError as error:
            if error.errno not in _NOT_WRITABLE:
                raise write_failure(shown, error) from error
        else:
            if descriptor is not None:
                stack.callback(_release, descriptor, folder / NAME)
        yield


def _wait_for(path: Path, shown: Path, say: Callable[[str], None], job: str | None) -> int | None:
    """Return the locked file's descriptor; None where there are no locks."""
    told, tries = False, 0
    while True:
        try:
            return _try(path, job)
        except _HeldError as holder:
            tries += 1
            if not told and (str(holder) or tries > 1):
                say(f"waits for {str(holder) or 'another command'}, which works in {shown}")
                told = True
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)  # The command before this one removed the folder.
            continue
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
            path.unlink(missing_ok=True)
            say(f"{shown} lies on a file system without locks ({(error.strerror or str(error)).lower()}); "
                "let no other command work there meanwhile")
            return None
        time.sleep(SECONDS_BETWEEN_TRIES)


def _try(path: Path, job: str | None) -> int:
    """Return the locked file's descriptor. Raises :class:`_HeldError`, and ``OSError`` where the disk refuses."""
    try:
        descriptor = files.open_own(path, os.O_RDWR | os.O_CREAT)
    except PermissionError:
        if not os.path.lexists(path):
            raise
        # The file is another user's, in a folder that both share.
        descriptor = files.open_own(path, os.O_RDONLY)
    try:
        _lock(descriptor, path, job)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int, path: Path, job: str | None) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        first = True
    except BlockingIOError:
        if job is None:
            raise _HeldError(_holder(descriptor)) from None
        first = False
        _share(descriptor)
    # Whoever held the lock before has removed its file: then this lock guards nothing.
    if not _is_still(descriptor, path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if first:
        _write_note(descriptor, path, job)
        if job is not None:
            # Another process may come in between: the kernel releases one lock before it takes the other.
            _share(descriptor)
    if job is not None and _note(descriptor).get("job") != job:
        raise _HeldError(_holder(descriptor))


def _write_note(descriptor: int, path: Path, job: str | None) -> None:
    """Say whose lock it is now. Raises ``OSError`` after removing a file that cannot hold the note."""
    note = {"process": os.getpid(), "host": socket.gethostname(), "job": job}
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(note).encode(), 0)
    except OSError as error:
        path.unlink(missing_ok=True)
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            # Another user's command left the file behind and it was removed: the next try makes one of this user's.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
        raise


def _share(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _HeldError(_holder(descriptor)) from None


def _release(descriptor: int, path: Path) -> None:
    """Give the lock up, and remove its file unless another process of the job still holds it."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_still(descriptor, path):
            path.unlink()
    # Closing alone would leave the lock to any child that was forked meanwhile.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _holder(descriptor: int) -> str:
    """Name the process that the lock's file tells of."""
    note = _note(descriptor)
    process, host = note.get("process"), note.get("host")
    if not isinstance(process, int) or not isinstance(host, str) or not host.isprintable():
        return ""
    return f"process {process} on {host}"


def _note(descriptor: int) -> dict[str, object]:
    try:
        note = json.loads(os.pread(descriptor, _LONGEST_NOTE, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
