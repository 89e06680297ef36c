"""A finished stage on disk: ``result.json`` with its checksum, arrays beside it, and what it refers to.

``result.json`` (``"schema": 1``) holds stage, key, inputs, seed, device_target, versions, seconds, result,
``files`` (name → SHA-256 of every file beside it), ``external`` (name → path from the run directory and
SHA-256 of files kept elsewhere, checkpoints above all) and ``checksum`` over all of that.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mindleak.errors import InputError
from mindleak.files import read_bytes
from mindleak.runs.atomic import atomic_json, json_text
from mindleak.runs.digest import file_digest, stable_hash

SCHEMA = 1
RESULT_NAME = "result.json"
# Exceptions that JSON, zipfile and the code that uses their results raise for a damaged record or archive.
_DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, InputError, zipfile.BadZipFile)


class DamagedStageError(Exception):
    """A stage folder is not whole; the message says why. Its stage is computed again."""


class StageArrays(Mapping[str, np.ndarray]):
    """Arrays of a stage by name, each read from its ``.npz`` when asked for, never through pickle."""

    def __init__(self, files: list[Path]) -> None:
        self._file_of = {name: file for file in files for name in npz_names(file)}

    def __getitem__(self, name: str) -> np.ndarray:
        with np.load(self._file_of[name], allow_pickle=False) as archive:
            array: np.ndarray = archive[name]
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __len__(self) -> int:
        return len(self._file_of)


class StageResult:
    """What a stage found, read back from its folder, so that cached and fresh results cannot differ.

    ``metrics`` is the dict that the stage computed, ``arrays`` its arrays by name, ``external`` the absolute
    paths of the files it refers to, ``key`` its key, ``path`` its folder, ``seconds`` the wall time of the
    computation, ``cached`` whether it was found finished. ``digest`` covers key, metrics, files and external
    files but no timing: hand it to a later stage as an input.
    """

    def __init__(self, path: Path, run_dir: Path, record: dict[str, Any], *, cached: bool) -> None:
        self.path = path
        self.cached = cached
        self.key: str = record["key"]
        self.metrics: dict[str, Any] = record["result"]
        self.seconds: float = record["seconds"]
        self.external: dict[str, Path] = {
            name: Path(os.path.normpath(run_dir / entry["path"]))
            for name, entry in record["external"].items()
        }
        self.digest: str = stable_hash([record["key"], _untimed(record["result"]), record["files"], record["external"]])
        self.arrays: Mapping[str, np.ndarray] = StageArrays(
            [path / name for name in record["files"] if name.endswith(".npz")]
        )


def referred_files(run_dir: Path, stage: str) -> set[Path]:
    """Return the files outside the run that its finished stages of a name refer to, whatever their keys.

    A stage that cannot be read refers to nothing.
    """
    found: set[Path] = set()
    for folder in (run_dir / "stages").glob(f"{stage}-*"):
        with contextlib.suppress(*_DAMAGE):
            record = json.loads(read_bytes(folder / RESULT_NAME))
            if record["stage"] == stage:
                found |= {(run_dir / entry["path"]).resolve() for entry in record["external"].values()}
    return found


def npz_names(path: Path) -> list[str]:
    """Return the names of the arrays in an ``.npz`` without reading them."""
    with zipfile.ZipFile(path) as archive:
        return [name[: -len(".npy")] for name in archive.namelist()]


def folder_files(folder: Path) -> dict[str, str]:
    """Return name (from ``folder``, with ``/``) → SHA-256 for every file below it but ``result.json``."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: file_digest(path) for name, path in named.items() if name != RESULT_NAME}


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write ``record`` with its checksum as ``folder/result.json``. Raises as :func:`atomic.atomic_json`."""
    as_read_back = json.loads(json_text(record))
    atomic_json(folder / RESULT_NAME, {**as_read_back, "checksum": stable_hash(as_read_back)})


def load_result(folder: Path, key: str, run_dir: Path, *, cached: bool) -> StageResult:
    """Read a stage folder and verify all of it. Raises :class:`DamagedStageError` when it is not whole."""
    record = _read_record(folder, key)
    try:
        if folder_files(folder) != record["files"]:
            raise DamagedStageError(f"the files beside {RESULT_NAME} are not the ones it lists")
        for name, entry in record["external"].items():
            _verify_external(name, run_dir / entry["path"], entry["sha256"])
        return StageResult(folder, run_dir, record, cached=cached)
    except _DAMAGE as error:
        raise DamagedStageError(f"{RESULT_NAME} or a file beside it cannot be read: {error}") from error


def _read_record(folder: Path, key: str) -> dict[str, Any]:
    try:
        record = json.loads(read_bytes(folder / RESULT_NAME))
    except FileNotFoundError as error:
        raise DamagedStageError(f"{RESULT_NAME} is missing") from error
    except _DAMAGE as error:
        raise DamagedStageError(f"{RESULT_NAME} cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise DamagedStageError(f"{RESULT_NAME} holds no record")
    if record.get("schema") != SCHEMA:
        raise DamagedStageError(f"{RESULT_NAME} is of schema {record.get('schema')}, which another version of mindleak "
                                f"writes; expected {SCHEMA}")
    if record.pop("checksum", None) != _checksum(record):
        raise DamagedStageError(f"{RESULT_NAME} does not match its checksum")
    if record.get("key") != key:
        raise DamagedStageError(f"{RESULT_NAME} belongs to another key")
    return record


def _untimed(value: Any) -> Any:
    """Return plain values without what stands under ``seconds``, such as an epoch's in a history."""
    if isinstance(value, dict):
        return {key: _untimed(item) for key, item in value.items() if key != "seconds"}
    return [_untimed(item) for item in value] if isinstance(value, list) else value


def _checksum(record: dict[str, Any]) -> str:
    try:
        return stable_hash(record)
    except RecursionError as error:
        raise DamagedStageError(f"{RESULT_NAME} is nested more deeply than any that is written here") from error


def _verify_external(name: str, path: Path, digest: str) -> None:
    if not path.is_file():
        raise DamagedStageError(f"{name} is missing ({os.path.normpath(path)})")
    if file_digest(path) != digest:
        raise DamagedStageError(f"{name} was altered ({os.path.normpath(path)})")
