"""Classifiers that are no networks: what K-means makes of distances, and that equal seeds give equal models."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mindleak.errors import InputError
from mindleak.models.estimators import ESTIMATORS, KMeansClassifier, fitted
from mindleak.settings import estimator as settings

DEFAULTS = {"max_depth": None, "min_leaf": 1, "trees": 5, "centroids": 2}
# Three heaps on a line: two of class 0, one of class 1 with a stray 0.
HEAPS = np.array([[0.0], [0.0], [1.0], [1.0], [5.0], [5.0], [5.0]])
LABELS = np.array([0, 0, 0, 0, 1, 1, 0])


def test_a_posterior_is_the_softmax_of_negative_distances_summed_over_a_class() -> None:
    model = KMeansClassifier(1, 0)
    model.classes_, model.labels_ = np.arange(2), np.array([0, 1, 0])
    model.centroids_ = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    near, middle, far = np.exp(-0.0), np.exp(-5.0), np.exp(-10.0)
    whole = near + middle + far
    np.testing.assert_allclose(model.predict_proba(np.zeros((1, 2), np.float32)),
                               [[(near + far) / whole, middle / whole]], rtol=1e-12)


def test_centroids_have_the_label_of_most_of_their_members() -> None:
    model = KMeansClassifier(1, 0).fit(HEAPS, LABELS)
    assert sorted(zip(model.centroids_[:, 0].tolist(), model.labels_.tolist())) == [(0.5, 0), (5.0, 1)]


def test_of_several_labels_that_are_as_common_a_centroid_has_the_lowest() -> None:
    model = KMeansClassifier(1, 0).fit(np.array([[0.0], [0.0], [9.0], [9.0]]), np.array([3, 1, 3, 3]))
    assert model.classes_.tolist() == [1, 3]
    assert dict(zip(model.centroids_[:, 0].tolist(), model.labels_.tolist())) == {0.0: 0, 9.0: 1}


def test_centroids_without_members_are_left_out_in_silence(recwarn: pytest.WarningsRecorder) -> None:
    model = KMeansClassifier(2, 0).fit(HEAPS, LABELS)
    assert len(model.centroids_) == len(model.labels_) == 3 and not recwarn.list
    assert model.predict_proba(HEAPS).sum(axis=1) == pytest.approx(1.0)


def test_a_class_without_a_centroid_has_no_probability() -> None:
    model = KMeansClassifier(1, 0).fit(HEAPS, np.array([0, 0, 0, 0, 0, 0, 1]))
    assert model.predict_proba(HEAPS).tolist() == [[1.0, 0.0]] * 7


def test_far_images_have_finite_posteriors() -> None:
    model = KMeansClassifier(1, 0).fit(HEAPS, LABELS)
    assert model.predict_proba(np.array([[1e6]])).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_equal_seeds_give_equal_models_and_others_do_not(name: str) -> None:
    digits, labels = load_digits(return_X_y=True)
    images = digits[:300].reshape(300, 1, 8, 8).astype(np.float32) / 16
    first, again, other = (fitted(name, DEFAULTS, images, labels[:300], seed).predict_proba(digits[300:] / 16)
                           for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert not np.array_equal(first, other)


def test_names_are_those_that_the_configuration_knows() -> None:
    assert tuple(ESTIMATORS) == settings.ESTIMATORS
    with pytest.raises(InputError, match="model 'kmean' is unknown; expected one of decision_tree"):
        fitted("kmean", DEFAULTS, HEAPS, LABELS, 0)
