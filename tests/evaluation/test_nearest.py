"""Ranks of the originals among candidates: known answers, and the definition taken literally."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindleak.evaluation import nearest
from mindleak.evaluation.nearest import nearest_figures, original_ranks


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 2, 3, 5)).astype(np.float32)


def test_an_image_is_nearest_to_itself() -> None:
    candidates = images(50, 0)
    own = np.array([7, 0, 49])
    result = original_ranks(candidates[own], candidates, own)
    assert result.ranks.tolist() == [1, 1, 1] and result.nearest.tolist() == own.tolist() and result.candidates == 50


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(2, 40))
def test_ranks_are_those_of_the_definition(seed: int, count: int, among: int) -> None:
    generator = np.random.default_rng(seed)
    candidates, offered = images(among, seed), images(count, seed + 1)
    own = generator.integers(0, among, count)
    result = original_ranks(offered, candidates, own)
    for index in range(count):
        distances = np.sqrt(((candidates.astype(np.float64) - offered[index]) ** 2).sum(axis=(1, 2, 3)))
        assert result.ranks[index] == 1 + np.sum(distances < distances[own[index]] - 1e-9)
        assert distances[result.nearest[index]] == pytest.approx(distances.min())


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates, offered, own = images(30, 0), images(20, 1), np.arange(20)
    whole = original_ranks(offered, candidates, own)
    monkeypatch.setattr(nearest, "_BLOCK_ELEMENTS", 90)
    parts = original_ranks(offered, candidates, own)
    np.testing.assert_array_equal(whole.ranks, parts.ranks)
    np.testing.assert_array_equal(whole.nearest, parts.nearest)


def test_equal_candidates_share_the_better_rank() -> None:
    candidates = np.concatenate([images(3, 0)] * 2)
    assert original_ranks(candidates[:3], candidates, np.array([3, 4, 5])).ranks.tolist() == [1, 1, 1]


def test_guessing_is_found_to_be_guessing() -> None:
    candidates, own = images(400, 0), np.arange(300)
    labels = np.arange(400) % 4
    figures = nearest_figures(original_ranks(images(300, 9), candidates, own), labels[:300], labels)
    assert figures["chance"] == {"top1": 1 / 400, "rank_share": 0.5, "class_match": 0.25}
    low, high = figures["rank_share"]["ci"]
    assert low - 0.05 < 0.5 < high + 0.05 and 100 < figures["median_rank"] < 300
    assert figures["top1"]["value"] < 0.05 and 0.1 < figures["class_match"]["value"] < 0.4


def test_a_perfect_attack_is_found_to_be_perfect() -> None:
    candidates, labels = images(40, 0), np.arange(40) % 4
    figures = nearest_figures(original_ranks(candidates[:10], candidates, np.arange(10)), labels[:10], labels)
    assert figures["top1"]["value"] == figures["class_match"]["value"] == figures["median_rank"] == 1
    assert figures["rank_share"]["value"] == 0


def test_shapes_that_do_not_fit_are_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="originals"):
        original_ranks(images(2, 0), images(3, 0), np.array([0]))
