"""On real digits that a network knows by heart: who raises the loss on the forgotten ones, and what that costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mindspore import nn

from mindleak.data.catalogue import load
from mindleak.evaluation.signals import loss
from mindleak.models.registry import build
from mindleak.training import in_place
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingData, TrainingRequest
from mindleak.training.trainer import Training
from mindleak.training.unlearning.methods import METHODS
from mindleak.training.unlearning.unlearning import UnlearningRequest
from training_setup import weights

RECIPE = Recipe(epochs=30, batch_size=20, optimizer="adam", learning_rate=0.01)
# Of 300 rows that are trained on, one in ten is forgotten.
TRAINED, FORGET = np.arange(300), np.arange(0, 300, 10)


def fresh(seed: int) -> nn.Cell:
    return build("lstm_rnn", (1, 8, 8), 10, seed, {"hidden_size": 32})


class Digits:
    """An LSTM-RNN trained once on 300 digits, and what it answers after every method."""

    def __init__(self) -> None:
        self.data = load("digits")
        self.data.x_train.setflags(write=False)
        self.network = fresh(1)
        training = TrainingData(self.data.x_train, self.data.y_train, self.data.x_test, self.data.y_test, "", TRAINED)
        self.predict = Training.train(TrainingRequest(self.network, training, RECIPE, 1)).predict
        self.trained = weights(self.network)
        self.before = self.measured()

    def measured(self) -> tuple[float, float]:
        """Return the mean loss on the forgotten rows and the accuracy on the test split."""
        forgotten = loss(self.predict(self.data.x_train[FORGET]), self.data.y_train[FORGET]).mean()
        return float(forgotten), float((self.predict(self.data.x_test).argmax(axis=1) == self.data.y_test).mean())

    def after(self, name: str, **given: Any) -> tuple[float, float]:
        for parameter in self.network.get_parameters():
            in_place.write(parameter, self.trained[parameter.name])
        METHODS[name](**given).unlearn(UnlearningRequest(
            self.network, self.data.x_train, self.data.y_train, FORGET, np.setdiff1d(TRAINED, FORGET), RECIPE, 2,
            fresh))
        return self.measured()


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits()


def test_the_digits_are_known_by_heart(digits: Digits) -> None:
    assert digits.before[0] < 0.01 and digits.before[1] > 0.85


@pytest.mark.parametrize(("name", "given"), [
    ("gradient_ascent", {"passes": 20, "loss_bound": 1.0}), ("random_labels", {"passes": 5}),
    ("scrub", {"passes": 12, "max_passes": 10, "learning_rate": 0.01}), ("bad_teacher", {"passes": 5}),
])
def test_the_forgotten_digits_are_known_less(digits: Digits, name: str, given: dict[str, Any]) -> None:
    forgotten, accuracy = digits.after(name, **given)
    assert forgotten > 4 * digits.before[0]
    assert accuracy > 0.5


@pytest.mark.parametrize(("name", "given"), [
    ("fine_tune", {"passes": 3, "learning_rate": 0.001}), ("sparse_fine_tune", {"sparsity": 0.5}),
    pytest.param("ssd", {"alpha": 10.0}, marks=pytest.mark.slow),
])
def test_the_network_stays_good(digits: Digits, name: str, given: dict[str, Any]) -> None:
    _, accuracy = digits.after(name, **given)
    assert accuracy > digits.before[1] - 0.05
