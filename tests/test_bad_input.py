"""Bad input, as a user would give it: exit code 2, one line on standard error, and nothing left behind.

What the rooms below refuse has tests beside each room; here it comes in through the command line, and the
working directory must look afterwards as it did before.
"""

from __future__ import annotations

import errno
import gzip
import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import SMALL, assert_refused, call, contents
from data_files import write_cifar, write_idx_set
from mindleak import device
from mindleak import settings as config
from mindleak.jobs import audit as audit_job
from mindleak.jobs import session as session_job
from mindleak.settings.schema import SCHEMA
from mindleak.training import checkpoint

Refuse = Callable[..., None]

TINY_MEMBERSHIP = (
    *("--set", "membership.target_in=100", "--set", "membership.target_out=100"),
    *("--set", "membership.population=20", "--set", "membership.shadow_pool=400", "--set", "membership.shadows=2"),
)


@pytest.fixture(scope="module", autouse=True)
def on_cpu() -> None:
    device.configure("CPU")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; inputs of a test lie in its own ``inputs``."""
    monkeypatch.delenv("MINDLEAK_DATA_DIR", raising=False)
    (tmp_path / "inputs").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refuse(work: Path, capfd: pytest.CaptureFixture[str]) -> Refuse:
    """Run a command that must be refused with the given words, and leave everything as it was."""

    def run(words: tuple[object, ...], *parts: str) -> None:
        before = contents(work)
        assert_refused(call(capfd, *words), *parts)
        assert contents(work) == before

    return run


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of an untrained lenet5_bias for 28x28."""
    from mindleak.models import registry

    path = tmp_path_factory.mktemp("weights") / "lenet5_bias-1_1.ckpt"
    checkpoint.save(path, registry.build("lenet5_bias", (1, 28, 28), 10, 0))
    return path


# --- configuration and command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "parts"), [
    (("train", "--set", "training.epoch=3"), ["unknown key 'training.epoch'", "did you mean 'training.epochs'"]),
    (("train", "--epochs", "3"), ["'--epochs'", "did you mean '--set training.epochs=...'"]),
    (("train", "--batchsize", "3"), ["'--batchsize'", "did you mean '--set training.batch_size=...'"]),
    (("train", "--dataset-dir", "x"), ["did you mean '--data"]),
    (("train", "mnist"), ["unexpected argument 'mnist'"]),
    (("train", "--seed", "one"), ["--seed", "'one'"]),
    (("train", "--seed", "-1"), ["'seed' is -1"]),
    (("train", "--seed", "1", "--set", "seed=2"), ["sets 'seed' twice"]),
    (("train", "--resume", "--restart"), ["--restart", "not allowed with", "--resume"]),
    (("train", "--set", "training.epochs"), ["--set takes key.path=value"]),
    (("train", "--set"), ["--set"]),
    (("train", "--config", "none.yaml"), ["'none.yaml'", "no such file"]),
    (("train", "--config", "inputs"), ["'inputs'", "is a folder"]),
    (("attack",), ["ATTACK"]),
    (("attack", "adversarail"), ["'adversarail'", "inversion"]),
    (("audti",), ["did you mean 'audit'"]),
    ((), ["COMMAND"]),
    (("data", "verify"), ["NAME"]),
    (("data", "verify", "mnst"), ["'mnst'", "did you mean 'mnist'"]),
    (("data", "download", "fashion"), ["'fashion'", "did you mean 'fashion_mnist'"]),
    (("data", "list", "--data_dir", "none"), ["none", "not a directory"]),
    (("report",), ["--run_dir"]),
    (("train", "--device_target", "TPU"), ["'TPU'", "CPU, GPU, Ascend, auto"]),
    (("train", "--device_id", "-1"), ["device_id -1"]),
    (("train", "--set", "device.threads=-2"), ["device.threads is -2"]),
])
def test_command_line(refuse, words, parts):
    refuse(words, *parts)


@pytest.mark.parametrize(("text", "parts"), [
    (b"training: {epochs: many}", ["'training.epochs'", "expected a whole number"]),
    (b"trainin: {epochs: 3}", ["'trainin'", "did you mean 'training'"]),
    (b"- a\n- b\n", ["keys and values", "list"]),
    (b"training: [", ["no valid YAML"]),
    (b"name: \xff\xfe", ["UTF-8"]),
    (b"x: !!python/object/apply:os.mkdir [inputs/made]", ["could not determine a constructor"]),
    (b"seed: 1\nseed: 2", ["'seed' stands twice"]),
    (b"subjects: {a/b: {}}", ["'a/b' cannot be a name"]),
])
def test_configuration_files(work, refuse, text, parts):
    (work / "inputs" / "bad.yaml").write_bytes(text)
    refuse(("train", "--config", "inputs/bad.yaml"), "inputs/bad.yaml" if b"a/b" not in text else "a/b", *parts)


