"""Classifiers that are no networks, by name: scikit-learn's trees, and K-means turned into a classifier.

The RNN tutorial names decision trees, random forests and K-means as further targets of its attack and defines none;
what is made of them here is said where it is made.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindleak.errors import InputError
from mindleak.settings.estimator import DECISION_TREE, KMEANS, RANDOM_FOREST

# K-means keeps the best of so many starts. On 216 digits the test accuracy has a standard deviation of 5.7 points over
# draws and seeds, with a single start 8.1: shadows should be like the subject.
RESTARTS = 10

# What of scikit-learn's compiled tree decides its answers.
_TREE = ("children_left", "children_right", "feature", "threshold", "value")


@dataclass(frozen=True)
class Kind:
    """One kind of model.

    Attributes:
        make: returns it before it is fitted, of the settings of the section ``estimator`` and a seed.
        learned: returns the arrays that decide its answers once it is fitted.
    """

    make: Callable[[Mapping[str, Any], int], Any]
    learned: Callable[[Any], list[np.ndarray]]


class KMeansClassifier:
    """K-means whose distances to the centroids stand for a posterior.

    K-means with ``centroids`` times as many centroids as there are classes, fitted to the images without their labels.
    A centroid has the label of most of its members, the lowest of several. The posterior of a class is the softmax of
    the negative Euclidean distances to all centroids, summed over those of the class:

        p(y|x) = Σ_{j: l_j = y} exp(−‖x − c_j‖) / Σ_j exp(−‖x − c_j‖)

    A class without a centroid of its own has the probability 0. Where all distances are short, as in small images, the
    posterior is flat, and a class with more centroids gains by that alone.

    Args:
        centroids: per class, on average.
        random_state: seed of the centroids' first places.

    Attributes:
        classes_: the labels that it was fitted to, sorted.
        centroids_: places of the centroids (k, pixels); one without members is left out.
        labels_: their labels (k,), as places in ``classes_``.
    """

    classes_: np.ndarray
    centroids_: np.ndarray
    labels_: np.ndarray
    n_features_in_: int

    def __init__(self, centroids: int, random_state: int) -> None:
        self._centroids = centroids
        self._random_state = random_state

    def fit(self, images: np.ndarray, labels: np.ndarray) -> KMeansClassifier:
        """Place the centroids among images (N, pixels) and give them labels; return itself."""
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        self.classes_, of_class = np.unique(labels, return_inverse=True)
        wanted = self._centroids * len(self.classes_)
        means = KMeans(wanted, n_init=RESTARTS, random_state=self._random_state)
        with warnings.catch_warnings():
            # Fewer different images than centroids: those without members are left out below.
            warnings.simplefilter("ignore", ConvergenceWarning)
            nearest = means.fit(images).labels_
        votes = np.zeros((wanted, len(self.classes_)), np.int64)
        np.add.at(votes, (nearest, of_class), 1)
        used = votes.sum(axis=1) > 0
        self.centroids_ = means.cluster_centers_[used].astype(np.float64)
        self.labels_ = votes[used].argmax(axis=1)
        self.n_features_in_ = images.shape[1]
        return self

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Return the posteriors (N, classes) of images (N, pixels)."""
        from sklearn.metrics import pairwise_distances

        closeness = -pairwise_distances(images.astype(np.float64), self.centroids_)
        weights = np.exp(closeness - closeness.max(axis=1, keepdims=True))
        return weights @ np.eye(len(self.classes_))[self.labels_] / weights.sum(axis=1, keepdims=True)


def _decision_tree(settings: Mapping[str, Any], seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_depth=settings["max_depth"], min_samples_leaf=settings["min_leaf"],
                                  random_state=seed)


def _random_forest(settings: Mapping[str, Any], seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(settings["trees"], max_depth=settings["max_depth"],
                                  min_samples_leaf=settings["min_leaf"], random_state=seed)


def _kmeans(settings: Mapping[str, Any], seed: int) -> Any:
    return KMeansClassifier(settings["centroids"], seed)


def _of_tree(model: Any) -> list[np.ndarray]:
    return [model.classes_, *(getattr(model.tree_, name) for name in _TREE)]


def _of_forest(model: Any) -> list[np.ndarray]:
    return [model.classes_, *(array for tree in model.estimators_ for array in _of_tree(tree))]


def _of_kmeans(model: KMeansClassifier) -> list[np.ndarray]:
    return [model.classes_, model.centroids_, model.labels_]


# The names are those of ``settings.estimator``.
ESTIMATORS = {DECISION_TREE: Kind(_decision_tree, _of_tree), RANDOM_FOREST: Kind(_random_forest, _of_forest),
              KMEANS: Kind(_kmeans, _of_kmeans)}


def fitted(name: str, settings: Mapping[str, Any], images: np.ndarray, labels: np.ndarray, seed: int) -> Any:
    """Return a classifier fitted to flat images, with ``classes_`` and ``predict_proba``; equal seeds give equal ones.

    Args:
        name: of ``ESTIMATORS``.
        settings: of the section ``estimator``.
        images: (N, …), as floats.
        labels: (N,).
        seed: everything random follows from it.

    Raises:
        InputError: the name is unknown.
    """
    if name not in ESTIMATORS:
        raise InputError(f"model '{name}' is unknown; expected one of {', '.join(ESTIMATORS)}")
    return ESTIMATORS[name].make(settings, seed).fit(images.reshape(len(images), -1), labels)


def learned(name: str, model: Any) -> list[np.ndarray]:
    """Return the arrays that a fitted classifier consists of: all that decides its answers, and nothing else.

    Args:
        name: of ``ESTIMATORS``.
        model: it, as ``fitted`` returns it.

    Example:
        >>> images, labels = np.array([[0.0], [1.0]]), np.array([0, 1])
        >>> model = fitted("kmeans", {"centroids": 1}, images, labels, seed=0)
        >>> classes, centroids, of_centroids = learned("kmeans", model)
        >>> sorted(zip(centroids[:, 0].tolist(), of_centroids.tolist()))
        [(0.0, 0), (1.0, 1)]
    """
    return ESTIMATORS[name].learned(model)
