"""The counted bootstrap: equal to the slow way where that can be checked, and of the right width."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindleak.evaluation.roc import auc, tpr_at_fpr
from mindleak.evaluation.roc_bootstrap import area_and_rates, bootstrap_roc

FPRS = (0.01, 0.1, 0.5)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
@settings(max_examples=60, deadline=None)
def test_values_are_those_of_the_curve(samples: list[tuple[int, bool]]) -> None:
    scores, members = np.array([score for score, _ in samples], float), np.array([member for _, member in samples])
    if members.all() or not members.any():
        with pytest.raises(ValueError, match="members and non-members"):
            area_and_rates(scores, members, FPRS)
        return
    expected = {"auc": auc(scores, members).value,
                **{f"tpr_own_roc@{fpr:g}": tpr_at_fpr(scores, members, fpr).value for fpr in FPRS}}
    assert area_and_rates(scores, members, FPRS) == pytest.approx(expected)
    drawn = bootstrap_roc(scores, members, FPRS, resamples=5)
    assert {name: metric.value for name, metric in drawn.items()} == pytest.approx(expected)


def test_interval_is_as_wide_as_delongs_and_the_rates_is_wider_than_clopper_pearsons() -> None:
    generator = np.random.default_rng(0)
    members = np.arange(4000) < 2000
    scores = generator.normal(size=4000) + members
    drawn = bootstrap_roc(scores, members, FPRS, resamples=2000, seed=1)
    exact, given_threshold = auc(scores, members), tpr_at_fpr(scores, members, 0.1)

    def width(metric: object) -> float:
        low, high = metric.ci  # type: ignore[attr-defined]
        return float(high - low)

    assert width(drawn["auc"]) == pytest.approx(width(exact), rel=0.1)
    assert width(drawn["tpr_own_roc@0.1"]) > width(given_threshold)
    # At 1 % of 2,000 there are 20 false positives: too few to trust resamples of them.
    again = bootstrap_roc(scores, members, FPRS, resamples=2000, seed=1)
    assert again == drawn and bootstrap_roc(scores, members, FPRS, resamples=2000, seed=2) != drawn


@pytest.mark.parametrize(("n", "shift", "fpr", "reason"), [
    (1000, 1.0, 0.001, "1 false positives are expected"), (9999, 1.0, 0.01, "99.99 false positives"),
    (1000, -1.5, 0.1, "found, or missed"), (1000, 5.0, 0.5, "found, or missed"),
])
def test_few_deciding_samples_leave_a_value_and_the_reason(n: int, shift: float, fpr: float, reason: str) -> None:
    members = np.arange(2 * n) < n
    scores = np.random.default_rng(0).normal(size=2 * n) + shift * members
    found = bootstrap_roc(scores, members, (fpr,), resamples=20)
    rate = found[f"tpr_own_roc@{fpr:g}"]
    assert rate.ci is None and reason in str(rate.reason) and rate.value == tpr_at_fpr(scores, members, fpr).value
    assert (found["auc"].ci is None) == (shift == 5.0)


def test_edges() -> None:
    constant = bootstrap_roc(np.zeros(20), np.arange(20) < 10, FPRS, resamples=10)
    # Every resample is alike, which is no interval.
    assert constant["auc"].value == 0.5 and constant["auc"].ci is None
    assert constant["tpr_own_roc@0.01"].reason is not None
    assert math.isnan(bootstrap_roc(np.zeros(3), np.ones(3, bool), FPRS)["auc"].value)
    assert math.isnan(bootstrap_roc(np.zeros(0), np.zeros(0, bool), FPRS)["auc"].value)
    with pytest.raises(ValueError, match="resample"):
        bootstrap_roc([0.0, 1.0], [0, 1], FPRS, resamples=0)