@pytest.mark.parametrize(("assignment", "parts"), [
    ("training.epochs=0", ["training.epochs is 0"]),
    ("training.batch_size=0", ["training.batch_size is 0"]),
    ("training.batch_size=100000", ["training.batch_size 100000", "1297 training samples"]),
    ("training.learning_rate=-1", ["training.learning_rate is -1.0"]),
    ("training.learning_rate=.nan", ["'training.learning_rate' on the command line is nan; expected a finite number"]),
    ("training.learning_rate=1e999", ["'training.learning_rate' on the command line is inf; expected a finite number"]),
    ("training.momentum=1", ["training.momentum is 1.0"]),
    ("training.weight_decay=-1", ["training.weight_decay is -1.0"]),
    ("training.optimizer=sdg", ["training.optimizer 'sdg'", "sgd"]),
    ("training.schedule=cosin", ["training.schedule 'cosin'", "cosine"]),
    ("training.schedule_factor=0", ["training.schedule_factor is 0.0"]),
    ("training.method=supress", ["training.method 'supress'", "suppress"]),
    ("model.name=lenet", ["model 'lenet'", "did you mean 'lenet5'"]),
    ("model.name=fcnet", ["model 'fcnet' is unknown"]),
    ("data.name=mnist_digits", ["'mnist_digits'"]),
    ("data.image_size=0", ["image_size 0"]),
    ("data.image_size=100000", ["image_size 100000"]),
    ("data.image_size=8", ["lenet5_bias", "12x12"]),
    ("data.resize=stretch", ["resize 'stretch'", "bilinear"]),
])
def test_values_out_of_range(refuse, assignment, parts):
    key = assignment.partition("=")[0]
    size = () if key == "data.image_size" else ("--set", "data.image_size=32")
    refuse(("train", *size, "--set", assignment), *parts)


# --- data -------------------------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def labels_beyond_the_classes(folder: Path) -> None:
    path = folder / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0a")


def swap(folder: Path) -> None:
    images, labels = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    images.rename(folder / "x")
    labels.rename(images)
    (folder / "x").rename(labels)


def corrupt_gzip(folder: Path) -> None:
    path = folder / "t10k-images-idx3-ubyte"
    packed = bytearray(gzip.compress(path.read_bytes()))
    packed[len(packed) // 2] ^= 0xFF
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(packed)
    path.unlink()


IDX_DAMAGE = {
    "missing": (lambda folder: (folder / "train-labels-idx1-ubyte").unlink(), "train-labels-idx1-ubyte"),
    "truncated": (lambda folder: cut(folder / "train-images-idx3-ubyte"), "train-images-idx3-ubyte"),
    "corrupt": (corrupt_gzip, "t10k-images-idx3-ubyte.gz"),
    "swapped": (swap, "train-images-idx3-ubyte"),
    "labels": (labels_beyond_the_classes, "train-labels-idx1-ubyte"),
    "empty": (lambda folder: (folder / "t10k-labels-idx1-ubyte").write_bytes(b""), "t10k-labels-idx1-ubyte"),
}


@pytest.mark.parametrize("kind", IDX_DAMAGE)
def test_damaged_idx_files(work, refuse, kind):
    write_idx_set(work / "inputs" / "mnist")
    damage, named = IDX_DAMAGE[kind]
    damage(work / "inputs" / "mnist")
    refuse(("train", "--dataset", "mnist", "--data_dir", "inputs"), named)


def test_no_data_at_all(work, refuse):
    refuse(("train", "--dataset", "mnist"), "no data directory", "--data_dir")
    refuse(("train", "--dataset", "mnist", "--data_dir", "inputs"), "mnist", "mindleak data download mnist")


@pytest.mark.parametrize("damage", ["cut", "label", "missing"])
def test_damaged_cifar_files(work, refuse, damage):
    folder = work / "inputs" / "cifar10"
    write_cifar(folder)
    path = folder / "data_batch_3.bin"
    if damage == "cut":
        cut(path)
    elif damage == "label":
        path.write_bytes(b"\x0b" + path.read_bytes()[1:])
    else:
        path.unlink()
    refuse(("train", "--dataset", "cifar10", "--data_dir", "inputs"), "data_batch_3.bin")


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"x_train": rng.random((40, 28, 28)), "y_train": np.arange(40) % 4,
            "x_test": rng.random((20, 28, 28)), "y_test": np.arange(20) % 4}


