"""Checkpoint files: what is in them, what is refused, and what a failure leaves behind."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindleak.errors import InputError
from mindleak.models.registry import build
from mindleak.training import checkpoint
from mindleak.training.checkpoint import CheckpointFolder
from mindleak.training.history import FIELDS, EpochRecord
from mindleak.training.loop import LoopTotals, Predictor, TrainingLoop, epoch_order, make_optimizer
from mindleak.training.recipe import Recipe
from training_setup import Linear, arrays, same, seeded, weights

HISTORY = [EpochRecord(1, 1 / 3, 0.5, 0.7, 0.6, 0.1, 2.5), EpochRecord(2, 0.25, 0.75, 0.6, 2 / 3, 0.05, 2.25)]


def lenet(seed: int = 0) -> nn.Cell:
    return build("lenet5", (1, 32, 32), 10, seed)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A disk on which no file grows beyond ``size`` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


# --- contents ----------------------------------------------------------------------------------------------


def test_any_mindspore_program_loads_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "lenet5-2_5.ckpt"
    trained, other = lenet(1), lenet(2)
    checkpoint.save(path, trained, make_optimizer(trained, Recipe()), HISTORY, "f" * 64)
    assert not same(weights(other), weights(trained))
    missing, _ = ms.load_param_into_net(other, ms.load_checkpoint(str(path)))
    assert missing == []
    assert same(weights(other), weights(trained))


def test_a_checkpoint_holds_weights_under_their_names_and_the_rest_under_mindleak(tmp_path: Path) -> None:
    path = tmp_path / "linear-2_5.ckpt"
    network = seeded(Linear)
    checkpoint.save(path, network, make_optimizer(network, Recipe(optimizer="adam")), HISTORY, "abc")
    names = set(checkpoint.read(path))
    assert {name for name in names if not name.startswith("mindleak.")} == {"dense.weight", "dense.bias"}
    assert {"mindleak.history", "mindleak.fingerprint", "mindleak.optimizer.moment1.dense.weight",
            "mindleak.optimizer.learning_rate", "mindleak.optimizer.global_step"} <= names


def test_equal_trainings_give_equal_files_however_long_they_took(tmp_path: Path) -> None:
    written = []
    for place, record_seconds in (("a", 1.0), ("b", 2.0), ("c", None)):
        (tmp_path / place).mkdir()
        path = tmp_path / place / "linear-2_5.ckpt"
        network = seeded(Linear)
        checkpoint.save(path, network, make_optimizer(network, Recipe()),
                        [replace(record, seconds=record_seconds) for record in HISTORY], "abc")
        written.append(path.read_bytes())
    assert written[0] == written[1] == written[2]


def test_a_checkpoint_that_kept_the_seconds_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, network = tmp_path / "linear-2_5.ckpt", seeded(Linear)
    optimizer = make_optimizer(network, Recipe())
    monkeypatch.setattr(checkpoint, "_KEPT", FIELDS)
    checkpoint.save(path, network, optimizer, HISTORY, "abc")
    monkeypatch.undo()
    assert checkpoint.resume(path, network, optimizer, "abc") == HISTORY


def test_resume_gives_back_weights_optimiser_and_history_exactly(tmp_path: Path) -> None:
    path = tmp_path / "linear-2_5.ckpt"
    x, y = arrays()
    recipe = Recipe(optimizer="adam")
    network = seeded(Linear)
    optimizer = make_optimizer(network, recipe)
    TrainingLoop(network, optimizer, x, y).run(Tensor(epoch_order(40, 8, 0, 1)), 0, 5, LoopTotals())
    checkpoint.save(path, network, optimizer, HISTORY, "abc")
    fresh = seeded(Linear, 7)
    fresh_optimizer = make_optimizer(fresh, recipe)
    assert checkpoint.resume(path, fresh, fresh_optimizer, "abc") == HISTORY
    assert same(weights(fresh), weights(network))
    assert same(weights(fresh_optimizer), weights(optimizer))
    assert weights(fresh_optimizer)["global_step"][0] == 5


def test_weights_reach_a_graph_that_was_compiled_before_they_were_loaded(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "linear-1_1.ckpt", seeded(Linear, 1))
    network = seeded(Linear, 2)
    predict = Predictor(network)
    x, y = arrays()
    optimizer = make_optimizer(network, Recipe(learning_rate=1e-9))
    loop = TrainingLoop(network, optimizer, x, y)
    order = Tensor(epoch_order(40, 8, 0, 1))
    loop.run(order, 0, 5, LoopTotals())
    predict(x)
    checkpoint.load_weights(network, tmp_path / "linear-1_1.ckpt")
    loop.run(order, 0, 5, LoopTotals())
    np.testing.assert_allclose(weights(network)["dense.weight"], weights(seeded(Linear, 1))["dense.weight"], atol=1e-7)
    np.testing.assert_allclose(predict(x), Predictor(seeded(Linear, 1))(x), atol=1e-6)


@pytest.mark.parametrize("prefix", ["", "networks."])
def test_a_tutorials_checkpoint_of_weights_loads(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "checkpoint_lenet-10_1875.ckpt"
    trained, fresh = lenet(1), lenet(2)
    ms.save_checkpoint([{"name": prefix + name, "data": Tensor(value)} for name, value in weights(trained).items()],
                       str(path))
    checkpoint.load_weights(fresh, path)
    assert same(weights(fresh), weights(trained))


def test_batch_statistics_are_part_of_a_checkpoint(tmp_path: Path) -> None:
    network, fresh = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    network.moving_mean.set_data(Tensor(np.arange(4, dtype=np.float32)))
    checkpoint.save(tmp_path / "norm-1_1.ckpt", network)
    checkpoint.load_weights(fresh, tmp_path / "norm-1_1.ckpt")
    np.testing.assert_array_equal(fresh.moving_mean.asnumpy(), np.arange(4))


# --- refusals ----------------------------------------------------------------------------------------------


def test_files_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.ckpt"
    checkpoint.save(whole, lenet())
    content = whole.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    damaged = {"missing": None, "flipped": bytes(flipped), "empty": b"", "noise": os.urandom(2000),
               "half": content[:len(content) // 2], "shortened": content[:-1]}
    for name, data in damaged.items():
        path = tmp_path / f"{name}.ckpt"
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(InputError, match=f"checkpoint '{path}'") as refusal:
            checkpoint.load_weights(lenet(), path)
        assert "\n" not in str(refusal.value)
    other = tmp_path / "weights.pth"
    other.write_bytes(content)
    with pytest.raises(InputError, match="does not end in .ckpt"):
        checkpoint.load_weights(lenet(), other)


def test_a_refused_checkpoint_changes_nothing(tmp_path: Path) -> None:
    network = lenet()
    before = weights(network)
    arrays = weights(lenet(1))
    arrays["fc3.bias"][3] = np.nan
    cases = {
        "nan": (arrays, r"not finite in 'fc3.bias'"),
        "lacking": ({name: value for name, value in arrays.items() if name != "fc3.bias"}, "it lacks 'fc3.bias'"),
        "shape": ({**arrays, "fc3.bias": np.zeros(11, np.float32)},
                  r"'fc3.bias' has shape \(11,\), the network needs \(10,\)"),
    }
    for name, (values, message) in cases.items():
        path = tmp_path / f"{name}.ckpt"
        ms.save_checkpoint([{"name": key, "data": Tensor(value)} for key, value in values.items()], str(path))
        with pytest.raises(InputError, match=message):
            checkpoint.load_weights(network, path)
    assert same(weights(network), before)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.ckpt", lenet())
    with pytest.raises(InputError, match="another architecture"):
        checkpoint.load_weights(build("lenet5_bias", (1, 28, 28), 10, 0), tmp_path / "a.ckpt")


def test_only_the_same_training_resumes_a_checkpoint(tmp_path: Path) -> None:
    network = seeded(Linear)
    optimizer = make_optimizer(network, Recipe())
    path, bare = tmp_path / "linear-1_1.ckpt", tmp_path / "bare-1_1.ckpt"
    checkpoint.save(path, network, optimizer, HISTORY, "abc")
    checkpoint.save(bare, network)
    with pytest.raises(InputError, match="other data, another recipe, seed or version"):
        checkpoint.resume(path, network, optimizer, "abd")
    with pytest.raises(InputError, match="weights only"):
        checkpoint.resume(bare, network, optimizer, "abc")
    with pytest.raises(InputError, match="lacks the optimiser's 'moments.dense.weight'"):
        checkpoint.resume(path, network, make_optimizer(network, Recipe(optimizer="momentum")), "abc")
    assert checkpoint.belongs_to(path, "abc")
    assert not checkpoint.belongs_to(path, "abd")
    assert not checkpoint.belongs_to(bare, "abc")
    assert not checkpoint.belongs_to(tmp_path / "missing.ckpt", "abc")


# --- atomic writing ----------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_former_checkpoint_and_nothing_else(tmp_path: Path, capfd: pytest.CaptureFixture[str],
                                                                   ) -> None:
    path = tmp_path / "lenet5-1_1.ckpt"
    checkpoint.save(path, lenet(1))
    content = path.read_bytes()
    capfd.readouterr()
    with files_of_at_most(100_000), pytest.raises(InputError, match="lenet5-1_1.ckpt. cannot be written") as refusal:
        checkpoint.save(path, lenet(2))
    assert "\n" not in str(refusal.value)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == [path.name]
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(InputError, match="cannot be written"):
        checkpoint.save(folder / "linear-1_1.ckpt", seeded(Linear))


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ckpt").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        checkpoint.save(tmp_path / "ckpt" / "linear-1_1.ckpt", seeded(Linear))


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(entries: object, path: str, crc_check: bool) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(ms, "save_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path / "linear-1_1.ckpt", seeded(Linear))
    assert os.listdir(tmp_path) == []


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    left = tmp_path / ".linear-1_1.0123abcd.partial"
    left.mkdir()
    (left / "linear-1_1.tmp").write_bytes(b"half")
    (tmp_path / f"{left.name}.lock").write_bytes(b"")
    foreign = tmp_path / "environment"
    foreign.mkdir()
    (tmp_path / "environment.lock").write_bytes(b"")
    checkpoint.save(tmp_path / "linear-2_1.ckpt", seeded(Linear))
    assert sorted(os.listdir(tmp_path)) == ["environment", "environment.lock", "linear-2_1.ckpt"]


# --- best and last -----------------------------------------------------------------------------------------


def keep(folder: CheckpointFolder, epoch: int, best: bool) -> Path:
    return folder.keep(epoch, best, seeded(Linear), None, HISTORY, "abc")


def test_names_are_mindspores_and_one_best_and_one_last_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "run", "lenet5", 1875)
    assert folder.latest() is None
    for epoch in (1, 2, 9, 10):
        keep(folder, epoch, False)
    keep(folder, 8, True)
    assert sorted(os.listdir(tmp_path / "run")) == ["lenet5-10_1875.ckpt", "lenet5_best-8_1875.ckpt"]
    assert folder.latest() == tmp_path / "run" / "lenet5-10_1875.ckpt"
    assert folder.latest(best=True) == tmp_path / "run" / "lenet5_best-8_1875.ckpt"


def test_a_crash_before_the_predecessor_is_removed_leaves_a_usable_folder(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, "linear", 5)
    keep(folder, 9, False)
    checkpoint.save(folder.path(10), seeded(Linear))
    assert folder.latest() == tmp_path / "linear-10_5.ckpt"
    checkpoint.load_weights(seeded(Linear, 1), tmp_path / "linear-10_5.ckpt")
    keep(folder, 11, False)
    assert os.listdir(tmp_path) == ["linear-11_5.ckpt"]


def test_clearing_removes_this_runs_checkpoints_only(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, "lenet5", 5)
    others = ["lenet5_bias-1_5.ckpt", "lenet5-1_5.ckpt.txt", "xlenet5-1_5.ckpt"]
    for name in others:
        (tmp_path / name).write_text("")
    keep(folder, 1, False)
    keep(folder, 1, True)
    folder.clear()
    assert sorted(os.listdir(tmp_path)) == sorted(others)


def test_parameters_of_whole_numbers_keep_their_type(tmp_path: Path) -> None:
    network = nn.Cell()
    network.insert_param_to_cell("count", Parameter(Tensor([3], ms.int32), name="count", requires_grad=False))
    checkpoint.save(tmp_path / "a.ckpt", network)
    network.count.set_data(Tensor([0], ms.int32))
    checkpoint.load_weights(network, tmp_path / "a.ckpt")
    assert network.count.asnumpy().tolist() == [3]
    assert network.count.dtype == ms.int32
