"""What every method keeps: in place, evaluation mode, deterministic, only rows of the request, refusals."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from typing import Any

import numpy as np
import pytest

from cases import slow_but, with_slow
from mindleak.errors import InputError, NotFiniteError
from mindleak.training import in_place
from mindleak.training.recipe import Recipe
from mindleak.training.unlearning.methods import METHODS
from mindleak.training.unlearning.unlearning import Unlearning, UnlearningRequest, UnlearningResult
from training_setup import Linear, same, seeded, weights
from unlearning_setup import FORGET, RETAINED, request

# Momentum and batches that do not divide the rows: what depends on state and order has to be right.
RECIPE = Recipe(batch_size=5, learning_rate=0.1)
GIVEN: dict[str, dict[str, Any]] = {
    "ssd": {"alpha": 1.1}, "sparse_fine_tune": {"sparsity": 0.5, "layers": ["dense.weight"]},
    "suppress_fine_tune": {"sparsity": 0.5, "suppress_passes": 4, "layers": ["dense.weight"]},
}


def method(name: str) -> Unlearning:
    return METHODS[name](**GIVEN.get(name, {}))


@cache
def first(name: str) -> tuple[dict[str, np.ndarray], UnlearningResult]:
    """Return a linear network's weights before, and the result; a result is looked at only."""
    network = seeded(Linear)
    network.set_train(True)
    before = weights(network)
    return before, method(name).unlearn(request(network, recipe=RECIPE))


@pytest.mark.parametrize("name", with_slow(METHODS, "scrub", "suppress_fine_tune"))
def test_the_network_is_changed_in_place_and_left_in_evaluation_mode(name: str) -> None:
    before, result = first(name)
    assert not result.network.training
    assert not same(weights(result.network), before) and list(weights(result.network)) == list(before)
    assert result.sample_epochs > 0 and result.asked >= 0
    json.dumps(result.record, allow_nan=False)


@pytest.mark.parametrize("name", slow_but(METHODS, "fine_tune", "bad_teacher", "ssd"))
def test_neither_the_order_of_rows_nor_rows_in_neither_set_count_to_the_bit(name: str) -> None:
    asked = request()
    x, y = asked.x.copy(), asked.y.copy()
    rest = np.setdiff1d(np.arange(40), np.concatenate([FORGET, RETAINED]))
    x[rest], y[rest] = np.nan, 2
    changed = request(asked.network, recipe=RECIPE, x=x, y=y, forget=FORGET[::-1],
                      retained=np.roll(RETAINED, 5).astype(np.int64))
    assert same(weights(method(name).unlearn(changed).network), weights(first(name)[1].network))


@pytest.mark.parametrize("name", slow_but(METHODS, "gradient_ascent", "scrub"))
def test_an_instance_asked_again_goes_on_with_its_graphs_and_gives_the_same_bits(name: str) -> None:
    asked = request(recipe=RECIPE)
    asked.x.setflags(write=False)
    start, unlearning = weights(asked.network), method(name)
    for seed in (4, 3):
        for parameter in asked.network.get_parameters():
            in_place.write(parameter, start[parameter.name])
        result = unlearning.unlearn(dataclasses.replace(asked, seed=seed))
        assert result.network is asked.network
        # A seed of its own only where something is drawn.
        assert same(weights(asked.network), weights(first(name)[1].network)) == (seed == 3 or name == "ssd")
    assert len(unlearning._shelf._kept) == 1


@pytest.mark.parametrize("name", slow_but(METHODS, "fine_tune", "ssd"))
def test_candidates_share_their_graphs_and_nothing_else(name: str) -> None:
    asked = request(recipe=RECIPE)
    asked.x.setflags(write=False)
    start, candidates = weights(asked.network), METHODS[name].candidates(RECIPE)
    if "layers" in GIVEN.get(name, {}):
        for each in candidates:
            each.layers = GIVEN[name]["layers"]  # type: ignore[attr-defined]
    for candidate in candidates:
        for parameter in asked.network.get_parameters():
            in_place.write(parameter, start[parameter.name])
        candidate.unlearn(asked)
        settings = {**candidate.settings(), **({"layers": GIVEN[name]["layers"]} if "layers" in candidate.settings()
                                               else {})}
        alone = METHODS[name](**settings).unlearn(request(seeded(Linear), recipe=RECIPE))
        assert same(weights(asked.network), weights(alone.network))
    assert len(candidates[0]._shelf._kept) == 1


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_where_it_comes_from_and_what_misleads(name: str) -> None:
    kind = METHODS[name]
    assert kind.name == name and "arXiv" in kind.source
    assert kind.traps.endswith(".") and "\n" not in kind.traps
    documentation = kind.__doc__ or ""
    assert all(part in documentation for part in ("Source:", "Traps:", "Args:", "Raises:", "Shape:", "Example:"))


