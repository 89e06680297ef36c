"""Networks that answer with something else than logits, or with answers that do not fit: asked before any work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

import mindleak
from cases import slow_but
from command import Outcome, assert_refused, call
from mindleak import device
from mindleak.data.catalogue import load
from mindleak.errors import InputError
from mindleak.evaluation.answers import (
    BOUNDED,
    CONSTANT,
    IN_OTHER_COMPANY,
    LOG_PROBABILITIES,
    LOG_SIGMOIDS,
    LOGITS,
    PROBABILITIES,
    SCALED_PROBABILITIES,
    TWICE,
    kind_of_answers,
    unsteady,
)
from mindleak.evaluation.classification import accuracy
from mindleak.subjects.answers import misfit, require_logits, split_misfit
from records import results, said

SIZE = 12
NET = """from mindspore import Tensor, nn, ops
class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.flat, self.fc = nn.Flatten(), nn.Dense({size}, 10)
    def construct(self, x):
        logits = self.fc(self.flat(x))
        return {end}
"""
ENDS = {
    "softmax": ("ops.softmax(logits)", "probabilities, as after a softmax; expected logits"),
    "float16": ("ops.softmax(logits.astype('float16'))", "probabilities, as after a softmax; expected logits"),
    "less than a softmax": ("ops.softmax(logits) - 0.1", "probabilities, scaled or shifted, as after a softmax"),
    "percent": ("100 * ops.softmax(logits)", "probabilities, scaled or shifted, as after a softmax"),
    "sigmoid": ("ops.sigmoid(logits)", "numbers that stop at two bounds and do not sum up to one number, as after a "),
    "tanh": ("ops.tanh(logits)", "numbers that stop at two bounds and do not sum up to one number, as after a "),
    "clipped": ("ops.clamp(logits, -1, 1)", "numbers that stop at two bounds"),
    "log-sigmoid": ("nn.LogSigmoid()(logits)", "numbers that stop at 0, as after a log-sigmoid; expected logits"),
    "dropout": ("ops.dropout(logits, 0.5, True)", "answers the same images differently when asked twice, by up to"),
    "batch mean": ("logits - logits.mean(0)", "answers the same images differently when asked together with other im"),
    "softmax when asked": ("logits if self.training else ops.softmax(logits)", "probabilities, as after a softmax"),
    "softmax when trained": ("ops.softmax(logits) if self.training else logits",
                             "while it trains, model 'net.py:Net' answers with probabilities"),
    "whole numbers": ("logits.astype('int32')", "answers with int32 numbers; expected logits"),
}
FIRST = load("digits", None, SIZE, "bilinear")
MEMBERS = np.arange(0, 1297, 6)
SETTINGS = {
    "data.image_size": SIZE, "training.epochs": 1, "training.batch_size": 50, "judge.model": "lstm_rnn",
    "judge.epochs": 1, "inversion.images": 2, "inversion.iterations": 2, "membership.target_in": 150,
    "membership.target_out": 150, "membership.population": 10, "membership.shadow_pool": 500, "membership.shadows": 2,
    "membership.attack.epochs": 2}
OPTIONS = [f"--set={key}={value}" for key, value in SETTINGS.items()]


@pytest.fixture(autouse=True, scope="module")
def cpu() -> None:
    device.configure("CPU")


def net_file(folder: Path, end: str) -> str:
    (folder / "net.py").write_text(NET.format(size=SIZE * SIZE, end=end))
    return f"{folder / 'net.py'}:Net"


def fitted(images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Weights that classify images well, by least squares."""
    pixels = np.hstack([images.reshape(len(images), -1), np.ones((len(images), 1))])
    weights = np.linalg.lstsq(pixels, 8.0 * np.eye(10)[labels], rcond=1e-4)[0].astype(np.float32)
    return {"fc.weight": np.ascontiguousarray(weights[:-1].T), "fc.bias": weights[-1]}


def saved(path: Path, weights: dict[str, np.ndarray]) -> str:
    ms.save_checkpoint([{"name": name, "data": Tensor(value)} for name, value in weights.items()], str(path))
    return str(path)


def run(capfd: pytest.CaptureFixture[str], folder: Path, *words: object) -> Outcome:
    return call(capfd, *words, "--run_dir", folder / "run", "--ckpt_dir", folder / "ckpt", *OPTIONS)


