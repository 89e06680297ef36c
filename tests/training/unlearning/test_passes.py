"""Passes: which rows a batch has, what they weigh, and what a step does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import slow_but
from mindleak.training import in_place
from mindleak.training.loop import Predictor, epoch_order, make_optimizer
from mindleak.training.recipe import Recipe
from mindleak.training.unlearning.passes import LEARN, Objective, Passes, batches, classes_of, log_probabilities
from training_setup import Linear, Stochastic, arrays, seeded, train, weights
from unlearning_setup import Affine, one_hot


@given(st.integers(1, 70), st.integers(1, 20), st.integers(0, 5), st.integers(1, 5))
def test_every_row_is_taken_once(count: int, size: int, seed: int, number: int) -> None:
    rows = np.arange(100, 100 + count, dtype=np.int32)
    places, shares = batches(rows, size, seed, number)
    assert places.dtype == np.int32 and shares.dtype == np.float32
    assert sorted(places[shares > 0]) == list(rows) and set(places.ravel()) <= set(rows)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    assert places.shape[1] <= size and places.size - count < places.shape[1]


def test_whole_batches_are_those_of_a_training() -> None:
    places, shares = batches(np.arange(40, dtype=np.int32), 8, 5, 2)
    assert np.array_equal(places, epoch_order(40, 8, 5, 2)) and np.all(shares == np.float32(1 / 8))


@pytest.mark.parametrize("optimizer", slow_but(["sgd", "momentum", "nesterov", "adam"], "momentum"))
def test_a_pass_over_all_rows_is_an_epoch_of_training(optimizer: str) -> None:
    recipe = Recipe(epochs=2, batch_size=8, optimizer=optimizer, learning_rate=0.05)
    expected = weights(train(recipe, seed=5).network)
    network, (x, y) = seeded(Linear), arrays(40)
    passes = Passes(network, make_optimizer(network, recipe), x, 8)
    for number in (1, 2):
        passes.run(LEARN, np.arange(40, dtype=np.int32), (5, number), y)
    for name, value in weights(network).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6)


def test_what_fills_a_batch_up_weighs_nothing() -> None:
    network, (x, y) = seeded(Linear), arrays(40)
    rows = np.arange(5, dtype=np.int32)
    order, _ = batches(rows, 3, 0, 1)
    expected = Affine(network)
    for batch in (order[0], order[1][:2]):
        expected = expected.step(x[batch], expected.errors(x[batch], one_hot(y[batch])), 0.5)
    recipe = Recipe(optimizer="sgd", learning_rate=0.5)
    totals = Passes(network, make_optimizer(network, recipe), x, 3).run(LEARN, rows, (0, 1), y)
    assert totals.steps == 2 and expected.equals(network)


def test_the_mean_loss_is_that_before_the_step() -> None:
    network, (x, y) = seeded(Linear), arrays(40)
    before = Affine(network)
    passes = Passes(network, make_optimizer(network, Recipe(optimizer="sgd")), x, 64)
    totals = passes.run(LEARN, np.arange(10, dtype=np.int32), (0, 1), y)
    assert totals.loss == pytest.approx(before.loss(x[:10], y[:10]), rel=1e-5)


def test_a_restart_forgets_the_optimisers_state() -> None:
    recipe, (x, y) = Recipe(batch_size=8, learning_rate=0.1), arrays(40)
    rows = np.arange(40, dtype=np.int32)
    results = []
    network = seeded(Linear)
    passes = Passes(network, make_optimizer(network, recipe), x, 8)
    for _ in range(2):
        for parameter, start in zip(network.get_parameters(), seeded(Linear).get_parameters()):
            in_place.write(parameter, start.asnumpy())
        passes.restart(0.2)
        passes.run(LEARN, rows, (1, 1), y)
        results.append(weights(network))
    assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0])


def test_kl_is_zero_at_the_teacher_and_larger_elsewhere() -> None:
    network, (x, y) = seeded(Linear), arrays(40)
    rows = np.arange(12, dtype=np.int32)
    imitate = Objective(divergence=1.0)
    passes = Passes(network, make_optimizer(network, Recipe(optimizer="sgd", learning_rate=1e-9)), x, 64)
    own = log_probabilities(passes.predict, x, rows)
    other = log_probabilities(Predictor(seeded(Linear, 8)), x, rows)
    assert passes.run(imitate, rows, (0, 1), y, own).loss == pytest.approx(0, abs=1e-6)
    expected = (np.exp(other[:12]) * (other[:12] - own[:12])).sum(axis=1).mean()
    assert passes.run(imitate, rows, (0, 1), y, other).loss == pytest.approx(expected, rel=1e-4)


def test_log_probabilities_stand_at_their_rows() -> None:
    network, (x, _) = seeded(Linear), arrays(40)
    rows = np.array([3, 17], np.int32)
    table = log_probabilities(Predictor(network), x, rows)
    assert table.shape == (40, 3) and table.dtype == np.float32 and np.all(np.delete(table, rows, axis=0) == 0)
    np.testing.assert_allclose(table[rows], Affine(network).log_probabilities(x[rows]), rtol=1e-5)


def test_classes_are_those_of_the_network_and_asking_changes_nothing() -> None:
    network, (x, _) = seeded(Stochastic), arrays(40)
    network.set_train(True)
    before = weights(network)
    assert classes_of(network, x) == 3
    assert all(np.array_equal(before[name], value) for name, value in weights(network).items())
