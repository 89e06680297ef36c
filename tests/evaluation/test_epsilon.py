"""The empirical lower bound of ε: hand-computed values, and how often it accuses scores that say nothing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindleak.evaluation.empirical_epsilon import best_threshold, epsilon_at, epsilon_lower_bound


@pytest.mark.parametrize(("hits", "n_in", "alarms", "n_out", "delta", "alpha", "expected"), [
    (500, 500, 0, 500, 0.0, 0.01, 4.54),
    (50, 5000, 1, 5000, 1e-5, 0.05, 1.8965),
    (8, 5000, 5, 5000, 1e-5, 0.05, 0.0),
])
def test_known_answers(hits: int, n_in: int, alarms: int, n_out: int, delta: float, alpha: float,
                       expected: float) -> None:
    digits = 2 if expected == 4.54 else 4
    assert round(float(epsilon_lower_bound(hits, n_in, alarms, n_out, delta, alpha)), digits) == expected


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_answers_exchanged_give_the_same_bound(n_in: int, n_out: int, data: st.DataObject) -> None:
    hits, alarms = data.draw(st.integers(0, n_in)), data.draw(st.integers(0, n_out))
    one = float(epsilon_lower_bound(hits, n_in, alarms, n_out))
    other = float(epsilon_lower_bound(n_out - alarms, n_out, n_in - hits, n_in))
    assert one == other >= 0.0 and math.isfinite(one)


def test_a_threshold_fixed_on_other_models_rarely_accuses_scores_that_say_nothing() -> None:
    generator = np.random.default_rng(0)
    alarms = maximised = 0
    for _ in range(400):
        references, own = generator.normal(size=(2, 2000))
        members = np.arange(2000) < 1000
        threshold = best_threshold(references[members], references[~members], 1000, 1000)
        alarms += epsilon_at(own, members, threshold).epsilon > 0
        best = best_threshold(own[members], own[~members], 1000, 1000)
        maximised += epsilon_at(own, members, best).epsilon > 0
    # Measured .5 %, far below the nominal 5 % since both rates' limits must fail. Maximised on the very scores that are
    # judged (METHODS: about 7.5 %) it accuses far more often: 6 %; standard errors .35 and 1.2 %.
    assert alarms / 400 <= 0.02 and maximised / 400 >= 0.035


def test_the_threshold_of_the_references_finds_a_leak_of_a_like_model() -> None:
    generator = np.random.default_rng(1)
    members = np.arange(4000) < 2000
    draw = lambda: generator.normal(size=4000) + 2.0 * members  # noqa: E731
    references = np.concatenate([draw() for _ in range(4)])
    four = np.tile(members, 4)
    threshold = best_threshold(references[four], references[~four], 2000, 2000)
    bound = epsilon_at(draw(), members, threshold)
    assert bound.epsilon > 2.0
    assert json.loads(json.dumps(bound.to_json()))["n_out"] == 2000


def test_constant_scores_and_empty_sides() -> None:
    assert epsilon_at(np.zeros(40), np.arange(40) < 20, best_threshold(np.zeros(9), np.zeros(9), 20, 20)).epsilon == 0
    for wrong in ((np.zeros(0), np.zeros(3)), (np.zeros(3), np.zeros(0))):
        with pytest.raises(ValueError, match="members and non-members"):
            best_threshold(*wrong, 20, 20)
    with pytest.raises(ValueError, match="counts"):
        epsilon_lower_bound(3, 2, 0, 2)
    with pytest.raises(ValueError, match="delta"):
        epsilon_lower_bound(1, 2, 0, 2, delta=1.0)
    with pytest.raises(ValueError, match="NaN"):
        epsilon_at(np.zeros(4), np.arange(4) < 2, math.nan)
