"""ROC curve, area and rates: hand-computed cases, invariances, and agreement with scikit-learn."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn_metrics

from mindleak.evaluation.intervals import clopper_pearson
from mindleak.evaluation.roc import (
    auc,
    balanced_accuracy_at,
    hanley_mcneil_variance,
    newcombe_interval,
    roc_curve,
    tpr_at_fpr,
)


@st.composite
def scored(draw: st.DrawFn, min_side: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties (multiples of 1/8) and at least ``min_side`` samples on either side."""
    n = draw(st.integers(2 * min_side, 40))
    n_in = draw(st.integers(min_side, n - min_side))
    scores = draw(arrays(np.int64, n, elements=st.integers(-12, 12))) / 8
    members = np.array(draw(st.permutations([True] * n_in + [False] * (n - n_in))))
    return scores, members


def pairwise_auc(scores: np.ndarray, members: np.ndarray) -> float:
    pairs = list(itertools.product(scores[members], scores[~members]))
    return sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)


def test_hand_computed_curve_with_a_tie_across_the_groups() -> None:
    curve = roc_curve([3, 2, 2, 1, 0], [1, 1, 0, 1, 0])
    assert curve.fpr.tolist() == [0, 0, 0.5, 0.5, 1]
    assert curve.tpr.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert curve.thresholds.tolist() == [math.inf, 3, 2, 1, 0]


@given(scored())
def test_curve_agrees_with_sklearn(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, members = case
    fpr, tpr, thresholds = sklearn_metrics.roc_curve(members, scores, drop_intermediate=False)
    curve = roc_curve(scores, members)
    np.testing.assert_allclose(curve.fpr, fpr)
    np.testing.assert_allclose(curve.tpr, tpr)
    np.testing.assert_array_equal(curve.thresholds, thresholds)


@given(scored())
def test_curve_rises_from_origin_to_corner_and_its_area_is_the_auc(case: tuple) -> None:
    curve = roc_curve(*case)
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(curve.fpr) >= 0)
    assert np.all(np.diff(curve.tpr) >= 0)
    assert np.all(np.diff(curve.thresholds) < 0)
    area = np.sum(np.diff(curve.fpr) * (curve.tpr[1:] + curve.tpr[:-1]) / 2)
    assert area == pytest.approx(auc(*case).value)


@given(scored())
def test_auc_is_the_share_of_ordered_pairs_with_ties_half(case: tuple[np.ndarray, np.ndarray]) -> None:
    metric = auc(*case)
    assert metric.value == pytest.approx(pairwise_auc(*case))
    assert metric.n == case[0].size
    assert metric.ci is not None
    assert 0 <= metric.ci[0] <= metric.value <= metric.ci[1] <= 1


@given(scored())
def test_auc_does_not_change_under_increasing_maps(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, members = case
    assert auc(np.exp(scores) - 7, members) == auc(scores, members)
    assert auc((8 * scores).astype(np.float32), members) == auc(scores, members)


@given(scored())
def test_reversed_scores_mirror_auc_and_interval(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, members = case
    forward, backward = auc(scores, members), auc(-scores, members)
    assert forward.ci is not None
    assert backward.ci is not None
    assert backward.value == pytest.approx(1 - forward.value)
    assert backward.ci == pytest.approx((1 - forward.ci[1], 1 - forward.ci[0]), abs=1e-9)


@given(scored(), st.randoms(use_true_random=False))
def test_order_of_the_samples_does_not_matter(case: tuple[np.ndarray, np.ndarray], random: object) -> None:
    scores, members = case
    order = list(range(scores.size))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert auc(scores[order], members[order]) == auc(scores, members)
    assert tpr_at_fpr(scores[order], members[order], 0.2) == tpr_at_fpr(scores, members, 0.2)


def delong_variance_by_pairs(scores: np.ndarray, members: np.ndarray) -> float:
    """DeLong's formula written out over the matrix of pairs."""
    wins = np.sign(scores[members][:, None] - scores[~members][None, :]) / 2 + 0.5
    by_member, by_non_member = wins.mean(axis=1), wins.mean(axis=0)
    return by_member.var(ddof=1) / by_member.size + by_non_member.var(ddof=1) / by_non_member.size


@given(scored(min_side=2))
def test_delong_interval_is_the_pairwise_formula_on_the_logit_scale(case: tuple) -> None:
    metric = auc(*case)
    variance = delong_variance_by_pairs(*case)
    assert metric.ci is not None
    if metric.ci_method == "delong-logit":
        half = 1.959963984540054 * math.sqrt(variance) / (metric.value * (1 - metric.value))
        centre = math.log(metric.value / (1 - metric.value))
        expected = [1 / (1 + math.exp(-min(max(centre + step, -700), 700))) for step in (-half, half)]
        assert list(metric.ci) == pytest.approx(expected, abs=1e-9)
    elif metric.ci_method == "newcombe-score":
        assert variance == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "value"), [([0, 1, 2, 3], 1.0), ([3, 2, 1, 0], 0.0), ([5, 5, 5, 5], 0.5), ([-0.0, 0.0, 0.0, 0.0], 0.5)]
)
def test_degenerate_scores_get_a_wide_interval_instead_of_a_point(scores: list, value: float) -> None:
    metric = auc(scores, [0, 0, 1, 1])
    assert metric.value == value
    assert metric.ci_method == "newcombe-score"
    assert metric.ci is not None
    assert metric.ci[1] - metric.ci[0] > 0.5


