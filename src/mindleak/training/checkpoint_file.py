"""Reads the files that MindSpore saves weights in, ``.ckpt`` (protobuf) and ``.safetensors``, and trusts none of them.

MindSpore's own reader believes what a file says of a tensor: a weight of three bytes becomes whatever lies in memory
behind them, and a wrong dimension or type ends the process. Here dimensions and type must account for every byte
before an array is made of it. Schema: ``mindspore.train.checkpoint_pb2``, which MindSpore itself reads by.
"""

from __future__ import annotations

import binascii
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from google.protobuf.message import DecodeError
from mindspore.train.checkpoint_pb2 import Checkpoint

from mindleak.errors import InputError
from mindleak.files import check_plain, read_bytes

SUFFIXES = (".ckpt", ".safetensors")

_BFLOAT16 = "bfloat16"
_CKPT_TYPES = {"Bool": "?", "Int8": "i1", "Int16": "<i2", "Int32": "<i4", "Int64": "<i8", "UInt8": "u1",
               "UInt16": "<u2", "UInt32": "<u4", "UInt64": "<u8", "Float16": "<f2", "Float32": "<f4",
               "Float64": "<f8", "BFloat16": _BFLOAT16}
_SAFETENSORS_TYPES = {"BOOL": "?", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "U8": "u1", "U16": "<u2",
                      "U32": "<u4", "U64": "<u8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": _BFLOAT16}
# How MindSpore names the entries of ``append_dict`` that are text; it saves them with dimensions [0].
_TEXT = "str"
# At the end of a .ckpt that was saved with a checksum: this mark and ten bytes of CRC-32.
_CHECKSUM_MARK, _CHECKSUM_BYTES = b"crc_num", 10
# First bytes of other kinds of files that are sometimes named like a checkpoint.
_OTHER_KINDS = ((b"\xd8\x5e\x3a\x7f", "is encrypted; expected one saved without enc_key"),
                (b"PK\x03\x04", "is an archive (PyTorch's or NumPy's); expected one that MindSpore has saved"),
                (b"\x80", "is a Python pickle, such as PyTorch's; expected one that MindSpore has saved"),
                (b"\x89HDF", "is an HDF5 file; expected one that MindSpore has saved"))


@dataclass(frozen=True)
class _Tensor:
    """What a file says of one tensor: its name, its dimensions, its type in the file's words, and its bytes."""

    name: str
    shape: tuple[int, ...]
    kind: str
    content: bytes


