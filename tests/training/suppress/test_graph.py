"""The compiled suppress engine: whole runs against MindArmour's classes, resume, and optimisers that these refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn

from cases import slow_but
from mindleak.errors import InputError
from mindleak.models.registry import build
from mindleak.quiet import import_mindarmour
from mindleak.training.checkpoint import CheckpointFolder, read
from mindleak.training.history import EpochPrinter
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingData, TrainingRequest, TrainingResult
from mindleak.training.suppress import graph
from mindleak.training.suppress.graph import SuppressTraining
from mindleak.training.suppress.masks import Schedule
from mindleak.training.suppress.settings import SuppressSettings
from mindleak.training.suppress.sparsity import ZERO
from mindleak.training.trainer import Training
from suppress_setup import digits, named
from training_setup import data, quiet, same, weights

SEED = 5
RECIPE = Recipe(method="suppress", epochs=6, batch_size=16, learning_rate=0.1)
# Every three steps from the seventh on; 36 in all.
SETTINGS = SuppressSettings(start_epoch=2, mask_times=10, sparse_end=0.9)


def lenet() -> nn.Cell:
    """One with a layer of 48,000 weights, some weights that get noise, and more to learn from than deviation .02."""
    network = build("lenet5", (1, 32, 32), 10, 1)
    for parameter in network.trainable_params():
        factor = {"fc2.weight": 8, "conv1.weight": 8}.get(parameter.name, 4)
        parameter.set_data(Tensor(parameter.asnumpy() * factor))
    return network


def lstm() -> nn.Cell:
    return build("lstm_rnn", (1, 16, 16), 10, 3, {"hidden_size": 64})


def train(network: nn.Cell, given: TrainingData, recipe: Recipe = RECIPE, settings: SuppressSettings = SETTINGS,
          folder: Path | None = None, printer: EpochPrinter | None = None, resume: bool = False) -> TrainingResult:
    checkpoints = None if folder is None else CheckpointFolder(folder, "net", len(given.x) // recipe.batch_size)
    return SuppressTraining.train(TrainingRequest(network, given, recipe, SEED, settings,
                                                  printer=printer or quiet(), checkpoints=checkpoints,
                                                  resume=resume))


# --- against MindArmour ------------------------------------------------------------------------------------

Moment = dict[str, tuple[np.ndarray, np.ndarray]]  # by layer: weights at an update, and which are dead after it


def watch_ours(monkeypatch: pytest.MonkeyPatch) -> list[Moment]:
    seen: list[Moment] = []
    update_masks = graph.update_masks

    def watched(layers: Any, first: str, values: Any, dead: Any, *others: Any) -> Any:
        copies = {name: value.copy() for name, value in values.items()}
        changed = update_masks(layers, first, values, dead, *others)
        seen.append({name: (copies[name], changed[name].dead if name in changed else dead[name]) for name in copies})
        return changed

    monkeypatch.setattr(graph, "update_masks", watched)
    return seen


def watch_theirs(monkeypatch: pytest.MonkeyPatch) -> list[Moment]:
    import_mindarmour()
    from mindarmour.privacy.sup_privacy import SuppressCtrl

    seen: list[Moment] = []
    update_mask = SuppressCtrl.update_mask

    def watched(controller: Any, network: nn.Cell, step: int) -> None:
        copies = {parameter.name.removeprefix("networks."): (parameter.asnumpy().copy(), place)
                  for parameter, place in zip(network.get_parameters(), controller.grad_idx_map) if place >= 0}
        update_mask(controller, network, step)
        seen.append({name: (value, controller.grads_mask_list[place]()[1].asnumpy() <= 0)
                     for name, (value, place) in copies.items()})

    monkeypatch.setattr(SuppressCtrl, "update_mask", watched)
    return seen


@pytest.mark.parametrize(("make", "shape"), slow_but([(lenet, (1, 32, 32)), (lstm, (1, 16, 16))], (lenet, (1, 32, 32))))
def test_a_whole_run_is_mindarmours(monkeypatch: pytest.MonkeyPatch, make: Callable[[], nn.Cell],
                                    shape: tuple[int, int, int]) -> None:
    given, ours, theirs = digits(shape), make(), make()
    our_updates, their_updates = watch_ours(monkeypatch), watch_theirs(monkeypatch)
    report = train(ours, given).record["sparsity"]
    reference = train(theirs, given, settings=replace(SETTINGS, engine="mindarmour")).record["sparsity"]
    assert report is not None
    assert reference is not None
    assert [row["zeros"] for row in report["layers"]] == [row["zeros"] for row in reference["layers"]]  # type: ignore
    assert report["mask_updates"] == reference["mask_updates"] == len(our_updates) == len(their_updates)
    entries = differing = 0
    for name in our_updates[0]:
        known = np.zeros(our_updates[0][name][0].shape, bool)
        for mine, yours in zip(our_updates, their_updates):
            (weight, dead), (other, other_dead) = mine[name], yours[name]
            new = (dead != other_dead) & ~known
            known |= new
            # Two float engines may flip a weight that sits on the threshold, the largest magnitude that dies.
            for values, gone in ((weight, dead), (other, other_dead)):
                threshold = np.abs(values[gone]).max(initial=0)
                assert (np.abs(np.abs(values[new]) - threshold) <= 1e-6).all()
        entries, differing = entries + known.size, differing + int((dead != other_dead).sum())
    assert differing < 0.001 * entries
    for name, value in weights(theirs).items():
        assert (np.abs(weights(ours)[name] - value) > 1e-4).mean() < 0.001, name


def test_a_term_is_applied_once_even_if_the_next_update_follows_at_once() -> None:
    # MindArmour applies the old term of a layer again if the next update comes one step later and leaves the layer
    # alone: its newest zeros come back with the other sign.
    given = digits((1, 32, 32))
    recipe = replace(RECIPE, epochs=3)
    chosen = SuppressSettings(sparse_end=0.5, start_epoch=2, mask_times=12, layers=["fc1.weight"])
    schedule = Schedule(chosen, 3, 6)
    assert schedule.updates[-2:] == (17, 18)
    chosen = replace(chosen, layers=[{"name": "fc1.weight", "min_num": 30_000}])
    report = train(lenet(), given, recipe, chosen).record["sparsity"]
    reference = train(lenet(), given, recipe, replace(chosen, engine="mindarmour")).record["sparsity"]
    assert report is not None
    assert reference is not None
    assert report["layers"][0]["zeros"] == pytest.approx(18_000, abs=5)  # type: ignore[index]
    assert reference["layers"][0]["zeros"] < 17_000  # type: ignore[index]


# --- resume ------------------------------------------------------------------------------------------------


class Interrupter(EpochPrinter):
    """Presses Ctrl-C after the steps of an epoch, before its checkpoint."""

    def __init__(self, epoch: int) -> None:
        super().__init__("", 0, enabled=False)
        self._epoch = epoch

    def epoch(self, record: Any) -> None:
        if record.epoch == self._epoch:
            raise KeyboardInterrupt


MOMENTUM = {"optimizer": "momentum", "schedule": "cosine", "learning_rate": 0.02}
ADAM = {"optimizer": "adam", "learning_rate": 0.002, "weight_decay": 1e-3}


@pytest.mark.parametrize(("change", "at"), slow_but([({}, 3), ({}, 6), (MOMENTUM, 3), (ADAM, 3)], (ADAM, 3)), ids=str)
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, change: dict[str, Any], at: int) -> None:
    recipe = replace(RECIPE, **change)
    chosen = replace(SETTINGS, mask_times=6)
    # One update falls on the last step of epoch 2: it is still to be made when training goes on from there.
    assert Schedule(chosen, 6, 6).updates == (7, 12, 17, 22, 27, 32, 34)
    given = digits((1, 32, 32))
    whole = train(lenet(), given, recipe, chosen, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(lenet(), given, recipe, chosen, tmp_path / "cut", printer=Interrupter(at))
    resumed = train(lenet(), given, recipe, chosen, tmp_path / "cut", resume=True)
    assert same(weights(resumed.network), weights(whole.network))
    assert resumed.record["sparsity"] == whole.record["sparsity"]
    assert whole.last is not None and resumed.last is not None
    ours, theirs = read(resumed.last), read(whole.last)
    assert ours.keys() == theirs.keys()
    for name in ours:
        if name != "mindleak.history":
            np.testing.assert_array_equal(ours[name], theirs[name])
    assert sorted(file.name for file in (tmp_path / "cut").iterdir()) == ["net-6_6.ckpt", "net_best-6_6.ckpt"]


@pytest.mark.parametrize("change", slow_but([{"sparse_end": 0.8}, {"mask_times": 9}, {"engine": "mindarmour"}],
                                            {"sparse_end": 0.8}))
def test_another_suppressions_checkpoint_is_not_continued(tmp_path: Path, change: dict[str, Any]) -> None:
    train(named(), data(96), settings=replace(SETTINGS, **change), folder=tmp_path)
    with pytest.raises(InputError, match="comes from other data, another recipe, seed or version"):
        train(named(), data(96), folder=tmp_path, resume=True)


def test_mindarmours_engine_starts_again_from_its_beginning(tmp_path: Path) -> None:
    chosen = replace(SETTINGS, engine="mindarmour")
    whole = train(named(), data(96), settings=chosen, folder=tmp_path)
    again = train(named(), data(96), settings=chosen, folder=tmp_path, resume=True)
    assert [record.epoch for record in again.history] == [1, 2, 3, 4, 5, 6]
    assert same(weights(again.network), weights(whole.network))


# --- optimisers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "exactly"), slow_but([
    ({"optimizer": "momentum"}, True), ({"optimizer": "nesterov"}, True), ({"weight_decay": 1e-3}, True),
    ({"optimizer": "momentum", "momentum": 0.0}, True), ({"optimizer": "adam", "learning_rate": 0.005}, True),
    ({"optimizer": "adam", "learning_rate": 0.005, "weight_decay": 1e-2, "schedule": "step"}, True),
    ({"learning_rate": 0.8}, False), ({"schedule": "cosine"}, False), ({"schedule": "plateau"}, False),
], ({"optimizer": "momentum"}, True), ({"schedule": "cosine"}, False)), ids=str)
def test_dead_weights_stay_at_zero_under_any_recipe(tmp_path: Path, change: dict[str, Any], exactly: bool) -> None:
    recipe = replace(RECIPE, epochs=8, schedule_every=3, schedule_patience=1, **change)
    seen: list[np.ndarray] = []
    network = named()

    class Watcher(EpochPrinter):
        def epoch(self, record: Any) -> None:
            seen.append(np.abs(weights(network)["dense1.weight"]))

    result = train(network, data(96), recipe, folder=tmp_path, printer=Watcher("", 8, enabled=False))
    report = result.record["sparsity"]
    assert report is not None
    # 120 weights, and the last layer's 60 with a floor of 50; MindArmour's rounding, 60·(1 − 50/60) < 10.
    assert [row["zeros"] for row in report["layers"]] == [107, 9]  # type: ignore[union-attr,attr-defined]
    for earlier, later in zip(seen, seen[1:]):
        assert (later[earlier <= ZERO] <= (0 if exactly else ZERO)).all()
    assert result.last is not None
    kept = read(result.last)
    dead = kept["mindleak.optimizer.mask.dense1.weight"] == 0
    assert (np.abs(seen[-1]) <= ZERO).sum() == 107
    for name, state in kept.items():
        if name.rpartition(".dense1.weight")[0].rpartition(".")[2] in ("moments", "accum", "moment1", "moment2") \
                and exactly and recipe.optimizer != "sgd":
            assert not state[dead].any(), name
            assert state[~dead].any() or recipe.momentum == 0, name


@pytest.mark.parametrize("optimizer", slow_but(["sgd", "momentum", "adam"], "momentum"))
def test_before_the_first_zero_a_suppressed_training_is_an_ordinary_one(optimizer: str) -> None:
    # In one epoch before start_epoch nothing happens, whatever the optimiser.
    recipe = Recipe(epochs=1, batch_size=16, optimizer=optimizer, learning_rate=0.01)
    ordinary, masked = named(), named()
    Training.train(TrainingRequest(ordinary, data(96), recipe, SEED))
    seen: list[dict[str, np.ndarray]] = []

    class Watcher(EpochPrinter):
        def epoch(self, record: Any) -> None:
            seen.append(weights(masked))

    train(masked, data(96), replace(recipe, epochs=6), printer=Watcher("", 6, enabled=False))
    assert same(seen[0], weights(ordinary))
