"""Answers that are no finite numbers: the split and the row are named, and the learning rate comes last."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

import mindleak
from cases import slow_but
from command import assert_refused, call
from mindleak import device
from mindleak.data.catalogue import load
from mindleak.data.dataset import TEST, TRAINING
from mindleak.errors import InputError
from mindleak.evaluation.finite import complaint
from mindleak.subjects.asking import ask
from mindleak.training.dp import DPSettings, PrivateTraining
from mindleak.training.recipe import Recipe
from mindleak.training.request import TrainingData, TrainingRequest
from mindleak.training.trainer import Training
from training_setup import Linear, arrays, seeded

NET = """import numpy as np
import mindspore as ms
from mindspore import Tensor, nn, ops
class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.flat, self.fc = nn.Flatten(), nn.Dense(64, 10)
        self.last = Tensor(np.arange(10) == 9)
    def construct(self, x):
        logits = self.fc(self.flat({start}))
        return {end}
class Hidden(nn.Cell):
    def __init__(self):
        super().__init__()
        self.flat, self.fc1, self.fc2 = nn.Flatten(), nn.Dense(64, 32), nn.Dense(32, 10)
    def construct(self, x):
        return self.fc2(ops.relu(self.fc1(self.flat(x / x.mean((1, 2, 3), True)))))
class WhileTraining(Hidden):
    def construct(self, x):
        if self.training:
            x = x / x.mean((1, 2, 3), True)
        return self.fc2(ops.relu(self.fc1(self.flat(x))))
class Half(nn.Cell):
    def __init__(self):
        super().__init__()
        self.flat = nn.Flatten()
        self.fc1, self.fc2 = nn.Dense(64, 64, dtype=ms.float16), nn.Dense(64, 10, dtype=ms.float16)
    def construct(self, x):
        return self.fc2(ops.relu(self.fc1(self.flat(x.astype(ms.float16)))))
"""
DIVIDES = "x / x.mean((1, 2, 3), True)"
ABSENT = "ops.select(self.last.broadcast_to(logits.shape), ops.full_like(logits, float('-inf')), logits)"
COMMANDS = [("train",), ("audit",), ("attack", "inversion"), ("attack", "membership")]


@pytest.fixture(autouse=True, scope="module")
def cpu() -> None:
    device.configure("CPU")


def net_file(folder: Path, start: str = "x", end: str = "logits") -> Path:
    (folder / "net.py").write_text(NET.format(start=start, end=end))
    return folder / "net.py"


def digits_file(folder: Path, split: str, black: int | None) -> str:
    """The digits as files of one's own, one image of a split black."""
    digits = load("digits")
    parts = {name: np.array(getattr(digits, name)) for name in ("x_train", "y_train", "x_test", "y_test")}
    if black is not None:
        parts["x_test" if split == TEST else "x_train"][black] = 0
    np.savez(folder / "digits.npz", **parts)
    return str(folder / "digits.npz")


def words(folder: Path, data: str, name: str = "Net", batch_size: int = 50) -> list[str]:
    settings = {"training.epochs": 1, "training.batch_size": batch_size}
    return ["--dataset", "custom", "--data_dir", data, "--model", f"{folder / 'net.py'}:{name}", "--run_dir",
            str(folder / "run"), "--ckpt_dir", str(folder / "ckpt"), *(f"--set={k}={v}" for k, v in settings.items())]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("split", "row"), [(TEST, 3), (TRAINING, 700)])
def test_an_image_that_a_network_divides_by_is_named_before_any_training(capfd, tmp_path, command, split, row):
    net_file(tmp_path, start=DIVIDES)
    outcome = call(capfd, *command, *words(tmp_path, digits_file(tmp_path, split, row)))
    assert_refused(outcome, f"{split} row {row}: the network answers NaN (1 of the ")
    assert "All pixels of this image are 0" in outcome.err and "learning_rate" not in outcome.err
    assert "epoch" not in outcome.out and not (tmp_path / "run").exists()


@pytest.mark.parametrize(("end", "said"), [
    (ABSENT, "training row 0: the network answers -inf for class 9 (1,297 of the 1,297 images asked about); expected "
             "finite numbers. A class that never occurs is left out by a large negative number, such as -1e4"),
    ("(logits * 1e30).astype(ms.float16)", "its largest number is 65504"),
    ("logits / 0", "expected finite numbers"),
])
def test_answers_that_are_never_finite_are_refused_with_their_cause(capfd, tmp_path, end, said):
    net_file(tmp_path, end=end)
    outcome = call(capfd, "train", *words(tmp_path, digits_file(tmp_path, TEST, None)))
    assert_refused(outcome, said.replace("its largest", "float16, whose largest"))
    assert "learning_rate" not in outcome.err


