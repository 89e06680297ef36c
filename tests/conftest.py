"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from loopback import LoopbackServer

# As importing mindleak does, here before any test module imports MindSpore by itself: it reads the level once.
os.environ.setdefault("GLOG_v", "3")

# A busy machine is no fault of the code: no test of properties fails for being slow.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# At the end, since benchmarks/coverage.py has the name of a package; for the audits that are made up there.
sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

MOST_WORKERS = 4
# Seconds of every file that takes long, without its long tests and with them: what the order of files goes by.
SECONDS = Path(__file__).with_name("seconds.json")
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
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process is left alone with one of them at the end."""
    measured = json.loads(SECONDS.read_text(encoding="utf-8"))
    column = 0 if config.option.markexpr == "not slow" else 1
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))

    def seconds(item: pytest.Item) -> float:
        # A file that has not been measured yet counts by its long tests.
        return measured.get(file_of(item.nodeid), [0, 10 * slow[item.path]])[column]

    items.sort(key=lambda item: -seconds(item))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Under MINDLEAK_TEST_SECONDS=1 write down what every file took: without its long tests, and with them."""
    if os.environ.get("MINDLEAK_TEST_SECONDS") != "1":
        return
    quick: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if isinstance(report, pytest.TestReport):
            whole[file_of(report.nodeid)] += report.duration
            quick[file_of(report.nodeid)] += 0 if "slow" in report.keywords else report.duration
    lines = [f'"{file}": [{quick[file]:.0f}, {seconds:.0f}]' for file, seconds in whole.most_common() if seconds >= 5]
    SECONDS.write_text("{" + ",\n ".join(lines) + "}\n", encoding="utf-8")


def file_of(nodeid: str) -> str:
    """The file of a test, as it is named from tests/."""
    return nodeid.partition("::")[0].rpartition("tests/")[2]


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
