"""FCNets trained side by side against the same ones trained one after the other by the ordinary loop."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindleak import device
from mindleak.models.fcnet import FCNet
from mindleak.training.loop import LoopTotals, Predictor, TrainingLoop
from mindleak.training.stacked import FCNetStack

ROWS, INPUTS, RATE = 300, 4, 0.01
# Per model: how many steps of which size an epoch has, and how many epochs it takes part in.
SHAPES = ((7, 10, 5), (3, 10, 5), (1, 4, 3), (20, 10, 1))


@pytest.fixture(autouse=True, scope="module")
def cpu() -> None:
    device.configure("CPU")


def networks() -> list[FCNet]:
    made = []
    for seed in range(len(SHAPES)):
        with device.seeded(seed):
            made.append(FCNet(INPUTS, 6))
    return made


def table() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, ROWS).astype(np.int32)
    return (generator.normal(size=(ROWS, INPUTS)) + targets[:, None]).astype(np.float32), targets


def batches(model: int, epoch: int) -> np.ndarray | None:
    steps, size, epochs = SHAPES[model]
    generator = np.random.default_rng([model, epoch])
    return generator.permutation(ROWS)[:steps * size].reshape(steps, size).astype(np.int32) if epoch < epochs else None


def alone(model: int, network: FCNet) -> np.ndarray:
    """The second logit minus the first on all rows, by a network that nobody is stacked with."""
    features, targets = table()
    loop = TrainingLoop(network, nn.Adam(network.trainable_params(), RATE), features, targets)
    for epoch in range(5):
        order = batches(model, epoch)
        if order is not None:
            loop.run(Tensor(order), 0, len(order), LoopTotals())
    logits = Predictor(network)(features)
    return logits[:, 1] - logits[:, 0]


def test_every_model_ends_as_if_it_had_been_trained_alone() -> None:
    features, targets = table()
    stack = FCNetStack(networks(), features, targets, RATE)
    before = [stack.margins(model, features) for model in range(len(SHAPES))]
    for epoch in range(5):
        stack.epoch([batches(model, epoch) for model in range(len(SHAPES))])
    for model, network in enumerate(networks()):
        margins = stack.margins(model, features)
        np.testing.assert_allclose(margins, alone(model, network), atol=2e-4)
        assert np.abs(margins - before[model]).max() > 0.02, "it has learnt something"


def test_a_stack_starts_with_the_networks_own_answers() -> None:
    features, targets = table()
    stack = FCNetStack(networks(), features, targets, RATE)
    for model, network in enumerate(networks()):
        logits = Predictor(network)(features)
        np.testing.assert_allclose(stack.margins(model, features), logits[:, 1] - logits[:, 0], atol=1e-6)


def test_a_resting_model_does_not_move() -> None:
    stack = FCNetStack(networks(), *table(), RATE)
    stack.epoch([batches(model, 0) for model in range(len(SHAPES))])
    before = stack.weights.copy()
    stack.epoch([batches(0, 1), None, None, None])
    np.testing.assert_array_equal(stack.weights[1:], before[1:])
    assert not np.array_equal(stack.weights[0], before[0])
