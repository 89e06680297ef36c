"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from loopback import LoopbackServer

# As importing mindleak does, here before any test module imports MindSpore by itself: it reads the level once.
os.environ.setdefault("GLOG_v", "3")

# A busy machine is no fault of the code: no test of properties fails for being slow.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

MOST_WORKERS = 4
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def pytest_xdist_auto_num_workers() -> int:
    """Of several processes (``-n auto``), as many as there are cores; four are enough, and need about 8 GB."""
    return min(MOST_WORKERS, len(cores()))


def keep_to_own_cores(worker: int, workers: int) -> None:
    """Give one of several processes its share of the cores, and its children with it.

    Otherwise MindSpore, OpenMP and the linear algebra would start as many threads as the machine has cores in each of
    them, and these wait for one another.
    """
    own = cores()[worker % len(cores())::workers]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, own)
    for name in THREADS:
        os.environ.setdefault(name, str(len(own)))


if os.environ.get("PYTEST_XDIST_WORKER", ""):
    keep_to_own_cores(int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")),
                      int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that train longest, so that no process is left alone with one of them at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with the real data sets, from MINDLEAK_DATA_DIR."""
    value = os.environ.get("MINDLEAK_DATA_DIR", "")
    if value and Path(value).is_dir():
        return Path(value)
    message = f"MINDLEAK_DATA_DIR is {'not a folder: ' + value if value else 'not set'}"
    if os.environ.get("MINDLEAK_REQUIRE_DATA") == "1":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def real_data() -> Path | None:
    """Folder with the real data sets, None where there is none: for tests that can do with other data."""
    value = os.environ.get("MINDLEAK_DATA_DIR", "")
    return Path(value) if value and Path(value).is_dir() else None


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A server on loopback, for downloads."""
    loopback = LoopbackServer()
    yield loopback
    loopback.close()
