"""Registered networks on their native kernels, and networks of the user's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mindspore import nn

from cases import slow_but
from mindleak.models.base import by_operators
from mindleak.models.registry import build
from mindleak.training.recipe import Recipe
from mindleak.training.unlearning.methods import METHODS
from mindleak.training.unlearning.unlearning import UnlearningRequest
from training_setup import CLASSES, Stochastic, arrays, seeded, weights
from unlearning_setup import FORGET, RETAINED

RECIPE = Recipe(batch_size=10, learning_rate=0.05)
SHAPES: dict[str, tuple[int, int, int]] = {"lenet5": (1, 16, 16), "lstm_rnn": (1, 8, 8)}
OPTIONS: dict[str, dict[str, Any]] = {"lenet5": {"width": 0.3}, "lstm_rnn": {"hidden_size": 8}}


def made(name: str, seed: int) -> nn.Cell:
    return build(name, SHAPES[name], CLASSES, seed, OPTIONS[name])


def request(name: str, network: nn.Cell) -> UnlearningRequest:
    generator = np.random.default_rng(0)
    x = generator.random((40, *SHAPES[name])).astype(np.float32)
    return UnlearningRequest(network, x, generator.integers(0, CLASSES, 40).astype(np.int32), FORGET, RETAINED, RECIPE,
                             1, lambda seed: made(name, seed))


@pytest.mark.parametrize("name", slow_but(SHAPES, "lstm_rnn"))
def test_kernels_and_operators_forget_alike_by_another_loss_than_cross_entropy(name: str) -> None:
    results = []
    for network in (made(name, 3), by_operators(made(name, 3))):
        before = weights(network)
        METHODS["bad_teacher"](passes=2, learning_rate=0.5).unlearn(request(name, network))
        results.append(weights(network))
        assert any(not np.allclose(before[key], value, atol=1e-4) for key, value in weights(network).items())
    for key, value in results[0].items():
        np.testing.assert_allclose(value, results[1][key], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SHAPES)
def test_every_method_takes_a_registered_network(name: str, method: str) -> None:
    given = {"sparse_fine_tune": {"sparsity": 0.3}, "suppress_fine_tune": {"sparsity": 0.3, "suppress_passes": 6}}
    network = made(name, 3)
    METHODS[method](**given.get(method, {})).unlearn(request(name, network))
    assert list(weights(network)) == list(weights(made(name, 3))) and not network.training


@pytest.mark.parametrize("method", ["scrub", "ssd"])
def test_a_network_with_batch_statistics_and_without_a_name_is_taken(method: str) -> None:
    network, (x, y) = seeded(Stochastic, dropout=0.0), arrays(40)
    before = weights(network)
    result = METHODS[method]().unlearn(UnlearningRequest(network, x, y, FORGET, RETAINED, RECIPE, 1,
                                                         lambda seed: seeded(Stochastic, seed)))
    after = weights(result.network)
    # Dampening takes no steps, so nothing of a batch gets into the statistics.
    moved = not np.array_equal(before["norm.moving_mean"], after["norm.moving_mean"])
    assert moved == (method == "scrub")