# --- which kind ----------------------------------------------------------------------------------------------


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


# The last layer of a network whose layers before it are squashed.
UNEQUAL = np.random.default_rng(5).normal(size=(10, 10))
KINDS = {
    LOGITS: [lambda x: x, lambda x: 30 * x, lambda x: x - 100, lambda x: np.maximum(x, 0), lambda x: x * np.nan,
             lambda x: 0.01 * x + 0.5, lambda x: 1e-3 * np.abs(x), lambda x: x - x.mean(1, keepdims=True),
             lambda x: 5 * (x / np.linalg.norm(x, axis=1, keepdims=True)), lambda x: -np.abs(x),
             lambda x: 2 * log_softmax(x), lambda x: x - x.mean(1, keepdims=True) + 8,
             lambda x: np.minimum(x, 0), lambda x: -np.maximum(x, 0), lambda x: np.maximum(x - 1, 0),
             lambda x: np.tanh(x) @ UNEQUAL[:x.shape[1], :x.shape[1]], lambda x: np.where(x > 0, x, 0.01 * x)],
    PROBABILITIES: [softmax, lambda x: softmax(50 * x), lambda x: softmax(x).astype(np.float16),
                    lambda x: softmax(1e-3 * x)],
    LOG_PROBABILITIES: [log_softmax, lambda x: log_softmax(x).astype(np.float16)],
    SCALED_PROBABILITIES: [lambda x: softmax(x) - 0.1, lambda x: 100 * softmax(x), lambda x: 3 * softmax(x) - 1,
                           lambda x: softmax(x) - 1 / x.shape[1], lambda x: -softmax(x), lambda x: softmax(30 * x) + 7],
    BOUNDED: [lambda x: 1 / (1 + np.exp(-x)), lambda x: 1 / (1 + np.exp(-0.01 * x)), lambda x: (x > 0) * 1.0,
              np.tanh, lambda x: 3 * np.tanh(0.1 * x) + 5, lambda x: np.clip(x, -1, 1), lambda x: np.clip(x, 0, 6),
              np.arctan],
    LOG_SIGMOIDS: [lambda x: -np.logaddexp(0, -x), lambda x: -np.logaddexp(0, -0.1 * x),
                   lambda x: np.log(1 / (1 + np.exp(-x.astype(np.float32))))],
    CONSTANT: [lambda x: 0 * x, lambda x: 0 * x + 0.1, lambda x: 0 * x + np.arange(x.shape[1])],
}


@pytest.mark.parametrize("kind, end", [(kind, end) for kind, ends in KINDS.items() for end in ends])
@pytest.mark.parametrize("classes", [2, 10])
def test_answers_are_told_apart_by_their_values(kind: str, end: Any, classes: int) -> None:
    generator = np.random.default_rng(classes)
    mix = generator.normal(size=(16, classes))
    images = generator.random((30, 1, 4, 4))
    with np.errstate(over="ignore", divide="ignore"):
        assert kind_of_answers(lambda x: end((x.reshape(len(x), -1) - 0.5) @ mix), images) == kind


def test_answers_that_change_are_told_from_rounding() -> None:
    generator = np.random.default_rng(0)
    images = generator.random((40, 1, 4, 4))

    def flat(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1)

    assert unsteady(flat, images) is None
    assert unsteady(lambda x: flat(x) + 1e-6 * generator.normal(size=flat(x).shape), images) is None
    assert unsteady(lambda x: flat(x) * np.inf, images) is None
    assert unsteady(lambda x: flat(x) * (generator.random(flat(x).shape) > 0.1), images)[0] == TWICE  # type: ignore[index]
    assert unsteady(lambda x: flat(x) - flat(x).mean(0), images)[0] == IN_OTHER_COMPANY  # type: ignore[index]


def saturated(classes: int, hidden: int, contrast: float, seed: int) -> Any:
    """A network of squashed hidden units, and low-contrast images: all of its units saturate alike once stretched."""
    generator = np.random.default_rng(seed)
    into, out = generator.normal(size=(256, hidden)) / 16, generator.normal(size=(hidden, classes)) / hidden**0.5
    images = np.clip(generator.normal(0.5, contrast, (4 * classes, 1, 16, 16)), 0, 1)
    return (lambda x: np.tanh(x.reshape(len(x), -1) @ into) @ out), images


