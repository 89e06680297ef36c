"""Positive predictive value: by hand, and covered by its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mindleak.evaluation.predictive_value import PRIORS, positive_predictive_value


def test_by_hand() -> None:
    # TPR 10 %, FPR 1 %.
    values = [positive_predictive_value(100, 1000, 10, 1000, prior).value for prior in PRIORS]
    assert values == pytest.approx([0.1 / 0.11, 0.01 / (0.01 + 0.009), 0.001 / (0.001 + 0.0099)])


def test_nobody_called_has_no_value_and_no_false_alarm_is_not_certainty() -> None:
    assert math.isnan(positive_predictive_value(0, 10, 0, 10, 0.5).value)
    sure = positive_predictive_value(5, 1000, 0, 1000, 0.01)
    assert sure.value == 1.0 and sure.ci is not None and sure.ci[0] < 0.4 and sure.ci[1] == 1.0
    assert positive_predictive_value(0, 10, 3, 10, 0.5).value == 0.0
    assert math.isnan(positive_predictive_value(0, 0, 3, 10, 0.5).value)


@pytest.mark.parametrize("prior", [0.0, 1.0, -0.5])
def test_prior_lies_between_zero_and_one(prior: float) -> None:
    with pytest.raises(ValueError, match="prior"):
        positive_predictive_value(1, 2, 1, 2, prior)


def test_interval_covers() -> None:
    generator = np.random.default_rng(0)
    truth = 0.1 * 0.2 / (0.1 * 0.2 + 0.9 * 0.05)
    covered = 0
    for hits, alarms in zip(generator.binomial(300, 0.2, 400), generator.binomial(300, 0.05, 400)):
        low, high = positive_predictive_value(hits, 300, alarms, 300, 0.1).ci or (1, 0)
        covered += low <= truth <= high
    assert covered / 400 >= 0.95