def spoilt(name: str, value: float) -> dict[str, Any]:
    made = arrays()
    made[name].flat[7] = value
    return made


NPZ_DAMAGE = {
    "nan": (lambda: spoilt("x_train", math.nan), "x_train"),
    "infinite": (lambda: spoilt("x_test", math.inf), "x_test"),
    "above one": (lambda: spoilt("x_train", 1.5), "x_train"),
    "below zero": (lambda: spoilt("x_train", -0.5), "x_train"),
    "negative label": (lambda: spoilt("y_train", -1), "y_train"),
    "unknown label": (lambda: spoilt("y_test", 4), "y_test"),
    "missing array": (lambda: {key: value for key, value in arrays().items() if key != "y_test"}, "y_test"),
    "unequal lengths": (lambda: {**arrays(), "y_train": np.arange(39) % 4}, "y_train"),
    "pickled": (lambda: {**arrays(), "x_train": np.array([{}] * 40, object)}, "x_train"),
    "byte range": (lambda: {**arrays(), "x_train": arrays()["x_train"] * 255}, "x_train"),
}


@pytest.mark.parametrize("kind", NPZ_DAMAGE)
def test_bad_arrays_of_ones_own(work, refuse, kind):
    make, named = NPZ_DAMAGE[kind]
    np.savez(work / "inputs" / "own.npz", **make())
    refuse(("train", "--model", "lenet5_bias", "--dataset", "custom", "--data_dir", "inputs/own.npz"),
           "inputs/own.npz", named)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", None])
def test_damaged_npz(work, refuse, content):
    path = work / "inputs" / "own.npz"
    np.savez(path, **arrays())
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    refuse(("train", "--dataset", "custom", "--data_dir", path), "own.npz")


# --- checkpoints, members, models of one's own --------------------------------------------------------------------

LENET = ("--model", "lenet5_bias", "--set", "data.image_size=28")


@pytest.mark.parametrize("command", [("predict",), ("attack", "inversion"), ("audit",)])
def test_missing_checkpoint(refuse, command):
    refuse((*command, *LENET, "--ckpt", "inputs/none.ckpt"), "'inputs/none.ckpt' does not exist")


