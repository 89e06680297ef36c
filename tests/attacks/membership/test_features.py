"""Features of the improved attack: known values, invariance under the order of hidden units, calibration by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindleak.attacks.membership.features import (
    CALIBRATED,
    CLIP,
    GROUPS,
    Calibration,
    Observation,
    Scaler,
    checked_features,
    group_matrix,
    hidden_description,
    known_rows,
    layer_description,
    out_calibration,
)
from mindleak.errors import InputError
from mindleak.evaluation import signals

LOGITS = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]]))
LABELS = np.array([0, 1])


def seen(**more: object) -> Observation:
    return Observation(LOGITS, LABELS, **more)


def test_groups_of_the_answer_have_known_values() -> None:
    np.testing.assert_allclose(group_matrix("posterior", seen()), [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
    np.testing.assert_allclose(group_matrix("top3", seen()), [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]])
    np.testing.assert_allclose(group_matrix("loss", seen()), -np.log([[0.7], [0.6]]))
    # docs/methods.md: .16217; the other row has y = 1.
    expected = -(0.4 * np.log(0.6) + 0.1 * np.log(0.9) + 0.3 * np.log(0.7))
    np.testing.assert_allclose(group_matrix("modified_entropy", seen()), [[0.16217], [expected]], atol=1e-5)
    np.testing.assert_allclose(group_matrix("phi", seen()), np.log([[0.7 / 0.3], [0.6 / 0.4]]))
    wrong = Observation(LOGITS, np.array([0, 2]))
    np.testing.assert_array_equal(group_matrix("correct", wrong), [[1.0], [0.0]])


def test_two_classes_have_two_largest_probabilities() -> None:
    assert group_matrix("top3", Observation(LOGITS[:, :2], LABELS)).shape == (2, 2)


def test_features_stay_finite_where_the_posterior_has_saturated() -> None:
    sure = Observation(LOGITS * 1e4, LABELS)
    for name in ("posterior", "top3", "loss", "modified_entropy", "phi", "correct"):
        assert np.isfinite(group_matrix(name, sure)).all(), name
    # 1e4 (ln .7 - ln .2), the third class being nothing beside the second: not a probability rounded to 1.
    assert group_matrix("phi", sure)[0, 0] == pytest.approx(1e4 * np.log(3.5))


@pytest.mark.parametrize("name", ["calibrated", "hidden", "activations"])
def test_a_group_that_was_not_observed_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the observation has no"):
        group_matrix(name, seen())


def test_names_are_checked_and_brought_into_one_order() -> None:
    assert checked_features(["phi", "posterior", "phi"]) == ("posterior", "phi")
    with pytest.raises(InputError, match="membership.improved.features: 'posteriors' is unknown; did you mean 'post"):
        checked_features(["posteriors"])
    with pytest.raises(InputError, match="membership.improved.features is empty"):
        checked_features([])


def test_difficulty_is_the_mean_over_models_that_lack_the_sample_and_are_not_the_observed_one() -> None:
    logits = np.stack([LOGITS * factor for factor in (1.0, 2.0, 3.0)])
    trained = np.array([[True, False], [False, False], [False, True]])
    values = signals.phi(LOGITS, LABELS)
    phis = [signals.phi(each, LABELS) for each in logits]
    subject = out_calibration(logits, LABELS, trained)
    np.testing.assert_array_equal(subject.models, [2, 2])
    np.testing.assert_allclose(subject.phi, [(phis[1][0] + phis[2][0]) / 2, (phis[0][1] + phis[1][1]) / 2])
    own = out_calibration(logits, LABELS, trained, left_out=1)
    np.testing.assert_array_equal(own.models, [1, 1])
    np.testing.assert_allclose(own.phi, [phis[2][0], phis[0][1]])
    np.testing.assert_allclose(own.loss, [signals.loss(logits[2], LABELS)[0], signals.loss(logits[0], LABELS)[1]])
    found = group_matrix(CALIBRATED, seen(calibration=own))
    np.testing.assert_allclose(found[:, 0], values - own.phi)
    np.testing.assert_allclose(found[:, 1], signals.loss(LOGITS, LABELS) - own.loss)
    np.testing.assert_allclose(found[:, 2], own.phi)
    assert not trained[1].any(), "what was handed in is left as it was"


def test_a_sample_that_every_other_model_was_trained_on_is_not_known() -> None:
    trained = np.array([[False, True], [True, False]])
    calibration = out_calibration(np.stack([LOGITS, LOGITS]), LABELS, trained, left_out=0)
    np.testing.assert_array_equal(calibration.models, [0, 1])
    assert np.isnan(calibration.phi[0]) and np.isfinite(calibration.phi[1])
    observation = seen(calibration=calibration)
    np.testing.assert_array_equal(known_rows(observation, ("posterior", CALIBRATED)), [False, True])
    np.testing.assert_array_equal(known_rows(observation, ("posterior",)), [True, True])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 2**31))
def test_the_order_of_hidden_units_changes_nothing(units: int, classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    hidden, population = generator.normal(size=(30, units)), generator.normal(size=(50, units))
    labels, labels_z = generator.integers(0, classes, 30), generator.integers(0, classes, 50)
    order = generator.permutation(units)
    before = hidden_description(hidden, labels, population, labels_z)
    after = hidden_description(hidden[:, order], labels, population[:, order], labels_z)
    assert before.shape == (30, 27) and np.isfinite(before).all()
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer_description(hidden[:, order]), layer_description(hidden), rtol=1e-4, atol=1e-6)


def test_a_layer_is_described_by_known_numbers() -> None:
    outputs = np.array([[[0.0, 3.0], [4.0, 1.0]]])
    expected = [[2.0, np.sqrt(2.5), np.sqrt(6.5), 0.0, 4.0, 0.25]]
    np.testing.assert_allclose(layer_description(outputs), expected, rtol=1e-6)
    hidden = hidden_description(np.array([[3.0, 4.0]]), np.array([0]), np.array([[0.0, 4.0], [3.0, 0.0]]),
                                np.array([0, 1]))[0]
    np.testing.assert_allclose(hidden[[0, 8, 16]], [3.0, 3.5, 4.0])
    np.testing.assert_allclose(hidden[17:23], [3.5, 0.5, 0.0, 1.0, 3.5, np.sqrt(12.5)], atol=1e-6)
    np.testing.assert_allclose(hidden[23:], [3.0, 4.0, 1.0, 0.8], rtol=1e-6)


def test_a_class_without_population_and_dead_units_stay_finite() -> None:
    described = hidden_description(np.zeros((4, 3)), np.array([0, 1, 2, 5]), np.zeros((2, 3)), np.array([0, 0]))
    assert np.isfinite(described).all()


def test_standardising_uses_the_rows_it_was_made_from_alone() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(5.0, 3.0, size=(1000, 2))
    scaler = Scaler.of(rows)
    scaled = scaler(rows)
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), 1.0, atol=1e-6)
    shifted = scaler(rows + 3.0)
    np.testing.assert_allclose(shifted.mean(axis=0), 3.0 / rows.std(axis=0), rtol=1e-5)
    assert scaler(np.array([[1e9, -1e9]])).tolist() == [[CLIP, -CLIP]]


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_constant_feature_is_zero_and_no_division_by_nothing(value: float) -> None:
    scaler = Scaler.of(np.full((777, 1), value))
    np.testing.assert_allclose(scaler(np.full((3, 1), value)), 0.0, atol=1e-6)


def test_no_group_can_see_who_is_a_member() -> None:
    assert "members" not in {field for part in (Observation, Calibration) for field in part.__dataclass_fields__}
    assert set(GROUPS) == {"posterior", "top3", "loss", "modified_entropy", "phi", "correct", "calibrated", "hidden",
                           "activations"}
