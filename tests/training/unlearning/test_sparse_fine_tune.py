"""Pruning, then fine-tuning: which weights go, that they stay away, and the step of the rest."""

from __future__ import annotations

import numpy as np
import pytest

from mindleak.errors import InputError
from mindleak.training.unlearning.sparse_fine_tune import SparseFineTune
from training_setup import weights
from unlearning_setup import RETAINED, Affine, one_hot, request

LAYERS = [{"name": "dense.weight", "min_num": 3}]


def test_one_step_is_the_one_worked_out_by_hand() -> None:
    asked = request()
    pruned, x, y = Affine(asked.network), asked.x[RETAINED], asked.y[RETAINED]
    kept = np.abs(pruned.weight) > np.sort(np.abs(pruned.weight), axis=None)[8]
    pruned.weight = pruned.weight * kept
    expected = pruned.step(x, pruned.errors(x, one_hot(y)), 0.5)
    expected.weight = expected.weight * kept
    result = SparseFineTune(sparsity=0.5, passes=1, layers=LAYERS).unlearn(asked)
    assert expected.equals(result.network)
    assert result.record["sparsity"]["overall"] == 0.5 and result.record["sparsity"]["layers"][0]["zeros"] == 9
    assert result.sample_epochs == 24.0


def test_zeros_stay_over_further_passes() -> None:
    result = SparseFineTune(sparsity=0.5, passes=5, layers=LAYERS).unlearn(request())
    assert (weights(result.network)["dense.weight"] == 0).sum() == 9


def test_a_layer_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="prune.layers"):
        SparseFineTune(layers=["dense.wait"]).unlearn(request())
