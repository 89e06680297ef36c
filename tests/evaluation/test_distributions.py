"""The quick quantiles and tails are those of scipy.stats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mindleak.evaluation.distributions import (
    beta_quantile,
    normal_quantile,
    normal_tail,
    student_quantile,
    student_tail,
)

PROBABILITIES = st.floats(1e-6, 1 - 1e-6)
VALUES = st.floats(-50, 50)
COUNTS = st.integers(1, 10_000)


@given(PROBABILITIES, VALUES)
def test_the_normal_distribution(probability: float, value: float) -> None:
    assert normal_quantile(probability) == stats.norm.ppf(probability)
    assert normal_tail(value) == stats.norm.sf(value)


@given(PROBABILITIES, VALUES, COUNTS)
def test_students_t(probability: float, value: float, freedom: int) -> None:
    assert student_quantile(probability, freedom) == stats.t.ppf(probability, freedom)
    assert student_tail(value, freedom) == stats.t.sf(value, freedom)
    assert student_tail(-value, freedom) == stats.t.cdf(value, freedom)


@given(PROBABILITIES, COUNTS, COUNTS)
def test_the_beta_distribution(probability: float, a: int, b: int) -> None:
    # Older versions of SciPy compute it in two ways.
    assert beta_quantile(probability, a, b) == pytest.approx(stats.beta.ppf(probability, a, b), rel=1e-9)
