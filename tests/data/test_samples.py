"""A few rows stand for all of them whatever the order of the data: drawn class by class, by seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from command import SMALL, call
from mindleak import settings as config
from mindleak.audits.inversion.plan import inverted_rows, matched_non_members
from mindleak.data.samples import stratified
from mindleak.jobs.session import open_session
from mindleak.reporting.pictures import MAX_PAIRS
from mindleak.subjects.subject import subject_plans


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.data(), st.integers(0, 2**32))
def test_a_class_has_its_share_to_within_one_row(counts: list[int], data: st.DataObject, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = np.random.default_rng(seed).permutation(len(labels))
    wanted = data.draw(st.integers(1, len(rows)))
    drawn = stratified(labels, rows, wanted, seed)
    assert len(set(drawn)) == wanted == len(drawn) and drawn.dtype == np.int64
    share = np.array(counts) * wanted / len(rows)
    assert np.all(np.abs(np.bincount(labels[drawn], minlength=len(counts)) - share) < 1)
    np.testing.assert_array_equal(drawn, stratified(labels, np.sort(rows), wanted, seed))


def test_every_row_is_as_likely_as_any_other_at_every_place() -> None:
    labels = np.repeat([0, 1, 2], [30, 10, 20])
    drawn = np.array([stratified(labels, np.arange(60), 12, seed) for seed in range(3000)])
    assert np.abs(np.bincount(drawn.ravel(), minlength=60) / 3000 - 12 / 60).max() < 0.04
    assert np.abs(np.bincount(labels[drawn[:, 0]]) / 3000 - [1 / 2, 1 / 6, 1 / 3]).max() < 0.04


def test_a_sample_as_large_as_the_data_is_the_data() -> None:
    assert sorted(stratified(np.arange(50) % 7, np.arange(50), 50, 3)) == list(range(50))


def sorted_by_class(folder: Path) -> str:
    bunch = load_digits()
    order = np.argsort(bunch.target[:1297], kind="stable")
    tested = np.argsort(bunch.target[1297:], kind="stable") + 1297
    np.savez(folder / "sorted.npz", x_train=bunch.images[order] / 16, y_train=bunch.target[order],
             x_test=bunch.images[tested] / 16, y_test=bunch.target[tested])
    return str(folder / "sorted.npz")


def test_inversion_of_data_sorted_by_class_sees_all_classes_and_so_do_its_pictures(tmp_path: Path) -> None:
    files = sorted_by_class(tmp_path)
    given = ["data.name=custom", f"data.dir={files}", "data.image_size=12", "model.name=lenet5_bias"]
    for images in (10, 30, 100):
        session = open_session(config.load(None, [*given, f"inversion.images={images}"]), str(tmp_path / "run"),
                               str(tmp_path / "ckpt"), "test")
        (plan,) = subject_plans(session)
        rows, labels = inverted_rows(plan), plan.dataset.y_train
        assert np.bincount(labels[rows], minlength=10).min() >= images // 10 - 1
        assert len(set(labels[rows])) >= 8 and len(set(labels[rows[:MAX_PAIRS]])) >= min(8, images)
        others = matched_non_members(plan, rows)
        assert others is not None
        np.testing.assert_array_equal(plan.dataset.y_test[others.rows], labels[rows[others.partners]])
        # Not the first of their class either: a class may be sorted by writer.
        assert others.rows.tolist() != matched_first(plan.dataset.y_test, labels[rows[others.partners]])


def matched_first(candidates: np.ndarray, wanted: np.ndarray) -> list[int]:
    taken: list[int] = []
    for label in wanted:
        taken.append(next(int(row) for row in np.flatnonzero(candidates == label) if row not in taken))
    return taken


def test_predictions_of_data_sorted_by_class_are_of_all_classes(capfd: pytest.CaptureFixture[str],
                                                                  tmp_path: Path) -> None:
    files = ("--dataset", "custom", "--data_dir", sorted_by_class(tmp_path), *SMALL, "--run_dir", str(tmp_path / "run"),
             "--ckpt_dir", str(tmp_path / "ckpt"))
    assert call(capfd, "train", *files).code == 0
    out = call(capfd, "predict", *files, "-n", "20").out
    actual = [line.split("actual ")[1].split()[0] for line in out.splitlines() if "actual" in line]
    assert len(actual) == 20 and set(actual) == set("0123456789")
