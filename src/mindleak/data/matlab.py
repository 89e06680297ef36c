"""Arrays of bytes out of MATLAB 5 files (MathWorks, "MAT-File Format", level 5), compressed or not.

SciPy's ``loadmat`` reads far more kinds of variables, but a single wrong byte in a header makes it end the whole
process (SciPy 1.17: segmentation fault), and a damaged download must cost one line. This reader takes real uint8
arrays of the shapes that the caller expects, and allocates nothing before name, type, shape and size agree.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mindleak.errors import InputError
from mindleak.files import open_plain

# A dimension that may have any length.
ANY = -1

_HEADER_BYTES = 128
_VERSION_5, _VERSION_7_3 = 0x0100, 0x0200
# Types of data elements.
_INT8, _UINT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 2, 5, 6, 14, 15
# Classes of arrays, from 1 on.
_CLASSES = (
    *("cell", "struct", "object", "char", "sparse", "double", "single", "int8", "uint8", "int16", "uint16"),
    *("int32", "uint32", "int64", "uint64"),
)
_COMPLEX, _LOGICAL = 0x0800, 0x0200
_MAX_DIMENSIONS, _MAX_NAME = 32, 63
# Deflate cannot shrink anything further than this.
_MAX_RATIO = 1032
_PADDING = 8
_BLOCK = 1 << 16


class _DamageError(Exception):
    """The file is not what its own numbers say, or no MATLAB 5 file."""


class _Variable(NamedTuple):
    name: str
    kind: str
    shape: tuple[int, ...]


def read_byte_arrays(path: Path, expected: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Read variables by name: uint8, with the axes reversed.

    MATLAB counts the first index fastest, so that an array of ``expected`` shape (H, W, C, N), where a length may
    be :data:`ANY`, comes as C-contiguous (N, C, W, H) without any copying.

    Raises:
        InputError: not readable, cut, damaged, of another MATLAB version; a variable is missing, not uint8 or of
            another shape.
    """
    try:
        with open_plain(path) as stream:
            return _read(path, stream, expected)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (_DamageError, zlib.error) as error:
        raise InputError(f"{path} is cut, damaged or no MATLAB 5 file: {error}") from error


