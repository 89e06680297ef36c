"""``mindleak doctor``: versions, devices, threads, data, and a verdict on every combination known to be bad."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from mindleak.data.verify import available
from mindleak.runs.stages import installed_versions


@dataclass(frozen=True)
class Verdict:
    """One check: ``ok``, ``slow`` (works, but not as fast as it could) or ``bad``, and why."""

    level: str
    subject: str
    text: str


def run_doctor(data_dir: str | None) -> None:
    """Print everything that a question about an installation would ask for first."""
    versions = installed_versions()
    print(f"python        {platform.python_version()} ({sys.executable})")
    for package, version in versions.items():
        print(f"{package:<13} {version or 'not installed'}")
    print(f"platform      {platform.platform()}")
    _print_devices(versions)
    print(f"data          {data_dir or os.environ.get('MINDLEAK_DATA_DIR') or 'no directory given'}")
    for presence in available(data_dir):
        print(f"  {presence.name:<14} {'here' if presence.present else 'not here':<9} {presence.place}")
    print("verdicts")
    for verdict in verdicts(versions):
        print(f"  {verdict.level:<5} {verdict.subject}: {verdict.text}")


def _print_devices(versions: dict[str, str | None]) -> None:
    """Print the usable targets, and what the others lack."""
    if versions.get("mindspore") is None:
        print("devices       none: MindSpore is not installed")
        return
    from mindleak import device

    usable = device.available_targets()
    print(f"devices       {', '.join(usable)}")
    for target in ("GPU", "Ascend"):
        if target not in usable:
            print(f"  no {target:<7} needs {device.missing_for(target)}")
    print(f"cpu cores     {os.cpu_count()}, usable {len(os.sched_getaffinity(0))}")
    for variable in ("OMP_NUM_THREADS", "GLOG_v", "DEVICE_ID", "RANK_TABLE_FILE"):
        if variable in os.environ:
            print(f"  {variable}={os.environ[variable]}")


def verdicts(versions: dict[str, str | None]) -> Iterator[Verdict]:
    """Judge a set of installed versions (None: not installed) against what is known to go wrong."""
    numpy, mindspore, mindarmour = (versions.get(name) for name in ("numpy", "mindspore", "mindarmour"))
    if numpy is not None:
        yield (Verdict("bad", "numpy", f"{numpy} breaks PyNative operators and NumpySlicesDataset; "
                                       "pip install 'numpy<2'")
               if _release(numpy) >= (2,) else Verdict("ok", "numpy", f"{numpy} is below 2"))
    if mindspore is None:
        yield Verdict("bad", "mindspore", "not installed; pip install mindspore==2.8.0")
    elif _release(mindspore) >= (2, 9):
        yield Verdict("slow", "mindspore", f"{mindspore} has a CPU convolution 30 to 100 times slower than 2.8.0; "
                                           "pip install mindspore==2.8.0")
    else:
        yield Verdict("ok", "mindspore", f"{mindspore} has the fast CPU convolution")
    if mindarmour is None:
        yield Verdict("bad", "mindarmour", "not installed; pip install mindarmour==2.0.0")
    else:
        yield Verdict("ok", "mindarmour", f"{mindarmour} warns that it wants MindSpore 1.7 to 2.0; what mindleak uses "
                                          "of it works with 2.8.0 and is tested, and the warning is not shown")


def _release(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
