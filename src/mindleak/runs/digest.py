"""Digests that name a computation: of plain values and arrays, and of files; of code, ``closure.py``.

A stage's key (``stages.py``) is built from these. Two values share a digest only when they are equal in
type and content (lists and tuples count as one type, as do a NumPy scalar and its Python counterpart).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from typing import Any

import numpy as np

_CHUNK = 1 << 20


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
