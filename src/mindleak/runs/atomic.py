"""Files that are either whole or not there.

Every result is written under a temporary name in its own folder, flushed to the disk and renamed, so that a
kill, a full disk or an unwritable folder leaves the former file (or none) and never half of a new one. What
the disk refuses is the user's to put right, hence :class:`InputError`.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import secrets
from pathlib import Path
from typing import Any, Union

import numpy as np

from mindleak.errors import InputError
from mindleak.printable import replace_hidden

PathLike = Union[str, "os.PathLike[str]"]

# Some network and FUSE file systems cannot sync a folder; the renamed file itself is synced all the same.
_FOLDER_SYNC_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def write_failure(path: PathLike, error: OSError) -> InputError:
    """Return the one-line :class:`InputError` for an ``OSError`` met while writing ``path``."""
    reason = (error.strerror or str(error)).lower()
    return InputError(f"cannot write {os.fspath(path)}: {reason}")


def sync_path(path: PathLike) -> None:
    """Make a file's content, or the names inside a folder, survive a power cut. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _FOLDER_SYNC_UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def atomic_write_bytes(path: PathLike, data: bytes | memoryview) -> Path:
    """Write ``data`` to ``path``, replacing what was there in one step; missing parent folders are made.

    Returns the path. Raises :class:`InputError` ("cannot write PATH: no space left on device") when the
    operating system refuses; the former content of ``path`` is then still there, with nothing left beside it.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(partial, "xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_path(target.parent)
    except OSError as error:
        raise write_failure(target, error) from error
    return target


def atomic_write_text(path: PathLike, text: str) -> Path:
    """Write ``text`` as UTF-8; otherwise as :func:`atomic_write_bytes`."""
    return atomic_write_bytes(path, text.encode("utf-8"))


def atomic_json(path: PathLike, value: Any) -> Path:
    """Write ``value`` as indented JSON; NumPy scalars, tuples and paths become their plain counterparts.

    Raises :class:`InputError` as :func:`atomic_write_bytes` and otherwise as :func:`json_text`.
    """
    return atomic_write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return ``value`` as indented JSON.

    Raises ``ValueError`` naming the key of a number that is not finite (a result states ``null`` and a reason
    instead), ``TypeError`` for what JSON cannot hold.
    """
    simple = plain(value)
    _refuse_not_finite(simple, "")
    text = json.dumps(simple, indent=2, ensure_ascii=False, allow_nan=False)
    # Invisible characters are escaped as in JSON: readers of the file see them, and they are read back unchanged.
    return replace_hidden(text, lambda letter: json.dumps(letter)[1:-1]) + "\n"


def atomic_npz(path: PathLike, /, **arrays: Any) -> Path:
    """Write named arrays to one ``.npz`` without pickle; equal arrays give equal bytes.

    Raises :class:`InputError` as :func:`atomic_write_bytes`, and ``TypeError`` for an array of Python
    objects, which only pickle could hold.
    """
    dense = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in dense.items():
        if array.dtype.hasobject:
            raise TypeError(f"array '{name}' of {os.fspath(path)} holds Python objects, not numbers or text")
    buffer = io.BytesIO()
    np.savez(buffer, **dense)
    return atomic_write_bytes(path, buffer.getbuffer())


def plain(value: Any) -> Any:
    """Return ``value`` with dict-likes, tuples, NumPy scalars and paths as dict, list, number and text.

    Raises ``TypeError`` for anything else that JSON or YAML could not give back, arrays among them.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.generic):
        return plain(_builtin(value))
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, dict):
        return {_plain_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"cannot be written as JSON or YAML: {type(value).__name__}; arrays belong in an .npz")


def _builtin(value: np.generic) -> Any:
    item = value.item()
    if isinstance(item, np.generic) or not isinstance(item, (bool, int, float, str)):
        raise TypeError(f"cannot be written as JSON or YAML: NumPy {value.dtype}")
    return item


def _plain_key(key: Any) -> str | int:
    simple = plain(key)
    if isinstance(simple, (str, int)) and not isinstance(simple, bool):
        return simple
    raise TypeError(f"a key must be text or a whole number, not {key!r}")


def _refuse_not_finite(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where.lstrip('.') or 'value'} is {value}: write null and a reason instead")
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_not_finite(item, f"{where}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_not_finite(item, f"{where}[{index}]")
