"""Metric attacks: scores point the right way, and thresholds are those of the references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindleak.attacks.membership.metric import balanced_threshold, class_thresholds, metric_scores
from mindleak.attacks.membership.names import METRIC_ATTACKS
from mindleak.attacks.membership.signals import model_signals
from mindleak.evaluation.roc import balanced_accuracy_at

LOGITS = np.log([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
LABELS = np.array([0, 1])


@pytest.mark.parametrize(("name", "expected"), [
    ("loss", [np.log(0.7), np.log(0.6)]), ("confidence", [0.7, 0.6]), ("modified_entropy", [-0.16217, -0.32187]),
    ("entropy", [-0.80182, -0.89795]), ("phi", [np.log(0.7 / 0.3), np.log(0.6 / 0.4)])])
def test_known_answers_higher_for_members(name: str, expected: list[float]) -> None:
    assert metric_scores(name, LOGITS, LABELS) == pytest.approx(expected, abs=5e-6)


def test_phi_and_loss_stay_apart_where_probabilities_are_one() -> None:
    # In float64 p_y is 1 for both; φ = 50 and 60 (less ln 2 of two other classes).
    logits = np.array([[50.0, 0.0, 0.0], [60.0, 0.0, 0.0]])
    labels = np.zeros(2, int)
    assert metric_scores("phi", logits, labels) == pytest.approx([50 - np.log(2), 60 - np.log(2)])
    assert metric_scores("loss", logits, labels)[0] < metric_scores("loss", logits, labels)[1] < 0
    assert len(set(metric_scores("confidence", logits, labels))) == 1
    assert np.isfinite(model_signals(1e4 * logits, labels, logits, labels).phi).all()


@pytest.mark.parametrize("name", METRIC_ATTACKS)
def test_a_shift_of_all_logits_changes_nothing(name: str) -> None:
    logits = np.random.default_rng(0).normal(size=(20, 4))
    labels = np.arange(20) % 4
    assert metric_scores(name, logits + 7.5, labels) == pytest.approx(metric_scores(name, logits, labels))
    order = np.random.default_rng(1).permutation(20)
    assert metric_scores(name, logits[order], labels[order]) == pytest.approx(
        metric_scores(name, logits, labels)[order])


def test_there_is_no_other_metric() -> None:
    with pytest.raises(ValueError, match="no metric attack 'lira_online'"):
        metric_scores("lira_online", LOGITS, LABELS)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=12), st.lists(st.integers(-4, 4), min_size=1, max_size=12))
@settings(deadline=None)
def test_threshold_is_the_best_there_is(inside: list[int], outside: list[int]) -> None:
    scores = np.array([*inside, *outside], float)
    members = np.arange(len(scores)) < len(inside)
    found = balanced_accuracy_at(scores, members, balanced_threshold(inside, outside)).value
    every = [balanced_accuracy_at(scores, members, border).value for border in (*scores, np.inf)]
    assert found == pytest.approx(max(every))


def test_threshold_lies_between_scores_and_ends_do_not_break_it() -> None:
    assert balanced_threshold([2.0, 3.0], [0.0, 1.0]) == 1.5
    assert balanced_threshold([2.0, 3.0], [4.0]) == np.inf
    assert balanced_threshold([1.0], [1.0]) == np.inf
    assert balanced_threshold([np.inf], [0.0]) == np.inf
    assert balanced_threshold([0.0], [-np.inf]) == 0.0
    with pytest.raises(ValueError, match="members and non-members"):
        balanced_threshold([], [1.0])


def test_classes_have_thresholds_of_their_own_and_small_ones_share() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [300, 300, 1])
    members = generator.random((6, 601)) < 0.5
    members[:, 600] = np.arange(6) < 3
    scores = generator.normal(size=(6, 601)) + 4 * members + np.where(labels == 1, 100.0, 0.0)
    found = class_thresholds(scores, members, labels, 4)
    assert found.values[0] == pytest.approx(2.0, abs=0.7) and found.values[1] == pytest.approx(102.0, abs=0.7)
    assert set(found.shared) == {2, 3} and "3 answers" in found.shared[2]
    assert found.values[2] == found.values[3] == balanced_threshold(scores[members], scores[~members])
