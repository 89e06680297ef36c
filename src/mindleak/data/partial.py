"""A file that grows over several attempts, addresses, processes and days until it is whole.

``NAME.part`` beside the target holds the bytes that have arrived, ``NAME.part.json`` says from which address and
which version of its file, so that a later request can ask for the rest of just that version. A process that
works on the file holds a ``flock`` on it, which the kernel drops when the process dies, however it dies. Where a
file system has no such locks, the checksum at the end still keeps wrong bytes from becoming the target.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path

from mindleak.errors import InputError
from mindleak.files import open_own, read_text

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Origin:
    """Which address bytes came from, and its ``validator``: strong ETag or Last-Modified (RFC 9110, 13.1.5)."""

    url: str
    validator: str | None


class PartialFile:
    """The ``.part`` of ``target``, locked; a context manager that leaves it behind unless it is empty.

    ``waiting`` is called once if another process holds the lock; then this one waits. Raises ``OSError`` where the
    disk refuses, and :class:`InputError` where the name is taken by a link or by what is no file.
    """

    def __init__(self, target: Path, waiting: Callable[[], None] = lambda: None) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")
        self._stream = _open_locked(self.path, waiting)
        self._origin = self._read_note() if self.size else None

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(self, *details: object) -> None:
        with self._stream:
            if self.size == 0 and _is_still(self._stream, self.path):
                self._remove()

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return os.fstat(self._stream.fileno()).st_size

    @property
    def origin(self) -> Origin | None:
        """Where the last bytes came from, as far as that is known."""
        return self._origin

    @origin.setter
    def origin(self, origin: Origin) -> None:
        if origin != self._origin:
            self._write_note(json.dumps(asdict(origin)))
            self._origin = origin

    def append(self, block: bytes) -> None:
        """Write ``block`` behind what is there."""
        view = memoryview(block)
        while view:
            view = view[self._stream.write(view) :]

    def restart(self) -> None:
        """Drop all bytes."""
        self._stream.truncate(0)
        self._note.unlink(missing_ok=True)
        self._origin = None

    def checksum(self, algorithm: str) -> str:
        """Return the hexadecimal digest of all bytes, read back from the file."""
        digest = hashlib.new(algorithm, usedforsecurity=False)
        self._stream.seek(0)
        while block := self._stream.read(_BLOCK):
            digest.update(block)
        return digest.hexdigest()

    def finish(self) -> Path:
        """Make the bytes the target, in one step; return it."""
        os.fsync(self._stream.fileno())
        os.replace(self.path, self.target)
        self._note.unlink(missing_ok=True)
        return self.target

    def discard(self) -> None:
        """Remove the file."""
        self._stream.truncate(0)

    def _write_note(self, text: str) -> None:
        with os.fdopen(open_own(self._note, os.O_WRONLY | os.O_CREAT), "wb") as stream:
            stream.truncate()
            stream.write(text.encode())

    def _remove(self) -> None:
        self.path.unlink()
        self._note.unlink(missing_ok=True)

    def _read_note(self) -> Origin | None:
        try:
            note = json.loads(read_text(self._note))
            return Origin(str(note["url"]), None if note["validator"] is None else str(note["validator"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError, InputError):
            return None  # Without an origin only the checksum at the end decides.


def _open_locked(path: Path, waiting: Callable[[], None]) -> FileIO:
    told = False
    while True:
        stream = FileIO(open_own(path, os.O_RDWR | os.O_APPEND | os.O_CREAT), "a+")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                waiting()
            told = True
            _wait(stream)
            continue
        except OSError:
            return stream
        # Whoever held the lock before may have renamed or removed the file: then this lock guards nothing.
        if _is_still(stream, path):
            return stream
        stream.close()


def _wait(stream: FileIO) -> None:
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)


def _is_still(stream: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
