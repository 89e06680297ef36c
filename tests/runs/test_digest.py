"""Digests: equal for equal content, different for anything else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from easydict import EasyDict
from hypothesis import given
from hypothesis import strategies as st

from mindleak.runs.digest import file_digest, stable_hash

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
