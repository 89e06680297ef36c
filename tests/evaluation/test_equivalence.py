"""Equivalence by two one-sided tests: by hand, and how often it is claimed where it does not hold."""

from __future__ import annotations

import numpy as np
import pytest

from mindleak.evaluation.equivalence import equivalence


def test_the_inner_interval_is_students_at_ninety_percent() -> None:
    # Mean 0, sd .01·√(4/3)... by hand: values ±.01, sd .011547, t(3) at 95 % is 2.35336: half width .013587.
    found = equivalence([.01, -.01, .01, -.01], margin=.0136)
    assert found.inner.ci == pytest.approx((-.013587, .013587), abs=1e-6) and found.shown
    assert not equivalence([.01, -.01, .01, -.01], margin=.0135).shown
    assert found.difference.ci == pytest.approx((-.018374, .018374), abs=1e-6)
    record = found.to_json()
    assert record["equivalent"] and record["margin"] == .0136 and record["inner_level"] == pytest.approx(.9)


@pytest.mark.parametrize("values", [[.0], [.0, .0, .0]])
def test_without_an_interval_nothing_is_equivalent(values: list[float]) -> None:
    assert not equivalence(values, margin=.1).shown


def test_a_margin_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="margin is 0; expected a number above 0"):
        equivalence([.1, .2], margin=0)


def test_networks_that_differ_by_the_margin_are_called_equivalent_in_at_most_one_of_twenty() -> None:
    generator = np.random.default_rng(0)
    claims = sum(equivalence(.05 + .02 * generator.normal(size=8), margin=.05).shown for _ in range(2000))
    assert claims <= 100 + 3 * np.sqrt(2000 * .05 * .95)


def test_equal_networks_are_mostly_shown_to_be_equivalent() -> None:
    generator = np.random.default_rng(1)
    assert np.mean([equivalence(.02 * generator.normal(size=8), margin=.05).shown for _ in range(500)]) > .95


def test_shared_references_widen_the_interval() -> None:
    generator = np.random.default_rng(2)
    values = .02 * generator.normal(size=6)
    parts = values[:, None] + .05 * generator.normal(size=(6, 6))
    alone, shared = equivalence(values, .1).inner.ci, equivalence(values, .1, parts).inner.ci
    assert alone is not None and shared is not None and shared[1] - shared[0] > alone[1] - alone[0]
