"""Relearning: whoever knows the samples still needs no step, and whoever never saw them needs the most."""

from __future__ import annotations

import numpy as np
import pytest

from mindleak.evaluation.signals import loss
from mindleak.training import in_place
from mindleak.training.loop import Predictor
from mindleak.training.unlearning import relearning
from mindleak.training.unlearning.relearning import Relearning
from training_setup import Linear, arrays, seeded, weights
from unlearning_setup import FORGET, RECIPE, Affine, one_hot


def known(network: object, rows: np.ndarray) -> float:
    x, y = arrays(40)
    return float(loss(Predictor(network)(x[rows]), y[rows]).mean())  # type: ignore[arg-type]


def test_what_is_known_still_takes_no_step() -> None:
    network, (x, y) = seeded(Linear), arrays(40)
    before = weights(network)
    found = Relearning().of(network, x, y, FORGET, RECIPE, 3, known(network, FORGET) + 1e-6)
    assert found.steps == 0 and found.reached and len(found.losses) == 1
    assert all(np.array_equal(value, before[name]) for name, value in weights(network).items())


def test_every_step_is_counted_and_is_one_of_the_recipes_optimiser() -> None:
    network, (x, y) = seeded(Linear), arrays(40)
    expected, truth, losses = Affine(network), one_hot(y[FORGET]), [known(network, FORGET)]
    for _ in range(4):
        expected = expected.step(x[FORGET], expected.errors(x[FORGET], truth), RECIPE.learning_rate)
        losses.append(expected.loss(x[FORGET], y[FORGET]))
    found = Relearning().of(network, x, y, FORGET, RECIPE, 3, losses[4] + 1e-5)
    assert found.steps == 4 and found.reached and expected.equals(network)
    assert found.losses == pytest.approx(losses, rel=1e-4)


def test_steps_within_a_pass_are_those_of_the_pass() -> None:
    x, y = arrays(40)
    small, rows = RECIPE.__class__(**{**RECIPE.as_dict(), "batch_size": 4}), np.arange(20)  # type: ignore[arg-type]
    network = seeded(Linear)
    found = Relearning(passes=2).of(network, x, y, rows, small, 3, 0.0)
    assert found.steps == 10 and not found.reached, "two passes of five steps"
    again = seeded(Linear)
    whole = Relearning(passes=1).of(again, x, y, rows, small, 3, 0.0)
    assert whole.steps == 5 and whole.losses == found.losses[:len(whole.losses)]


def test_an_instance_that_is_asked_again_gives_the_same() -> None:
    x, y = arrays(40)
    x.setflags(write=False)
    network, one = seeded(Linear), Relearning(passes=3)
    fresh = {parameter.name: parameter.asnumpy().copy() for parameter in network.get_parameters()}
    first = one.of(network, x, y, FORGET, RECIPE, 3, 0.0)
    for parameter in network.get_parameters():
        in_place.write(parameter, fresh[parameter.name])
    assert one.of(network, x, y, FORGET, RECIPE, 3, 0.0) == first


def test_relearning_that_runs_away_ends_and_counts_as_not_reached() -> None:
    x, y = arrays(40)
    wild = RECIPE.__class__(**{**RECIPE.as_dict(), "learning_rate": 1e30})  # type: ignore[arg-type]
    found = Relearning(passes=6).of(seeded(Linear), x, y, FORGET, wild, 3, 0.0)
    assert not found.reached and found.steps == 6 and np.isfinite(found.losses).all()


def test_looks_grow_and_end_at_the_last_step() -> None:
    looks = relearning._looks(100)
    assert looks[:5] == [1, 2, 3, 4, 5] and looks[-1] == 100
    assert all(later <= earlier * relearning.GROWTH + 1 for earlier, later in zip(looks, looks[1:]))
    assert relearning._looks(1) == [1]
