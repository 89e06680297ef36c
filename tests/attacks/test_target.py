"""What may be asked of networks and of scikit-learn estimators, and attacks on estimators, which have no gradient."""

from __future__ import annotations

import doctest
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from mindspore import nn
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from mindleak import device
from mindleak.attacks import target as targets
from mindleak.attacks.membership import Lira, MetricAttack, model_signals, stacked
from mindleak.attacks.target import GRADIENTS, LAYERS, LOGITS, SMALLEST, EstimatorTarget, NetworkTarget, require
from mindleak.data.digits import read_digits
from mindleak.errors import InputError
from mindleak.evaluation.roc import auc
from mindleak.models import registry
from mindleak.training.loop import Predictor

POOL, REFERENCES = 600, 8


@pytest.fixture(autouse=True, scope="module")
def cpu() -> None:
    device.configure("CPU")


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """60 of the embedded digits of each class, in [0, 1], class by class, and their labels."""
    data = read_digits(tuple("0123456789"))
    rows = np.concatenate([np.flatnonzero(data.y_train == label)[:POOL // 10] for label in range(10)])
    return (data.x_train[rows] / 16).astype(np.float32), data.y_train[rows]


def tree(seed: int) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(random_state=seed)


def forest(seed: int) -> RandomForestClassifier:
    return RandomForestClassifier(30, random_state=seed)


def stump(seed: int) -> DecisionTreeClassifier:
    """A tree that never finds a split worth making."""
    return DecisionTreeClassifier(min_impurity_decrease=1.0, random_state=seed)


def areas(make: Any, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """AUCs of two attacks on an estimator that was trained on half of the pool, with others like it as references."""
    generator = np.random.default_rng(0)
    halves = generator.permuted(np.tile(np.arange(REFERENCES) < REFERENCES // 2, (POOL, 1)), axis=1).T
    # Half of every class, or the frequency of a class alone would tell its members.
    target = np.concatenate([generator.permutation(POOL // 10) < POOL // 20 for _ in range(10)])
    keep = np.concatenate([halves, [target]])
    rows = images.reshape(POOL, -1)
    models = [EstimatorTarget(make(seed).fit(rows[inside], labels[inside]), num_classes=10)
              for seed, inside in enumerate(keep)]
    logits = np.stack([model.logits(images) for model in models])
    signals = [model_signals(each, labels) for each in logits]
    found = {"loss": MetricAttack("loss").attack(logits[-1], logits[:-1], labels),
             "lira": Lira("offline").attack(signals[-1], stacked(signals[:-1], keep[:-1]))}
    return {name: float(auc(scores.target, keep[-1]).value) for name, scores in found.items()}


def test_the_members_of_an_overfitted_tree_are_told_from_others(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    found = areas(tree, images, labels)
    # It is right for every member and wrong for a quarter of the others: sure answers tell no more than that.
    assert found["loss"] > 0.57 and found["lira"] > 0.6


def test_the_members_of_a_forest_are_told_better_still(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    found = areas(forest, images, labels)
    assert found["loss"] > 0.8 and found["lira"] > 0.8


def test_a_stump_that_learnt_nothing_gives_nobody_away(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    # Four standard errors of an area on 300 of each.
    assert all(abs(area - 0.5) < 4 * (6 * POOL / 2) ** -0.5 for area in areas(stump, images, labels).values())


def test_logits_of_an_estimator_are_logarithms_of_its_probabilities() -> None:
    images = np.random.default_rng(0).random((30, 1, 2, 2)).astype(np.float32)
    labels = np.arange(30) % 3
    model = LogisticRegression().fit(images.reshape(30, -1), labels)
    expected = model.predict_proba(images.reshape(30, -1))
    np.testing.assert_allclose(np.exp(EstimatorTarget(model).logits(images)), expected)


def test_probabilities_of_nought_and_one_have_finite_logits() -> None:
    images = np.linspace(0, 1, 4, dtype=np.float32).reshape(4, 1, 1, 1)
    model = EstimatorTarget(DecisionTreeClassifier().fit(images.reshape(4, 1), [0, 0, 1, 1]))
    np.testing.assert_array_equal(model.logits(images)[0], [0.0, np.log(SMALLEST)])
    assert np.isfinite(model_signals(model.logits(images), [0, 0, 1, 1]).phi).all()


class Shuffled:
    """An estimator that lists its classes in another order, as a user's own may."""

    classes_ = np.array([2, 0, 1])

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return np.tile([0.5, 0.2, 0.3], (len(rows), 1))


def test_columns_follow_the_classes() -> None:
    answers = EstimatorTarget(Shuffled()).logits(np.zeros((2, 1, 1, 1), np.float32))
    np.testing.assert_allclose(np.exp(answers), [[0.2, 0.3, 0.5]] * 2)


def fitted(labels: list[Any]) -> DecisionTreeClassifier:
    return DecisionTreeClassifier().fit(np.arange(len(labels))[:, None], labels)


@pytest.mark.parametrize("estimator, classes, message", [
    (fitted([0, 1, 3]), None, r"classes_ of DecisionTreeClassifier is \[0, 1, 3\]; expected 0 to 2, each of them"),
    (fitted([1, 2]), None, r"is \[1, 2\]; expected 0 to 1"),
    (fitted([0, 1]), 3, r"is \[0, 1\]; expected 0 to 2"),
    (fitted(["a", "b"]), None, r"is \['a', 'b'\]; expected 0 to 1"),
    (fitted([0, 0]), None, r"is \[0\]; expected two classes or more"),
    (fitted([[0, 1], [1, 0]]), None, "expected 0 to 1"),
    (DecisionTreeClassifier(), None, "DecisionTreeClassifier is not fitted; expected one with classes_"),
    (SVC().fit([[0], [1]], [0, 1]), None, "SVC has no predict_proba; expected a classifier that gives probabilities"),
])
def test_estimators_without_a_column_for_every_class_are_refused(estimator: Any, classes: int | None,
                                                                 message: str) -> None:
    with pytest.raises(InputError, match=message):
        EstimatorTarget(estimator, classes)


class Wrong(Shuffled):
    """An estimator whose probabilities are whatever it is given."""

    def __init__(self, value: float, columns: int = 3) -> None:
        self.value = value
        self.columns = columns

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return np.full((len(rows), self.columns), self.value)


@pytest.mark.parametrize("estimator, message", [
    (Wrong(np.nan), "probabilities of Wrong have 6 values of 6 that are not finite"),
    (Wrong(-0.5), "probabilities of Wrong lie in -0.5 to -0.5; expected 0 to 1"),
    (Wrong(2.0), "probabilities of Wrong lie in 2 to 2; expected 0 to 1"),
    (Wrong(0.5, 2), r"predict_proba of Wrong gives shape \(2, 2\); expected \(2, 3\)"),
])
def test_what_is_no_probability_is_refused(estimator: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EstimatorTarget(estimator).logits(np.zeros((2, 1, 1, 1), np.float32))


@pytest.mark.parametrize("images, message", [
    (np.zeros((2, 4), np.float32), r"images have shape \(2, 4\); DecisionTreeClassifier takes \(N, channels, "),
    (np.zeros((2, 1, 2, 2), np.float32), "images have 4 pixels; DecisionTreeClassifier takes 1"),
    (np.full((2, 1, 1, 1), 16.0), "images lie in 16 to 16; expected pixels in 0 to 1"),
    (np.full((2, 1, 1, 1), np.nan), "images have 2 values of 2 that are not finite"),
])
def test_images_that_an_estimator_cannot_take_are_refused(images: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EstimatorTarget(fitted([0, 1])).logits(images)


def test_what_a_target_does_not_offer_is_refused() -> None:
    estimator, images = EstimatorTarget(fitted([0, 1])), np.zeros((1, 1, 1, 1), np.float32)
    require(estimator, {LOGITS})
    with pytest.raises(InputError, match="DecisionTreeClassifier offers logits; expected also gradients"):
        require(estimator, {LOGITS, GRADIENTS})
    with pytest.raises(InputError, match="offers logits; expected also layers and gradients"):
        require(estimator, {GRADIENTS, LAYERS})
    with pytest.raises(InputError, match="offers logits; expected also layers"):
        estimator.layer("fc1", images)
    with pytest.raises(InputError, match="offers logits; expected also gradients"):
        estimator.differentiable("fc1")


def test_a_network_offers_logits_layers_and_their_gradients() -> None:
    network = registry.build("lenet5", (1, 16, 16), 10, 0)
    images = np.random.default_rng(0).random((3, 1, 16, 16)).astype(np.float32)
    target = NetworkTarget(network)
    require(target, {LOGITS, LAYERS, GRADIENTS})
    np.testing.assert_array_equal(target.logits(images), Predictor(network)(images))
    np.testing.assert_array_equal(target.layer("logits", images), target.logits(images))
    np.testing.assert_array_equal(target.layer("fc1", images), Predictor(target.differentiable("fc1"))(images))
    with pytest.raises(InputError, match="layer 'fc9' does not exist in LeNet5"):
        target.layer("fc9", images)
    with pytest.raises(InputError, match=r"images have shape \(3, 1, 15, 16\); LeNet5 takes \(N, 1, 16, 16\)"):
        target.logits(images[:, :, 1:])


class NotFinite(nn.Cell):
    """A network that divides by the mean of an image."""

    def construct(self, x: Any) -> Any:
        return x.reshape((x.shape[0], -1)) / x.mean()


def test_answers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="logits of NotFinite have 4 values of 4 that are not finite"):
        NetworkTarget(NotFinite()).logits(np.zeros((1, 1, 2, 2), np.float32))


def test_attacks_on_estimators_load_no_framework() -> None:
    code = ("import sys; from mindleak.attacks.membership import Lira; from mindleak.attacks.target import "
            "EstimatorTarget; print('mindspore' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_examples_run_as_they_stand() -> None:
    done = doctest.testmod(targets)
    assert done.attempted > 0 and done.failed == 0
