"""Magnitude pruning: which weights go, that they stay away, resume, and that nothing else changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from cases import slow_but
from mindleak.errors import InputError
from mindleak.training.checkpoint import CheckpointFolder
from mindleak.training.history import EpochPrinter, EpochRecord
from mindleak.training.pruning import PruneSettings, PruneTraining, prune_layers, smallest
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingRequest, TrainingResult
from mindleak.training.suppress.settings import MaskLayer
from mindleak.training.trainer import Training
from training_setup import Linear, data, quiet, same, seeded, weights

RECIPE = Recipe(method="prune", epochs=2, batch_size=8, learning_rate=0.2)
LAYERS = [{"name": "dense.weight", "min_num": 3}]
SETTINGS = PruneSettings(sparsity=0.5, layers=LAYERS, finetune_epochs=2)
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam")


def run(recipe: Recipe = RECIPE, settings: PruneSettings = SETTINGS, folder: Path | None = None, resume: bool = False,
        printer: EpochPrinter | None = None) -> TrainingResult:
    checkpoints = None if folder is None else CheckpointFolder(folder, "linear", 5)
    return PruneTraining.train(TrainingRequest(seeded(Linear), data(), recipe, 5, settings,
                                               printer=printer or quiet(), checkpoints=checkpoints, resume=resume))


@given(arrays_of.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 6)),
                        elements=st.floats(-2, 2, width=32)),
       st.floats(0.01, 0.99), st.integers(-1, 40))
def test_the_smallest_go_and_the_floor_stays(weight: np.ndarray, fraction: float, floor: int) -> None:
    kept = smallest(weight, MaskLayer("w", floor), fraction)
    gone = int((kept == 0).sum())
    assert gone == min(int(fraction * weight.size), weight.size - min(max(floor, 0), weight.size))
    assert set(np.unique(kept)) <= {0.0, 1.0}
    if 0 < gone < weight.size:
        assert np.abs(weight[kept == 0]).max() <= np.abs(weight[kept == 1]).min()


@pytest.mark.parametrize("optimizer", slow_but(OPTIMIZERS, "momentum"))
def test_pruning_follows_ordinary_training(optimizer: str) -> None:
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, learning_rate=0.05)
    ordinary = Training.train(TrainingRequest(seeded(Linear), data(), recipe, 5))
    pruned = run(recipe, PruneSettings(0.5, LAYERS))
    expected = weights(ordinary.network)
    expected["dense.weight"] *= smallest(expected["dense.weight"], MaskLayer("dense.weight", 3), 0.5)
    assert same(weights(pruned.network), expected)
    assert [record.train_loss for record in pruned.history] == [record.train_loss for record in ordinary.history]
    assert pruned.history[-1].val_loss != ordinary.history[-1].val_loss


@pytest.mark.parametrize("optimizer", slow_but(OPTIMIZERS, "adam"))
def test_what_was_pruned_stays_zero_while_the_rest_is_tuned(optimizer: str) -> None:
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, learning_rate=0.05, weight_decay=0.01)
    before = weights(run(recipe, PruneSettings(0.5, LAYERS)).network)["dense.weight"]
    result = run(recipe)
    after = weights(result.network)["dense.weight"]
    assert ((before == 0) == (after == 0)).all() and (before == 0).sum() == 9
    assert (before != after)[before != 0].all()
    assert result.record["sparsity"] is not None
    assert (result.record["sparsity"]["overall"], result.record["sparsity"]["layers"][0]["zeros"]) == (0.5, 9)
    assert [record.learning_rate for record in result.history] == pytest.approx([0.05, 0.05, 0.005, 0.005])


def test_a_floor_limits_the_sparsity() -> None:
    report = run(settings=PruneSettings(0.95, LAYERS)).record["sparsity"]
    assert report is not None
    assert report["layers"][0]["zeros"] == 15
    assert report["layers"][0]["reachable"] == pytest.approx(15 / 18)


class Interrupter(EpochPrinter):
    """Ctrl-C while an epoch's line is printed."""

    def __init__(self, epoch: int) -> None:
        super().__init__("", 4, enabled=False)
        self._last = epoch

    def epoch(self, record: EpochRecord) -> None:
        if record.epoch == self._last:
            raise KeyboardInterrupt


@pytest.mark.parametrize("epoch", slow_but([2, 3, 4], 3))
def test_an_interrupted_training_ends_like_one_that_was_not(tmp_path: Path, epoch: int) -> None:
    recipe = dataclasses.replace(RECIPE, optimizer="momentum", learning_rate=0.05)
    whole = run(recipe)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, folder=tmp_path, printer=Interrupter(epoch))
    resumed = run(recipe, folder=tmp_path, resume=True)
    assert same(weights(resumed.network), weights(whole.network))
    assert resumed.record["sparsity"] == whole.record["sparsity"]


def test_only_a_pruned_epoch_is_the_best(tmp_path: Path) -> None:
    result = run(folder=tmp_path)
    assert result.best is not None and result.last is not None
    assert result.last.name == "linear-4_5.ckpt"
    assert int(result.best.name.split("-")[1].split("_")[0]) >= RECIPE.epochs


@pytest.mark.parametrize(("values", "message"), [
    ({"sparsity": 0.0}, "prune.sparsity is 0"), ({"sparsity": 1.0}, "prune.sparsity is 1"),
    ({"sparsity": float("nan")}, "prune.sparsity is nan"), ({"finetune_epochs": -1}, "prune.finetune_epochs is -1"),
    ({"finetune_epochs": 1, "finetune_learning_rate": 0.0}, "prune.finetune_learning_rate is 0"),
    ({"finetune_learning_rate": 0.1}, "no effect without prune.finetune_epochs"),
])
def test_settings_out_of_range_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PruneSettings(**values)


def test_a_wrong_layer_is_refused_under_the_key_that_is_at_fault() -> None:
    with pytest.raises(InputError, match=r"prune.layers names 'dense.wait', .*did you mean 'dense.weight'"):
        prune_layers(seeded(Linear), ["dense.wait"])
