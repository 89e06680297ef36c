"""Fixtures of the tests of commands and recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from shrunk import enter, write_data


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory, real_data: Path | None) -> Path:
    """A folder with a few rows of every data set."""
    return write_data(tmp_path_factory.mktemp("data"), real_data)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder, with the recipes."""
    return enter(tmp_path / "reader", monkeypatch)
