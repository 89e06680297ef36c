"""Schedule and mask updates against MindArmour's controller, driven by hand with the same weights and noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mindspore import Tensor, nn, ops

from cases import slow_but
from mindleak.models.registry import build
from mindleak.quiet import import_mindarmour, mindarmour_call, numpy_state
from mindleak.training.suppress.masks import (
    LARGE_LAYER,
    LayerUpdate,
    NoiseStream,
    Schedule,
    update_by_threshold,
    update_masks,
)
from mindleak.training.suppress.settings import MaskLayer, SuppressSettings, mask_layers

RATE, SEED, STEPS, EPOCHS = 0.05, 11, 10, 4


def controller_for(network: nn.Cell, layers: list[MaskLayer], chosen: SuppressSettings, epochs: int = EPOCHS,
                   steps: int = STEPS) -> Any:
    """MindArmour's controller as the tutorial makes it."""
    import_mindarmour()
    from mindarmour.privacy.sup_privacy import MaskLayerDes, SuppressPrivacyFactory

    positions = {parameter.name: index for index, parameter in enumerate(network.trainable_params())}
    described = [MaskLayerDes(layer.name, positions[layer.name], layer.add_noise, layer.lower_clip, layer.min_num,
                              layer.upper_bound) for layer in layers]
    return SuppressPrivacyFactory().create(
        network, described, policy="local_train", end_epoch=epochs, batch_num=steps, start_epoch=chosen.start_epoch,
        mask_times=chosen.mask_times, lr=RATE, sparse_end=chosen.sparse_end, sparse_start=chosen.sparse_start)


