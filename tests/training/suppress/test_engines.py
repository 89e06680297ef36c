"""Suppress training by both engines: against MindArmour run by hand, and each of its silent traps."""

from __future__ import annotations

import gc
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from cases import slow_but
from mindleak.errors import InputError
from mindleak.models.registry import build
from mindleak.quiet import import_mindarmour
from mindleak.settings.suppress import ENGINES
from mindleak.training.checkpoint import CheckpointFolder, load_weights, read
from mindleak.training.history import EpochPrinter
from mindleak.training.loop import epoch_order
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingData, TrainingRequest, TrainingResult
from mindleak.training.suppress.checks import check_suppress
from mindleak.training.suppress.graph import SuppressTraining
from mindleak.training.suppress.settings import MaskLayer, SuppressSettings, mask_layers
from mindleak.training.suppress.sparsity import ZERO, sparsity
from suppress_setup import SETTINGS, digits, lenet, named
from training_setup import Linear, Stochastic, arrays, data, same, seeded, weights

SEED = 5
RECIPE = Recipe(method="suppress", epochs=4, batch_size=16, learning_rate=0.1)
both_engines = pytest.mark.parametrize("engine", ENGINES)
TUTORIAL = [("conv1.weight", 0, True, True, 10), ("conv2.weight", 1, True, True, 50),
            ("fc1.weight", 2, True, False, -1), ("fc2.weight", 4, True, False, -1), ("fc3.weight", 6, True, False, 50)]