@pytest.mark.parametrize("contrast", [0.02, 0.05, 0.1, 0.3])
def test_squashed_hidden_units_make_no_squashed_answers(contrast: float) -> None:
    for seed in range(20):
        for classes, hidden in ((2, 8), (2, 16), (3, 8), (10, 64)):
            assert kind_of_answers(*saturated(classes, hidden, contrast, seed)) == LOGITS, (classes, hidden, seed)


def test_answers_in_half_precision_are_steady() -> None:
    generator = np.random.default_rng(0)
    layers = [generator.normal(0, 2 ** 0.5 / 8, (64, 64)) for _ in range(20)]
    images = generator.random((40, 1, 8, 8))

    def halves(x: np.ndarray) -> np.ndarray:
        # Sums in half precision, in another order for another size of the batch, as libraries choose tiles.
        values, parts = x.reshape(len(x), -1), 2 if len(x) == 40 else 4
        for layer in layers:
            pieces = [(values[:, piece::parts] @ layer[piece::parts]).astype(np.float16) for piece in range(parts)]
            values = np.maximum(sum(pieces), 0).astype(np.float16).astype(np.float64)  # type: ignore[call-overload]
        return values[:, :10]

    assert unsteady(halves, images) is None
    assert unsteady(lambda x: halves(x) - halves(x).mean(0), images) is not None


# --- every command that asks ---------------------------------------------------------------------------------


COMMANDS = [["train"], ["audit"], ["attack", "membership"], ["attack", "inversion"]]
REFUSED = [(command, end) for command in COMMANDS for end in ENDS]


# One command for every end, and every command for two of them.
@pytest.mark.parametrize(("command", "end"), slow_but(
    REFUSED, *((COMMANDS[number % len(COMMANDS)], end) for number, end in enumerate(ENDS)),
    *((command, end) for command in COMMANDS for end in ("softmax", "softmax when trained"))))
def test_answers_that_are_no_logits_are_refused_before_any_training(
        tmp_path: Path, capfd: pytest.CaptureFixture[str], command: list[str], end: str) -> None:
    reference = net_file(tmp_path, ENDS[end][0])
    outcome = run(capfd, tmp_path, *command, "--model", reference)
    assert_refused(outcome, ENDS[end][1].replace("NET", reference))
    assert len(outcome.err) < 500
    assert not (tmp_path / "run").exists() and not (tmp_path / "ckpt").exists()


@pytest.mark.parametrize("attack", ["membership", "inversion"])
def test_a_checkpoint_that_ends_in_a_softmax_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str],
                                                        attack: str) -> None:
    weights = saved(tmp_path / "net.ckpt", fitted(FIRST.x_train, FIRST.y_train))
    np.save(tmp_path / "members.npy", MEMBERS)
    outcome = run(capfd, tmp_path, "attack", attack, "--model", net_file(tmp_path, "ops.softmax(logits)"), "--ckpt",
                  weights, "--members", tmp_path / "members.npy")
    assert_refused(outcome, "answers with probabilities")


@pytest.mark.parametrize("end, sentence", [
    ("ops.softmax(logits)", "net answers with probabilities, no logits; its classes are the same."),
    ("ops.log_softmax(logits)", "net answers with log-probabilities; they are taken for logits"),
    ("logits", None),
])
def test_predict_says_what_it_is_answered_with(tmp_path: Path, capfd: pytest.CaptureFixture[str], end: str,
                                               sentence: str | None) -> None:
    weights = saved(tmp_path / "net.ckpt", fitted(FIRST.x_train, FIRST.y_train))
    outcome = run(capfd, tmp_path, "predict", "-n", 20, "--model", net_file(tmp_path, end), "--ckpt", weights)
    assert outcome.code == 0 and " of 20 right" in outcome.out
    assert sentence in outcome.out if sentence else "answers" not in outcome.out


def test_log_probabilities_train_and_are_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = run(capfd, tmp_path, "train", "--model", net_file(tmp_path, "ops.log_softmax(logits)"))
    assert outcome.code == 0
    assert "answers with log-probabilities; they are taken for logits" in outcome.out