def test_newcombe_interval_solves_its_own_equation_and_mirrors() -> None:
    lower, upper = newcombe_interval(0.8, 30, 50)
    for end in (lower, upper):
        variance = hanley_mcneil_variance(end, 40, 40) * 1600 / 1500
        assert abs(0.8 - end) == pytest.approx(1.959963984540054 * math.sqrt(variance), rel=1e-6)
    assert newcombe_interval(0.2, 30, 50) == pytest.approx((1 - upper, 1 - lower))
    assert newcombe_interval(1.0, 100, 100) == (pytest.approx(0.9809, abs=1e-3), 1.0)


def test_one_sample_on_a_side_does_not_crash() -> None:
    assert auc([2, 1, 3], [1, 0, 0]).value == 0.5
    assert auc([1, 2], [0, 1]).value == 1.0


def test_infinite_scores_are_ordinary_extremes() -> None:
    scores, members = [math.inf, math.inf, 0.0, -math.inf], [1, 0, 1, 0]
    assert auc(scores, members).value == pytest.approx(pairwise_auc(np.array([3, 3, 2, 1]), np.array(members, bool)))
    assert tpr_at_fpr(scores, members, 0.5).value == 1.0


def test_float32_and_float64_scores_give_the_same_result() -> None:
    scores = np.random.default_rng(0).normal(size=300).astype(np.float32)
    members = np.arange(300) % 2 == 0
    assert auc(scores, members) == auc(scores.astype(np.float64), members)
    assert tpr_at_fpr(scores, members, 0.1) == tpr_at_fpr(scores.astype(np.float64), members, 0.1)