def run(network: nn.Cell, given: TrainingData | None = None, recipe: Recipe = RECIPE,
        settings: SuppressSettings = SETTINGS, folder: Path | None = None) -> TrainingResult:
    given = given or data(96)
    checkpoints = None if folder is None else CheckpointFolder(folder, "net", len(given.x) // recipe.batch_size)
    return SuppressTraining.train(TrainingRequest(network, given, recipe, SEED, settings, checkpoints=checkpoints))


# --- against MindArmour ------------------------------------------------------------------------------------


class HandMadeBatches:
    """What a person following the tutorial would feed, in the order that our seed gives."""

    def __init__(self, given: TrainingData, batch_size: int) -> None:
        self._given, self._batch_size, self._epoch = given, batch_size, 0

    def __len__(self) -> int:
        return len(self._given.x) // self._batch_size

    def __iter__(self) -> object:
        self._epoch += 1
        for rows in epoch_order(len(self._given.x), self._batch_size, SEED, self._epoch):
            yield self._given.x[rows], self._given.y[rows]


def by_hand(network: nn.Cell, given: TrainingData, layers: list[tuple[str, int, bool, bool, int]]) -> None:
    """The tutorial's script, with NumPy's global state as ours starts it."""
    import_mindarmour()
    from mindarmour.privacy.sup_privacy import MaskLayerDes, SuppressMasker, SuppressModel, SuppressPrivacyFactory

    state = np.random.get_state()
    np.random.seed(SEED)
    controller = SuppressPrivacyFactory().create(
        network, [MaskLayerDes(*layer) for layer in layers], policy="local_train", end_epoch=RECIPE.epochs,
        batch_num=len(given.x) // RECIPE.batch_size, start_epoch=SETTINGS.start_epoch, mask_times=SETTINGS.mask_times,
        lr=RECIPE.learning_rate, sparse_end=SETTINGS.sparse_end, sparse_start=0.0)
    model = SuppressModel(network=network, loss_fn=nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"),
                          optimizer=nn.SGD(network.trainable_params(), RECIPE.learning_rate))
    model.link_suppress_ctrl(controller)
    batches = ds.GeneratorDataset(HandMadeBatches(given, RECIPE.batch_size), ["image", "label"], shuffle=False)
    model.train(RECIPE.epochs, batches, callbacks=[SuppressMasker(model=model, suppress_ctrl=controller)],
                dataset_sink_mode=False)
    np.random.set_state(state)


@pytest.mark.slow
def test_lenet5_gets_the_weights_that_mindarmour_gives_by_hand() -> None:
    ours, theirs = lenet(), lenet()
    given = digits()
    result = run(ours, given)
    by_hand(theirs, given, TUTORIAL)
    assert result.record["sparsity"] is not None
    assert not same(weights(ours), weights(lenet()))
    for name, value in weights(theirs).items():
        np.testing.assert_array_equal(weights(ours)[name.removeprefix("networks.")], value)


@pytest.mark.slow
def test_lstm_gets_the_weights_that_mindarmour_gives_by_hand() -> None:
    def lstm() -> nn.Cell:
        return build("lstm_rnn", (1, 16, 16), 10, 3, {"hidden_size": 64})

    ours, theirs = lstm(), lstm()
    given = digits()
    result = run(ours, given)
    by_hand(theirs, given, [("lstm.weight_ih_l0", 0, True, False, -1), ("lstm.weight_hh_l0", 1, True, False, -1),
                            ("fc.weight", 4, True, False, 50)])
    for name, value in weights(theirs).items():
        np.testing.assert_array_equal(weights(ours)[name.removeprefix("networks.")], value)
    assert result.record["sparsity"] is not None
    rows = {row["name"]: row for row in result.record["sparsity"]["layers"]}
    assert rows["lstm.weight_hh_l0"]["size"] > 10_000
    assert rows["lstm.weight_hh_l0"]["fraction"] == pytest.approx(0.9, abs=0.02)
    assert rows["lstm.weight_ih_l0"]["fraction"] == pytest.approx(0.9, abs=0.02)


def test_auto_is_the_tutorials_mask_layers_for_lenet5() -> None:
    network = lenet()
    positions = {parameter.name: index for index, parameter in enumerate(network.trainable_params())}
    assert [(layer.name, positions[layer.name], layer.add_noise, layer.lower_clip, layer.min_num)
            for layer in mask_layers(network, "auto")] == TUTORIAL


# --- sparsity ----------------------------------------------------------------------------------------------


@both_engines
def test_sparsity_is_measured_on_the_weights_and_reported_beside_target_and_floor(engine: str) -> None:
    network = lenet()
    result = run(network, digits(), settings=replace(SETTINGS, engine=engine))
    report = result.record["sparsity"]
    assert report is not None
    assert report["target"] == 0.9
    # Every three steps from the first of epoch 2 on; the one before the last step falls together with the sixth.
    assert report["mask_updates"] == 6
    rows = {row["name"]: row for row in report["layers"]}
    assert list(rows) == [name for name, *_ in TUTORIAL]
    for name, row in rows.items():
        value = weights(network)[name]
        assert row["zeros"] == int((np.abs(value) <= ZERO).sum())
        assert row["fraction"] == pytest.approx(row["reachable"], abs=0.02)
    assert rows["conv1.weight"]["reachable"] == 0.9
    total = sum(row["size"] for row in rows.values())
    assert report["masked_total"] == total
    assert report["overall"] == pytest.approx(sum(row["zeros"] for row in rows.values()) / total)


@both_engines
def test_a_floor_leaves_min_num_weights(engine: str) -> None:
    layers = [{"name": "dense1.weight", "min_num": 48}, {"name": "dense2.weight", "min_num": 50}]
    chosen = SuppressSettings(start_epoch=2, mask_times=6, layers=layers, engine=engine)
    report = run(named(), settings=chosen).record["sparsity"]
    assert report is not None
    first, second = report["layers"]  # type: ignore[misc]
    assert first["reachable"] == pytest.approx(1 - 48 / 120)
    assert first["zeros"] == 72
    assert second["reachable"] == pytest.approx(1 - 50 / 60)
    assert second["zeros"] in (9, 10)


def test_sparsity_counts_rounding_residues_but_not_small_weights() -> None:
    network = seeded(Linear)
    value = np.full((3, 6), 0.5, np.float32)
    value[0] = [0, 1e-9, -1e-8, 2e-7, -1e-3, 1]
    network.dense.weight.set_data(Tensor(value))
    report = sparsity(network, [MaskLayer("dense.weight", 2)], 0.95)
    assert report["layers"][0] == {"name": "dense.weight", "size": 18, "zeros": 3, "fraction": 3 / 18, "target": 0.95,
                                   "reachable": 1 - 2 / 18, "min_num": 2}


@both_engines
def test_masked_weights_stay_zero_and_other_layers_are_left_alone(engine: str) -> None:
    seen: list[np.ndarray] = []
    network = named()

    class Watcher(EpochPrinter):
        def epoch(self, record: object) -> None:
            seen.append(np.abs(next(iter(weights(network).values()))) <= ZERO)

    recipe = Recipe(method="suppress", epochs=8, batch_size=16, learning_rate=0.1)
    chosen = SuppressSettings(start_epoch=2, mask_times=6, layers=["dense1.weight"], engine=engine)
    SuppressTraining.train(TrainingRequest(network, data(96), recipe, SEED, chosen,
                                           printer=Watcher("", 8, enabled=False)))
    counts = [int(zeros.sum()) for zeros in seen]
    assert counts[0] == 0
    assert counts[-1] == pytest.approx(0.95 * 120, abs=2)
    for earlier, later in zip(seen, seen[1:]):
        assert not (earlier & ~later).any()
    assert np.abs(weights(network)["dense2.weight"]).min() > ZERO


# --- the network and its surroundings ----------------------------------------------------------------------


@both_engines
def test_names_modes_random_state_output_and_garbage_collection_are_as_before(
        engine: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    network = lenet()
    names = list(weights(network))
    frozen = gc.get_freeze_count()
    np.random.seed(3)
    expected = np.random.random(4)
    np.random.seed(3)
    result = run(network, digits(), settings=replace(SETTINGS, engine=engine), folder=tmp_path)
    np.testing.assert_array_equal(np.random.random(4), expected)
    assert gc.get_freeze_count() == frozen
    assert list(weights(network)) == names
    assert not any(cell.training for _, cell in network.cells_and_names())
    out, err = capfd.readouterr()
    assert out == ""
    assert err == ""
    assert result.last is not None
    assert result.best is not None
    for file in (result.last, result.best):
        assert {name for name in read(file) if not name.startswith("mindleak.")} == set(names)
        loaded = lenet(9)
        load_weights(loaded, file)
        assert same(weights(loaded), weights(network))
    assert sorted(os.listdir(tmp_path)) == ["net-4_6.ckpt", "net_best-4_6.ckpt"]


@pytest.mark.parametrize("engine", slow_but(ENGINES, "graph"))
def test_two_trainings_are_bit_identical_whatever_numpys_state(engine: str) -> None:
    first, second = lenet(), lenet()
    run(first, digits(), settings=replace(SETTINGS, engine=engine))
    np.random.seed(77)
    run(second, digits(), settings=replace(SETTINGS, engine=engine))
    assert same(weights(first), weights(second))


@both_engines
def test_history_has_the_epochs_figures(engine: str) -> None:
    result = run(named(), settings=replace(SETTINGS, engine=engine))
    assert [record.epoch for record in result.history] == [1, 2, 3, 4]
    assert all(record.learning_rate == 0.1 and record.seconds > 0 for record in result.history)
    assert result.history[-1].train_loss < result.history[0].train_loss


@pytest.mark.parametrize(("engine", "error"), slow_but(
    [(engine, error) for engine in ENGINES for error in (KeyboardInterrupt, InputError)],
    ("graph", KeyboardInterrupt), ("mindarmour", InputError)))
def test_a_training_that_is_broken_off_restores_everything(engine: str, tmp_path: Path,
                                                              error: type[BaseException]) -> None:
    class Breaker(EpochPrinter):
        def epoch(self, record: object) -> None:
            if record.epoch == 3:  # type: ignore[attr-defined]
                raise error("enough")

    network = lenet()
    names = list(weights(network))
    np.random.seed(3)
    expected = np.random.random(4)
    np.random.seed(3)
    frozen, stdout = gc.get_freeze_count(), sys.stdout
    with pytest.raises(error, match="enough"):
        SuppressTraining.train(TrainingRequest(network, digits(), RECIPE, SEED, replace(SETTINGS, engine=engine),
                                               printer=Breaker("", 4),
                                               checkpoints=CheckpointFolder(tmp_path, "net", 6)))
    np.testing.assert_array_equal(np.random.random(4), expected)
    assert gc.get_freeze_count() == frozen
    assert sys.stdout is stdout
    assert list(weights(network)) == names
    assert not network.training
    # What is there can be used, and does not pass for the finished training.
    assert os.listdir(tmp_path) == ["net-2_6.ckpt"]
    load_weights(lenet(), tmp_path / "net-2_6.ckpt")


@pytest.mark.parametrize("engine", slow_but(ENGINES, "mindarmour"))
def test_the_same_network_can_be_suppressed_again(engine: str) -> None:
    # A used MaskLayerDes suppresses nothing; ours are made anew for every training.
    network = lenet()
    run(network, digits(), settings=replace(SETTINGS, engine=engine))
    for parameter in network.trainable_params():
        parameter.set_data(Tensor(weights(lenet(8))[parameter.name]))
    report = run(network, digits(), settings=replace(SETTINGS, engine=engine)).record["sparsity"]
    assert report is not None
    assert report["overall"] > 0.88


@both_engines
def test_a_frozen_parameter_shifts_no_mask(engine: str) -> None:
    network = lenet()
    network.conv1.weight.requires_grad = False
    network.fc1.bias.requires_grad = False
    before = weights(network)
    report = run(network, digits(), settings=replace(SETTINGS, engine=engine)).record["sparsity"]
    assert report is not None
    assert [row["name"] for row in report["layers"]] == [
        "conv2.weight", "fc1.weight", "fc2.weight", "fc3.weight"]
    for row in report["layers"]:
        assert row["fraction"] == pytest.approx(row["reachable"], abs=0.02)
    after = weights(network)
    np.testing.assert_array_equal(after["conv1.weight"], before["conv1.weight"])
    np.testing.assert_array_equal(after["fc1.bias"], before["fc1.bias"])
    assert np.abs(after["fc2.bias"]).min() > ZERO


@both_engines
def test_batch_normalisation_and_dropout_are_trained_through(engine: str) -> None:
    network = seeded(Stochastic)
    before = weights(network)
    report = run(network, settings=SuppressSettings(engine=engine, start_epoch=2, mask_times=6)).record["sparsity"]
    assert report is not None
    assert not np.array_equal(weights(network)["norm.moving_mean"], before["norm.moving_mean"])
    assert report["layers"][0]["fraction"] == pytest.approx(0.95, abs=0.02)  # type: ignore[index]


@both_engines
@pytest.mark.parametrize(("names", "chosen"), slow_but(
    [(names, chosen) for names in (("xfc", "fc"), ("fc", "xfc"))
     for chosen in (["fc.weight"], ["xfc.weight"], ["fc.weight", "xfc.weight"])],
    (("xfc", "fc"), ["fc.weight"]), (("fc", "xfc"), ["fc.weight", "xfc.weight"])))
def test_a_name_that_is_part_of_another_masks_its_own_parameter_only(engine: str, names: tuple[str, str],
                                                                        chosen: list[str]) -> None:
    network = named(*names)
    run(network, settings=SuppressSettings(engine=engine, start_epoch=2, mask_times=6, layers=chosen))
    for name in ("fc.weight", "xfc.weight"):
        zeros = (np.abs(weights(network)[name]) <= ZERO).mean()
        assert zeros == pytest.approx(0.95 if name in chosen else 0.0, abs=0.03), name


class Endings(nn.Cell):
    """A parameter whose place begins another's and comes after it; their names are others altogether."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        generator = np.random.default_rng(0)
        self.weight_reverse = Parameter(Tensor(generator.normal(size=(6, 20)).astype(np.float32)), name="one")
        self.weight = Parameter(Tensor(generator.normal(size=(20, 3)).astype(np.float32)), name="two")

    def construct(self, x: Tensor) -> Tensor:
        return ms.ops.matmul(ms.ops.matmul(self.flatten(x), self.weight_reverse), self.weight)


def test_a_place_that_begins_another_is_masked_rightly_or_refused() -> None:
    recipe = Recipe(method="suppress", epochs=4, batch_size=16, learning_rate=0.01)
    for chosen in (["one", "two"], ["one"]):
        network = Endings()
        run(network, recipe=recipe, settings=replace(SETTINGS, layers=chosen))
        assert list(weights(network)) == ["one", "two"]
        for name, value in weights(network).items():
            assert ((np.abs(value) <= ZERO).mean() > 0.85) == (name in chosen)
    network = Endings()
    before = weights(network)
    with pytest.raises(InputError, match="MindArmour takes suppress.layers for beginnings of names"):
        run(network, recipe=recipe, settings=replace(SETTINGS, layers=["two"]))
    assert same(weights(network), before)
    run(network, recipe=recipe, settings=replace(SETTINGS, layers=["two"], engine="graph"))
    assert [(np.abs(value) <= ZERO).mean() > 0.85 for value in weights(network).values()] == [False, True]


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "message"), [
    ({"optimizer": "momentum"}, "plain SGD only, not training.optimizer 'momentum'"),
    ({"optimizer": "nesterov"}, "plain SGD only"),
    ({"optimizer": "adam"}, "plain SGD only"),
    ({"schedule": "step"}, "constant learning rate"),
    ({"schedule": "plateau"}, "constant learning rate"),
    ({"weight_decay": 1e-4}, "weight_decay=0"),
    ({"learning_rate": 0.6}, "learning_rate ≤ 0.5"),
    ({"epochs": 101}, "training.epochs ≤ 100"),
])
def test_recipes_that_would_silently_do_something_else_are_refused(change: dict, message: str) -> None:
    network = named()
    before = weights(network)
    with pytest.raises(InputError, match=message):
        run(network, recipe=Recipe(**{**RECIPE.as_dict(), **change}))
    assert same(weights(network), before)


@pytest.mark.parametrize(("change", "message"), [
    ({"sparse_end": math.nan}, "suppress.sparse_end is nan"), ({"sparse_start": math.nan}, "suppress.sparse_start"),
    ({"sparse_end": 1.0}, "sparse_end < 1"), ({"sparse_end": 0.0}, "sparse_start < sparse_end"),
    ({"sparse_start": 0.95}, "sparse_start < sparse_end"), ({"sparse_start": -0.1}, "0 ≤ sparse_start"),
    ({"start_epoch": 0}, "suppress.start_epoch is 0"), ({"mask_times": 0}, "suppress.mask_times is 0"),
])
def test_settings_out_of_range_are_refused(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SuppressSettings(**change)


@pytest.mark.parametrize(("layers", "message"), [
    (["fc1.wieght"], "'fc1.wieght', which is no trainable parameter; did you mean 'fc1.weight'"),
    (["fc1.weight", "fc1.weight"], "names 'fc1.weight' twice"),
    ("fc1.weight", "must be 'auto' or a list"),
    ([], "must be 'auto' or a list"),
    ([{"name": "fc1.weight", "grad_idx": 2}], "not understood; fields: name, min_num"),
    ([{"min_num": 2}], "not understood"),
    ([3], "not understood"),
    ([{"name": 3}], "name 3 is no parameter name"),
    ([{"name": "fc1.weight", "min_num": 1.5}], "min_num is 1.5"),
    ([{"name": "fc1.weight", "min_num": True}], "min_num is True"),
    ([{"name": "fc1.weight", "add_noise": "no"}], "add_noise is 'no'"),
    ([{"name": "fc1.weight", "lower_clip": 1}], "lower_clip is 1"),
    ([{"name": "fc1.weight", "upper_bound": math.nan}], "upper_bound is nan"),
    ([{"name": "fc1.weight", "upper_bound": 0.01}], "upper_bound is 0.01"),
])
def test_layers_that_cannot_be_meant_are_refused(layers: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mask_layers(lenet(), layers)


def test_a_network_with_nothing_to_mask_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to suppress"):
        mask_layers(nn.BatchNorm2d(3), "auto")
    # Both weight matrices are no larger than the floor of a last layer.
    with pytest.raises(InputError, match="no trainable weight matrix of more than 50 weights"):
        mask_layers(nn.Dense(5, 10), "auto")
    single = nn.Dense(30, 2, has_bias=False)
    with pytest.raises(InputError, match="at least two parameters.*suppress.engine=graph can do with one"):
        check_suppress(single, RECIPE, SETTINGS, 96)
    check_suppress(single, RECIPE, replace(SETTINGS, engine="graph"), 96)


@both_engines
def test_a_loss_that_is_not_finite_stops_the_training(engine: str) -> None:
    with pytest.raises(InputError, match=r"suppress training diverged in epoch .*lower training.learning_rate"):
        run(lenet(), digits(bright=1e20), settings=replace(SETTINGS, engine=engine))


@both_engines
@pytest.mark.parametrize(("change", "message"), [
    ({"epochs": 1}, "start_epoch ≤ training.epochs"),
    ({"batch_size": 97}, "larger than the 96 training samples"),
    ({"batch_size": 96}, r"mask_times 6 is more than the 3 steps from epoch 2 on"),
])
def test_recipes_without_room_for_the_updates_are_refused(engine: str, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(named(), recipe=Recipe(**{**RECIPE.as_dict(), **change}), settings=replace(SETTINGS, engine=engine))


@both_engines
def test_as_many_updates_as_steps_are_allowed(engine: str) -> None:
    x, y = arrays(96)
    chosen = SuppressSettings(start_epoch=2, mask_times=18, engine=engine)
    check_suppress(named(), RECIPE, chosen, len(x))
    with pytest.raises(InputError, match="mask_times 19 is more than the 18 steps"):
        check_suppress(named(), RECIPE, replace(chosen, mask_times=19), len(x))


@both_engines
@pytest.mark.parametrize(("epochs", "batch", "start", "times", "reached"), [
    # The closing update is two steps before the end: the first step of all, at which nothing is to be zero yet.
    (1, 32, 1, 1, "0.0000"),
    # Batches are too few for a closing update, and the only other one is half-way.
    (4, 48, 2, 1, "0.8312"),
])
def test_updates_that_stop_short_of_the_target_are_refused(engine: str, epochs: int, batch: int, start: int,
                                                           times: int, reached: str) -> None:
    chosen = SuppressSettings(start_epoch=start, mask_times=times, engine=engine)
    recipe = Recipe(method="suppress", epochs=epochs, batch_size=batch)
    with pytest.raises(InputError, match=f"asks for {reached} zero, not suppress.sparse_end 0.95; raise mask_times"):
        check_suppress(named(), recipe, chosen, 96)


@both_engines
@pytest.mark.parametrize(("layer", "sparse_end", "message"), [
    ({"name": "dense2.weight", "min_num": 60}, 0.9, "has 60 weights, and min_num 60 spares them"),
    ({"name": "dense2.weight", "min_num": 1000}, 0.9, "min_num 1000 spares them"),
    ({"name": "dense2.bias"}, 0.3, "has 3 weights, and suppress.sparse_end 0.3 of them is less than one"),
])
def test_a_layer_with_nothing_to_suppress_is_refused(engine: str, layer: dict, sparse_end: float,
                                                     message: str) -> None:
    chosen = SuppressSettings(start_epoch=2, mask_times=6, sparse_end=sparse_end, layers=[layer], engine=engine)
    with pytest.raises(InputError, match=message):
        run(named(), settings=chosen)


@both_engines
def test_a_floor_above_the_target_is_announced_with_what_can_be_reached(engine: str,
                                                                         capsys: pytest.CaptureFixture[str]) -> None:
    layers = [{"name": "dense1.weight", "min_num": 30}, "dense2.weight"]
    chosen = SuppressSettings(start_epoch=2, mask_times=6, layers=layers, engine=engine)
    SuppressTraining.train(TrainingRequest(named(), data(96), RECIPE, SEED, chosen, printer=EpochPrinter("", 4)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "dense1.weight: min_num 30 of 120 weights allows 0.7500 zero, not suppress.sparse_end 0.95"
    assert len(lines) == 1 + RECIPE.epochs


def test_updates_that_stop_a_little_short_are_announced(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = Recipe(method="suppress", epochs=2, batch_size=24)
    chosen = SuppressSettings(sparse_end=0.5, start_epoch=1, mask_times=1, layers=["dense1.weight"])
    SuppressTraining.train(TrainingRequest(named(), data(96), recipe, SEED, chosen, printer=EpochPrinter("", 2)))
    assert capsys.readouterr().out.startswith("the last mask update asks for 0.4736 zero, not suppress.sparse_end 0.5")


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(InputError, match="suppress.engine 'grahp' is unknown; did you mean 'graph'"):
        SuppressSettings(engine="grahp")


def test_scaled_settings_keep_the_steps_between_updates() -> None:
    assert SuppressSettings(mask_times=1000).scaled(10_000, 60_000).mask_times == 167
    assert SuppressSettings(mask_times=2).scaled(1, 60_000).mask_times == 1


# --- Ctrl-C ------------------------------------------------------------------------------------------------

CHILD = textwrap.dedent("""
    import sys
    from pathlib import Path
    from mindleak import device
    device.configure("CPU", threads=1)
    from suppress_setup import SETTINGS, digits, lenet
    from mindleak.training.checkpoint import CheckpointFolder
    from mindleak.training.history import EpochPrinter
    from mindleak.training.recipe import Recipe
    from mindleak.training.request import TrainingRequest
    from mindleak.training.suppress.graph import SuppressTraining

    recipe = Recipe(method="suppress", epochs=100, batch_size=16, learning_rate=0.1)
    SuppressTraining.train(TrainingRequest(lenet(), digits(samples=960), recipe, 5, SETTINGS,
                                           printer=EpochPrinter("", 100),
                                           checkpoints=CheckpointFolder(Path(sys.argv[1]), "net", 60)))
    print("finished", flush=True)
""")


@pytest.mark.slow
def test_ctrl_c_ends_the_training_and_leaves_a_usable_checkpoint(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch   3/"):
            break
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    sent = time.perf_counter()
    rest, errors = process.communicate(timeout=300)
    assert "finished" not in rest
    assert process.returncode == -signal.SIGINT, errors[-500:]
    assert time.perf_counter() - sent < 20
    kept = CheckpointFolder(tmp_path, "net", 60).latest()
    assert kept is not None
    load_weights(lenet(), kept)
