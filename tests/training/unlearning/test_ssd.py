"""Selective synaptic dampening: which weights are dampened, and by how much."""

from __future__ import annotations

import numpy as np
import pytest

from mindleak.training.unlearning.ssd import SelectiveSynapticDampening
from training_setup import Linear, seeded, weights
from unlearning_setup import FORGET, RETAINED, Affine, one_hot, request


def importances(network: Affine, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    errors = np.square(network.errors(x, one_hot(y)))
    return errors.T @ np.square(x.reshape(len(x), -1).astype(np.float64)) / len(x)


def test_dampened_weights_are_those_worked_out_by_hand() -> None:
    asked = request(seeded(Linear, 12))
    before = Affine(asked.network)
    rows = np.concatenate([FORGET, RETAINED])
    own = importances(before, asked.x[FORGET], asked.y[FORGET])
    overall = importances(before, asked.x[rows], asked.y[rows])
    expected = before.weight.copy()
    selected = own > 1.2 * overall
    expected[selected] *= np.minimum(0.5 * overall / own, 1)[selected]
    assert 0 < selected.sum() < selected.size
    result = SelectiveSynapticDampening(alpha=1.2, dampening=0.5).unlearn(asked)
    np.testing.assert_allclose(weights(asked.network)["dense.weight"], expected, rtol=1e-4)
    assert result.record["dampened_by_parameter"]["dense.weight"] == pytest.approx(selected.mean())
    assert (result.sample_epochs, result.asked) == (30.0, 0.0)


def test_a_weight_is_never_made_larger() -> None:
    method = SelectiveSynapticDampening(alpha=0.5, dampening=10.0)
    factors = method.factors(np.array([1.0, 1.0, 0.0, 20.0]), np.array([1.0, 3.0, 0.0, 1.0]))
    np.testing.assert_allclose(factors, [1.0, 1.0, 1.0, 0.5])


def test_an_alpha_that_selects_nothing_changes_nothing() -> None:
    asked = request()
    before = weights(asked.network)
    result = SelectiveSynapticDampening(alpha=1e6).unlearn(asked)
    assert result.record["dampened"] == 0
    assert all(np.array_equal(before[name], value) for name, value in weights(asked.network).items())