@pytest.mark.parametrize("function", [auc, roc_curve, lambda s, m: tpr_at_fpr(s, m, 0.1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_scores_are_refused(function: object, dtype: type) -> None:
    with pytest.raises(ValueError, match="1 of 3 scores are NaN"):
        function(np.array([0, np.nan, 1], dtype=dtype), [1, 0, 1])  # type: ignore[operator]


@pytest.mark.parametrize(("members", "reason"), [([1, 1], "no non-members"), ([0, 0], "no members")])
def test_one_group_only_is_undefined(members: list, reason: str) -> None:
    for metric in (auc([1, 2], members), tpr_at_fpr([1, 2], members, 0.1)):
        assert math.isnan(metric.value)
        assert metric.reason == reason
    with pytest.raises(ValueError, match=reason):
        roc_curve([1, 2], members)


@pytest.mark.parametrize("members", [[1, 0], [0, 1, 2], [0.5, 1, 0], [[1], [0], [1]]])
def test_members_of_another_shape_or_kind_are_refused(members: list) -> None:
    with pytest.raises(ValueError):
        auc([1.0, 2.0, 3.0], members)


def test_hand_computed_rate_at_a_false_positive_rate() -> None:
    # From the top: member 9, member 8, non-member 7, member 6, member and non-member 5, …
    scores = [9, 8, 7, 6, 5, 5, 4, 3, 2]
    members = [1, 1, 0, 1, 1, 0, 0, 0, 1]
    at_quarter = tpr_at_fpr(scores, members, 0.25)
    assert (at_quarter.value, at_quarter.fpr, at_quarter.threshold, at_quarter.ties) == (3 / 5, 1 / 4, 6.0, 1)
    assert at_quarter.ci == clopper_pearson(3, 5)
    assert at_quarter.fpr_ci == clopper_pearson(1, 4)
    assert (at_quarter.n, at_quarter.reason) == (5, None)
    at_half = tpr_at_fpr(scores, members, 0.5)
    assert (at_half.value, at_half.fpr, at_half.threshold, at_half.ties) == (4 / 5, 1 / 2, 5.0, 2)


def test_tie_that_would_cross_the_target_is_left_out_whole() -> None:
    metric = tpr_at_fpr([2, 1, 1, 1, 0], [1, 1, 0, 0, 0], 0.4)
    assert (metric.value, metric.fpr, metric.threshold) == (0.5, 0.0, 2.0)


def test_unresolvable_rate_is_said_and_still_measured_at_zero() -> None:
    metric = tpr_at_fpr(np.arange(100), np.arange(100) >= 50, 0.01)
    assert (metric.value, metric.fpr) == (1.0, 0.0)
    assert metric.reason == "50 non-members cannot resolve a false-positive rate of 0.01"


def test_nobody_callable_has_an_infinite_threshold_and_valid_json() -> None:
    metric = tpr_at_fpr([1, 1, 1, 1], [1, 1, 0, 0], 0.1)
    assert (metric.value, metric.fpr, metric.threshold, metric.ties) == (0.0, 0.0, math.inf, 0)
    record = metric.to_json()
    assert record["threshold"] is None
    assert "nobody is called a member" in record["reason"]


@pytest.mark.parametrize(("n_out", "k"), [(1000, 1), (5000, 5), (7000, 7), (10000, 10)])
def test_target_that_is_exactly_a_count_is_reached_in_spite_of_rounding(n_out: int, k: int) -> None:
    scores, members = np.arange(n_out + 1), np.arange(n_out + 1) == 0
    assert tpr_at_fpr(scores, members, 0.001).fpr == k / n_out


@given(scored(), st.floats(0, 1))
def test_realised_rate_is_the_largest_up_to_the_target(case: tuple, target: float) -> None:
    scores, members = case
    metric = tpr_at_fpr(scores, members, target)
    curve = roc_curve(scores, members)
    assert metric.fpr is not None
    assert metric.ci is not None
    assert metric.fpr == curve.fpr[curve.fpr <= target].max()
    assert metric.value == curve.tpr[curve.fpr <= target].max()
    assert metric.ci[0] <= metric.value <= metric.ci[1]
    called = scores >= metric.threshold
    assert np.mean(called[members]) == metric.value
    assert np.mean(called[~members]) == metric.fpr
    assert np.count_nonzero(scores == metric.threshold) == metric.ties


@pytest.mark.parametrize("target", [-0.1, 1.1, math.nan])
def test_target_outside_zero_and_one_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match="target_fpr"):
        tpr_at_fpr([1, 0], [1, 0], target)


@given(scored(), st.integers(-12, 12))
def test_balanced_accuracy_agrees_with_sklearn(case: tuple[np.ndarray, np.ndarray], eighths: int) -> None:
    scores, members = case
    metric = balanced_accuracy_at(scores, members, eighths / 8)
    assert metric.value == pytest.approx(sklearn_metrics.balanced_accuracy_score(members, scores >= eighths / 8))
    assert metric.ci is not None
    assert 0 <= metric.ci[0] <= metric.value <= metric.ci[1] <= 1
    assert metric.ties == np.count_nonzero(scores == eighths / 8)
    assert metric.fpr == np.mean(scores[~members] >= eighths / 8)


def test_balanced_accuracy_at_an_infinite_threshold_is_one_half() -> None:
    metric = balanced_accuracy_at([1, 2], [0, 1], math.inf)
    assert metric.value == 0.5
    assert "nobody is called a member" in metric.to_json()["reason"]


def test_balanced_accuracy_refuses_a_nan_threshold_and_needs_both_groups() -> None:
    with pytest.raises(ValueError, match="NaN"):
        balanced_accuracy_at([1, 2], [0, 1], math.nan)
    assert balanced_accuracy_at([1, 2], [1, 1], 0.0).reason == "no non-members"