class _DamagedError(Exception):
    """A file contradicts itself; the text says in what."""


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of a checkpoint by name; text that stands beside them (``append_dict``) is passed over.

    bfloat16, which NumPy does not have, becomes float32.

    Raises:
        InputError: no such file, no format of MindSpore's, or dimensions, types and bytes that do not fit together.
    """
    file = Path(path)
    content = _content(file)
    if file.suffix == ".ckpt":
        for mark, complaint in _OTHER_KINDS:
            if content.startswith(mark):
                raise InputError(f"checkpoint '{path}' {complaint}")
    try:
        tensors, types = ((_ckpt(content), _CKPT_TYPES) if file.suffix == ".ckpt"
                          else (_safetensors(content), _SAFETENSORS_TYPES))
        arrays: dict[str, np.ndarray] = {}
        for tensor in tensors:
            if tensor.name in arrays:
                raise _DamagedError(f"{_quoted(tensor.name)} is there twice")
            arrays[tensor.name] = _array(tensor, types)
    except _DamagedError as error:
        raise InputError(f"checkpoint '{path}' is damaged or no MindSpore checkpoint: {error}") from error
    if not arrays:
        raise InputError(f"checkpoint '{path}' is empty; expected weights")
    return arrays


def _content(file: Path) -> bytes:
    """Return the bytes of a file whose name is that of a checkpoint.

    Raises:
        InputError: it is not there, no regular file, cannot be read, or has another program's name.
    """
    try:
        if not file.exists():
            raise InputError(f"'{file}' does not exist")
        check_plain(file)
        if file.suffix not in SUFFIXES:
            raise InputError(f"'{file}' does not end in .ckpt or .safetensors; only MindSpore's formats are read")
        return read_bytes(file)
    except InputError as error:
        raise InputError(f"checkpoint {error}") from error
    except OSError as error:
        raise InputError(f"checkpoint '{file}' cannot be read: {(error.strerror or str(error)).lower()}") from error


def _array(tensor: _Tensor, types: dict[str, str]) -> np.ndarray:
    """Make an array of a tensor whose dimensions and type account for its bytes.

    Raises:
        _DamagedError: they do not, or the type is none of ``types``.
    """
    name = _quoted(tensor.name)
    if tensor.kind not in types:
        raise _DamagedError(f"{name} is of type {_quoted(tensor.kind)}; expected one of {', '.join(types)}")
    numpy_type = types[tensor.kind]
    width = 2 if numpy_type == _BFLOAT16 else np.dtype(numpy_type).itemsize
    # MindSpore writes [0] for a number without dimensions in old files.
    shape = () if tensor.shape == (0,) and len(tensor.content) == width else tensor.shape
    if min(shape, default=0) < 0 or math.prod(shape) * width != len(tensor.content):
        raise _DamagedError(f"{name} has {len(tensor.content)} bytes, which are not {tensor.kind} numbers of shape "
                            f"{_short(shape)}")
    if numpy_type == _BFLOAT16:
        upper = np.frombuffer(tensor.content, "<u2").astype(np.uint32) << 16
        return upper.view(np.float32).reshape(shape)
    return np.frombuffer(tensor.content, numpy_type).reshape(shape)


def _ckpt(content: bytes) -> Iterator[_Tensor]:
    """Yield the tensors of a .ckpt; what was cut into slices for its size is put together.

    Raises:
        _DamagedError: no protobuf of this schema, or another checksum than the file's own.
    """
    end = len(content) - len(_CHECKSUM_MARK) - _CHECKSUM_BYTES
    if end >= 0 and content[end:].startswith(_CHECKSUM_MARK):
        expected = int.from_bytes(content[-_CHECKSUM_BYTES:], "big")
        content = content[:end]
        if binascii.crc32(content) != expected:
            raise _DamagedError("its bytes do not give its checksum")
    checkpoint = Checkpoint()
    try:
        checkpoint.ParseFromString(content)
    except (DecodeError, ValueError) as error:
        raise _DamagedError("it is no protobuf message of that kind") from error
    size = checkpoint.ByteSize()
    checkpoint.DiscardUnknownFields()
    if checkpoint.ByteSize() != size:
        raise _DamagedError("it has fields that no checkpoint has")
    yield from _joined(checkpoint.value)


def _joined(values: Any) -> Iterator[_Tensor]:
    """Yield the tensors of a message's values, neighbours of one name as one; text is passed over."""
    slices: list[bytes] = []
    for number, value in enumerate(values):
        if not value.HasField("tensor"):
            raise _DamagedError(f"{_quoted(value.tag)} is no tensor (hash tables cannot be read)")
        tensor = value.tensor
        slices.append(tensor.tensor_content)
        following = values[number + 1] if number + 1 < len(values) else None
        if following is not None and following.tag == value.tag:
            if (following.tensor.tensor_type, list(following.tensor.dims)) != (tensor.tensor_type, list(tensor.dims)):
                raise _DamagedError(f"{_quoted(value.tag)} is there twice")
            continue
        if tensor.tensor_type != _TEXT:
            yield _Tensor(value.tag, tuple(tensor.dims), tensor.tensor_type, b"".join(slices))
        slices = []


def _safetensors(content: bytes) -> Iterator[_Tensor]:
    """Yield the tensors of a .safetensors file, whose own library checks its header against its length.

    Raises:
        _DamagedError: the library refuses it, another checksum than the file's own, or packed four-bit numbers.
    """
    try:
        entries = dict(safetensors.deserialize(content))
    except safetensors.SafetensorError as error:
        raise _DamagedError(str(error).splitlines()[0][:200]) from error
    notes = json.loads(content[8:8 + int.from_bytes(content[:8], "little")]).get("__metadata__") or {}
    checksum, summed = 0, True
    for name in sorted(entries):
        entry = entries[name]
        checksum = binascii.crc32(entry["data"], binascii.crc32(name.encode(), checksum))
        # For a whole number without dimensions MindSpore sums zeros, not its bytes, so its checksum proves nothing.
        summed = summed and (bool(entry["shape"]) or entry["dtype"].startswith(("F", "BF")))
        kind = "Int4" if notes.get(name) == "Int4" else entry["dtype"]
        yield _Tensor(name, tuple(entry["shape"]), kind, bytes(entry["data"]))
    if summed and notes.get("crc_num", str(checksum)) != str(checksum):
        raise _DamagedError("its bytes do not give its checksum")


def _quoted(name: str) -> str:
    """Quote a name from a file, shortened and without control characters."""
    return repr(name if len(name) <= 60 else f"{name[:57]}...")


def _short(shape: tuple[int, ...]) -> str:
    """Write a shape from a file, shortened."""
    written = str(shape)
    return written if len(written) <= 60 else f"{written[:57]}..."
