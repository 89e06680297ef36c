"""Thresholds fixed on one sample and applied to another: ranks by hand, ties, and the promised false-positive rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mindleak.evaluation.intervals import clopper_pearson
from mindleak.evaluation.thresholds import Threshold, threshold_at_fpr, tpr_at_threshold


@pytest.mark.parametrize("n, target, rank", [
    (99, 0.01, 1), (100, 0.01, 1), (198, 0.01, 1), (199, 0.01, 2), (999, 0.001, 1), (10_000, 0.01, 100),
    (10_000, 0.001, 10), (9, 0.1, 1), (19, 0.1, 2), (29, 0.1, 3), (69, 0.1, 7),
])
def test_the_border_is_the_conformal_rank(n: int, target: float, rank: int) -> None:
    scores = np.random.default_rng(0).permutation(n).astype(float)
    assert threshold_at_fpr(scores, target) == Threshold(target, float(n - rank), n, 1)


@pytest.mark.parametrize("n, target, fewest", [(98, 0.01, 99), (0, 0.01, 99), (998, 0.001, 999), (8, 0.1, 9)])
def test_too_few_non_members_set_no_threshold_and_say_how_many_would(n: int, target: float, fewest: int) -> None:
    found = threshold_at_fpr(np.arange(n), target)
    assert found.border == math.inf and found.reason is not None and f"at least {fewest} are needed" in found.reason
    rate = tpr_at_threshold(np.arange(10), np.arange(10) > 4, found)
    assert math.isnan(rate.value) and rate.ci is None and rate.reason == found.reason


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.floats(0.01, 0.9))
def test_leaving_any_score_out_accuses_it_no_more_often_than_promised(scores: list[int], target: float) -> None:
    # The promise itself: each of n + 1 exchangeable scores in turn is the new one, whatever the ties.
    accused = sum(score > threshold_at_fpr(scores[:place] + scores[place + 1:], target).border
                  for place, score in enumerate(scores))
    assert accused <= target * len(scores) + 1e-6


def test_the_realised_rate_is_close_to_the_target() -> None:
    generator = np.random.default_rng(1)
    realised = [float(stats.norm.sf(threshold_at_fpr(generator.normal(size=999), 0.01).border)) for _ in range(400)]
    # A mean of 400 beta(10, 990): .01 ± .00016.
    assert np.mean(realised) == pytest.approx(0.01, abs=0.0008)


def test_counts_intervals_and_ties_by_hand() -> None:
    threshold = threshold_at_fpr([0, 1, 2, 3, 4, 5, 6, 7, 8], 0.2)
    assert (threshold.border, threshold.ties) == (7.0, 1)
    scores, members = [9, 8, 7, 6, 9, 7, 1, 0], [1, 1, 1, 1, 0, 0, 0, 0]
    rate = tpr_at_threshold(scores, members, threshold)
    assert (rate.value, rate.n, rate.ci) == (0.5, 4, clopper_pearson(2, 4))
    assert (rate.fpr, rate.fpr_ci, rate.ties) == (0.25, clopper_pearson(1, 4), 2)
    assert rate.threshold == np.nextafter(7.0, np.inf)
    assert rate.reason == ("4 non-members cannot show whether a rate of 0.2 was kept; 2 samples tie with the "
                           "threshold's border and are called non-members")


def test_saturated_scores_find_nobody_rather_than_everybody() -> None:
    rate = tpr_at_threshold(np.ones(400), np.arange(400) < 200, threshold_at_fpr(np.ones(200), 0.01))
    assert (rate.value, rate.fpr, rate.ties) == (0.0, 0.0, 400)


def test_gaussian_scores_reach_the_closed_form() -> None:
    generator = np.random.default_rng(2)
    threshold = threshold_at_fpr(generator.normal(size=200_000), 0.01)
    members = np.arange(200_000) < 100_000
    rate = tpr_at_threshold(generator.normal(size=200_000) + 2 * members, members, threshold)
    assert rate.value == pytest.approx(0.37208, abs=0.012)
    assert rate.fpr == pytest.approx(0.01, abs=0.0015)


def test_an_empty_side_is_undefined() -> None:
    threshold = threshold_at_fpr(np.arange(200), 0.01)
    assert tpr_at_threshold([1.0], [True], threshold).reason == "no non-members"
    assert tpr_at_threshold([1.0], [False], threshold).reason == "no members"


@pytest.mark.parametrize("target", [0.0, 1.0, -1.0, math.nan])
def test_a_target_outside_zero_and_one_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match="target_fpr"):
        threshold_at_fpr([1.0], target)
    with pytest.raises(ValueError, match="NaN"):
        threshold_at_fpr([math.nan], 0.5)


def test_a_score_that_counts_three_times_is_one_that_is_there_three_times() -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=200)
    counts = generator.integers(1, 4, 200)
    for rate in (0.3, 0.05, 0.01, 0.001):
        weighted = threshold_at_fpr(scores, rate, counts)
        assert weighted.border == threshold_at_fpr(np.repeat(scores, counts), rate).border
