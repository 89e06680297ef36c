"""Images on a scale that networks cannot learn from are warned of by name, and sound data sets never are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from command import SMALL, assert_refused, call
from mindleak.data import catalogue
from mindleak.data.dataset import Dataset
from mindleak.errors import InputError

Arrays = dict[str, np.ndarray]


def digits() -> Arrays:
    """Scikit-learn's digits as floating point in [0, 1]: sound as they are."""
    bunch = load_digits()
    images = (bunch.images / 16).astype(np.float32)
    return {"x_train": images[:1297], "y_train": bunch.target[:1297], "x_test": images[1297:],
            "y_test": bunch.target[1297:]}


def loaded(folder: Path, arrays: Arrays) -> Dataset:
    np.savez(folder / "own.npz", **arrays)
    return catalogue.load("custom", folder / "own.npz")


def changed(arrays: Arrays, change, *names: str) -> Arrays:
    return {**arrays, **{name: change(arrays[name]) for name in names}}


BOTH = ("x_train", "x_test")
DOUBTFUL = {
    "bytes 0 to 16": (lambda x: (x * 16).astype(np.uint8), BOTH,
                      ("training and test images have bytes from 0 to 16 of 255", "divided by 16")),
    "bytes 0 and 1": (lambda x: (x > 0.5).astype(np.uint8), BOTH, ("bytes from 0 to 1 of 255",)),
    "bytes of 7 bits": (lambda x: (x * 127).astype(np.uint8), BOTH, ("bytes from 0 to 127 of 255",)),
    "divided twice": (lambda x: x / 255, BOTH, ("from 0 to 0.00392 only", "divided by 255 twice")),
    "hardly any contrast": (lambda x: 0.5 + x / 10, BOTH, ("from 0.5 to 0.6 only",)),
    "test divided twice": (lambda x: x / 255, ("x_test",), ("test images have values", "divided by 255 twice")),
    "training divided by 16 more": (lambda x: x / 16, ("x_train",), ("training images have values",)),
    "test on 0.7 of the scale": (lambda x: x * 0.7, ("x_test",), ("largest value is 1 in training and 0.7 in test",)),
    "test inverted": (lambda x: 1 - x, ("x_test",), ("seems to be inverted",)),
    "training inverted": (lambda x: 1 - x, ("x_train",), ("seems to be inverted",)),
    "test much brighter": (lambda x: np.sqrt(np.sqrt(x)), ("x_test",), ("differ from test images in brightness",)),
    "bytes 0 to 16 and one odd image": (lambda x: np.where(np.arange(len(x))[:, None, None] == 5, 255 * x, 16 * x)
                                        .astype(np.uint8), BOTH, ("bytes from 0 to 16 of 255",)),
    "half of the test images divided twice": (
        lambda x: np.where(np.arange(len(x))[:, None, None] >= 250, x / 255, x), ("x_test",),
        ("250 of 500 test images have no value above 2 % of the others' largest, 1",)),
    "blank images": (lambda x: np.where(np.arange(len(x))[:, None, None] % 4 == 0, 1, x), ("x_test",),
                     ("125 of 500 test images have one value throughout",)),
    "test of one class": (lambda y: np.full_like(y, 3), ("y_test",), ("all 500 test images are of class '3'",)),
}


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_images_that_networks_cannot_learn_from_are_doubted_by_name(tmp_path: Path, kind: str) -> None:
    change, names, words = DOUBTFUL[kind]
    doubt = loaded(tmp_path, changed(digits(), change, *names)).doubts[0]
    assert all(word in doubt for word in words), doubt
    assert len(doubt) < 300


@pytest.mark.parametrize("change", [
    lambda x: x, lambda x: 1 - x, lambda x: (x * 255).astype(np.uint8), lambda x: x * 0.6, np.sqrt,
    lambda x: x[:, :, ::-1], lambda x: np.repeat(x[..., None], 3, axis=3)])
def test_sound_images_are_not_doubted(tmp_path: Path, change) -> None:
    assert loaded(tmp_path, changed(digits(), change, *BOTH)).doubts == ()


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion_mnist", "cifar10"])
def test_public_data_sets_are_not_doubted(data_dir: Path, name: str) -> None:
    assert catalogue.load(name, data_dir).doubts == ()


REFUSED = {
    "training of one class": (lambda y: np.zeros_like(y), ("y_train", "y_test"), "labels of one class only ('0')"),
    "all images equal": (lambda x: np.broadcast_to(x[:1], x.shape), ("x_train",), "training split are equal"),
    "normalised by mean and deviation": (lambda x: (x - x.mean()) / x.std(), BOTH, "belongs into the network"),
    "floats 0 to 16": (lambda x: x * 16, BOTH, "stands for white (16 is the largest here)"),
    "floats 0 to 255": (lambda x: x * 255, BOTH, "divide by 255"),
    "not a number": (lambda x: np.where(x > 0.99, np.nan, x), BOTH, "is not finite"),
    "infinite": (lambda x: np.where(x > 0.99, np.inf, x), BOTH, "is not finite"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_images_without_anything_to_learn_or_in_no_known_range_are_refused(tmp_path: Path, kind: str) -> None:
    change, names, words = REFUSED[kind]
    with pytest.raises(InputError) as error:
        loaded(tmp_path, changed(digits(), change, *names))
    assert words in str(error.value) and "\n" not in str(error.value)


def own(folder: Path, arrays: Arrays) -> tuple[str, ...]:
    np.savez(folder / "own.npz", **arrays)
    return ("--dataset", "custom", "--data_dir", str(folder / "own.npz"), "--run_dir", str(folder / "run"),
            "--ckpt_dir", str(folder / "ckpt"))


def test_a_warning_is_said_once_before_training_and_stands_in_the_audits_report(capfd, tmp_path: Path) -> None:
    files = own(tmp_path, changed(digits(), lambda x: (x * 16).astype(np.uint8), *BOTH))
    words = "have bytes from 0 to 16 of 255"
    small = [*(word.replace("epochs=2", "epochs=1") for word in SMALL), "--set", "inversion.enabled=false",
             "--set", "membership.enabled=false"]
    trained = call(capfd, "train", *files, *small)
    assert trained.code == 0 and trained.out.count(words) == 1
    assert trained.out.index("warning: data set 'custom': ") < trained.out.index("epoch")
    outcome = call(capfd, "audit", *files, *small)
    first, _, last = outcome.out.partition("Before you rely on these figures:")
    assert outcome.code == 0 and first.count(words) == 1 and words in " ".join(last.split())
    found = json.loads((tmp_path / "run" / "report.json").read_text())["findings"]
    assert found[0]["text"].startswith("Warning: ") and words in found[0]["text"]
    assert words in (tmp_path / "run" / "report.html").read_text()


def test_verify_warns_and_refuses_as_loading_does(capfd, tmp_path: Path) -> None:
    place = own(tmp_path, changed(digits(), lambda x: x / 255, *BOTH))[2:4]
    assert "divided by 255 twice" in call(capfd, "data", "verify", "custom", *place).out
    place = own(tmp_path, changed(digits(), lambda y: np.zeros_like(y), "y_train", "y_test"))[2:4]
    assert_refused(call(capfd, "data", "verify", "custom", *place), "one class only")
