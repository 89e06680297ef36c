"""Classifiers that are no networks: what K-means makes of distances, and that equal seeds give equal models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mindleak.errors import InputError
from mindleak.models.estimators import ESTIMATORS, KMeansClassifier, fitted, learned
from mindleak.runs.digest import stable_hash
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
    models = [fitted(name, DEFAULTS, images, labels[:300], seed) for seed in (1, 1, 2)]
    first, again, other = (model.predict_proba(digits[300:] / 16) for model in models)
    assert first.tobytes() == again.tobytes()
    assert not np.array_equal(first, other)
    same, as_same, unlike = (stable_hash(learned(name, model)) for model in models)
    assert same == as_same != unlike


def followed(tree: list[np.ndarray], images: np.ndarray) -> np.ndarray:
    """Probabilities by the arrays of a tree alone."""
    left, right, feature, threshold, value = tree
    at = np.zeros(len(images), int)
    while (left[at] >= 0).any():
        goes_left = images[np.arange(len(images)), np.maximum(feature[at], 0)] <= threshold[at]
        at = np.where(left[at] < 0, at, np.where(goes_left, left[at], right[at]))
    return value[at, 0] / value[at, 0].sum(axis=1, keepdims=True)


def of_forest(arrays: list[np.ndarray], images: np.ndarray) -> np.ndarray:
    """Probabilities by the arrays of a forest alone: each tree has its classes and five arrays."""
    return np.mean([followed(arrays[start + 1:start + 6], images) for start in range(1, len(arrays), 6)], axis=0)


def of_kmeans(arrays: list[np.ndarray], images: np.ndarray) -> np.ndarray:
    model = KMeansClassifier(1, 0)
    model.classes_, model.centroids_, model.labels_ = arrays
    return model.predict_proba(images)


@pytest.mark.parametrize(("name", "answers"), [
    ("decision_tree", lambda arrays, images: followed(arrays[1:], images)), ("random_forest", of_forest),
    ("kmeans", of_kmeans)])
def test_the_learned_arrays_decide_all_answers(
        name: str, answers: Callable[[list[np.ndarray], np.ndarray], np.ndarray]) -> None:
    digits, labels = load_digits(return_X_y=True)
    images: Any = (digits / 16).astype(np.float32)
    model = fitted(name, {**DEFAULTS, "min_leaf": 4}, images[:300], labels[:300], 0)
    np.testing.assert_allclose(answers(learned(name, model), images[300:]), model.predict_proba(images[300:]),
                               rtol=1e-12, atol=1e-15)


def test_names_are_those_that_the_configuration_knows() -> None:
    assert tuple(ESTIMATORS) == settings.ESTIMATORS
    with pytest.raises(InputError, match="model 'kmean' is unknown; expected one of decision_tree"):
        fitted("kmean", DEFAULTS, HEAPS, LABELS, 0)
