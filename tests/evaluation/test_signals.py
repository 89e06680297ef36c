"""Signals from logits: known answers, exactness where probabilities saturate, invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special

from mindleak.evaluation.signals import confidence, entropy, loss, modified_entropy, phi, softmax, top_k

# The known-answer distributions as logits, shifted by a constant that must not matter.
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
LOGITS = np.log(PROBABILITIES) + np.array([[3.0], [-40.0]])
LABELS = np.array([0, 1], dtype=np.int32)

logit_arrays = st.tuples(st.integers(1, 6), st.integers(2, 5)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float64, shape, elements=st.floats(-30, 30)),
        arrays(np.int32, shape[0], elements=st.integers(0, shape[1] - 1)),
    )
)


def test_softmax_loss_and_confidence_by_hand() -> None:
    np.testing.assert_allclose(softmax(LOGITS), PROBABILITIES, rtol=1e-13)
    np.testing.assert_allclose(loss(LOGITS, LABELS), [-math.log(0.7), -math.log(0.6)], rtol=1e-13)
    np.testing.assert_allclose(confidence(LOGITS, LABELS), [0.7, 0.6], rtol=1e-13)


def test_entropy_by_hand() -> None:
    np.testing.assert_allclose(entropy(LOGITS), [0.8018186, 0.8979457], atol=1e-7)
    assert entropy(np.zeros((1, 10)))[0] == pytest.approx(math.log(10))


def test_modified_entropy_is_the_known_answer() -> None:
    np.testing.assert_allclose(modified_entropy(LOGITS, LABELS), [0.16217, 0.32187], atol=5e-6)


def test_phi_is_the_log_odds_of_the_label() -> None:
    np.testing.assert_allclose(phi(LOGITS, LABELS), [math.log(0.7 / 0.3), math.log(0.6 / 0.4)], rtol=1e-12)
    assert phi([[2.0, 0.5, -1.0]], [0])[0] == pytest.approx(2.0 - math.log(math.exp(0.5) + math.exp(-1.0)))


def test_saturated_logits_still_tell_samples_apart() -> None:
    logits = np.array([[40.0, 0.0, 0.0], [50.0, 0.0, 0.0], [1000.0, 0.0, 0.0]])
    labels = [0, 0, 0]
    assert np.all(confidence(logits, labels) == 1.0)
    np.testing.assert_allclose(phi(logits, labels), np.array([40, 50, 1000]) - math.log(2), rtol=1e-14)
    np.testing.assert_allclose(loss(logits, labels)[:2], 2 * np.exp([-40.0, -50.0]), rtol=1e-12)
    assert np.all(np.diff(modified_entropy(logits, labels)[:2]) < 0)
    # Confidently wrong: the loss and the modified entropy grow with the margin.
    np.testing.assert_allclose(loss(logits, [1, 1, 1]), [40, 50, 1000], rtol=1e-12)
    np.testing.assert_allclose(modified_entropy(logits, [1, 1, 1])[:2], [80 - math.log(2), 100 - math.log(2)])


@pytest.mark.parametrize("size", [1e4, 3e38])
def test_huge_logits_stay_finite(size: float) -> None:
    logits = np.array([[size, -size, 0.0], [-size, size, 0.0], [size, size, size]], dtype=np.float32)
    labels = [0, 0, 2]
    for values in (phi(logits, labels), loss(logits, labels), modified_entropy(logits, labels), entropy(logits)):
        assert np.all(np.isfinite(values))
    np.testing.assert_allclose(phi(logits, labels), [size, -2 * size, -math.log(2)], rtol=1e-6)
    of_uniform = (2 / 3) * math.log(3) + (2 / 3) * math.log(3 / 2)
    assert modified_entropy(logits, labels)[2] == pytest.approx(of_uniform)


@given(logit_arrays)
def test_signals_agree_with_their_definitions_in_probabilities(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = case
    p = special.softmax(logits, axis=1)
    rows = np.arange(len(labels))
    p_y = p[rows, labels]
    np.testing.assert_allclose(loss(logits, labels), -special.log_softmax(logits, axis=1)[rows, labels], atol=1e-12)
    np.testing.assert_allclose(entropy(logits), special.entr(p).sum(axis=1), atol=1e-12)
    others = p.copy()
    others[rows, labels] = 0.0
    # phi in probabilities, by the sum of the others rather than 1 - p_y.
    np.testing.assert_allclose(phi(logits, labels), np.log(p_y) - np.log(others.sum(axis=1)), atol=1e-9)
    mentr = -others.sum(axis=1) * np.log(p_y)
    for column in range(p.shape[1]):
        rest = np.delete(p, column, axis=1).sum(axis=1)
        mentr -= others[:, column] * np.log(rest)
    np.testing.assert_allclose(modified_entropy(logits, labels), mentr, rtol=1e-9, atol=1e-12)


@given(logit_arrays, st.floats(-100, 100))
def test_a_constant_added_to_all_logits_changes_nothing(case: tuple, shift: float) -> None:
    logits, labels = case
    np.testing.assert_allclose(phi(logits + shift, labels), phi(logits, labels), atol=1e-10)
    np.testing.assert_allclose(softmax(logits + shift), softmax(logits), atol=1e-12)


@given(logit_arrays)
def test_signals_are_float64_finite_and_order_alike(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = case
    for signal in (loss, confidence, modified_entropy, phi):
        values = signal(logits.astype(np.float32), labels)
        assert values.dtype == np.float64
        assert values.shape == labels.shape
        assert np.all(np.isfinite(values))
    assert np.all(loss(logits, labels) >= 0)
    assert np.all(modified_entropy(logits, labels) >= 0)
    np.testing.assert_array_equal(np.argsort(phi(logits, labels), kind="stable").shape, labels.shape)
    # Loss falls as phi rises: loss = ln(1 + e^-phi).
    np.testing.assert_allclose(loss(logits, labels), np.log1p(np.exp(-phi(logits, labels))), atol=1e-12)


def test_top_k_sorts_each_sample_by_itself() -> None:
    np.testing.assert_allclose(top_k(LOGITS, 2), [[0.7, 0.2], [0.6, 0.3]])
    np.testing.assert_allclose(top_k(LOGITS, 3).sum(axis=1), 1.0)


@pytest.mark.parametrize("k", [0, 4])
def test_top_k_outside_the_classes_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match="k lies in"):
        top_k(LOGITS, k)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="1 of 2 samples are not finite"):
        phi([[0.0, 1.0], [bad, 0.0]], [0, 1])


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ([0.0, 1.0], [0]),
        ([[1.0]], [0]),
        ([[0.0, 1.0]], [2]),
        ([[0.0, 1.0]], [-1]),
        ([[0.0, 1.0]], [0.0]),
        ([[0.0, 1.0]], [0, 1]),
    ],
)
def test_shapes_and_labels_that_do_not_fit_are_refused(logits: list, labels: list) -> None:
    with pytest.raises(ValueError):
        loss(logits, labels)


def test_no_samples_give_no_signals() -> None:
    empty = np.zeros((0, 4))
    assert phi(empty, np.zeros(0, int)).shape == (0,)
    assert modified_entropy(empty, np.zeros(0, int)).shape == (0,)
    assert top_k(empty, 2).shape == (0, 2)
