"""Which samples a request names, and which requests are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindleak.audits.deletion.requests import (
    Present,
    Request,
    check_together,
    parse_request,
    requested_rows,
    rows_digest,
)
from mindleak.errors import InputError

LABELS = np.repeat(np.arange(4), 25).astype(np.int32)
ALL = Present(np.arange(100), LABELS, tuple("abcd"))


@pytest.mark.parametrize(("text", "expected"), [
    ("0.05", Request("fraction", 0.05)), (0.1, Request("fraction", 0.1)), ("class:3", Request("class", 3)),
    ("group:20", Request("group", 20)), ("exposed:7", Request("exposed", 7)),
    ("some/forget.npy", Request("rows", "some/forget.npy")), ("a:b.npy", Request("rows", "a:b.npy")),
])
def test_a_request_is_read_and_written_as_it_was(text: object, expected: Request) -> None:
    assert parse_request(text) == expected
    assert str(parse_request(text)) == str(text)


@pytest.mark.parametrize(("text", "complaint"), [
    ("0", "0 is no fraction"), ("1", "1 is no fraction of the data to delete"), ("-0.1", "between 0 and 1"),
    ("nan", "between 0 and 1"), ("1e3", "1000 is no fraction"),
    ("five", "is unknown; expected a fraction such as 0.05"),
    ("clas:3", "'clas' is unknown; did you mean 'class'"), ("class:x", "'x' is no number; expected class:N"),
    ("class:-1", "'-1' is no number"), ("group:1", "expected group:N with N from 2 on"),
    ("exposed:0", "expected exposed:N with N from 1 on"), ("", "is unknown"),
])
def test_what_is_no_request_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        parse_request(text)


@given(st.floats(0.01, 0.5), st.integers(0, 2**31))
def test_a_fraction_names_as_many_samples_as_the_tutorial(fraction: float, seed: int) -> None:
    found = requested_rows(Request("fraction", fraction), ALL, seed)
    assert len(found) in {int(fraction * 100), round(fraction * 100)} and len(np.unique(found)) == len(found)
    np.testing.assert_array_equal(found, requested_rows(Request("fraction", fraction), ALL, seed))


def test_fractions_are_exact_where_binary_numbers_are_not() -> None:
    # .29 · 100 is 28.999999999999996 in binary.
    assert len(requested_rows(Request("fraction", 0.29), ALL, 0)) == 29


def test_a_class_is_the_whole_class_that_is_left() -> None:
    present = Present(np.arange(10, 100), LABELS, tuple("abcd"))
    np.testing.assert_array_equal(requested_rows(Request("class", 0), present, 0), np.arange(10, 25))


@given(st.integers(0, 1000))
def test_a_group_is_one_of_equal_blocks_of_neighbours(seed: int) -> None:
    found = requested_rows(Request("group", 8), ALL, seed)
    assert len(found) == 12 and found[0] % 12 == 0 and (np.diff(found) == 1).all()


def test_the_most_exposed_are_those_with_the_highest_scores() -> None:
    scores = np.random.default_rng(0).permutation(100).astype(float)
    found = requested_rows(Request("exposed", 3), ALL, 0, lambda rows: scores[rows])
    assert set(scores[found]) == {99.0, 98.0, 97.0}


def write(path: Path, rows: object) -> str:
    np.save(path, np.asarray(rows))
    return str(path)


def test_rows_come_from_a_file_sorted(tmp_path: Path) -> None:
    found = requested_rows(parse_request(write(tmp_path / "f.npy", [7, 3])), ALL, 0)
    assert found.tolist() == [3, 7] and rows_digest(np.array([7, 3])) == rows_digest(found)


@pytest.mark.parametrize(("rows", "complaint"), [
    ([3, 100], "row 100 is outside the training split"), ([-1, 5], "row -1 is outside"),
    ([5, 5], "row 5 is listed more than once"), ([0.5, 2], "expected row numbers, whole"),
    (list(range(25)), "names all samples of class 0; to delete a whole class ask for 'class:0'"),
    (list(range(100)), "class"),
])
def test_files_of_other_rows_are_refused(tmp_path: Path, rows: list[float], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        requested_rows(parse_request(write(tmp_path / "f.npy", rows)), ALL, 0)


def test_what_was_deleted_before_is_not_deleted_again(tmp_path: Path) -> None:
    present = Present(np.arange(50, 100), LABELS, tuple("abcd"))
    with pytest.raises(InputError, match="row 3 is not among the 50 samples that the model is trained on"):
        requested_rows(parse_request(write(tmp_path / "f.npy", [3, 60])), present, 0)
    with pytest.raises(InputError, match="names no sample"):
        requested_rows(Request("class", 0), present, 0)
    with pytest.raises(InputError, match="leaves 1 class"):
        requested_rows(Request("class", 2), present, 0)
    with pytest.raises(InputError, match="the data have 4 classes; expected 0 to 3"):
        requested_rows(Request("class", 4), present, 0)
    with pytest.raises(InputError, match="names no sample"):
        requested_rows(Request("fraction", 0.01), present, 0)
    with pytest.raises(InputError, match="make no 51 groups"):
        requested_rows(Request("group", 51), present, 0)


def test_what_is_known_to_be_deleted_twice_is_refused_before_anything_is(tmp_path: Path) -> None:
    labels = np.repeat([0, 1, 2], 5)
    np.save(tmp_path / "rows.npy", np.array([1, 6]))
    rows = parse_request(str(tmp_path / "rows.npy"))
    check_together([parse_request(each) for each in ("class:2", "0.1", "0.2", "exposed:3")] + [rows], labels)
    for twice in ("class:1", "0.1", "exposed:3", str(rows)):
        with pytest.raises(InputError, match="is asked for twice; expected different ones, or a call for each"):
            check_together([parse_request(twice)] * 2, labels)
    for pair in (["class:0", str(rows)], [str(rows), "class:1"]):
        with pytest.raises(InputError, match=r"both delete row \d+; expected every sample once"):
            check_together([parse_request(each) for each in pair], labels)