@pytest.mark.parametrize(("changes", "message"), [
    ({"forget": np.array([], np.int64)}, "forget is empty; expected at least one row"),
    ({"retained": np.array([], np.int64)}, "retained is empty; expected at least one row"),
    ({"forget": np.array([3, 40])}, "forget has row 40; expected 0 to 39"),
    ({"retained": np.array([-1])}, "retained has row -1; expected 0 to 39"),
    ({"forget": np.array([1, 2, 2])}, "forget has row 2 2 times; expected every row once"),
    ({"forget": np.array([5, 6, 7])}, r"row 6 is both forgotten and retained \(2 such rows\); expected disjoint sets"),
    ({"forget": np.zeros(40, bool)}, r"forget is bool of shape \(40,\); expected whole numbers \(rows,\)"),
    ({"forget": np.array([[1]])}, r"forget is int64 of shape \(1, 1\); expected whole numbers"),
    ({"x": np.zeros((40, 6), np.float32)}, r"x is float32 of shape \(40, 6\); expected float32 \(N, channels,"),
    ({"x": np.zeros((40, 1, 2, 3))}, "x is float64 of shape"),
    ({"y": np.zeros(39, np.int32)}, r"y is int32 of shape \(39,\); expected int32 \(40,\)"),
    ({"y": np.zeros(40, np.int64)}, "y is int64 of shape"),
])
def test_what_is_no_request_is_refused(changes: dict[str, Any], message: str) -> None:
    asked = request(**changes)
    before = weights(asked.network)
    with pytest.raises(InputError, match=message):
        METHODS["fine_tune"]().unlearn(asked)
    assert same(weights(asked.network), before)


def test_weights_that_are_not_finite_before_are_refused() -> None:
    network = seeded(Linear)
    in_place.write(network.dense.bias, np.full(3, np.nan, np.float32))
    with pytest.raises(InputError, match=r"weights of the network are not finite \(3 of 3 in 'dense.bias'\)"):
        METHODS["ssd"]().unlearn(request(network))


@pytest.mark.parametrize(("name", "given", "lower"), [
    ("scrub", {"learning_rate": 1e38}, r"learning_rate \(now 1e\+38\)"),
])
def test_weights_that_are_not_finite_afterwards_are_refused(name: str, given: dict[str, Any], lower: str) -> None:
    with pytest.raises(NotFiniteError, match=rf"{name} leaves weights that are not finite \(.*\); lower {lower}"):
        METHODS[name](**given).unlearn(request())


class Breaking(Unlearning):
    """Writes infinity into the network, or reports a loss that is no number."""

    name, source, traps = "breaking", "none", "none"

    def __init__(self, weight: float, loss: float) -> None:
        super().__init__()
        self.weight, self.loss = weight, loss

    def _step(self, request: UnlearningRequest) -> str:
        return "strength (now 7)"

    def _unlearn(self, request: UnlearningRequest) -> UnlearningResult:
        parameter = request.network.trainable_params()[0]
        in_place.write(parameter, np.full(parameter.shape, self.weight, np.float32))
        return UnlearningResult(request.network, 1.0, record={"losses": [1.0, self.loss]})


@pytest.mark.parametrize(("weight", "loss", "message"), [
    (np.inf, 1.0, r"breaking leaves weights that are not finite \(18 of 18 in 'dense.weight'\); lower strength"),
    (1e9, np.nan, r"breaking meets losses that are not finite \(nan in pass 2\); lower strength \(now 7"),
])
def test_the_refusal_names_method_and_step(weight: float, loss: float, message: str) -> None:
    network = seeded(Linear)
    with pytest.raises(NotFiniteError, match=message):
        Breaking(weight, loss).unlearn(request(network))
    assert not network.training
