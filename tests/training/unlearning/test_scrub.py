"""SCRUB: max-steps and min-steps by hand, and their order."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mindleak.errors import InputError
from mindleak.training.unlearning.scrub import Scrub
from training_setup import Linear, seeded, weights
from unlearning_setup import FORGET, RETAINED, Affine, one_hot, request


def test_a_max_step_is_followed_by_a_min_step() -> None:
    """The very first max-step has a gradient of zero: there the network is the original. So three passes."""
    asked = request(seeded(Linear, 12))
    rate, alpha, gamma = 0.5, 0.3, 0.8
    original = step = Affine(asked.network)
    x_forget, x, y = asked.x[FORGET], asked.x[RETAINED], asked.y[RETAINED]
    far, near = np.exp(original.log_probabilities(x_forget)), np.exp(original.log_probabilities(x))
    for number in range(3):
        if number < 2:
            step = step.step(x_forget, step.errors(x_forget, far), -rate)
        step = step.step(x, alpha * step.errors(x, near) + gamma * step.errors(x, one_hot(y)), rate)
    result = Scrub(passes=3, max_passes=2, learning_rate=rate, alpha=alpha, gamma=gamma).unlearn(asked)
    assert step.equals(result.network)
    assert (result.sample_epochs, result.asked) == (2 * 6 + 3 * 24, 30.0)
    assert len(result.record["losses"]) == 3 and len(result.record["divergences"]) == 2
    assert result.record["divergences"][0] == pytest.approx(0, abs=1e-6) and result.record["divergences"][1] > 0


def test_a_min_step_without_labels_keeps_the_network_where_it_is() -> None:
    asked = request()
    before = weights(asked.network)
    Scrub(passes=1, max_passes=1, gamma=0.0).unlearn(asked)
    for name, value in weights(asked.network).items():
        np.testing.assert_allclose(value, before[name], atol=1e-6)


def test_both_kinds_of_step_share_the_optimiser() -> None:
    """With momentum a min-step goes on in the direction of the max-steps before it."""
    momentum = dataclasses.replace(request().recipe, optimizer="momentum", momentum=0.9)
    plain, heavy = (Scrub(passes=2, max_passes=2, learning_rate=0.1).unlearn(request(recipe=recipe)).network
                    for recipe in (request().recipe, momentum))
    assert not np.allclose(weights(plain)["dense.weight"], weights(heavy)["dense.weight"], atol=1e-4)


@pytest.mark.parametrize(("given", "message"), [
    ({"passes": 2, "max_passes": 3}, r"max_passes is 3; expected at most passes \(2\)"),
    ({"alpha": 0.0, "gamma": 0.0}, "alpha and gamma are 0; expected one of them above 0"),
    ({"alpha": -1.0}, "alpha is -1.0; expected a finite number from 0 on"),
])
def test_what_could_not_work_is_refused(given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Scrub(**given)
