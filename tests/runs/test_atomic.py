"""Files are whole or not there, whatever the disk says."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindleak.errors import InputError
from mindleak.runs.atomic import atomic_json, atomic_npz, atomic_write_bytes, atomic_write_text, plain


@pytest.fixture()
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; skipped where this process may not mount one."""
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip("may not mount a file system here")
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def fail_with(code: int):
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


def test_writes_whole_file_and_makes_missing_parents(tmp_path: Path) -> None:
    path = atomic_write_text(tmp_path / "a" / "b" / "note.txt", "μ = 1\n")
    assert path.read_text(encoding="utf-8") == "μ = 1\n"
    assert os.listdir(path.parent) == ["note.txt"]


def test_replaces_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    atomic_write_bytes(path, b"old")
    atomic_write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_new_file_follows_the_umask(tmp_path: Path) -> None:
    former = os.umask(0o027)
    try:
        path = atomic_write_bytes(tmp_path / "x", b"1")
    finally:
        os.umask(former)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_refusal_at_any_step_keeps_the_former_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "result.json"
    atomic_write_text(path, "former")
    monkeypatch.setattr(os, step, fail_with(errno.ENOSPC))
    with pytest.raises(InputError) as caught:
        atomic_write_text(path, "new")
    assert str(caught.value) == f"cannot write {path}: no space left on device"
    assert path.read_text() == "former"
    assert os.listdir(tmp_path) == ["result.json"]


def test_interrupt_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write_text(tmp_path / "x", "new")
    assert os.listdir(tmp_path) == []


def test_folder_that_cannot_be_synced_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def only_files(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    assert atomic_write_text(tmp_path / "x", "new").read_text() == "new"


@pytest.mark.parametrize("write", ["bytes", "npz", "json"])
def test_full_disk_is_one_line_and_nothing_half_written(small_disk: Path, write: str) -> None:
    path = small_disk / "out"
    noise = np.random.default_rng(0).integers(0, 255, 200_000, dtype=np.uint8)
    with pytest.raises(InputError, match=f"^cannot write {path}: no space left on device$"):
        if write == "bytes":
            atomic_write_bytes(path, noise.tobytes())
        elif write == "npz":
            atomic_npz(path, noise=noise)
        else:
            atomic_json(path, noise.tolist())
    assert os.listdir(small_disk) == []


def test_file_in_place_of_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*taken/x: (not a directory|file exists)$"):
        atomic_write_text(tmp_path / "taken" / "x", "1")


def test_folder_of_the_kernel_is_one_line() -> None:
    # Permission bits do not stop root; /proc refuses new files to everyone.
    with pytest.raises(InputError, match=r"^cannot write /proc/x: [a-z ]+$"):
        atomic_write_text("/proc/x", "1")


def test_json_takes_numpy_scalars_tuples_and_paths(tmp_path: Path) -> None:
    value = {"n": np.int64(3), "auc": np.float32(0.5), "ci": (0.25, np.float64(0.75)), "at": Path("a/b")}
    read = json.loads(atomic_json(tmp_path / "x.json", value).read_text())
    assert read == {"n": 3, "auc": 0.5, "ci": [0.25, 0.75], "at": "a/b"}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), np.float32("-inf")])
def test_json_names_the_number_that_is_not_finite(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match=r"^tpr\.ci\[1\] is -?(nan|inf): write null and a reason"):
        atomic_json(tmp_path / "x.json", {"tpr": {"value": 0.1, "ci": [0.0, number]}})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("value", [np.zeros(2), object(), {1.5: 0}, {True: 0}, np.datetime64("2020-01-01")])
def test_json_refuses_what_it_could_not_give_back(tmp_path: Path, value: object) -> None:
    with pytest.raises(TypeError):
        atomic_json(tmp_path / "x.json", value)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_json_comes_back_as_written(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.json"
    assert json.loads(atomic_json(path, value).read_text(encoding="utf-8")) == value
    assert plain(value) == value


def test_npz_comes_back_and_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    arrays = {"path": np.arange(6, dtype=np.float32).reshape(2, 3), "labels": np.array([1, 2], np.int32)}
    first, second = (atomic_npz(tmp_path / name, **arrays) for name in ("a.npz", "b.npz"))
    with np.load(first, allow_pickle=False) as archive:
        assert set(archive) == set(arrays)
        for name, array in arrays.items():
            assert archive[name].dtype == array.dtype
            np.testing.assert_array_equal(archive[name], array)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("array", [np.array([{}, 1], dtype=object), [None, 2]])
def test_npz_refuses_what_needs_pickle(tmp_path: Path, array: object) -> None:
    with pytest.raises(TypeError, match="'a' of .* holds Python objects"):
        atomic_npz(tmp_path / "x.npz", a=array)
    assert os.listdir(tmp_path) == []
