"""Which size images are brought to where the configuration does not say: bare commands work on the embedded digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from command import assert_refused, call
from mindleak import settings as config
from mindleak.audits.audit import Audit
from mindleak.audits.inversion.plan import judge_task
from mindleak.errors import InputError
from mindleak.jobs.session import open_session
from mindleak.models.lenet5 import LeNet5Bias
from mindleak.subjects.own import Subject
from mindleak.subjects.session import Session
from mindleak.subjects.subject import subject_plans


def opened(folder: Path, *assignments: str) -> Session:
    return open_session(config.load(None, assignments), str(folder / "run"), str(folder / "ckpt"), "test")


def shape(folder: Path, *assignments: str) -> tuple[int, int, int]:
    (plan,) = subject_plans(opened(folder, *assignments))
    # The judge looks at the same images, whatever it was made for itself.
    assert judge_task(plan, np.arange(3)).plan.dataset is plan.dataset
    return plan.dataset.image_shape


@pytest.mark.parametrize("model, expected", [("lenet5", (1, 32, 32)), ("lenet5_bias", (1, 28, 28)),
                                             ("lstm_rnn", (1, 8, 8))])
def test_images_too_small_for_a_network_get_the_size_it_was_made_for(
        tmp_path: Path, model: str, expected: tuple[int, int, int]) -> None:
    assert shape(tmp_path, f"model.name={model}") == expected


@pytest.mark.parametrize("model", ["lenet5", "lenet5_bias", "lstm_rnn"])
def test_images_that_a_network_takes_stay_as_they_are(tmp_path: Path, model: str) -> None:
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "own.npz", x_train=generator.random((20, 20, 30)), y_train=np.arange(20) % 2,
             x_test=generator.random((4, 20, 30)), y_test=np.arange(4) % 2)
    own = (f"data.dir={tmp_path / 'own.npz'}", "data.name=custom", f"model.name={model}")
    assert shape(tmp_path, *own) == (1, 20, 30)


def test_a_size_that_is_given_is_taken_or_refused(tmp_path: Path) -> None:
    assert shape(tmp_path, "model.name=lenet5", "data.image_size=16") == (1, 16, 16)
    (plan,) = subject_plans(opened(tmp_path, "model.name=lenet5", "data.image_size=8"))
    with pytest.raises(InputError, match="lenet5 needs .* 16x16 pixels, got 8x8; set data.image_size=32"):
        plan.make_network(0)


def test_subjects_of_one_run_each_get_their_own_size(tmp_path: Path) -> None:
    names = {"a": "lenet5", "b": "lstm_rnn"}
    session = opened(tmp_path, *(f"subjects.{name}.model.name={model}" for name, model in names.items()))
    assert [plan.dataset.image_shape[1] for plan in subject_plans(session)] == [32, 8]


def test_a_network_of_ours_from_python_gets_its_size_too(tmp_path: Path) -> None:
    (plan,) = subject_plans(opened(tmp_path), Subject(LeNet5Bias(), None, "mine"))
    assert plan.dataset.image_shape == (1, 28, 28)


def test_a_bare_audit_has_a_plan_that_passes_all_checks(tmp_path: Path) -> None:
    tasks = Audit(opened(tmp_path)).plan()
    for task in tasks:
        task.check()
    # Headline, judge, membership subject and four shadows.
    assert len(tasks) == 7


def test_a_bare_training_works_on_the_digits_and_learns(
        capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = call(capfd, "train")
    assert (outcome.code, outcome.err) == (0, "")
    assert "lenet5_bias with 61,706 parameters on digits" in outcome.out and "of 1x28x28" in outcome.out
    # Ten classes; .92 to .96 over seeds here.
    assert float(outcome.out.partition("test accuracy ")[2][:6]) > 0.5
    assert_refused(call(capfd, "train", "--set", "data.image_size=8", "--run_dir", "other"), "12x12", "got 8x8")