def theirs(controller: Any, network: nn.Cell, names: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mask and de-weight term by layer, as MindArmour's training step would read them."""
    positions = dict(zip(names, range(len(names))))
    cells = {name: (controller.grads_mask_list[place], controller.de_weight_mask_list[place])
             for name, place in positions.items()}
    return {name: (mask()[1].asnumpy(), term()[1].asnumpy()) for name, (mask, term) in cells.items() if mask()[0]}


class Walk:
    """Weights that move as in a training: at random, and where masked towards zero."""

    def __init__(self, network: nn.Cell, scale: float, decimals: int | None) -> None:
        self._generator = np.random.default_rng(3)
        self._decimals = decimals
        self.values = {parameter.name: self._rounded(self._generator.normal(0, scale, parameter.shape))
                       for parameter in network.trainable_params()}

    def _rounded(self, values: np.ndarray) -> np.ndarray:
        return (values if self._decimals is None else values.round(self._decimals)).astype(np.float32)

    def step(self, masks: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
        for name, weight in self.values.items():
            mask, term = masks.get(name, (np.float32(1), np.float32(0)))
            gradient = self._generator.normal(0, 0.2, weight.shape).astype(np.float32)
            moved = weight - np.float32(RATE) * (gradient * mask + term)
            # Rounding makes ties; the residue of a cancelled weight is kept.
            self.values[name] = np.where(mask > 0, self._rounded(moved), moved).astype(np.float32)


def replay(network: nn.Cell, layers: list[MaskLayer], chosen: SuppressSettings, scale: float = 0.3,
           decimals: int | None = None) -> Iterator[tuple[int, LayerUpdate | None, np.ndarray, np.ndarray]]:
    """Go through a training's steps on both sides; yield (step, our change, their mask, their term) per layer."""
    names = [parameter.name for parameter in network.trainable_params()]
    walk, noise = Walk(network, scale, decimals), NoiseStream(SEED)
    schedule = Schedule(chosen, EPOCHS, STEPS)
    dead = {layer.name: np.zeros(walk.values[layer.name].shape, bool) for layer in layers}
    with mindarmour_call(SEED):
        controller = controller_for(network, layers, chosen)
        held = list(network.trainable_params())
        for step in range(1, EPOCHS * STEPS + 1):
            epoch, place = (step - 1) // STEPS + 1, (step - 1) % STEPS + 1
            for parameter, name in zip(held, names):
                ops.assign(parameter, Tensor(walk.values[name]))
            controller.update_status(epoch, step, place)
            assert controller.to_do_mask == (step in schedule.updates), step
            changed: dict[str, LayerUpdate] = {}
            if controller.to_do_mask:
                controller.update_mask(network, step)
                assert controller.cur_sparse == schedule.sparsity(step)
                changed = update_masks(layers, names[0], walk.values, dead, schedule.sparsity(step), noise)
            elif controller.mask_started:
                controller.reset_zeros()
            read = theirs(controller, network, names)
            for layer in layers:
                update = changed.get(layer.name)
                if update is not None:
                    dead[layer.name] = update.dead
                np.testing.assert_array_equal(read[layer.name][0], (~dead[layer.name]).astype(np.float32))
                yield step, update, *read[layer.name]
            walk.step(read)


def lenet() -> nn.Cell:
    return build("lenet5", (1, 32, 32), 10, 1)


def lstm() -> nn.Cell:
    return build("lstm_rnn", (1, 16, 16), 10, 3, {"hidden_size": 64})


def lstm_with_a_large_first_layer() -> nn.Cell:
    return build("lstm_rnn", (1, 28, 28), 10, 3, {"hidden_size": 96})


WEIGHTS = {"usual": (0.3, None), "large": (1.0, None), "small": (0.01, None), "ties": (0.3, 1)}
UPDATES = [(make, kind) for kind in WEIGHTS for make in (lenet, lstm, lstm_with_a_large_first_layer)]


@pytest.mark.parametrize(("make", "kind"), slow_but(
    UPDATES, (lenet, "usual"), (lstm, "ties"), (lstm_with_a_large_first_layer, "large"), (lenet, "small")))
def test_every_update_is_mindarmours_bit_for_bit(make: Any, kind: str) -> None:
    network, (scale, decimals) = make(), WEIGHTS[kind]
    layers = mask_layers(network, "auto")
    chosen = SuppressSettings(sparse_end=0.9, start_epoch=2, mask_times=10)
    updates = noisy = 0
    for _, update, _, term in replay(network, layers, chosen, scale, decimals):
        expected = np.zeros_like(term) if update is None else update.term(RATE)
        np.testing.assert_array_equal(term, expected)
        updates += update is not None
        noisy += 0 if update is None else int((~update.dead & (update.removal != 0)).sum())
    assert updates > 5
    assert noisy > 0 or decimals is not None or scale < 0.1


def test_floors_clipping_and_bounds_are_mindarmours_too() -> None:
    network = lenet()
    layers = [MaskLayer("conv1.weight", 100, False, True, 0.3), MaskLayer("conv2.weight", 1500, True, True, 0.4),
              MaskLayer("fc1.weight", 30_000), MaskLayer("fc2.weight", 5_000, True, False, 1),
              MaskLayer("fc3.weight", 800)]
    chosen = SuppressSettings(sparse_end=0.95, sparse_start=0.1, start_epoch=1, mask_times=12)
    last: dict[int, int] = {}
    for _, update, mask, term in replay(network, layers, chosen):
        np.testing.assert_array_equal(term, np.zeros_like(term) if update is None else update.term(RATE))
        last[mask.size] = int((mask == 0).sum())
    assert last == {150: 50, 2400: 900, 48_000: pytest.approx(18_000, abs=200), 10_080: 5_080, 840: 40}


def test_a_collapsed_first_layer_leaves_all_masks_alone() -> None:
    network = lenet()
    layers = mask_layers(network, "auto")
    weights = {parameter.name: parameter.asnumpy() for parameter in network.trainable_params()}
    dead = {layer.name: np.zeros(weights[layer.name].shape, bool) for layer in layers}
    weights["conv1.weight"] = np.full_like(weights["conv1.weight"], 0.0199)
    assert update_masks(layers, "conv1.weight", weights, dead, 0.5, NoiseStream(0)) == {}
    # Without the first layer among the masked ones, nothing is collapsed.
    assert len(update_masks(layers[1:], "conv1.weight", weights, dead, 0.5, NoiseStream(0))) == 4


@settings(max_examples=60, deadline=None)
@given(start=st.integers(1, 6), more=st.integers(0, 4), steps=st.integers(1, 40), share=st.floats(0.001, 1),
       sparse=st.tuples(st.floats(0, 0.4), st.floats(0.5, 0.99)))
def test_the_schedule_is_mindarmours(start: int, more: int, steps: int, share: float,
                                     sparse: tuple[float, float]) -> None:
    epochs = start + more
    times = max(1, round(share * (more + 1) * steps))
    chosen = SuppressSettings(sparse[1], sparse[0], start, times)
    schedule = Schedule(chosen, epochs, steps)
    # Not a whole ``mindarmour_call``: collecting the garbage of a process with MindSpore takes half a second each time.
    with numpy_state(0):
        controller = controller_for(nn.Dense(3, 2), [MaskLayer("weight")], chosen, epochs, steps)
    due = []
    for step in range(1, epochs * steps + 1):
        controller.update_status((step - 1) // steps + 1, step, (step - 1) % steps + 1)
        if controller.to_do_mask:
            due.append(step)
            controller.update_mask(nn.CellList([]), step)
            assert controller.cur_sparse == schedule.sparsity(step)
    assert list(schedule.updates) == due


def test_the_tutorials_schedule() -> None:
    schedule = Schedule(SuppressSettings(), 10, 1875)
    assert len(schedule.updates) == 1001
    assert schedule.updates[:2] == (3751, 3766)
    assert schedule.updates[-2:] == (18736, 18748)
    assert schedule.sparsity(3751) == 0.0
    assert schedule.sparsity(18748) == pytest.approx(0.95, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**40), parts=st.lists(st.integers(0, 50), max_size=6))
def test_the_noise_can_be_taken_up_where_it_was_left(seed: int, parts: list[int]) -> None:
    whole = NoiseStream(seed).draw(sum(parts))
    drawn, pieces = 0, []
    for part in parts:
        stream = NoiseStream(seed, drawn)
        pieces.append(stream.draw(part))
        drawn = stream.drawn
    np.testing.assert_array_equal(np.concatenate([*pieces, []]), whole)
    state = np.random.RandomState(seed % 2**32)
    np.testing.assert_array_equal(whole, [state.uniform(-0.1, 0.1) for _ in range(sum(parts))])


def test_an_update_depends_on_weights_masks_sparsity_and_seed_only() -> None:
    # Every process of a data-parallel job holds the same weights, so it gets the same masks.
    network = lenet()
    layers = mask_layers(network, "auto")
    weights = Walk(network, 0.3, None).values
    dead = {layer.name: np.zeros(weights[layer.name].shape, bool) for layer in layers}
    first = update_masks(layers, "conv1.weight", weights, dead, 0.5, NoiseStream(4))
    np.random.seed(1)
    copies = {name: value.copy() for name, value in weights.items()}
    second = update_masks([replace(layer) for layer in layers], "conv1.weight", copies, dead, 0.5, NoiseStream(4))
    assert first.keys() == second.keys() == set(dead)
    for name, update in first.items():
        np.testing.assert_array_equal(update.dead, second[name].dead)
        np.testing.assert_array_equal(update.removal, second[name].removal)
    other = update_masks(layers, "conv1.weight", weights, dead, 0.5, NoiseStream(5))
    assert any(not np.array_equal(first[name].removal, other[name].removal) for name in first)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.integers(-6, 6), min_size=3, max_size=60), dead=st.integers(0, 20), count=st.integers(1, 59))