@pytest.mark.parametrize("command", [("predict",), ("attack", "inversion"), ("audit",)])
@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "text"])
def test_damaged_checkpoint(work, refuse, weights, command, damage):
    path = work / "inputs" / "net.ckpt"
    content = bytearray(weights.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "noise":
        content[:64] = os.urandom(64)
    else:
        content = bytearray(b"" if damage == "empty" else b"not a checkpoint\n")
    path.write_bytes(content)
    refuse((*command, *LENET, "--ckpt", path), "net.ckpt")


@pytest.mark.parametrize("model", ["lenet5", "lstm_rnn"])
def test_checkpoint_of_another_architecture(refuse, weights, model):
    refuse(("predict", "--model", model, "--set", "data.image_size=32", "--ckpt", weights),
           weights.name, "of another architecture")


def test_checkpoint_for_another_image_size(refuse, weights):
    refuse(("predict", "--model", "lenet5_bias", "--set", "data.image_size=32", "--ckpt", weights),
           "of another architecture", "shape")


def test_checkpoint_that_is_not_finite(work, refuse):
    from mindspore import Tensor

    from mindleak.models import registry

    network = registry.build("lenet5_bias", (1, 28, 28), 10, 0)
    parameter = next(network.get_parameters())
    parameter.set_data(Tensor(np.full(parameter.shape, np.nan, np.float32)))
    checkpoint.save(work / "inputs" / "nan.ckpt", network)
    refuse(("predict", *LENET, "--ckpt", "inputs/nan.ckpt"), "nan.ckpt", "not finite")


def test_checkpoint_in_another_format(work, refuse):
    (work / "inputs" / "net.pth").write_bytes(b"x")
    refuse(("predict", *LENET, "--ckpt", "inputs/net.pth"), "net.pth", ".ckpt")


def test_nothing_trained_to_predict_with(refuse):
    refuse(("predict", *LENET), "no trained lenet5_bias", "mindleak train")


@pytest.mark.parametrize("count", [0, -3, 501, 10**9])
def test_number_of_predictions_out_of_range(refuse, weights, count):
    refuse(("predict", *LENET, "--ckpt", weights, "-n", count), f"-n is {count}", "1 to 500")


def test_showing_without_a_display(refuse, weights, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    refuse(("predict", *LENET, "--ckpt", weights, "--show"), "--show needs a display")


def test_training_makes_its_own_checkpoint(refuse, weights):
    refuse(("train", *LENET, "--ckpt", weights), "omit --ckpt")


MEMBERS = {
    "missing": (None, "no such file"),
    "negative": (np.array([0, -1]), "row -1"),
    "beyond": (np.array([0, 1297]), "row 1297"),
    "twice": (np.array([3, 4, 3]), "row 3"),
    "fractions": (np.array([0.5, 1.5]), "row numbers"),
    "mask": (np.array([True, False]), "np.flatnonzero(mask)"),
    "two columns": (np.zeros((2, 2), int), "row numbers"),
    "none": (np.zeros(0, int), "row numbers"),
    "pickled": (np.array([{}], object), "members.npy"),
    "text": (b"1 2 3\n", "members.npy"),
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_members_that_cannot_be(work, refuse, weights, kind):
    value, words = MEMBERS[kind]
    path = work / "inputs" / "members.npy"
    if isinstance(value, bytes):
        path.write_bytes(value)
    elif value is not None:
        np.save(path, value)
    refuse(("attack", "membership", *LENET, "--ckpt", weights, "--members", path), "members.npy", words)


def test_members_without_a_checkpoint(work, refuse):
    np.save(work / "inputs" / "members.npy", np.arange(5))
    refuse(("attack", "membership", *LENET, "--members", "inputs/members.npy"), "--ckpt")


def test_membership_without_members(refuse, weights):
    refuse(("attack", "membership", *LENET, *TINY_MEMBERSHIP, "--ckpt", weights), "--members indices.npy")


FILE = """
import numpy as np
from mindspore import Tensor, nn, ops

class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.fc = nn.Dense(784, {classes})

    def construct(self, x):
        return self.fc(ops.reshape(x, ({shape}, -1)))

class OnlyEager(Net):
    def construct(self, x):
        import os
        return super().construct(x)

class NeedsMore(nn.Cell):
    def __init__(self, width):
        super().__init__()

class NoCell:
    pass
"""

OWN_MODELS = {
    "missing file": (None, "inputs/net.py:Net", "does not exist"),
    "no class given": ("x = 1", "inputs/net.py", "path/to/net.py:ClassName"),
    "syntax error": ("class Net(:\n", "inputs/net.py:Net", "does not import"),
    "import error": ("import no_such_package_at_all", "inputs/net.py:Net", "no_such_package_at_all"),
    "error on import": ("1 / 0", "inputs/net.py:Net", "ZeroDivisionError"),
    "exit on import": ("import sys; sys.exit(0)", "inputs/net.py:Net", "does not import"),
    "wrong class": (FILE.format(classes=10, shape="x.shape[0]"), "inputs/net.py:Nett", "did you mean 'Net'"),
    "no cell": (FILE.format(classes=10, shape="x.shape[0]"), "inputs/net.py:NoCell", "no mindspore.nn.Cell"),
    "needs arguments": (FILE.format(classes=10, shape="x.shape[0]"), "inputs/net.py:NeedsMore", "NeedsMore"),
    "too few classes": (FILE.format(classes=9, shape="x.shape[0]"), "inputs/net.py:Net", "(2, 9)"),
    "wrong input": (FILE.format(classes=10, shape=3), "inputs/net.py:Net", "fails on images"),
    "no graph": (FILE.format(classes=10, shape="x.shape[0]"), "inputs/net.py:OnlyEager", "cannot be compiled"),
    "no python": ("x = 1", "inputs/net.txt:Net", "inputs/net.txt"),
}


@pytest.mark.parametrize("kind", OWN_MODELS)
def test_models_of_ones_own_that_cannot_be(work, refuse, kind):
    source, name, words = OWN_MODELS[kind]
    if source is not None:
        (work / "inputs" / name.partition(":")[0].rpartition("/")[2]).write_text(source)
    refuse(("train", "--model", name, "--set", "data.image_size=28"), words)


# --- attacks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("assignment", "parts"), [
    ("inversion.layer=fc9", ["layer 'fc9' does not exist", "did you mean 'fc"]),
    ("inversion.images=0", ["inversion.images is 0", "1 to 1297"]),
    ("inversion.images=1298", ["inversion.images is 1298"]),
    ("inversion.iterations=0", ["inversion.iterations is 0"]),
    ("inversion.loss_weights=[1, 2]", ["three"]),
    ("inversion.loss_weights=[0, 1, 1]", ["above 0"]),
    ("inversion.loss_weights=[1, -1, 1]", ["above 0"]),
    ("inversion.layer=softmax", ["'softmax' would come after the logits", "known: conv1.pre, conv1", "fc2, logits"]),
    ("inversion.layer=nothing_like_it", ["'nothing_like_it' does not exist", "known: conv1"]),
    ("inversion.layer=[fc1, fc1]", ["inversion.layer is ['fc1', 'fc1']", "different ones"]),
    ("inversion.layer=[]", ["inversion.layer is []"]),
    ("inversion.layer=[3]", ["inversion.layer is [3]"]),
    ("inversion.engine=batch", ["inversion.engine 'batch' is unknown", "'batched'"]),
    ("inversion.tv=mindarmour_gpu", ["inversion.tv 'mindarmour_gpu' is unknown", "did you mean 'mindarmour_cpu'"]),
    ("inversion.tv=total", ["inversion.tv 'total' is unknown", "isotropic, mindarmour_ascend, mindarmour_cpu"]),
    ("inversion.optimizer=newton", ["inversion.optimizer 'newton' is unknown", "adam, sign"]),
    ("inversion.restarts=0", ["inversion.restarts is 0", "at least 1"]),
    ("inversion.patience=-1", ["inversion.patience is -1"]),
    ("inversion.batch_size=0", ["inversion.batch_size is 0"]),
    ("inversion.images=1290", ["leaves the judge 7 to learn from", "inversion.images"]),
    ("inversion.loss_weights=[]", ["three"]),
    ("judge.model=lenet", ["judge.model: model 'lenet'"]),
    ("judge.epochs=0", ["mindleak: judge.epochs is 0"]),
    ("judge.optimizer=sdg", ["mindleak: judge.optimizer 'sdg'"]),
    ("judge.learning_rate=0", ["mindleak: judge.learning_rate is 0.0"]),
    ("judge.batch_size=2000", ["mindleak: judge.batch_size 2000 is larger"]),
])
def test_inversion(refuse, assignment, parts):
    refuse(("attack", "inversion", *LENET, "--set", assignment), *parts)


@pytest.mark.parametrize(("assignment", "parts"), [
    ("inversion.tv=isotropic", ["inversion.tv is 'isotropic'", "its own is 'mindarmour_cpu'", "engine 'batched'"]),
    ("inversion.optimizer=adam", ["inversion.optimizer is 'adam'"]),
    ("inversion.restarts=2", ["inversion.restarts is 2"]),
    ("inversion.batch_size=4", ["inversion.batch_size is 4", "one image at a time"]),
    ("inversion.loss_weights=[1, 0, 1]", ["above 0"]),
])
def test_what_mindarmours_engine_does_not_offer(refuse, assignment, parts):
    refuse(("attack", "inversion", *LENET, "--set", "inversion.engine=mindarmour", "--set", assignment), *parts)


@pytest.mark.parametrize(("assignment", "parts"), [
    ("membership.target_in=50", ["membership.target_in is 50", "target_out 100"]),
    ("membership.population=5000", ["population 5000", "has 1297"]),
    ("membership.population=0", ["'population' is 0"]),
    ("membership.shadow_pool=50", ["pool", "50"]),
    ("membership.shadows=0", ["shadows"]),
    ("membership.shadows=1", ["shadows", "at least 2"]),
    ("membership.attack.epochs=0", ["membership.attack.epochs is 0"]),
    ("membership.attack.learning_rate=.nan",
     ["'membership.attack.learning_rate' on the command line is nan; expected a finite number"]),
    ("membership.training.epochs=0", ["mindleak: membership.training.epochs is 0"]),
    ("membership.training.batch_size=1000", ["mindleak: membership.training.batch_size 1000"]),
    ("membership.training.method=supress", ["mindleak: membership.training.method 'supress'"]),
    ("training.batch_size=1000", ["mindleak: training.batch_size 1000"]),
])
def test_membership(refuse, assignment, parts):
    key = assignment.partition("=")[0]
    sizes = [word for word in TINY_MEMBERSHIP if word != "--set" and not word.startswith(f"{key}=")]
    given = [word for size in (*sizes, assignment) for word in ("--set", size)]
    refuse(("attack", "membership", *LENET, *given), *parts)


SUPPRESS = (
    *LENET, "--set", "training.method=suppress", "--set", "training.batch_size=16", "--set", "training.epochs=4",
)


@pytest.mark.parametrize(("assignment", "parts"), [
    ("suppress.engine=grap", ["suppress.engine 'grap'", "did you mean 'graph'"]),
    ("suppress.layers=[{name: fc1.weight, min_num: 48000}]", ["'fc1.weight' has nothing to suppress", "min_num 48000"]),
    ("training.learning_rate=.nan", ["'training.learning_rate' on the command line is nan; expected a finite number"]),
    ("suppress.start_epoch=5", ["start_epoch 5", "epochs 4"]),
    ("suppress.start_epoch=0", ["suppress.start_epoch is 0"]),
    ("suppress.mask_times=100000", ["suppress.mask_times 100000 is more than"]),
    ("suppress.mask_times=0", ["suppress.mask_times is 0"]),
    ("suppress.sparse_end=1", ["sparse_end"]),
    ("suppress.sparse_end=.nan", ["'suppress.sparse_end' on the command line is nan; expected a finite number"]),
    ("suppress.sparse_start=0.95", ["suppress.sparse_start is 0.95 and suppress.sparse_end 0.95"]),
    ("suppress.layers=[conv9.weight]", ["'conv9.weight'", "did you mean 'conv"]),
    ("suppress.layers=[fc1.weight, fc1.weight]", ["names 'fc1.weight' twice"]),
    ("suppress.layers=[fc1]", ["'fc1'", "did you mean 'fc1.weight'?"]),
    ("suppress.layers=[{name: fc1.weight, min_num: -7}]", ["'fc1.weight': min_num is -7", "-1 (no floor)"]),
    ("suppress.layers=[]", ["suppress.layers"]),
    ("suppress.layers=fc1.weight", ["'auto' or a list"]),
    ("suppress.layers=[{nome: fc1.weight}]", ["nome"]),
    ("suppress.layers=[3]", ["3"]),
])
def test_suppress(refuse, assignment, parts):
    times = () if "mask_times" in assignment else ("--set", "suppress.mask_times=5")
    refuse(("train", *SUPPRESS, *times, "--set", assignment), *parts)


@pytest.mark.parametrize(("given", "parts"), [
    (("--set", "suppress.sparse_end=0.5"), ["suppress.sparse_end", "training.method=suppress, which here is ordinary"]),
    (("--suppress_engine", "mindarmour"), ["suppress.engine", "training.method=suppress"]),
    (("--set", "dp.target_epsilon=3"), ["dp.target_epsilon", "training.method=dp_sgd"]),
    (("--set", "prune.sparsity=0.5", "--set", "training.method=suppress"), ["prune.sparsity", "here is suppress"]),
    (("--set", "membership.suppress.mask_times=3"), ["membership.suppress.mask_times", "training.method=suppress"]),
])
def test_settings_that_would_do_nothing(refuse, given, parts):
    refuse(("train", *LENET, *given), "has no effect unless", *parts)


def test_a_misspelt_method_is_named_before_the_settings_that_were_meant_for_it(refuse):
    refuse(("train", *LENET, "--set", "suppress.sparse_end=0.5", "--set", "training.method=supress"),
           "training.method 'supress' is unknown", "suppress")


def test_settings_of_a_subject_that_would_do_nothing_for_it(work, refuse):
    (work / "inputs" / "idle.yaml").write_text(
        "model: {name: lenet5_bias}\nsubjects:\n  one: {training: {method: suppress}}\n"
        "  two: {suppress: {sparse_end: 0.5}}\n")
    refuse(("train", "--config", "inputs/idle.yaml"), "subjects.two.suppress.sparse_end has no effect",
           "here is ordinary")


def test_a_network_without_weights_is_not_trained(work, refuse):
    (work / "inputs" / "weightless.py").write_text(
        "from mindspore import nn, ops\n\n\nclass Weightless(nn.Cell):\n    def construct(self, x):\n"
        "        return ops.concat((x.reshape((x.shape[0], -1)),), 1)[:, :10]\n")
    refuse(("train", "--model", "inputs/weightless.py:Weightless", "--dataset", "digits"),
           "Weightless has no trainable parameters", "--ckpt")


@pytest.mark.parametrize(("assignment", "parts"), [
    ("membership.suppress.mask_times=0", ["mindleak: membership.suppress.mask_times is 0"]),
    ("membership.suppress.mask_times=100000", ["mindleak: membership.suppress.mask_times 100000 is more than"]),
    ("membership.suppress.start_epoch=9", ["needs membership.suppress.start_epoch ≤ training.epochs, got"]),
    ("membership.training.epochs=101", ["needs membership.training.epochs ≤ 100, got 101"]),
])
def test_suppress_for_membership(refuse, assignment, parts):
    given = ("--set", "suppress.mask_times=5", "--suppress_engine", "mindarmour", "--set", assignment)
    refuse(("attack", "membership", *SUPPRESS, *TINY_MEMBERSHIP, *given), *parts)


def test_a_subjects_own_key_is_named_with_the_subject(work, refuse):
    (work / "inputs" / "two.yaml").write_text(
        "data: {image_size: 28}\nmodel: {name: lenet5_bias}\nsubjects:\n  one: {training: {epochs: 2}}\n"
        "  two: {training: {batch_size: 5000, epochs: 2}, membership: {training: {optimizer: sdg}}}\n")
    config_file = ("--config", "inputs/two.yaml")
    refuse(("train", *config_file), "mindleak: subjects.two.training.batch_size 5000 is larger")
    refuse(("audit", *config_file, "--set", "subjects.two.training.batch_size=50"),
           "mindleak: subjects.two.membership.training.optimizer 'sdg'")
    refuse(("train", *config_file, "--set", "suppress.start_epoch=9", "--set", "subjects.two.training.method=suppress",
            "--set", "subjects.two.training.batch_size=50"),
           "needs suppress.start_epoch ≤ subjects.two.training.epochs, got")


def test_a_training_that_diverges_names_the_rate_of_its_own_section(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = (*SMALL, "--set", "inversion.images=2", "--set", "inversion.iterations=1", "--set", "judge.epochs=1",
             "--set", "judge.model=lenet5_bias", "--set", "judge.optimizer=sgd", "--set", "judge.learning_rate=1e30")
    assert_refused(call(capfd, "attack", "inversion", *words), "lower judge.learning_rate (now 1e+30)")


@pytest.mark.parametrize(("assignments", "parts"), [
    (("training.method=dp_sgd",), ["either dp.noise_multiplier or dp.target_epsilon"]),
    (("training.method=dp_sgd", "dp.noise_multiplier=1", "dp.delta=0.01"), ["dp.delta 0.01 is no promise for 1297"]),
    (("training.method=dp_sgd", "dp.noise_multiplier=1", "training.schedule=plateau"), ["not private"]),
    (("training.method=dp_sgd", "dp.noise_multiplier=lots"), ["dp.noise_multiplier", "a number"]),
    (("training.method=dp_sgd", "dp.noise=1"), ["unknown key 'dp.noise'", "dp.noise_multiplier"]),
    (("training.method=dp_sgd", "dp.accountant=prv", "dp.noise_multiplier=1"), ["one of pld, rdp"]),
    (("training.method=prune", "prune.sparsity=1"), ["prune.sparsity is 1"]),
    (("training.method=prune", "prune.layers=[conv9.weight]"), ["prune.layers", "did you mean 'conv"]),
    (("training.method=prune", "prune.finetune_epochs=-1"), ["prune.finetune_epochs is -1"]),
    (("model.width=0",), ["model.width is 0"]),
])
def test_other_methods(refuse, assignments, parts):
    refuse(("train", *LENET, *(word for each in assignments for word in ("--set", each))), *parts)


@pytest.mark.parametrize(("assignment", "parts"), [
    ("training.optimizer=momentum", ["plain SGD", "suppress.engine=graph"]),
    ("training.optimizer=adam", ["plain SGD"]),
    ("training.optimizer=nesterov", ["plain SGD"]),
    ("training.schedule=cosine", ["constant learning rate"]),
    ("training.weight_decay=0.1", ["weight_decay=0"]),
    ("training.learning_rate=0.6", ["learning_rate", "0.5"]),
])
def test_what_mindarmours_suppress_classes_cannot_do(refuse, assignment, parts):
    times = ("--set", "suppress.mask_times=5", "--suppress_engine", "mindarmour")
    refuse(("train", *SUPPRESS, *times, "--set", assignment), *parts)


# --- folders and disks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--run_dir", "--ckpt_dir"])
@pytest.mark.parametrize("place", ["inputs/file", "inputs/file/below", "/proc/mindleak/run"])
def test_folders_that_cannot_be_written_are_noticed_before_any_work(work, refuse, option, place):
    (work / "inputs" / "file").write_text("here is no folder")
    refuse(("train", *SMALL, option, place), f"cannot write {place}")


@pytest.mark.parametrize("default", ["runs", "ckpt"])
def test_default_folders_that_are_files(work, refuse, default):
    (work / default).write_text("here is no folder")
    refuse(("train", *SMALL), f"cannot write {default}/", "no folder")


def test_run_directory_of_another_configuration(work, refuse):
    session_job.open_session(config.load(None), "inputs/run", None, "test").run  # noqa: B018
    for command in (("train",), ("audit",), ("attack", "inversion")):
        refuse((*command, *SMALL, "--run_dir", "inputs/run"), "another configuration", "--run_dir")
    refuse(("train", "--seed", "5", "--run_dir", "inputs/run"), "seed is 0 there and 5 now")


@pytest.mark.parametrize("text", ["", "[1, 2]", "seed: [", "\x00"])
def test_run_directory_with_a_damaged_configuration(work, refuse, text):
    (work / "inputs" / "run").mkdir()
    (work / "inputs" / "run" / "identity.yaml").write_text(text)
    refuse(("train", *SMALL, "--run_dir", "inputs/run"), "identity.yaml")


@pytest.fixture
def small_disk(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 150 kB, less than one checkpoint; where none can be mounted, a fault in its place."""
    disk = work / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") is not None and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=150k", "tmpfs", str(disk)], capture_output=True, check=False
    ).returncode == 0
    if not mounted:
        def full(*arguments: object, **options: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(checkpoint.ms, "save_checkpoint", full)
    yield disk
    if mounted:
        subprocess.run(["umount", str(disk)], check=True)


def test_full_disk(small_disk, capfd):
    outcome = call(capfd, "train", *SMALL, "--run_dir", small_disk / "run", "--ckpt_dir", small_disk / "ckpt")
    assert_refused(outcome, "cannot be written", "ckpt")
    left = [path for path in small_disk.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert sorted(path.name for path in left) == ["config.yaml", "identity.yaml"], left
    assert not list((small_disk / "run" / "stages").glob("*"))


def test_full_disk_under_the_run_directory(small_disk, work, capfd):
    """The configuration itself does not fit."""
    (small_disk / "ballast").write_bytes(b"")
    try:
        with open(small_disk / "ballast", "wb") as stream:
            while stream.write(b"x" * 4096) and stream.tell() < 1 << 20:
                stream.flush()
    except OSError as error:
        assert error.errno == errno.ENOSPC
    else:
        pytest.skip("the disk is not small: nothing could be mounted")
    outcome = call(capfd, "train", *SMALL, "--run_dir", small_disk / "run", "--ckpt_dir", work / "ckpt")
    assert_refused(outcome, "no space left on device")
    assert not (work / "ckpt").exists()
    assert [path.name for path in small_disk.rglob("*") if path.is_file()] == ["ballast"]


# --- reports ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "parts"), [
    (None, ["does not exist", "finished audit"]),
    ("", ["damaged"]),
    ("{", ["damaged"]),
    ("[]", ["schema None"]),
    ('{"schema": 99}', ["schema 99", "reads 2"]),
    ('{"schema": 1}', ["schema 1", "reads 2"]),
    ('{"schema": 2}', ["damaged", "KeyError"]),
    ('{"schema": 2, "subjects": 3}', ["damaged"]),
])
def test_report_without_a_whole_document(work, refuse, text, parts):
    (work / "inputs" / "run").mkdir()
    if text is not None:
        (work / "inputs" / "run" / "report.json").write_text(text)
    refuse(("report", "--run_dir", "inputs/run"), "report.json", *parts)
    refuse(("report", "--run_dir", "inputs/none"), "does not exist")


# --- every key ----------------------------------------------------------------------------------------------------


class _PlannedError(Exception):
    """The checks have been passed; work would begin."""


def unsuitable(default: Any) -> list[Any]:
    """Values of a key's own type that no key, or hardly any, can make sense of."""
    if isinstance(default, bool):
        return [False]
    if isinstance(default, int):
        return [-1, 0, 10**7]
    if isinstance(default, float):
        return [-1.0, 0.0, math.nan, math.inf]
    if isinstance(default, list):
        return [[], [math.nan], [-1.0, -1.0, -1.0]]
    return ["nonsense", "", "..", "a b/c", 0]


# 10 million of these would be computed, not refused.
PATIENT = {"membership.shadows": 10**7}
BASE = {
    "model.name": "lenet5_bias", "data.image_size": 28, "training.method": "suppress", "training.epochs": 4,
    "training.batch_size": 16, "suppress.mask_times": 5, "suppress.start_epoch": 1, "membership.target_in": 100,
    "membership.target_out": 100, "membership.population": 20, "membership.shadow_pool": 400, "membership.shadows": 2,
    "judge.model": "lenet5_bias",
}


@pytest.mark.parametrize("key", SCHEMA.settings)
def test_no_value_of_any_key_is_a_fault_of_ours(work, capfd, monkeypatch, key):
    """Planned or refused before any work begins: never a traceback, never a folder."""

    def planned(*arguments: object) -> None:
        raise _PlannedError

    monkeypatch.setattr(audit_job.Audit, "_train", planned)
    before = contents(work)
    for value in unsuitable(SCHEMA.settings[key].default):
        if PATIENT.get(key) == value:
            continue
        given = {**BASE, key: value}
        words = [f"{name}={json.dumps(each)}".replace("NaN", ".nan").replace("Infinity", ".inf")
                 for name, each in given.items()]
        try:
            outcome = call(capfd, "audit", *[part for word in words for part in ("--set", word)])
        except _PlannedError:
            pass
        else:
            assert_refused(outcome)
        assert contents(work) == before, (key, value)
