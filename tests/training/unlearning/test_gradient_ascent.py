"""Gradient ascent: a step up the loss of the forgotten rows, and none beyond the bound."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mindleak.training.unlearning.gradient_ascent import GradientAscent
from training_setup import same, weights
from unlearning_setup import FORGET, RECIPE, Affine, one_hot, request


@pytest.mark.parametrize(("given", "rate"), [(None, 0.05), (0.5, 0.5)])
def test_one_step_is_the_one_worked_out_by_hand(given: float | None, rate: float) -> None:
    asked = request()
    before, x, y = Affine(asked.network), asked.x[FORGET], asked.y[FORGET]
    result = GradientAscent(passes=1, learning_rate=given).unlearn(asked)
    assert before.step(x, before.errors(x, one_hot(y)), -rate).equals(result.network)
    assert result.record == {"losses": pytest.approx([before.loss(x, y)], rel=1e-5), "steps": 1, "stopped": False}
    assert result.sample_epochs == 6.0


def test_there_is_no_step_from_a_loss_above_the_bound() -> None:
    asked = request()
    before, start = weights(asked.network), Affine(asked.network).loss(asked.x[FORGET], asked.y[FORGET])
    result = GradientAscent(passes=3, loss_bound=start - 0.01).unlearn(asked)
    assert same(weights(result.network), before)
    assert result.record == {"losses": [], "steps": 0, "stopped": True} and result.sample_epochs == 0


def test_ascent_stops_within_a_pass() -> None:
    recipe = dataclasses.replace(RECIPE, batch_size=2)
    asked = request(recipe=recipe)
    result = GradientAscent(passes=1000, learning_rate=1.0, loss_bound=4.0).unlearn(asked)
    steps = result.record["steps"]
    assert result.record["stopped"] and 3 < steps < 3000
    assert result.sample_epochs == pytest.approx(6 * steps / 3)
    # A step of rate 1 moves a loss by a few nats; without the bound 1,000 passes would move it by thousands.
    assert 2 < Affine(result.network).loss(asked.x[FORGET], asked.y[FORGET]) < 12


def test_the_loss_rises_from_pass_to_pass() -> None:
    losses = GradientAscent(passes=4, learning_rate=0.3).unlearn(request()).record["losses"]
    assert np.all(np.diff(losses) > 0)