class Own(nn.Cell):
    """A network from Python, of which only a twin has a softmax, or all answers are one."""

    def __init__(self, end: nn.Cell | None = None) -> None:
        super().__init__()
        self.flat, self.fc, self.end = nn.Flatten(), nn.Dense(SIZE * SIZE, 10), end or nn.Identity()

    def construct(self, x: Tensor) -> Tensor:
        return self.end(self.fc(self.flat(x)))


def own(weights: dict[str, np.ndarray], end: nn.Cell | None = None) -> Own:
    network = Own(end)
    ms.load_param_into_net(network, {name: ms.Parameter(Tensor(value)) for name, value in weights.items()})
    return network


PYTHON = {key.replace(".", "__"): value for key, value in SETTINGS.items()}


def test_from_python_subject_and_twins_are_asked(tmp_path: Path) -> None:
    weights = fitted(FIRST.x_train, FIRST.y_train)
    for subject in (mindleak.Subject(own(weights, nn.Softmax()), MEMBERS, "mine"),
                    mindleak.Subject(own(weights), MEMBERS, "mine", make=lambda: Own(nn.Softmax()))):
        with pytest.raises(InputError, match="answers with probabilities, as after a softmax"):
            mindleak.audit(subject, run_dir=tmp_path / "run", attacks="membership", **PYTHON)
    assert not (tmp_path / "run").exists()


def test_one_answer_to_all_images_is_refused_of_a_trained_network_only() -> None:
    network = own({"fc.weight": np.zeros((10, SIZE * SIZE), np.float32), "fc.bias": np.zeros(10, np.float32)})
    with pytest.raises(InputError, match="answers 40 images of several classes alike"):
        require_logits(network, FIRST, "mine", trained=True)
    assert require_logits(network, FIRST, "mine", trained=False) == LOGITS


# --- answers that do not fit ---------------------------------------------------------------------------------


def misreading(kind: str) -> dict[str, np.ndarray]:
    """Weights of a network that was trained on other images or labels than it is given."""
    images, labels = FIRST.x_train, FIRST.y_train
    if kind == "scale":
        weights = fitted(images, labels)
        return {"fc.weight": weights["fc.weight"] / 255, "fc.bias": weights["fc.bias"]}
    shuffled = np.random.default_rng(0).permutation(labels)
    return fitted(1 - images if kind == "inverted" else images,
                  {"order": (labels + 3) % 10, "noise": shuffled}.get(kind, labels))


@pytest.mark.parametrize("kind, advice", [
    ("scale", "Given pixels from 0 to 255 it is "), ("inverted", "Given dark for bright it is "),
    ("order", "With its classes in another order it would be "), ("noise", "Check that it takes pixels from 0 to 1")])
def test_a_network_that_misreads_its_images_gets_advice_and_no_membership_verdict(
        tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str, advice: str) -> None:
    weights = saved(tmp_path / "net.ckpt", misreading(kind))
    np.save(tmp_path / "members.npy", MEMBERS)
    words = ["--model", net_file(tmp_path, "logits"), "--ckpt", weights, "--members", tmp_path / "members.npy"]
    refused = run(capfd, tmp_path, "attack", "membership", *words)
    assert_refused(refused, "would say nothing: its answers do not fit these images or labels", advice)
    assert "answers" not in refused.out, "said once"
    assert not (tmp_path / "run").exists()
    if kind == "order":
        outcome = run(capfd, tmp_path, "audit", *words)
        document = json.loads((tmp_path / "run" / "report.json").read_text())
        assert outcome.code == 0 and results(document, "membership", "shadows") == []
        assert outcome.out.index("warning: net: its answers do not fit") < outcome.out.index("judge")
        first, *others = said(document)
        assert advice in first and "says anything about what it gives away" in first
        assert any("Not done: membership on net: its answers do not fit" in sentence for sentence in others)
        assert "its answers do not fit these images or labels" in (tmp_path / "run" / "report.html").read_text()


def constant(answer: int) -> nn.Cell:
    """A network that takes every image for one class."""
    return own({"fc.weight": np.zeros((10, SIZE * SIZE), np.float32), "fc.bias": np.eye(10, dtype=np.float32)[answer]})


