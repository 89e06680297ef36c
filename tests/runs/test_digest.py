"""Digests: equal for equal content, different for anything else."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from easydict import EasyDict
from hypothesis import given
from hypothesis import strategies as st

from mindleak.runs.digest import LEVELS, file_digest, rooms_below, source_digest, stable_hash

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
KEYS = st.text(max_size=4)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


def typed(value: object) -> str:
    """What a hash must tell apart, in another way: JSON text keeps 1, 1.0 and True distinct."""
    return json.dumps(value, sort_keys=True)


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.randoms())
def test_key_order_does_not_count(value: dict, random) -> None:
    pairs = list(value.items())
    random.shuffle(pairs)
    assert stable_hash(dict(pairs)) == stable_hash(value)


@given(VALUES, VALUES)
def test_hashes_agree_exactly_when_values_do(first: object, second: object) -> None:
    assert (stable_hash(first) == stable_hash(second)) == (typed(first) == typed(second))


@pytest.mark.parametrize(
    "alike",
    [
        (1.5, np.float64(1.5)),
        (3, np.int32(3)),
        (True, np.bool_(True)),
        ([1, 2], (1, 2)),
        ({"a": {"b": 1}}, EasyDict(a=EasyDict(b=1))),
        (float("nan"), float("nan")),
        (np.arange(4), np.arange(8)[:4]),
        (np.arange(4, dtype="<i4"), np.arange(4, dtype=">i4")),
        (np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3))),
    ],
)
def test_equal_content_hashes_alike(alike: tuple) -> None:
    assert stable_hash(alike[0]) == stable_hash(alike[1])


def test_no_two_of_these_hash_alike() -> None:
    ones = np.ones(2, np.float32)
    values = [
        None, False, True, 0, 1, 1.0, 0.1, -0.0, 0.0, float("nan"), float("inf"), "", "1", "nan",
        b"1", [], [[]], {}, [1], ["1"], {"1": 1}, {1: 1}, {"float": "nan"}, {"dict": []}, ones, ones * 2,
        ones.astype(np.float64), ones.reshape(1, 2), ones.view(np.int32), np.zeros(0), np.float32(0.1),
        [1, 1], 0.1 + 1e-16,
    ]  # fmt: skip
    hashes = [stable_hash(value) for value in values]
    assert len(set(hashes)) == len(values)


def test_known_hash_is_the_same_on_every_machine() -> None:
    canonical = b'{"dict":[["a",1],["b",[0.5,null]]]}'
    assert stable_hash({"b": [0.5, None], "a": 1}) == hashlib.sha256(canonical).hexdigest()


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([{}], dtype=object), lambda: 0])
def test_what_has_no_content_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        stable_hash(value)


def test_strided_view_hashes_by_content() -> None:
    grid = np.arange(12).reshape(3, 4)
    assert stable_hash(grid[:, ::2]) == stable_hash(grid[:, ::2].copy())
    assert stable_hash(grid) != stable_hash(grid.T)


def test_file_digest_is_sha256(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_training_covers_the_rooms_below_it_and_none_above() -> None:
    upwards = [set(rooms) for rooms in LEVELS]
    level_of = {room: level for level, rooms in enumerate(upwards) for room in rooms}
    assert set(rooms_below(["training"])) == set().union(*upwards[:level_of["training"]]) | {"training"}
    assert {"models", "data", "runs", "device", "errors"} < set(rooms_below(["training"]))
    assert set(rooms_below(["data"])) == set().union(*upwards[:level_of["data"]]) | {"data"}
    assert "reporting" not in rooms_below(["deletion"])
    with pytest.raises(ValueError, match="no such room: trainin"):
        rooms_below(["trainin"])


@pytest.fixture()
def house(tmp_path: Path) -> Path:
    for name in ("errors.py", "cli.py", "models/lenet.py", "training/loop.py", "training/dp/noise.py"):
        path = tmp_path / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return tmp_path / "house"


def fresh_source_digest(rooms: list[str], root: Path) -> str:
    """Computed in a process of its own, since one process reads the source only once."""
    code = (
        "import sys, pathlib; from mindleak.runs.digest import source_digest;"
        "print(source_digest(sys.argv[2:], pathlib.Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root), *rooms], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        ("training/loop.py", True),
        ("training/dp/noise.py", True),
        ("training/new.py", True),
        ("models/lenet.py", True),
        ("errors.py", True),
        ("cli.py", False),
        ("attacks/fgsm.py", False),
        ("reporting/page.py", False),
        ("training/README.md", False),
        ("training/__pycache__/loop.cpython-311.pyc", False),
    ],
)
def test_source_digest_follows_room_and_rooms_below_only(house: Path, edited: str, changes: bool) -> None:
    before = fresh_source_digest(["training"], house)
    (house / edited).parent.mkdir(exist_ok=True)
    (house / edited).write_text("# edited\n")
    assert (fresh_source_digest(["training"], house) != before) == changes


def test_source_is_read_once_per_process(house: Path) -> None:
    before = source_digest(["training"], house)
    (house / "training" / "loop.py").write_text("# edited under a running job\n")
    assert source_digest(["training"], house) == before
