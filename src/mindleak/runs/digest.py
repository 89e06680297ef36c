"""Digests that name a computation: of plain values and arrays, of files, and of the package's own source.

A stage's key (``stages.py``) is built from these. Two values share a digest only when they are equal in
type and content (lists and tuples count as one type, as do a NumPy scalar and its Python counterpart).
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE_ROOT = Path(__file__).resolve().parent.parent

#: The rooms from the bottom to the top of the house; a room may import only from levels before its own.
LEVELS: tuple[tuple[str, ...], ...] = (
    ("errors", "printable"),
    ("quiet", "interruption", "files", "yaml_text"),
    ("settings",),
    ("device",),
    ("kernels",),
    ("models", "data", "runs", "evaluation"),
    ("training",),
    ("attacks",),
    ("deletion", "reporting"),
    ("jobs",),
    ("cli",),
)

_CHUNK = 1 << 20
_SOURCES = (".py", ".cpp", ".h")


def stable_hash(value: Any) -> str:
    """Return the SHA-256 (64 hex digits) of ``value``'s canonical JSON, equal on every machine and run.

    Takes None, bool, int, float (by ``repr``; not-finite ones too), str, bytes, paths, lists and tuples,
    dicts of any subclass (key order does not count), NumPy scalars, and NumPy arrays (by dtype, shape and
    content). Raises ``TypeError`` for anything else, so that no object is ever hashed by its address.
    """
    text = json.dumps(_canonical(value), separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _canonical(value: Any) -> Any:
    # Every JSON object below has exactly one key, which tells the type: no dict of a user's can pass for it.
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, dict):
        pairs = [[_canonical(key), _canonical(item)] for key, item in value.items()]
        return {"dict": sorted(pairs, key=lambda pair: json.dumps(pair[0]))}
    if isinstance(value, np.ndarray):
        return {"array": _array_digest(value)}
    raise TypeError(f"no stable hash for {type(value).__name__}")


def _array_digest(array: np.ndarray) -> list[Any]:
    if array.dtype.hasobject:
        raise TypeError("no stable hash for an array of Python objects")
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    content = little.reshape(-1).view(np.uint8)
    return [little.dtype.str, list(array.shape), hashlib.sha256(content.data).hexdigest()]


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 (64 hex digits) of a file's bytes. Raises ``OSError`` when it cannot be read."""
    running = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            running.update(chunk)
    return running.hexdigest()


def rooms_below(rooms: Sequence[str]) -> tuple[str, ...]:
    """Return ``rooms`` and every room on a level below any of them, sorted by name.

    ``["training"]`` gives training, models, data, runs, evaluation, kernels, device, settings and what is below.
    Raises ``ValueError`` for a name that is no room.
    """
    level_of = {room: level for level, members in enumerate(LEVELS) for room in members}
    unknown = sorted(set(rooms) - set(level_of))
    if unknown:
        raise ValueError(f"no such room: {', '.join(unknown)}; rooms: {', '.join(sorted(level_of))}")
    top = max((level_of[room] for room in rooms), default=0)
    lower = {room for members in LEVELS[:top] for room in members}
    return tuple(sorted(lower | set(rooms)))


def source_digest(rooms: Sequence[str], root: Path = PACKAGE_ROOT) -> str:
    """Return the SHA-256 over the source files (Python, C++) of ``rooms`` and of the rooms below them.

    Names and contents count, dates do not; computed once per process, so a file edited under a running job
    does not split the job's stages over two keys. ``root`` is the package's folder.
    """
    return _source_digest(tuple(rooms), root)


@functools.cache
def _source_digest(rooms: tuple[str, ...], root: Path) -> str:
    files: list[Path] = []
    for room in rooms_below(rooms):
        files.extend(root.glob(f"{room}.py"))
        for suffix in _SOURCES:
            files.extend((root / room).rglob(f"*{suffix}"))
    return stable_hash({path.relative_to(root).as_posix(): file_digest(path) for path in files})
