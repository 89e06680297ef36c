"""Commands on subjects that are no networks: what they print, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from command import Outcome, assert_refused, call
from mindleak import cli


def ran(capfd: pytest.CaptureFixture[str], folder: Path, *words: str) -> Outcome:
    return call(capfd, *words, "--dataset", "digits", "--device_target", "CPU", "--run_dir", folder / "run",
                "--ckpt_dir", folder / "ckpt")


def test_train_fits_says_how_well_and_keeps_the_stage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = ran(capfd, tmp_path, "train", "--model", "random_forest", "--set", "estimator.trees=10")
    assert outcome.code == 0, outcome.err
    first, fitted, answers = outcome.out.splitlines()
    assert first == "random_forest: random_forest on digits, 1,297 training and 500 test images of 1x8x8"
    assert fitted.startswith("random_forest: fitted; training accuracy ") and ", test accuracy 0.9" in fitted
    assert answers.startswith("answers:    ") and (tmp_path / "run" / "stages").is_dir()
    assert not (tmp_path / "ckpt").exists(), "there is no checkpoint"
    again = ran(capfd, tmp_path, "train", "--model", "random_forest", "--set", "estimator.trees=10")
    assert again.out.splitlines()[1] == fitted.replace(": fitted;", ": already fitted;")


@pytest.mark.parametrize("words", [["train"], ["audit"], ["attack", "membership"]], ids=" ".join)
def test_several_processes_are_checked_in_advance_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str],
                                                             words: list[str]) -> None:
    code = cli.check([*words, "--model", "kmeans", "--run_dir", str(tmp_path / "run"), "--ckpt_dir",
                      str(tmp_path / "ckpt")], 2)
    assert (code, *capfd.readouterr()) == (0, "", "") and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("words", "parts"), [
    (["attack", "inversion", "--model", "kmeans"],
     ["model.name of 'kmeans' is kmeans, which has answers and neither layers nor gradients; expected a network"]),
    (["audit", "--model", "random_forrest"], ["model 'random_forrest' is unknown; did you mean 'random_forest'?"]),
    (["audit", "--model", "kmeans", "--set", "estimator.trees=3"], ["estimator.trees has no effect unless"]),
    (["audit", "--model", "decision_tree", "--ckpt", "x.ckpt"], ["model.checkpoint has no effect"]),
    (["predict", "--model", "decision_tree"], ["of which answers are kept and no checkpoint"]),
    (["attack", "membership", "--model", "kmeans", "--set", "estimator.centroids=30"],
     ["expected at most 21"]),
    (["attack", "inversion", "--set", "judge.model=kmeans", "--set", "data.image_size=16"],
     ["judge.model: model 'kmeans' is no network; expected one of lenet5"]),
    (["audit", "--set", "sweep.variants.one.model.name=kmeans", "--set", "sweep.baseline=one", "--set",
      "sweep.variants.two.training.epochs=2"],
     ["model.name of variant 'one' is kmeans, which is no network"]),
], ids=lambda value: " ".join(value)[:50])
def test_bad_input_is_refused_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str],
                                          parts: list[str]) -> None:
    assert_refused(ran(capfd, tmp_path, *words), *parts)