def test_advice_rests_on_images_of_all_classes_and_never_names_the_present_order() -> None:
    labels = np.repeat(np.arange(10), [1100, *[100] * 9]).astype(np.int32)
    images = np.random.default_rng(0).random((2000, 1, SIZE, SIZE)).astype(np.float32)
    said = misfit(constant(3), replace(FIRST, x_test=images, y_test=labels), None)
    assert said is not None and "5.00 %" in said and "Check that it takes pixels" in said
    assert misfit(constant(0), replace(FIRST, x_test=images, y_test=labels), None) is None


def test_an_honest_network_on_unbalanced_classes_is_no_misfit() -> None:
    rows = np.concatenate([np.flatnonzero(FIRST.y_train == 0), np.flatnonzero(FIRST.y_train == 1)[:8]])
    data = replace(FIRST, x_train=FIRST.x_train[rows], y_train=FIRST.y_train[rows])
    network = own(fitted(data.x_train, data.y_train))
    assert misfit(network, data, np.arange(len(rows))) is None


def test_a_network_that_is_right_more_often_on_signed_pixels_misreads_these() -> None:
    weights = fitted(2 * FIRST.x_train - 1, FIRST.y_train)
    said = misfit(own(weights), FIRST, MEMBERS)
    assert said is not None and "Given pixels from -1 to 1 it is " in said
    weights = fitted(FIRST.x_train, FIRST.y_train)
    assert misfit(own(weights), FIRST, MEMBERS) is None


# --- splits that do not fit each other -----------------------------------------------------------------------


def answered(images: np.ndarray) -> np.ndarray:
    """The answers of a network that has learnt the training split."""
    weights = fitted(FIRST.x_train, FIRST.y_train)
    return np.asarray(images.reshape(len(images), -1) @ weights["fc.weight"].T + weights["fc.bias"])


@pytest.mark.parametrize("images, labels, advice", [
    (FIRST.x_test, (FIRST.y_test + 3) % 10, "With its classes in another order it would be "),
    (1 - FIRST.x_test, FIRST.y_test, "Given dark for bright it is "),
    (FIRST.x_test, FIRST.y_test, None),
    (FIRST.x_test, np.random.default_rng(0).permutation(FIRST.y_test), None)],
    ids=["numbered otherwise", "inverted", "honest", "noise"])
def test_a_test_split_that_is_read_otherwise_is_told_from_one_that_is_hard(images: np.ndarray, labels: np.ndarray,
                                                                           advice: str | None) -> None:
    data = replace(FIRST, x_test=images, y_test=labels)
    seen = accuracy(answered(data.x_train).argmax(1), data.y_train)
    unseen = accuracy(answered(images).argmax(1), labels)
    said = split_misfit(answered, data, seen, unseen)
    assert said is None if advice is None else said is not None and advice in said


def test_test_labels_that_are_numbered_otherwise_are_said_wherever_their_accuracy_is(
        tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "mine.npz"
    np.savez(data, x_train=FIRST.x_train, y_train=FIRST.y_train, x_test=FIRST.x_test, y_test=(FIRST.y_test + 3) % 10)
    words = ["--dataset", "custom", "--data_dir", data]
    warning = "the test split does not fit the training split: the network classifies "
    trained = call(capfd, "train", *words, "--set", "training.epochs=6", "--set", "training.batch_size=20",
                   "--set", "training.optimizer=adam", "--set", "training.learning_rate=0.003",
                   "--run_dir", tmp_path / "train", "--ckpt_dir", tmp_path / "train-ckpt")
    assert trained.code == 0 and f"warning: lenet5_bias-ordinary: {warning}" in trained.out
    weights = saved(tmp_path / "net.ckpt", fitted(FIRST.x_train, FIRST.y_train))
    np.save(tmp_path / "members.npy", MEMBERS)
    outcome = run(capfd, tmp_path, "audit", *words, "--set=inversion.enabled=false", "--ckpt", weights,
                  "--model", net_file(tmp_path, "logits"), "--members", tmp_path / "members.npy")
    document = json.loads((tmp_path / "run" / "report.json").read_text())
    for sentences in (document["cautions"], said(document)):
        assert any(warning in sentence and "another order" in sentence for sentence in sentences)
    last = " ".join(outcome.out[outcome.out.index("Before you rely on these figures:"):].split())
    assert outcome.code == 0 and warning in last
