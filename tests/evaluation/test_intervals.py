"""Intervals against published values, independent implementations and simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mindleak.evaluation.intervals import (
    clopper_pearson,
    mean_metric,
    mean_of_independent,
    proportion,
    weighted_proportion,
)


def test_zero_successes_give_the_closed_form_upper_end() -> None:
    assert clopper_pearson(0, 5000) == (0.0, pytest.approx(1 - 0.025 ** (1 / 5000), rel=1e-9))
    assert clopper_pearson(20, 20) == (pytest.approx(0.025 ** (1 / 20), rel=1e-9), 1.0)


@pytest.mark.parametrize(("k", "n", "level"), [(1, 10, 0.95), (50, 5000, 0.95), (8, 5000, 0.9), (999, 1000, 0.99)])
def test_clopper_pearson_agrees_with_scipys_exact_binomial_test(k: int, n: int, level: float) -> None:
    expected = stats.binomtest(k, n).proportion_ci(level, method="exact")
    assert clopper_pearson(k, n, level) == pytest.approx((expected.low, expected.high), rel=1e-9)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_proportion_contains_its_value_and_mirrors(counts: tuple[int, int]) -> None:
    k, n = counts
    metric, mirrored = proportion(k, n), proportion(n - k, n)
    assert metric.ci is not None
    assert mirrored.ci is not None
    assert metric.ci[0] <= metric.value <= metric.ci[1]
    assert metric.ci == pytest.approx((1 - mirrored.ci[1], 1 - mirrored.ci[0]), abs=1e-9)


def test_clopper_pearson_covers_at_least_its_level() -> None:
    # Exact coverage: sum of the binomial probabilities of all counts whose interval holds the truth.
    n = 40
    ends = np.array([clopper_pearson(k, n) for k in range(n + 1)])
    for truth in np.linspace(0.01, 0.99, 45):
        covered = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
        assert stats.binom.pmf(np.arange(n + 1), n, truth)[covered].sum() >= 0.95 - 1e-12


def test_no_trials_is_undefined_not_zero() -> None:
    metric = proportion(0, 0, of="members")
    assert math.isnan(metric.value)
    assert (metric.ci, metric.n, metric.reason) == (None, 0, "no members")


@pytest.mark.parametrize(("k", "n", "level"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0)])
def test_impossible_counts_and_levels_are_refused(k: int, n: int, level: float) -> None:
    with pytest.raises(ValueError):
        clopper_pearson(k, n, level)


def test_mean_interval_agrees_with_scipys_t_test() -> None:
    values = np.array([0.2, 0.25, 0.31, 0.18, 0.4, 0.22])
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    metric = mean_metric(values, 0.9)
    assert metric.value == pytest.approx(values.mean())
    assert metric.ci == pytest.approx((expected.low, expected.high))
    assert (metric.n, metric.ci_level, metric.ci_method) == (6, 0.9, "student-t")


def test_undefined_values_are_left_out_and_counted() -> None:
    metric = mean_metric([1.0, math.nan, 3.0])
    assert (metric.value, metric.n) == (2.0, 2)
    assert metric.reason == "1 of 3 values are undefined and left out"


def test_mean_of_nothing_one_and_infinite_values() -> None:
    assert mean_metric([]).reason == "no values"
    assert mean_metric([math.nan]).to_json()["value"] is None
    assert mean_metric([0.7]).ci is None
    infinite = mean_metric([1.0, math.inf])
    assert math.isinf(infinite.value)
    assert infinite.ci is None
    assert "1 of 2 values are infinite" in str(infinite.reason)


def test_mean_of_independent_rates_matches_a_normal_interval_for_large_counts() -> None:
    first, second = proportion(300_000, 1_000_000), proportion(800_000, 1_000_000)
    metric = mean_of_independent(first, second)
    sd = math.sqrt(0.3 * 0.7 / 1e6 + 0.8 * 0.2 / 1e6) / 2
    assert metric.value == pytest.approx(0.55)
    assert metric.ci == pytest.approx((0.55 - 1.96 * sd, 0.55 + 1.96 * sd), abs=2e-6)


def test_mean_with_an_undefined_rate_is_undefined() -> None:
    metric = mean_of_independent(proportion(1, 2), proportion(0, 0, of="non-members"))
    assert math.isnan(metric.value)
    assert metric.reason == "no non-members"


def test_weights_of_two_independent_rates_are_those_asked_for() -> None:
    first, second = proportion(0, 20), proportion(30, 30)
    third = mean_of_independent(first, second, weight=1 / 3)
    assert third.value == pytest.approx(2 / 3) and third.ci is not None and first.ci is not None
    assert third.ci[1] == pytest.approx(2 / 3 + first.ci[1] / 3)
    assert mean_of_independent(first, second) == mean_of_independent(first, second, weight=0.5)


def test_a_sample_counted_twice_is_one_trial() -> None:
    right = np.arange(40) < 10
    once, twice = proportion(10, 40), weighted_proportion(right, np.full(40, 2))
    assert twice.value == once.value and twice.ci == pytest.approx(once.ci) and twice.n == 40
    uneven = weighted_proportion(right, np.where(np.arange(40) < 20, 1, 3))
    assert uneven.value == 10 / 80
    # 80² / (20 · 1 + 20 · 9) = 32 samples' worth, of which four are right.
    assert uneven.ci == pytest.approx(clopper_pearson(4, 32))
    everyone = weighted_proportion(np.ones(5, bool), np.array([1, 2, 2, 2, 2])).ci
    assert everyone is not None and everyone[0] < everyone[1] == 1.0
    assert weighted_proportion([], []).reason == "no samples"


def test_mean_interval_stays_inside_the_range_of_the_values() -> None:
    values = [0.99, 1.0, 1.0, 0.7]
    free, bounded = mean_metric(values), mean_metric(values, bounds=(0.0, 1.0))
    assert free.ci is not None and bounded.ci is not None
    assert free.ci[1] > 1.0 and bounded.ci == (free.ci[0], 1.0)
