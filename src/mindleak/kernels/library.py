"""The kernels' library: compiled once per machine with the system's C++ compiler, kept in the user's cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mindleak import device
from mindleak.errors import InputError
from mindleak.kernels import cache

_SOURCES = Path(__file__).resolve().parent
_COMPILERS = ("c++", "g++", "clang++")
_FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-pthread")
_PATIENCE = 120  # seconds; the compilation takes a few


@dataclass(frozen=True)
class Library:
    """The compiled kernels: where they lie, and how many floats a vector of theirs has."""

    path: Path
    lanes: int

    def set_threads(self, count: int) -> None:
        """Let each kernel use up to ``count`` threads from now on; results do not depend on it."""
        ctypes.CDLL(str(self.path)).mindleak_set_threads(count)


class Unsafe(str):
    """A reason for having no kernels that the user is told: loading them could run somebody else's code."""


def for_device() -> Library | None:
    """Return the kernels for the configured device, or None where MindSpore's operators are to be used.

    Raises:
        InputError: ``device.kernels`` is ``native``, and there are none.
    """
    here = device.current()
    if here.kernels == "mindspore":
        return None
    found = attempt() if here.target == "CPU" else f"they are for CPU, and the device is {here.target}"
    if isinstance(found, Library):
        found.set_threads(device.cpu_threads())
        return found
    if isinstance(found, Unsafe) and here.kernels != "native":
        _say_once(f"computing without native kernels, which is slower: {found}")
    if here.kernels == "native":
        raise InputError(f"device.kernels=native: there are no native kernels here: {found}; "
                         "device.kernels=auto does without")
    return None


@functools.cache
def _say_once(line: str) -> None:
    """Print a line that is no result, on the one process that speaks."""
    if device.current().is_main:
        print(f"mindleak: {line}", file=sys.stderr, flush=True)


@functools.cache
def attempt() -> Library | str:
    """Return the kernels, compiled if they have not been on this machine, or say why there are none."""
    if sys.platform != "linux":
        return f"MindSpore takes operators of others on Linux only, not on {sys.platform}"
    compiler: list[str] = []
    try:
        compiler = _compiler()
        if not compiler:
            return f"no C++ compiler (looked for $CXX, {', '.join(_COMPILERS)})"
        folder, key = cache.private_folder(_cache()), _key(compiler)
        cache.sweep(folder, 2 * _PATIENCE)
        path = cache.find(folder, key) or _compile(compiler, folder, key)
        return Library(path, int(ctypes.CDLL(str(path)).mindleak_lanes()))
    except subprocess.CalledProcessError as error:
        lines = [line.strip() for line in error.stderr.splitlines() if line.strip()]
        return f"{shlex.join(compiler)} cannot compile them ({lines[0][:200] if lines else 'it says nothing'})"
    except cache.UnsafeFolderError as error:
        return Unsafe(f"{error}; expected a folder that only this user can write (set XDG_CACHE_HOME to another place)")
    except (OSError, AttributeError, RuntimeError, subprocess.TimeoutExpired) as error:
        return " ".join(str(error).split())


def _compiler() -> list[str]:
    """Return the command of the user's compiler, or of the system's; nothing where there is none."""
    given = os.environ.get("CXX", "")
    try:
        chosen = shlex.split(given)
    except ValueError as error:
        raise RuntimeError(f"the environment's CXX is {given!r}: {str(error).lower()}") from error
    if chosen:
        return chosen if shutil.which(chosen[0]) else []
    found = next(filter(None, map(shutil.which, _COMPILERS)), None)
    return [] if found is None else [found]


def _cache() -> Path:
    """Return the folder for what can be made again, by the XDG Base Directory Specification.

    Raises:
        RuntimeError: the user has no home folder.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "mindleak"


def _key(compiler: list[str]) -> str:
    """Return a digest of all that the machine code depends on: sources, compiler, flags, C library, CPU's abilities."""
    running = hashlib.sha256()
    for source in sorted(_SOURCES.glob("*.[ch]*")):
        running.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    version = subprocess.run([*compiler, "--version"], capture_output=True, check=True, text=True, timeout=_PATIENCE)
    for text in (shlex.join(compiler), version.stdout, " ".join(_FLAGS), platform.machine(), _abilities(),
                 *platform.libc_ver()):
        running.update(text.encode() + b"\0")
    return running.hexdigest()[:20]


def _abilities() -> str:
    """Return the line in which the kernel lists the CPU's instruction sets; a home folder may serve many machines."""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
        return next((line for line in stream if line.split(":")[0].strip().lower() in ("flags", "features")), "")


def _compile(compiler: list[str], folder: Path, key: str) -> Path:
    """Write the library under a name of this process's own, then rename it: others may be at it, too."""
    handle, name = tempfile.mkstemp(prefix=f"kernels-{key}-", suffix=".part", dir=folder)
    os.close(handle)
    try:
        sources = [str(source) for source in sorted(_SOURCES.glob("*.cpp"))]
        subprocess.run([*compiler, *_FLAGS, *sources, "-o", name], capture_output=True, check=True, text=True,
                       timeout=_PATIENCE)
        compiled = Path(name)
        compiled.chmod(0o700)
        path = cache.named(folder, key, cache.content_digest(compiled.read_bytes()))
        os.replace(compiled, path)
        return path
    finally:
        Path(name).unlink(missing_ok=True)
