"""What a sample size could have shown, verified by simulating the very test that is meant."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from mindleak.evaluation.intervals import clopper_pearson, difference_of_independent
from mindleak.evaluation.metric import Metric
from mindleak.evaluation.power import (
    chance_tpr_limit,
    detectable_shift,
    largest_fpr_with_zero_false_positives,
    smallest_detectable_auc,
    smallest_detectable_own_roc_tpr,
    smallest_detectable_tpr,
)
from mindleak.evaluation.roc import auc, hanley_mcneil_variance, tpr_at_fpr
from mindleak.evaluation.thresholds import threshold_at_fpr, tpr_at_threshold


@pytest.mark.parametrize("area", [0.6, 0.9])
def test_variance_is_that_of_exponential_scores(area: float) -> None:
    # Members' scores exponential with mean area/(1-area), non-members' with mean 1: the true area is `area`.
    n_in, n_out, runs = 40, 25, 20_000
    scores = np.random.default_rng(0).exponential(size=(runs, n_in + n_out))
    scores[:, :n_in] *= area / (1 - area)
    areas = simulated_areas(scores, n_in)
    assert areas.mean() == pytest.approx(area, abs=0.002)
    assert areas.var() == pytest.approx(hanley_mcneil_variance(area, n_in, n_out), rel=0.04)


def test_variance_at_one_half_is_mann_whitneys() -> None:
    assert hanley_mcneil_variance(0.5, 30, 70) == pytest.approx(101 / (12 * 30 * 70))


def simulated_areas(scores: np.ndarray, n_in: int) -> np.ndarray:
    """AUC of every row of scores without ties, the members in the first ``n_in`` columns."""
    n_out = scores.shape[1] - n_in
    ranks = scores.argsort(axis=1).argsort(axis=1)[:, :n_in] + 1
    return (ranks.sum(axis=1) - n_in * (n_in + 1) / 2) / (n_in * n_out)


def detected_auc(shift: float, n_in: int, n_out: int, runs: int) -> float:
    """Share of simulated runs whose AUC differs from .5 at the two-sided 5 % level of the null variance."""
    noise = 1.959963984540054 * math.sqrt((n_in + n_out + 1) / (12 * n_in * n_out))
    scores = np.random.default_rng(0).normal(size=(runs, n_in + n_out))
    scores[:, :n_in] += shift
    return float(np.mean(simulated_areas(scores, n_in) - 0.5 > noise))


@pytest.mark.parametrize(("n_in", "n_out"), [(100, 100), (60, 240)])
def test_smallest_detectable_auc_is_detected_with_the_stated_power(n_in: int, n_out: int) -> None:
    area = smallest_detectable_auc(n_in, n_out)
    power = detected_auc(math.sqrt(2) * stats.norm.ppf(area), n_in, n_out, runs=3000)
    assert power == pytest.approx(0.8, abs=0.03)


def test_smallest_detectable_auc_also_holds_for_the_interval_that_is_reported() -> None:
    n, runs = 100, 300
    shift = math.sqrt(2) * stats.norm.ppf(smallest_detectable_auc(n, n))
    members = np.arange(2 * n) < n
    generator = np.random.default_rng(1)
    cis = [auc(generator.normal(size=2 * n) + shift * members, members).ci for _ in range(runs)]
    assert np.mean([ci[0] > 0.5 for ci in cis if ci is not None]) == pytest.approx(0.8, abs=0.07)


def test_more_samples_more_power_and_stricter_levels_order_the_detectable_auc() -> None:
    base = smallest_detectable_auc(1000, 1000)
    assert 0.5 < smallest_detectable_auc(5000, 5000) < base < smallest_detectable_auc(100, 100) < 1
    assert smallest_detectable_auc(1000, 1000, power=0.95) > base
    assert smallest_detectable_auc(1000, 1000, level=0.99) > base
    # For large samples: (z_.975 + z_.8) null standard deviations.
    assert base - 0.5 == pytest.approx((1.95996 + 0.84162) * math.sqrt(2001 / 12e6), rel=0.02)


def test_too_few_samples_detect_nothing() -> None:
    assert math.isnan(smallest_detectable_auc(2, 2))
    assert math.isnan(smallest_detectable_tpr(1, 10, 0.1))
    assert math.isnan(smallest_detectable_own_roc_tpr(1, 10, 0.1))


def simulated_rates(shift: float, n: int, fpr: float, runs: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    members = np.arange(2 * n) < n
    return np.array(
        [tpr_at_fpr(generator.normal(size=2 * n) + shift * members, members, fpr).value for _ in range(runs)]
    )


@pytest.mark.parametrize(("n", "fpr"), [(300, 0.01), (500, 0.001), (300, 0.1)])
def test_chance_exceeds_its_limit_as_rarely_as_stated(n: int, fpr: float) -> None:
    rates = simulated_rates(0.0, n, fpr, runs=2500, seed=2)
    limit = chance_tpr_limit(n, n, fpr)
    tail, error = 0.025, math.sqrt(0.025 / 2500)
    assert np.mean(rates > limit + 1e-12) <= tail + 4 * error
    # And the limit is not needlessly high: one member less would be exceeded more often than stated.
    assert np.mean(rates > limit - 1 / n + 1e-12) > tail - 4 * error


@pytest.mark.parametrize(("n", "fpr"), [(300, 0.01), (1000, 0.001), (300, 0.1)])
def test_smallest_tpr_on_the_own_roc_is_detected_with_the_stated_power(n: int, fpr: float) -> None:
    rate = smallest_detectable_own_roc_tpr(n, n, fpr)
    shift = stats.norm.ppf(rate) - stats.norm.ppf(fpr)
    rates = simulated_rates(shift, n, fpr, runs=1500, seed=3)
    assert np.mean(rates > chance_tpr_limit(n, n, fpr) + 1e-12) == pytest.approx(0.8, abs=0.045)


SMALLEST_TPRS = {"other models' threshold": smallest_detectable_tpr,
                 "a shadow's threshold": lambda n_in, n_out, fpr: smallest_detectable_tpr(n_in, n_out, fpr, n_out),
                 "own ROC": smallest_detectable_own_roc_tpr}


@pytest.mark.parametrize("smallest", SMALLEST_TPRS.values(), ids=list(SMALLEST_TPRS))
def test_detectable_tpr_falls_towards_the_rate_with_more_samples(smallest: Callable[[int, int, float], float]) -> None:
    rates = [smallest(n, n, 0.01) for n in (200, 1000, 10_000)]
    assert rates[0] > rates[1] > rates[2] > 0.01


@pytest.mark.parametrize("smallest", SMALLEST_TPRS.values(), ids=list(SMALLEST_TPRS))
def test_there_is_no_smallest_rate_where_non_members_cannot_resolve_it(
        smallest: Callable[[int, int, float], float]) -> None:
    assert math.isnan(smallest(10_000, 999, 0.001)) and not math.isnan(smallest(10_000, 1000, 0.001))


def test_no_threshold_no_smallest_rate() -> None:
    assert math.isnan(smallest_detectable_tpr(1000, 1000, 0.01, n_threshold=98))
    assert not math.isnan(smallest_detectable_tpr(1000, 1000, 0.01, n_threshold=99))


@pytest.mark.parametrize(("n", "fpr", "n_threshold"), [(300, 0.01, 300), (1000, 0.001, 2000), (1000, 0.01, 1000)])
def test_smallest_detectable_tpr_is_that_of_the_verdict_by_another_models_threshold(n: int, fpr: float,
                                                                                    n_threshold: int) -> None:
    shift = stats.norm.ppf(smallest_detectable_tpr(n, n, fpr, n_threshold)) - stats.norm.ppf(fpr)
    members, generator, shown, runs = np.arange(2 * n) < n, np.random.default_rng(4), 0, 1000
    for _ in range(runs):
        fixed = threshold_at_fpr(generator.normal(size=n_threshold), fpr)
        rate = tpr_at_threshold(generator.normal(size=2 * n) + shift * members, members, fixed)
        assert rate.fpr is not None
        excess = difference_of_independent(rate, Metric(rate.fpr, n, ci=rate.fpr_ci))
        shown += excess.ci is not None and excess.ci[0] > 0
    assert shown / runs == pytest.approx(0.8, abs=0.045)
    # The other test, which stood in its place, is not the same.
    assert smallest_detectable_own_roc_tpr(n, n, fpr) != pytest.approx(stats.norm.cdf(stats.norm.ppf(fpr) + shift),
                                                                       rel=1e-3)


def test_rate_that_is_exactly_a_count_allows_that_many_in_spite_of_rounding() -> None:
    assert 1 / 49 * 49 < 1
    assert chance_tpr_limit(100, 49, 1 / 49) == chance_tpr_limit(100, 49, 1.5 / 49)
    assert chance_tpr_limit(100, 49, 1 / 49) > chance_tpr_limit(100, 49, 0.9 / 49)


def test_zero_of_five_thousand_still_allows_six_in_ten_thousand() -> None:
    assert largest_fpr_with_zero_false_positives(5000) == pytest.approx(0.0006, abs=5e-6)
    assert largest_fpr_with_zero_false_positives(5000, 0.95) == pytest.approx(clopper_pearson(0, 5000, 0.9)[1])
    rate = largest_fpr_with_zero_false_positives(5000, 0.99)
    assert (1 - rate) ** 5000 == pytest.approx(0.01)


def test_impossible_arguments_are_refused() -> None:
    for call in (
        lambda: smallest_detectable_auc(0, 10),
        lambda: smallest_detectable_auc(10, 10, level=1.0),
        lambda: smallest_detectable_auc(10, 10, power=0.0),
        lambda: smallest_detectable_tpr(10, 10, 0.0),
        lambda: smallest_detectable_tpr(10, 10, 0.1, n_threshold=-1),
        lambda: smallest_detectable_own_roc_tpr(10, 10, 0.0),
        lambda: chance_tpr_limit(10, 10, 1.0),
        lambda: largest_fpr_with_zero_false_positives(0),
        lambda: detectable_shift((0.4, 0.6), 8, 1.0),
    ):
        with pytest.raises(ValueError):
            call()


@pytest.mark.parametrize(("n", "level"), [(6, .95), (8, .99)])
def test_a_shift_that_is_detectable_is_shown_in_eight_of_ten_samples(n: int, level: float) -> None:
    generator = np.random.default_rng(0)
    # The interval that values of standard deviation 1 have on average.
    half = stats.t.ppf(.975, n - 1) / np.sqrt(n)
    shift = detectable_shift((-half, half), n, level)
    assert shift is not None
    drawn = generator.normal(shift, 1, (4000, n))
    shown = stats.ttest_1samp(drawn, 0, axis=1).pvalue < 1 - level
    assert .72 < shown.mean() < .88
    assert detectable_shift((0.0, 1.0), 1, level) is None
