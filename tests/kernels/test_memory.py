"""No kernel reads or writes beyond what it was given: built with AddressSanitizer, called without MindSpore."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mindleak.kernels import library

# Calls every operator on arrays of exactly its shapes. Scratch memory is kept from call to call, so shapes grow: a
# kernel that writes past what it asked for is not saved by what a larger call before it has left.
PROGRAM = """
import ctypes, itertools, sys
import numpy as np

kernels, short = ctypes.CDLL(sys.argv[1]), sys.argv[2] == "short"
kernels.mindleak_set_threads(int(sys.argv[3]))
lanes, draw = kernels.mindleak_lanes(), np.random.default_rng(0)


def made(*shape, kind=np.float32):
    return draw.normal(size=shape).astype(kind)


def call(name, inputs, outputs):
    tensors = [*inputs, *outputs]
    sides = [(ctypes.c_int64 * each.ndim)(*each.shape) for each in tensors]
    if short:
        # The control: the last output has one number less than it says.
        tensors[-1] = np.empty(tensors[-1].size - 1, tensors[-1].dtype)
    count = len(tensors)
    data = (ctypes.c_void_p * count)(*(each.ctypes.data for each in tensors))
    dimensions = (ctypes.c_int * count)(*(len(each) for each in sides))
    shapes = (ctypes.POINTER(ctypes.c_int64) * count)(*(ctypes.cast(each, ctypes.POINTER(ctypes.c_int64))
                                                        for each in sides))
    assert getattr(kernels, name)(count, data, dimensions, shapes, None, None, None) == 0, name
    assert all(np.isfinite(each).all() for each in outputs if each.dtype == np.float32), name


def convolution(batch, channels, side, outputs, padding):
    x, weight, bias = made(batch, channels, side, side), made(outputs, channels, 5, 5), made(outputs)
    pooled = np.empty((batch, outputs, *((side + 2 * padding - 4) // 2,) * 2), np.float32)
    choice = np.zeros(pooled.shape, np.uint8)
    call("conv_forward", [x, weight, bias], [pooled, choice])
    call("conv_weight_gradient", [x, weight, choice, made(*pooled.shape)], [np.empty_like(weight), np.empty_like(bias)])
    call("conv_input_gradient", [x, weight, choice, made(*pooled.shape)], [np.empty_like(x)])


def recurrent(prefix, gates, biases, unit_vectors, vectors, ticking, batch, steps, inputs, hidden):
    groups = -(-hidden // (unit_vectors * lanes))
    x, w_ih, w_hh = made(batch, steps, inputs), made(gates * hidden, inputs), made(gates * hidden, hidden)
    h, last = np.empty((batch, steps, hidden), np.float32), np.empty((batch, hidden), np.float32)
    kept = np.empty((groups, steps, batch, vectors * lanes), np.float32)
    sums = np.empty((groups, steps, batch, 4 * lanes), np.float32)
    ticks = [np.ones((steps, hidden), np.float32)] if ticking else []
    call(f"{prefix}_forward", [x, w_ih, w_hh, made(biases * hidden), *ticks], [h, kept, last])
    call(f"{prefix}_backward", [x, w_hh, kept, made(*h.shape), *ticks], [sums])
    call(f"{prefix}_weight_gradient", [x, w_hh, h, sums, *ticks],
         [np.empty_like(w_ih), np.empty_like(w_hh), np.empty(biases * hidden, np.float32)])
    call(f"{prefix}_input_gradient", [x, w_ih, w_hh, sums, *ticks], [np.empty_like(x)])


images = ((1, 1, 6, 1, 0), (2, 1, 7, 3, 2), (3, 2, 9, 5, 1), (5, 1, 28, 6, 2), (33, 6, 14, 16, 0), (7, 3, 32, 7, 2))
for shape in images:
    convolution(*shape)
sizes = ((1, 1, 1, 1), (2, 3, 5, 7), (3, 2, 16, 17), (17, 4, 9, 33), (64, 5, 28, 128))
for (cell, kind), size in itertools.product({"lstm": (4, 4, 1, 5, False), "gru": (3, 4, 1, 5, False),
                                             "elman": (1, 1, 4, 4, True)}.items(), sizes):
    recurrent(cell, *kind, *size)
print("done")
"""


@pytest.fixture(scope="module")
def sanitised(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The kernels built with AddressSanitizer, and what a process that loads them must load first."""
    compiler = shutil.which("g++")
    runtime = "" if compiler is None else subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip("no g++ with AddressSanitizer")
    path = tmp_path_factory.mktemp("kernels") / "kernels.so"
    sources = sorted(str(source) for source in library._SOURCES.glob("*.cpp"))
    flags = [flag for flag in library._FLAGS if flag != "-O3"]
    subprocess.run([str(compiler), "-O1", "-g", "-fsanitize=address", *flags, *sources, "-o", str(path)], check=True,
                   timeout=600)
    return path, runtime


def run(sanitised: tuple[Path, str], *words: str) -> subprocess.CompletedProcess[str]:
    path, runtime = sanitised
    environment = {**os.environ, "LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"}
    return subprocess.run([sys.executable, "-c", PROGRAM, str(path), *words], env=environment, capture_output=True,
                          text=True, timeout=600, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_no_kernel_leaves_its_memory(sanitised: tuple[Path, str], threads: int) -> None:
    done = run(sanitised, "whole", str(threads))
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[:3000]


@pytest.mark.slow
def test_a_kernel_that_does_is_found(sanitised: tuple[Path, str]) -> None:
    done = run(sanitised, "short", "1")
    assert done.returncode != 0 and "AddressSanitizer: heap-buffer-overflow" in done.stderr
