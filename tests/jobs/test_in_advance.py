"""What a job of several processes would refuse is refused once and before them: ``cli.check``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from command import Outcome, assert_refused, call
from mindleak import cli, device

SMALL = ("--dataset", "digits", "--set", "data.image_size=16", "--device_target", "CPU")


def checked(capfd: pytest.CaptureFixture[str], folder: Path, *words: str, workers: int = 2) -> Outcome:
    code = cli.check([*words, "--run_dir", str(folder / "run"), "--ckpt_dir", str(folder / "ckpt")], workers)
    shown = capfd.readouterr()
    return Outcome(code, shown.out, shown.err)


@pytest.mark.parametrize("words, parts", [
    (["audit", "--dataset", "mnits"], ["data set 'mnits' is unknown; did you mean 'mnist'?"]),
    (["audit", "--dataset", "./mine.npz"], ["is a path", "--dataset custom --data_dir ./mine.npz"]),
    (["audit", *SMALL, "--set", "training.epoch=1"], ["training.epoch"]),
    (["audit", *SMALL, "--set", "training.batch_size=100000"], ["training.batch_size 100000 is larger than the 1297"]),
    (["train", *SMALL, "--set", "training.lr=-1"], ["training.lr"]),
    (["audit", *SMALL, "--model", "nowhere/net.py:Net"], ["model file 'nowhere/net.py' does not exist"]),
    (["attack", "inversion", *SMALL, "--ckpt", "nowhere.ckpt"], ["nowhere.ckpt"]),
    (["attack", "membership", *SMALL, "--attack", "lria"], ["lria"]),
    (["audit", *SMALL, "--set", "device.data_parallel=true"], ["device.data_parallel is for 'mindleak train'"]),
    (["train", *SMALL, "--set", "device.data_parallel=true", "--set", "training.batch_size=33"],
     ["training.batch_size 33 cannot be divided among 2 processes"]),
    (["audit", "--dataset", "digits", "--device_target", "Ascend"], ["device_target Ascend cannot be used here"]),
    (["fly"], ["fly"]),
], ids=lambda value: " ".join(value)[:40])
def test_what_every_process_would_refuse_is_refused_and_leaves_nothing(
        tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], parts: list[str]) -> None:
    outcome = checked(capfd, tmp_path, *words)
    assert_refused(outcome, *parts)
    assert outcome.out == "" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["audit"], ["train"], ["attack", "membership"], ["predict"],
                                   ["train", "--set", "device.data_parallel=true"]], ids=" ".join)
def test_what_can_begin_passes_in_silence_and_leaves_nothing(
        tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert checked(capfd, tmp_path, *words, *SMALL) == Outcome(0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_networks_are_left_to_the_processes(tmp_path: Path, capfd: pytest.CaptureFixture[str],
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.py").write_text("""from mindspore import nn, ops
class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.flat, self.fc = nn.Flatten(), nn.Dense(256, 10)
    def construct(self, x):
        return ops.softmax(self.fc(self.flat(x)))
class Device(Net):
    def construct(self, x):
        raise RuntimeError("this operator is the device's")
""")

    def check(name: str) -> Outcome:
        return checked(capfd, tmp_path, "audit", *SMALL[:-2], "--model", f"{tmp_path / 'net.py'}:{name}",
                       "--device_target", target)

    target = "CPU"
    assert check("Net") == Outcome(0, "", ""), "whose processes refuse it for its softmax"
    assert_refused(check("Device"), "this operator is the device's")
    # On another device it may work, and nobody can know that here.
    monkeypatch.setattr(device, "available_targets", lambda: ["Ascend", "CPU"])
    target = "Ascend"
    assert check("Device") == Outcome(0, "", "")
    assert_refused(checked(capfd, tmp_path, "audit", "--dataset", "mnits", "--model", f"{tmp_path / 'net.py'}:Device",
                           "--device_target", target), "data set 'mnits' is unknown")
    assert checked(capfd, tmp_path, "audit", *SMALL[:-2], "--device_target", target) == Outcome(0, "", "")


def test_doubts_are_left_to_the_process_that_speaks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "dark.npz", **{f"x_{split}": generator.integers(0, 17, (300, 16, 16)).astype(np.uint8)
                                       for split in ("train", "test")},
             **{f"y_{split}": np.arange(300) % 10 for split in ("train", "test")})
    words = ["train", "--dataset", "custom", "--data_dir", str(tmp_path / "dark.npz")]
    assert checked(capfd, tmp_path, *words) == Outcome(0, "", "")


def test_the_run_directory_of_another_configuration_is_refused(tmp_path: Path,
                                                               capfd: pytest.CaptureFixture[str]) -> None:
    words = ("train", *SMALL, "--set", "training.epochs=1")
    folders = ("--run_dir", tmp_path / "run", "--ckpt_dir", tmp_path / "ckpt")
    assert call(capfd, *words, *folders).code == 0
    assert checked(capfd, tmp_path, *words, "--restart").code == 0
    assert_refused(checked(capfd, tmp_path, *words, "--seed", "1"), "seed")
