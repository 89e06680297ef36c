"""``mindleak doctor``: versions, devices, threads, data, and a verdict on every combination known to be bad."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mindleak.data.verify import available
from mindleak.printable import say
from mindleak.runs.stages import installed_versions

TESTED = {"mindspore": "2.8.0", "mindarmour": "2.0.0"}

# Set by the user or by a launcher, these change how MindSpore runs.
_VARIABLES = ("OMP_NUM_THREADS", "DEVICE_ID", "RANK_TABLE_FILE", "MS_WORKER_NUM", "CUDA_VISIBLE_DEVICES",
              "ASCEND_RT_VISIBLE_DEVICES")
# MindSpore's log level; where nobody has set it, mindleak sets 3.
_LOG_LEVEL = "GLOG_v"


@dataclass(frozen=True)
class Verdict:
    """One check: ``ok``, ``slow`` (works, but not as fast as it could), ``untested`` or ``bad``, and why."""

    level: str
    subject: str
    text: str


def run_doctor(data_dir: str | None) -> None:
    """Print everything that a question about an installation would ask for first."""
    versions = installed_versions()
    _say("python", f"{platform.python_version()} ({sys.executable})")
    for package, version in versions.items():
        _say(package, version or "not installed")
    _say("platform", platform.platform())
    _print_devices(versions)
    _print_threads(versions)
    _print_data(data_dir or os.environ.get("MINDLEAK_DATA_DIR"))
    say("verdicts")
    for verdict in verdicts(versions):
        say(f"  {verdict.level:<9} {verdict.subject} {verdict.text}")


def _say(what: str, text: str) -> None:
    """Print one line of the first column and the second."""
    say(f"{what:<14}{text}")


def _print_devices(versions: Mapping[str, str | None]) -> None:
    """Print the usable targets, and what the others lack."""
    if versions.get("mindspore") is None:
        _say("devices", "none: MindSpore is not installed")
        return
    from mindleak import device

    try:
        usable = device.available_targets()
    # Whatever a broken installation raises on import: that is what a doctor is called for.
    except Exception as error:
        _say("devices", f"none: MindSpore does not start ({type(error).__name__}: {' '.join(str(error).split())})")
        return
    _say("devices", ", ".join(usable))
    for target in ("GPU", "Ascend"):
        if target not in usable:
            say(f"  no {target:<11}needs {device.missing_for(target)}")
    _print_kernels()


def _print_kernels() -> None:
    """Print whether networks on CPU compute with the native kernels, compiling them if that has not been done."""
    from mindleak.kernels import Library, attempt

    found = attempt()
    if isinstance(found, Library):
        _say("kernels", f"native, vectors of {found.lanes} floats: {found.path}")
    else:
        _say("kernels", f"MindSpore's; no native ones: {found}")


def _print_threads(versions: Mapping[str, str | None]) -> None:
    """Print cores, MindSpore's threads, and what the environment says about either."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    _say("cores", f"{os.cpu_count()}, usable {usable}")
    if "mindspore" in sys.modules:
        import mindspore as ms

        _say("threads", f"{ms.get_context('runtime_num_threads')} (device.threads changes it)")
    for variable in _VARIABLES:
        if variable in os.environ:
            say(f"  {variable}={os.environ[variable]}")
    level = os.environ.get(_LOG_LEVEL, "3")
    if level != "3":
        say(f"  {_LOG_LEVEL}={level} (3 shows MindSpore's errors only)")


def _print_data(data_dir: str | None) -> None:
    """Print the data directory and what is in it."""
    _say("data", data_dir or "no directory: give --data_dir DIR or set MINDLEAK_DATA_DIR")
    for presence in available(data_dir):
        state = "here" if presence.present else "not here"
        say(f"  {presence.name:<14} {state:<9} {presence.place if presence.present or data_dir else ''}".rstrip())


def verdicts(versions: Mapping[str, str | None]) -> Iterator[Verdict]:
    """Judge a set of installed versions (None: not installed) against what is known to go wrong."""
    yield _numpy(versions.get("numpy"))
    yield _mindspore(versions.get("mindspore"))
    yield _mindarmour(versions.get("mindarmour"))


def _numpy(version: str | None) -> Verdict:
    if version is None:
        return Verdict("bad", "numpy", "is not installed; pip install 'numpy<2'")
    if _release(version) >= (2,):
        return Verdict("bad", f"numpy {version}", "breaks MindSpore's PyNative operators and NumpySlicesDataset; "
                                                  "pip install 'numpy<2'")
    return Verdict("ok", f"numpy {version}", "is below 2")


def _mindspore(version: str | None) -> Verdict:
    install = f"pip install mindspore=={TESTED['mindspore']}"
    if version is None:
        return Verdict("bad", "mindspore", f"is not installed; {install}")
    if _release(version) >= (2, 9):
        return Verdict("slow", f"mindspore {version}", "has a CPU convolution 30 to 100 times slower than 2.8.0's; "
                                                       f"{install}")
    if _release(version) != _release(TESTED["mindspore"]):
        return Verdict("untested", f"mindspore {version}", f"is not the one that mindleak is tested with; {install}")
    return Verdict("ok", f"mindspore {version}", "has the fast CPU convolution")


def _mindarmour(version: str | None) -> Verdict:
    install = f"pip install mindarmour=={TESTED['mindarmour']}"
    if version is None:
        return Verdict("bad", "mindarmour", f"is not installed; {install}")
    if _release(version) != _release(TESTED["mindarmour"]):
        return Verdict("untested", f"mindarmour {version}", f"is not the one that mindleak is tested with; {install}")
    return Verdict("ok", f"mindarmour {version}", "asks for MindSpore 1.7 to 2.0 in a warning that mindleak does not "
                                                  "show; what mindleak uses of it is tested with 2.8.0")


def _release(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (2, 9) of '2.9rc1'."""
    numbers = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in numbers.group().split(".")) if numbers else ()
