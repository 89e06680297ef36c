"""The IDX format of MNIST and its relatives, plain or gzipped.

Layout (LeCun, Cortes, Burges, "The MNIST database"): two zero bytes, a type byte (0x08: unsigned byte), the
number of dimensions, one big-endian 32-bit size per dimension, then the values in C order.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mindleak.data.checks import check_counts
from mindleak.errors import InputError
from mindleak.files import read_bytes

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08
_LABEL_DIMENSIONS = (1,)
_MAX_HEADER = 4 + 4 * 4
# Deflate makes at most 258 bytes of two bits (RFC 1951, 3.2.5).
_MOST_PER_PACKED_BYTE = 1032


class IdxFiles(NamedTuple):
    """The four files of a data set."""

    train_images: Path
    train_labels: Path
    test_images: Path
    test_labels: Path


class IdxArrays(NamedTuple):
    """What the four files hold: images uint8 (N, H, W) or (N, C, H, W), labels uint8 (N,)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def read_idx_files(files: IdxFiles, image_dimensions: tuple[int, ...] = (3,)) -> IdxArrays:
    """Read the four files; image and label counts agree in each half.

    Raises:
        InputError: a file is missing, cut, corrupted, of another format or swapped; counts differ.
    """
    arrays = IdxArrays(
        read_idx(files.train_images, image_dimensions),
        read_idx(files.train_labels, _LABEL_DIMENSIONS),
        read_idx(files.test_images, image_dimensions),
        read_idx(files.test_labels, _LABEL_DIMENSIONS),
    )
    check_counts(len(arrays.x_train), len(arrays.y_train), str(files.train_images), str(files.train_labels))
    check_counts(len(arrays.x_test), len(arrays.y_test), str(files.test_images), str(files.test_labels))
    return arrays


def read_idx(path: Path, dimensions: tuple[int, ...]) -> np.ndarray:
    """Read one file of unsigned bytes with one of the given numbers of dimensions (1: labels).

    Raises:
        InputError: see :func:`read_idx_files`.
    """
    content = read_content(path)
    shape = _parse_header(path, content, dimensions)
    if 0 in shape:
        what = "labels" if len(shape) == 1 else "images"
        raise InputError(f"{path} holds no {what}: its header announces {' x '.join(map(str, shape))} values")
    start = 4 + 4 * len(shape)
    expected = start + math.prod(shape)
    if len(content) < expected:
        raise InputError(f"{path} is cut: {expected} bytes expected from its header, {len(content)} found")
    if len(content) > expected:
        raise InputError(f"{path} is longer than its header says: {expected} bytes expected")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_content(path: Path) -> bytes:
    """Return a file's bytes, unpacked if gzipped (told by content, not by name).

    Of a gzipped file no more is unpacked than its IDX header announces, plus one byte: a small hostile file
    cannot fill the memory.

    Raises:
        InputError: not readable, or damaged gzip.
    """
    try:
        packed = read_bytes(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not packed.startswith(_GZIP_MAGIC):
        return packed
    announced = _announced_bytes(_unpack(path, packed, _MAX_HEADER))
    if announced > _MOST_PER_PACKED_BYTE * len(packed):
        raise InputError(f"{path} is cut: {announced} bytes expected from its header, and a gzip file of {len(packed)} "
                         "bytes cannot hold as many")
    return _unpack(path, packed, announced + 1)


def _unpack(path: Path, packed: bytes, limit: int) -> bytes:
    """Unpack at most ``limit`` bytes of the gzip members in ``packed``; checks their checksums at the end."""
    parts: list[bytes] = []
    while limit > 0 and packed.startswith(_GZIP_MAGIC):
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(packed, limit)
        except zlib.error as error:
            raise InputError(f"{path} is a corrupted gzip file ({error})") from error
        if not member.eof and len(part) < limit:
            have = sum(len(earlier) for earlier in parts) + len(part)
            raise InputError(f"{path} is a cut gzip file: it ends after {have} unpacked bytes")
        parts.append(part)
        limit -= len(part)
        packed = member.unused_data
    return b"".join(parts)


def _announced_bytes(header: bytes) -> int:
    """Return the file size that an IDX header announces; just the header's own where it is no IDX."""
    if len(header) < 4 or not 1 <= header[3] <= 4 or len(header) < 4 + 4 * header[3]:
        return len(header)
    return 4 + 4 * header[3] + math.prod(_sizes(header))


def _sizes(content: bytes) -> tuple[int, ...]:
    return tuple(int(size) for size in np.frombuffer(content, ">u4", count=content[3], offset=4))


def _parse_header(path: Path, content: bytes, dimensions: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that the header announces, after checking type and number of dimensions."""
    if len(content) < 4 or content[:2] != b"\0\0":
        raise InputError(f"{path} is not an IDX file: it starts with 0x{content[:4].hex()}, not 0x000008")
    kind, found = content[2], content[3]
    if kind != _UNSIGNED_BYTE:
        raise InputError(f"{path} holds IDX values of type 0x{kind:02x}; unsigned bytes (0x08) are wanted")
    if found not in dimensions:
        wanted = "labels" if dimensions == _LABEL_DIMENSIONS else "images"
        holds = "labels" if found == 1 else "images" if found in (3, 4) else f"{found}-dimensional values"
        raise InputError(
            f"{path} holds {holds} (IDX magic 0x{content[:4].hex()}) where {wanted} belong: "
            "are the image and the label file swapped?"
        )
    if len(content) < 4 + 4 * found:
        raise InputError(f"{path} is cut: {4 + 4 * found} header bytes expected, {len(content)} found")
    return _sizes(content)
