"""Suppression, then fine-tuning: the weights of both parts one after the other, and zeros that stay."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mindleak.errors import InputError
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingData, TrainingRequest
from mindleak.training.suppress.graph import SuppressTraining
from mindleak.training.suppress.settings import SuppressSettings
from mindleak.training.unlearning.passes import batches
from mindleak.training.unlearning.suppress_fine_tune import SuppressFineTune
from training_setup import Linear, seeded, weights
from unlearning_setup import RETAINED, Affine, one_hot, request

LAYERS = ["dense.weight"]


def test_a_suppress_training_is_followed_by_a_step_with_its_zeros_held() -> None:
    asked = request(recipe=Recipe(batch_size=6, optimizer="sgd", learning_rate=0.5))
    network, x, y = seeded(Linear), asked.x, asked.y
    recipe = dataclasses.replace(asked.recipe, method="suppress", epochs=4)
    data = TrainingData(x, y, x[RETAINED], y[RETAINED], "", RETAINED)
    SuppressTraining.train(TrainingRequest(network, data, recipe, asked.seed,
                                           SuppressSettings(0.5, start_epoch=1, mask_times=16, layers=LAYERS)))
    expected = Affine(network)
    kept = np.abs(expected.weight) > 1e-7
    order, _ = batches(RETAINED.astype(np.int32), 6, asked.seed, 1)
    for rows in order:
        expected = expected.step(x[rows], expected.errors(x[rows], one_hot(y[rows])), 0.5)
        expected.weight *= kept
    result = SuppressFineTune(sparsity=0.5, suppress_passes=4, passes=1, layers=LAYERS).unlearn(asked)
    assert 0 < (~kept).sum() < kept.size and np.array_equal(weights(result.network)["dense.weight"] != 0, kept)
    assert expected.equals(result.network)
    assert result.sample_epochs == 4 * 24 + 24
    assert result.record["sparsity"]["layers"][0]["zeros"] == (~kept).sum()


def test_a_suppression_that_does_not_get_there_is_refused() -> None:
    with pytest.raises(InputError, match="suppress.mask_times 1 in 4 steps from epoch 1 on"):
        SuppressFineTune(sparsity=0.9, suppress_passes=4, updates=1, layers=LAYERS).unlearn(
            request(recipe=Recipe(batch_size=24)))
