"""Scores N(0, 1) against N(μ, 1), where every figure has a closed form; and simulated coverage of the intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cases import slow_but
from mindleak.evaluation.intervals import clopper_pearson
from mindleak.evaluation.nominal import tpr_interval_at_fpr
from mindleak.evaluation.roc import auc, tpr_at_fpr

N = 400_000
CLOSED_FORM = {0: (0.5, 0.01, 0.001), 1: (0.76025, 0.09236, 0.01830), 2: (0.92135, 0.37208, 0.13781)}


def gaussian_scores(shift: float, n_in: int, n_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    scores = np.random.default_rng(seed).normal(size=n_in + n_out)
    members = np.arange(n_in + n_out) < n_in
    return scores + shift * members, members


@pytest.mark.parametrize("shift", CLOSED_FORM)
def test_auc_is_the_closed_form(shift: int) -> None:
    expected = CLOSED_FORM[shift][0]
    metric = auc(*gaussian_scores(shift, N, N, seed=shift))
    assert stats.norm.cdf(shift / math.sqrt(2)) == pytest.approx(expected, abs=5e-6)
    assert metric.ci is not None
    half = (metric.ci[1] - metric.ci[0]) / 2
    assert half < 0.0015
    assert abs(metric.value - expected) < 2 * half  # about four standard errors


@pytest.mark.parametrize("shift", CLOSED_FORM)
@pytest.mark.parametrize(("column", "fpr"), [(1, 0.01), (2, 0.001)])
def test_rate_at_a_low_false_positive_rate_is_the_closed_form(shift: int, column: int, fpr: float) -> None:
    expected = CLOSED_FORM[shift][column]
    threshold = stats.norm.isf(fpr)
    assert stats.norm.sf(threshold - shift) == pytest.approx(expected, abs=5e-6)
    # Two parts: the members' binomial, and the threshold's uncertainty through the slope of the curve.
    slope = stats.norm.pdf(threshold - shift) / stats.norm.pdf(threshold)
    error = math.sqrt((expected * (1 - expected) + slope**2 * fpr * (1 - fpr)) / N)
    metric = tpr_at_fpr(*gaussian_scores(shift, N, N, seed=10 + shift), fpr)
    assert error < 0.08 * expected
    assert abs(metric.value - expected) < 4 * error
    assert metric.fpr == fpr
    assert metric.threshold == pytest.approx(threshold, abs=4 * math.sqrt(fpr / N) / stats.norm.pdf(threshold))


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
@pytest.mark.parametrize(("n_in", "n_out"), [(50, 50), (200, 100)])
def test_auc_interval_covers_the_truth(shift: float, n_in: int, n_out: int) -> None:
    truth = stats.norm.cdf(shift / math.sqrt(2))
    runs = 600
    covered = 0
    for seed in range(runs):
        ci = auc(*gaussian_scores(shift, n_in, n_out, seed=1000 + seed)).ci
        assert ci is not None
        covered += ci[0] <= truth <= ci[1]
    # Nominal .95 with a standard error of .009.
    assert 0.92 <= covered / runs <= 0.98


def test_clopper_pearson_of_a_fixed_threshold_covers_its_rate() -> None:
    truth, n, runs = stats.norm.sf(2.5), 1000, 20_000
    counts = np.random.default_rng(4).binomial(n, truth, size=runs)
    ends = np.array([clopper_pearson(k, n) for k in range(counts.max() + 1)])[counts]
    assert 0.95 <= np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])) <= 0.99


@pytest.mark.parametrize(("shift", "n", "fpr"), slow_but(
    [(0, 1000, 0.01), (1, 1000, 0.01), (2, 5000, 0.001), (2, 1000, 0.001)], (1, 1000, 0.01), (2, 1000, 0.001)))
def test_nominal_interval_covers_where_the_given_threshold_interval_does_not(shift: int, n: int, fpr: float) -> None:
    truth, runs = stats.norm.cdf(stats.norm.ppf(fpr) + shift), 150
    nominal = given = 0
    for seed in range(runs):
        case = gaussian_scores(shift, n, n, seed=5000 + seed)
        lower, upper = tpr_interval_at_fpr(*case, fpr)
        at_threshold = tpr_at_fpr(*case, fpr)
        assert at_threshold.ci is not None
        assert lower <= at_threshold.value <= upper
        nominal += lower <= truth <= upper
        given += at_threshold.ci[0] <= truth <= at_threshold.ci[1]
    assert nominal / runs >= 0.93
    if shift:
        assert given / runs < 0.75


def test_nominal_interval_becomes_clopper_pearson_for_many_non_members() -> None:
    members = np.random.default_rng(0).uniform(size=60)
    non_members = (np.arange(1_000_000) + 0.5) / 1_000_000
    scores, flags = np.concatenate([members, non_members]), np.arange(1_000_060) < 60
    # No member lies so close to .7 that the threshold's last uncertainty moves it across.
    assert np.min(np.abs(members - 0.7)) > 0.003
    k = int(np.count_nonzero(members > 0.7))
    assert tpr_interval_at_fpr(scores, flags, 0.3) == pytest.approx(clopper_pearson(k, 60), abs=1e-6)


def test_nominal_interval_cuts_the_tails_of_the_mixture_written_out_rank_by_rank() -> None:
    scores = np.round(2 * np.random.default_rng(6).normal(size=110)) / 2  # many ties
    flags = np.arange(110) < 50
    scores[flags] += 1.0
    lower, upper = tpr_interval_at_fpr(scores, flags, 0.2)
    outside = [math.inf, *sorted(scores[~flags], reverse=True), -math.inf]
    below = above = 0.0
    for rank in range(61):
        fewest = sum(score > outside[rank] for score in scores[flags])
        most = sum(score >= outside[rank + 1] for score in scores[flags])
        weight = stats.binom.pmf(rank, 60, 0.2)
        below += weight * (stats.beta.cdf(lower, fewest, 51 - fewest) if fewest else 1.0)
        above += weight * (stats.beta.sf(upper, most + 1, 50 - most) if most < 50 else 1.0)
    assert (below, above) == (pytest.approx(0.025, abs=1e-5), pytest.approx(0.025, abs=1e-5))


def test_nominal_interval_of_constant_scores_is_everything() -> None:
    assert tpr_interval_at_fpr(np.zeros(400), np.arange(400) < 200, 0.1) == (0.0, 1.0)


def test_nominal_interval_knows_nothing_below_where_no_false_positive_is_expected() -> None:
    scores, flags = gaussian_scores(5.0, 500, 500, seed=0)
    lower, upper = tpr_interval_at_fpr(scores, flags, 0.001)
    assert lower == 0.0
    assert upper > 0.9


@pytest.mark.parametrize("fpr", [0.0, 1.0])
def test_nominal_interval_needs_a_rate_inside_zero_and_one(fpr: float) -> None:
    with pytest.raises(ValueError, match="target_fpr"):
        tpr_interval_at_fpr([0, 1], [0, 1], fpr)
    with pytest.raises(ValueError, match="both groups"):
        tpr_interval_at_fpr([0, 1], [1, 1], 0.1)
