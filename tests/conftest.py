"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback import LoopbackServer

# As importing mindleak does, here before any test module imports MindSpore by itself: it reads the level once.
os.environ.setdefault("GLOG_v", "3")


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


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A server on loopback, for downloads."""
    loopback = LoopbackServer()
    yield loopback
    loopback.close()