def test_a_large_layers_threshold_is_the_kth_distinct_magnitude(values: list[int], dead: int, count: int) -> None:
    weights = np.array(values, np.float32)
    gone = np.zeros(len(values), bool)
    gone[:dead] = True
    weights[gone] = 0
    missing = count - int(gone.sum())
    if missing <= 0:
        return
    update = update_by_threshold(weights, gone, count)
    candidates = sorted({abs(float(value)) for value in weights[~gone]} if gone.any() else np.abs(weights).tolist())
    rank = min(missing, len(candidates) - 1)
    if rank <= 0 or (gone.any() and candidates[rank - 1] == 0):
        assert update is None
    else:
        assert update is not None
        np.testing.assert_array_equal(update.dead, np.abs(weights) <= candidates[rank - 1])


def test_what_counts_as_a_large_layer() -> None:
    network = lenet()
    sizes = {parameter.name: parameter.size for parameter in network.trainable_params()}
    assert sizes["fc1.weight"] > LARGE_LAYER
    assert sizes["fc2.weight"] == 10_080
    # The first parameter is ranked one by one however large it is.
    weights = {"a": np.linspace(1, 2, 12_000, dtype=np.float32)}
    dead = {"a": np.zeros(12_000, bool)}
    ranked = update_masks([MaskLayer("a")], "a", weights, dead, 0.25, NoiseStream(0))["a"]
    assert ranked.dead.sum() == 3_000
    assert ranked.removal.dtype == np.float64