def _read(path: Path, stream: BufferedReader, expected: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    order = _byte_order(path, stream.read(_HEADER_BYTES))
    end = os.fstat(stream.fileno()).st_size
    arrays: dict[str, np.ndarray] = {}
    others = []
    while len(arrays) < len(expected) and stream.tell() < end:
        kind, size = _tag(stream.read(8), order)
        start = stream.tell()
        if start + size > end:
            raise _DamageError(f"{start + size} bytes expected, {end} found")
        body = _Body(stream, size, kind == _COMPRESSED)
        if kind == _COMPRESSED:
            kind, _ = _tag(body.read(8), order)
        if kind != _MATRIX:
            raise _DamageError(f"a variable of type {kind}")
        variable = _variable(body, order)
        if variable.name in expected:
            _check(path, variable, expected[variable.name])
            arrays[variable.name] = _values(body, order, variable)
        else:
            others.append(variable.name)
        stream.seek(start + size)
    missing = [name for name in expected if name not in arrays]
    if missing:
        held = ", ".join(sorted([*arrays, *others])) or "no variable"
        raise InputError(f"{path} lacks the variable {' and '.join(missing)}; it holds {held}")
    return arrays


def _byte_order(path: Path, header: bytes) -> str:
    """Return ``<`` or ``>`` as :mod:`struct` has it."""
    order = {b"IM": "<", b"MI": ">"}.get(header[126:])
    if order is None:
        raise _DamageError(f"it starts with 0x{header[:4].hex()}")
    (version,) = struct.unpack(f"{order}H", header[124:126])
    if version == _VERSION_7_3:
        raise InputError(f"{path} is a MATLAB 7.3 file; expected a MATLAB 5 file")
    if version != _VERSION_5:
        raise _DamageError(f"version 0x{version:04x}")
    return order


def _check(path: Path, variable: _Variable, expected: tuple[int, ...]) -> None:
    fits = len(variable.shape) == len(expected) and all(
        wanted in (ANY, found) and found > 0 for found, wanted in zip(variable.shape, expected)
    )
    if variable.kind != "uint8" or not fits:
        wanted = "x".join("N" if length == ANY else str(length) for length in expected)
        found = "x".join(map(str, variable.shape))
        raise InputError(f"{path}: {variable.name} is {variable.kind} {found}; expected uint8 {wanted}")


def _variable(body: _Body, order: str) -> _Variable:
    """Read what stands before an array's values: flags, dimensions, name."""
    kind, flags = _small(body, order, 8)
    if kind != _UINT32 or len(flags) != 8:
        raise _DamageError("a variable without flags")
    (word,) = struct.unpack(f"{order}I", flags[:4])
    number = word & 0xFF
    if not 1 <= number <= len(_CLASSES):
        return _Variable("?", f"class {number}", ())  # An object of MATLAB's own, which has no dimensions.
    kind, content = _small(body, order, 4 * _MAX_DIMENSIONS)
    if kind != _INT32 or len(content) % 4 or len(content) < 8:
        raise _DamageError("a variable without dimensions")
    shape = tuple(int(length) for length in np.frombuffer(content, f"{order}i4"))
    kind, name = _small(body, order, _MAX_NAME)
    if kind != _INT8 or min(shape) < 0:
        raise _DamageError("a variable with impossible name or dimensions")
    prefix = "complex " if word & _COMPLEX else "logical " if word & _LOGICAL else ""
    return _Variable(name.decode("ascii", "replace"), prefix + _CLASSES[number - 1], shape)


def _values(body: _Body, order: str, variable: _Variable) -> np.ndarray:
    count = math.prod(variable.shape)
    tag = body.read(8)
    kind, size = _tag(tag, order)
    inline = _inline(tag, order)
    if inline is not None:
        kind, size = inline
    if kind != _UINT8 or size != count:
        raise _DamageError(f"{variable.name} has {count} values, but {size} bytes of type {kind} follow")
    if inline is not None:
        values = np.frombuffer(tag[4 : 4 + size], np.uint8).copy()
    else:
        if count > body.capacity:
            raise _DamageError(f"{variable.name} announces more values than can be there")
        values = np.empty(count, np.uint8)
        body.fill(values.data)
    body.finish()
    return values.reshape(variable.shape[::-1])


def _small(body: _Body, order: str, limit: int) -> tuple[int, bytes]:
    """Read a whole data element of at most ``limit`` bytes: type and content."""
    tag = body.read(8)
    inline = _inline(tag, order)
    if inline is not None:
        kind, size = inline
        return kind, tag[4 : 4 + size]
    kind, size = _tag(tag, order)
    if size > limit:
        raise _DamageError(f"{size} bytes where at most {limit} belong")
    content = body.read(size)
    body.read(-size % _PADDING)
    return kind, content


def _tag(tag: bytes, order: str) -> tuple[int, int]:
    """Return type and size of a data element."""
    if len(tag) < 8:
        raise _DamageError("it ends inside a variable")
    kind, size = struct.unpack(f"{order}II", tag)
    return int(kind), int(size)


def _inline(tag: bytes, order: str) -> tuple[int, int] | None:
    """Return type and size of a small data element, whose up to four bytes stand in the tag; None for others."""
    word, _ = _tag(tag, order)
    if word >> 16 == 0:
        return None
    if word >> 16 > 4:
        raise _DamageError(f"a small element of {word >> 16} bytes")
    return word & 0xFFFF, word >> 16


class _Body:
    """The bytes of one variable, inflated on the way where they are compressed."""

    def __init__(self, stream: BufferedReader, size: int, compressed: bool) -> None:
        self._blocks = _plain(stream, size)
        if compressed:
            self._blocks = _inflated(self._blocks)
        self._block = memoryview(b"")
        self.capacity = size * (_MAX_RATIO if compressed else 1)

    def read(self, size: int) -> bytes:
        content = bytearray(size)
        self.fill(memoryview(content))
        return bytes(content)

    def fill(self, view: memoryview) -> None:
        while view:
            if not self._block:
                self._block = memoryview(next(self._blocks, b""))
                if not self._block:
                    raise _DamageError("it ends inside a variable")
            part = self._block[: len(view)]
            view[: len(part)] = part
            view, self._block = view[len(part) :], self._block[len(part) :]

    def finish(self) -> None:
        """Read to the end, where compressed data have their own checksum; nothing but padding may be left."""
        left = len(self._block)
        for block in self._blocks:
            left += len(block)
            if left >= _PADDING:
                break
        if left >= _PADDING:
            raise _DamageError("a variable is longer than it announces")


def _plain(stream: BufferedReader, size: int) -> Iterator[bytes]:
    while size and (block := stream.read(min(size, _BLOCK))):
        size -= len(block)
        yield block


def _inflated(blocks: Iterator[bytes]) -> Iterator[bytes]:
    engine = zlib.decompressobj()
    for packed in blocks:
        while not engine.eof:
            block = engine.decompress(packed, _BLOCK)
            packed = engine.unconsumed_tail
            if block:
                yield block
            if not packed and len(block) < _BLOCK:
                break
    if not engine.eof:
        raise _DamageError("its compressed data end early")
