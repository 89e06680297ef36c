"""Small data sets on disk, for the tests of the data room."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from scipy.io import savemat

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


def write_svhn(folder: Path, rows: tuple[int, int] = (24, 12), compressed: bool = True) -> dict[str, np.ndarray]:
    """Both halves as the publishers write them; returns images (H, W, C, N) and labels (N, 1), 10 for the digit 0."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(9)
    written = {}
    for half, count in zip(("train", "test"), rows):
        written[f"X_{half}"] = random_images(rng, 32, 32, 3, count)
        written[f"y_{half}"] = (np.arange(count) % 10 + 1).astype(np.uint8)[:, np.newaxis]
        variables = {name: written[f"{name}_{half}"] for name in ("X", "y")}
        savemat(folder / f"{half}_32x32.mat", variables, do_compression=compressed)
    return written


def write_stl10(folder: Path, rows: tuple[int, int] = (11, 13)) -> dict[str, np.ndarray]:
    """The four files with labels; returns images (N, C, H, W) and labels from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(10)
    written = {}
    for half, count in zip(("train", "test"), rows):
        written[f"X_{half}"] = random_images(rng, count, 3, 96, 96)
        written[f"y_{half}"] = (np.arange(count) % 10 + 1).astype(np.uint8)
        (folder / f"{half}_X.bin").write_bytes(written[f"X_{half}"].transpose(0, 1, 3, 2).tobytes())
        (folder / f"{half}_y.bin").write_bytes(written[f"y_{half}"].tobytes())
    return written
