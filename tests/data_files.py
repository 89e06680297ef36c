"""Small data sets on disk, for the tests of the data room."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from mindleak.data.cifar import ROW_BYTES


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def random_images(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 256, shape, dtype=np.uint8)


def write_idx_set(folder: Path, rows: tuple[int, int] = (30, 20), side: int = 28, ending: str = "") -> dict:
    """Four files with all ten classes present; returns the arrays by file stem."""
    rng = np.random.default_rng(5)
    arrays = {}
    for prefix, count in zip(("train", "t10k"), rows):
        arrays[f"{prefix}-images-idx3-ubyte"] = random_images(rng, count, side, side)
        arrays[f"{prefix}-labels-idx1-ubyte"] = (np.arange(count) % 10).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for stem, array in arrays.items():
        content = idx_bytes(array)
        (folder / f"{stem}{ending}").write_bytes(gzip.compress(content) if ending == ".gz" else content)
    return arrays


def write_cifar(folder: Path, rows: int = 12) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(8)
    written = {}
    for name in [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]:
        batch = random_images(rng, rows, ROW_BYTES)
        batch[:, 0] = np.arange(rows) % 10
        (folder / name).write_bytes(batch.tobytes())
        written[name] = batch
    return written
