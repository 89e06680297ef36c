"""The compiled loop against arithmetic in NumPy, its modes, its order of batches, and the predictor."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mindspore import Tensor, nn

from cases import slow_but
from mindleak.errors import InputError
from mindleak.evaluation.signals import loss as cross_entropy
from mindleak.models.registry import build
from mindleak.training.loop import LoopTotals, Predictor, TrainingLoop, epoch_order, make_optimizer
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingData, TrainingRequest
from mindleak.training.trainer import Training
from training_setup import Linear, Stochastic, arrays, data, same, seeded, train, weights

BATCH = 8


class NumpyTraining:
    """Softmax regression in float64, with the update rules as their papers give them."""

    def __init__(self, start: dict[str, np.ndarray], recipe: Recipe) -> None:
        self.weights = [start["dense.weight"].astype(np.float64), start["dense.bias"].astype(np.float64)]
        self._recipe = recipe
        self._first = [np.zeros_like(value) for value in self.weights]
        self._second = [np.zeros_like(value) for value in self.weights]
        self._steps = 0

    def step(self, images: np.ndarray, labels: np.ndarray, rate: float) -> tuple[float, int]:
        x = images.reshape(len(images), -1).astype(np.float64)
        logits = x @ self.weights[0].T + self.weights[1]
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        error = (p - np.eye(p.shape[1])[labels]) / len(x)
        self._steps += 1
        for index, gradient in enumerate((error.T @ x, error.sum(axis=0))):
            self._update(index, gradient + self._recipe.weight_decay * self.weights[index], rate)
        return float(-np.log(p[np.arange(len(x)), labels]).mean()), int((logits.argmax(axis=1) == labels).sum())

    def _update(self, index: int, gradient: np.ndarray, rate: float) -> None:
        momentum = self._recipe.momentum
        if self._recipe.optimizer == "sgd":
            self.weights[index] -= rate * gradient
        elif self._recipe.optimizer == "adam":
            self._first[index] = 0.9 * self._first[index] + 0.1 * gradient
            self._second[index] = 0.999 * self._second[index] + 0.001 * gradient**2
            scale = np.sqrt(1 - 0.999**self._steps) / (1 - 0.9**self._steps)
            self.weights[index] -= rate * scale * self._first[index] / (np.sqrt(self._second[index]) + 1e-8)
        else:
            self._first[index] = momentum * self._first[index] + gradient
            nesterov = self._recipe.optimizer == "nesterov"
            self.weights[index] -= rate * (gradient + momentum * self._first[index] if nesterov else self._first[index])


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
def test_the_loop_takes_the_steps_that_numpy_takes(optimizer: str, weight_decay: float) -> None:
    recipe = Recipe(optimizer=optimizer, learning_rate=0.05, weight_decay=weight_decay, batch_size=BATCH)
    x, y = arrays()
    network = seeded(Linear)
    reference = NumpyTraining(weights(network), recipe)
    loop = TrainingLoop(network, make_optimizer(network, recipe), x, y)
    order = epoch_order(len(x), BATCH, 3, 1)
    totals = LoopTotals()
    for start, stop in ((0, 1), (1, 5)):
        expected = [reference.step(x[batch], y[batch], 0.05) for batch in order[start:stop]]
        before = dataclasses.replace(totals)
        loop.run(Tensor(order), start, stop, totals)
        assert totals.loss - before.loss == pytest.approx(sum(loss for loss, _ in expected), abs=1e-5)
        assert totals.correct - before.correct == sum(correct for _, correct in expected)
        for value, wanted in zip(weights(network).values(), reference.weights):
            np.testing.assert_allclose(value, wanted, atol=1e-5)
    assert totals.steps == 5


@pytest.mark.parametrize("schedule", ["step", "cosine", "plateau"])
def test_the_compiled_loop_uses_the_scheduled_learning_rate(schedule: str) -> None:
    recipe = Recipe(epochs=4, batch_size=BATCH, learning_rate=0.5, momentum=0.0, schedule=schedule, schedule_every=1,
                    schedule_factor=0.1, schedule_patience=1)
    result = train(recipe)
    x, y = arrays()
    reference = NumpyTraining(weights(seeded(Linear)), recipe)
    for record in result.history:
        steps = [reference.step(x[batch], y[batch], record.learning_rate)
                 for batch in epoch_order(len(x), BATCH, 5, record.epoch)]
        assert record.train_loss == pytest.approx(np.mean([loss for loss, _ in steps]), abs=1e-5)
        assert record.train_accuracy == sum(correct for _, correct in steps) / 40
    for value, wanted in zip(weights(result.network).values(), reference.weights):
        np.testing.assert_allclose(value, wanted, atol=1e-5)
    if schedule != "plateau":
        assert len({record.learning_rate for record in result.history}) == 4


def test_validation_figures_are_those_of_the_epochs_last_weights() -> None:
    result = train(Recipe(epochs=2, batch_size=BATCH))
    given = data()
    values = weights(result.network)
    logits = given.x_val.reshape(21, -1) @ values["dense.weight"].T + values["dense.bias"]
    assert result.history[-1].val_loss == pytest.approx(cross_entropy(logits, given.y_val).mean(), abs=1e-6)
    assert result.history[-1].val_accuracy == (logits.argmax(axis=1) == given.y_val).mean()


# --- order -------------------------------------------------------------------------------------------------


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**31), st.integers(1, 1000))
def test_an_epochs_batches_hold_each_sample_at_most_once(samples: int, batch: int, seed: int, epoch: int) -> None:
    order = epoch_order(samples, batch, seed, epoch)
    assert order.shape == (samples // batch, batch)
    assert order.dtype == np.int32
    assert len(np.unique(order)) == order.size
    assert order.size == 0 or (order.min() >= 0 and order.max() < samples)
    np.testing.assert_array_equal(order, epoch_order(samples, batch, seed, epoch))


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    first = epoch_order(100, 10, 1, 1)
    np.random.seed(4)
    np.testing.assert_array_equal(epoch_order(100, 10, 1, 1), first)
    assert set(first.ravel()) == set(range(100))
    for seed, epoch in ((1, 2), (2, 1)):
        assert not np.array_equal(epoch_order(100, 10, seed, epoch), first)


# --- training and evaluation mode --------------------------------------------------------------------------


def test_dropout_and_batch_statistics_work_in_the_loop_and_rest_in_the_predictor() -> None:
    x, y = arrays()
    network = seeded(Stochastic)
    loop = TrainingLoop(network, nn.SGD(network.trainable_params(), 0.0), x, y)
    order = Tensor(epoch_order(len(x), BATCH, 3, 1))
    before = weights(network)
    first, second = LoopTotals(), LoopTotals()
    loop.run(order, 0, 5, first)
    loop.run(order, 0, 5, second)
    # With a learning rate of 0 only Dropout can make two passes over the same batches differ.
    assert first.loss != second.loss
    assert not np.array_equal(weights(network)["norm.moving_mean"], before["norm.moving_mean"])
    np.testing.assert_array_equal(weights(network)["out.weight"], before["out.weight"])
    predict = Predictor(network)
    network.set_train(True)
    answers = predict(x)
    assert not any(cell.training for _, cell in network.cells_and_names())
    np.testing.assert_array_equal(predict(x), answers)
    after = weights(network)
    np.testing.assert_allclose(predict(x[:3]), predict(x)[:3], atol=1e-6)
    assert same(weights(network), after)
    normed = (x.reshape(40, -1) @ after["hidden.weight"].T + after["hidden.bias"] - after["norm.moving_mean"])
    normed = normed / np.sqrt(after["norm.moving_variance"] + 1e-5) * after["norm.gamma"] + after["norm.beta"]
    np.testing.assert_allclose(answers, normed @ after["out.weight"].T + after["out.bias"], atol=1e-5)


def test_training_leaves_the_network_in_evaluation_mode() -> None:
    result = train(Recipe(epochs=1, batch_size=BATCH), network=seeded(Stochastic))
    assert not any(cell.training for _, cell in result.network.cells_and_names())


# --- predictor ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 6, 7, 8, 14, 20])
def test_the_predictor_answers_for_every_image_once_and_in_order(samples: int) -> None:
    network = seeded(Linear)
    x, _ = arrays(samples)
    values = weights(network)
    answers = Predictor(network, batch_size=7)(x)
    assert answers.shape == (samples, 3)
    np.testing.assert_allclose(answers, x.reshape(samples, -1) @ values["dense.weight"].T + values["dense.bias"],
                               atol=1e-6)


def test_the_predictor_sees_weights_that_changed_after_it_was_compiled() -> None:
    network = seeded(Linear)
    x, y = arrays()
    predict = Predictor(network)
    before = predict(x)
    optimizer = make_optimizer(network, Recipe(learning_rate=1.0))
    TrainingLoop(network, optimizer, x, y).run(Tensor(epoch_order(40, BATCH, 0, 1)), 0, 5, LoopTotals())
    values = weights(network)
    after = predict(x)
    assert not np.allclose(before, after, atol=1e-2)
    np.testing.assert_allclose(after, x.reshape(40, -1) @ values["dense.weight"].T + values["dense.bias"], atol=1e-6)


@pytest.mark.parametrize("make", [lambda x: x[:, :, ::-1], lambda x: np.asfortranarray(x)], ids=["reversed", "fortran"])
def test_arrays_in_any_memory_layout_are_trained_on_as_they_read(make: object) -> None:
    x, y = arrays()
    laid_out = make(x)  # type: ignore[operator]
    laid_out.flags.writeable = False
    results = []
    for images in (laid_out, np.ascontiguousarray(laid_out)):
        network = seeded(Linear)
        loop = TrainingLoop(network, make_optimizer(network, Recipe()), images, y)
        loop.run(Tensor(epoch_order(40, BATCH, 0, 1)), 0, 5, LoopTotals())
        results.append(weights(network))
    assert same(*results)


# --- what stops a training ---------------------------------------------------------------------------------


def test_two_trainings_are_bit_identical_and_another_seed_gives_other_weights() -> None:
    recipe = Recipe(epochs=2, batch_size=BATCH, optimizer="adam", learning_rate=0.01)
    first, again, other = (weights(train(recipe, seed=seed).network) for seed in (5, 5, 6))
    assert same(first, again)
    assert not same(first, other)


@pytest.mark.parametrize(("name", "optimizer"), slow_but([("lenet5", "sgd"), ("lstm_rnn", "adam")],
                                                             ("lenet5", "sgd")))
def test_two_trainings_of_the_products_networks_are_bit_identical(name: str, optimizer: str) -> None:
    images = np.random.default_rng(0).random((256, 1, 28, 28), dtype=np.float32)
    labels = (np.arange(256) % 10).astype(np.int32)
    given = TrainingData(images, labels, images[:32], labels[:32], "noise")
    results = [Training.train(TrainingRequest(build(name, (1, 28, 28), 10, 1), given,
                                              Recipe(epochs=2, optimizer=optimizer), 5))
               for _ in range(2)]
    assert same(*(weights(result.network) for result in results))


def test_nesterov_and_momentum_are_not_the_same() -> None:
    recipes = (Recipe(epochs=1, batch_size=BATCH, optimizer=name) for name in ("momentum", "nesterov"))
    first, second = (weights(train(recipe).network) for recipe in recipes)
    assert np.abs(first["dense.weight"] - second["dense.weight"]).max() > 1e-3


def test_training_leaves_numpys_global_random_state_alone() -> None:
    np.random.seed(11)
    expected = np.random.random(3)
    np.random.seed(11)
    train(Recipe(epochs=1, batch_size=BATCH))
    np.testing.assert_array_equal(np.random.random(3), expected)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_loss_that_is_not_finite_stops_the_training(epochs: int) -> None:
    with pytest.raises(InputError, match=r"training diverged in epoch 1.*lower training.learning_rate \(now 1e\+38\)"):
        train(Recipe(epochs=epochs, batch_size=BATCH, learning_rate=1e38))


def test_weights_that_only_the_last_step_ruins_stop_the_training() -> None:
    # One step: its loss is that of the untouched weights.
    with pytest.raises(InputError, match="training diverged in epoch 1"):
        train(Recipe(epochs=1, batch_size=40, learning_rate=3e38, weight_decay=3e38))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(InputError, match="batch_size 41 is larger than the 40"):
        train(Recipe(batch_size=41))


def test_ctrl_c_between_two_calls_stops_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupted(loop: TrainingLoop, *arguments: object) -> None:
        calls.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingLoop, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Training.train(TrainingRequest(seeded(Linear), data(), Recipe(batch_size=BATCH), 0))
    assert len(calls) == 1