@pytest.mark.parametrize("name", slow_but(["Hidden", "WhileTraining"], "WhileTraining"))
def test_weights_that_are_not_finite_are_found_behind_a_relu_and_in_training_mode(capfd, tmp_path, name):
    net_file(tmp_path)
    # One batch of all 1,297 images: of smaller ones the last may be left out, and row 700 with it.
    outcome = call(capfd, "train", *words(tmp_path, digits_file(tmp_path, TRAINING, 700), name, 1297))
    assert_refused(outcome, "weights are not finite", "'fc1.", "All pixels of training row 700 are 0")
    assert "learning_rate" not in outcome.err and not list(tmp_path.glob("ckpt/**/*.ckpt"))


def test_half_precision_is_named_before_the_learning_rate(capfd, tmp_path):
    net_file(tmp_path)
    outcome = call(capfd, "train", *words(tmp_path, digits_file(tmp_path, TEST, None), "Half"),
                   "--set=training.optimizer=adam", "--set=training.learning_rate=1e4")
    assert_refused(outcome, "training diverged in epoch 1: the training loss is")
    assert outcome.err.index("are float16") < outcome.err.index("lower training.learning_rate")


@pytest.mark.parametrize("members", [None, np.arange(100)])
@pytest.mark.parametrize(("weight", "said"), [
    (np.nan, r"has weights that are not finite: 1 of 640 in '.*weight'"),
    (3e38, r"training row \d+: the network answers (-?inf|NaN)"),
])
def test_a_trained_network_is_asked_about_every_image_before_it_is_attacked(tmp_path, monkeypatch, members, weight,
                                                                                    said):
    class Plain(nn.Cell):
        def __init__(self):
            super().__init__()
            self.flat, self.fc = nn.Flatten(), nn.Dense(64, 10)

        def construct(self, x):
            return self.fc(self.flat(x) * 100)

    monkeypatch.chdir(tmp_path)
    network = Plain()
    values = network.fc.weight.asnumpy().copy()
    values[0, 36] = weight
    network.fc.weight.set_data(Tensor(values))
    with pytest.raises(InputError, match=said):
        mindleak.audit(mindleak.Subject(network, members))


class _DividesByWeight(nn.Cell):
    """Answers NaN about a black image once its weight is no longer what it was made with."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten, self.dense = nn.Flatten(), nn.Dense(6, 3, weight_init="zeros")

    def construct(self, x: Tensor) -> Tensor:
        flat = self.flatten(x)
        moved = (self.dense.weight * self.dense.weight).sum()
        return self.dense(flat) + moved * 1e-3 / flat.sum(1, keepdims=True) * ms.ops.stop_gradient(0 * moved + 1)




@pytest.mark.parametrize("split", [TEST, TRAINING])
def test_an_image_that_fails_after_training_is_told_from_a_training_that_diverges(split):
    images, labels = arrays()
    watched = np.array(arrays(21, seed=1)[0])
    watched[4] = 0
    data = TrainingData(images, labels, watched, arrays(21, seed=1)[1], "clouds", None, split, np.arange(100, 121))
    with pytest.raises(InputError) as caught:
        Training.train(TrainingRequest(seeded(_DividesByWeight), data, Recipe(epochs=1, batch_size=8), 0))
    assert f"the validation loss is nan, and the weights are finite. {split} row 104: the network" in str(caught.value)
    assert "learning_rate" not in str(caught.value)


@pytest.mark.parametrize("method", slow_but(["ordinary", "dp_sgd"], "ordinary"))
def test_a_training_that_diverges_says_which_loss_and_the_rate_last(method):
    data = TrainingData(*arrays(), *arrays(21, seed=1), digest="clouds")
    recipe = Recipe(epochs=1, batch_size=8, learning_rate=1e38, optimizer="sgd")
    with pytest.raises(InputError, match=r"diverged in epoch 1: the \w+ loss is \S+; lower training.learning_rate"):
        if method == "dp_sgd":
            PrivateTraining.train(TrainingRequest(seeded(Linear), data, recipe, 0, DPSettings(noise_multiplier=1.0)))
        else:
            Training.train(TrainingRequest(seeded(Linear), data, recipe, 0))


def test_answers_after_a_training_are_held_against_the_rows_that_were_asked_about():
    digits = load("digits")

    def predict(images: np.ndarray) -> np.ndarray:
        answers = np.zeros((len(images), 10), np.float32)
        answers[2, 1:3] = np.inf
        return answers

    with pytest.raises(InputError, match=r"model 'net', test row 40: the network answers inf for class 1, 2 \(1 of"):
        ask(predict, digits, TEST, "net", np.array([10, 20, 40, 80]))


def test_finite_answers_are_returned_as_they_are():
    digits = load("digits")
    assert ask(lambda images: images, digits, TRAINING, "net").shape == digits.x_train.shape
    assert complaint(np.zeros((0, 10)), np.zeros((0, 1, 8, 8)), TEST) is None
