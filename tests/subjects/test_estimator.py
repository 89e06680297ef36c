"""Subjects that are no networks: fitted as stages, of which the answers are kept and looked up."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from memorised_digits import open_in
from mindleak.attacks.target import EstimatorTarget
from mindleak.data.dataset import TEST, TRAINING
from mindleak.errors import InputError
from mindleak.models.estimators import fitted
from mindleak.subjects.answering import mirror
from mindleak.subjects.asked import asked_aside
from mindleak.subjects.estimator import EstimatorTask
from mindleak.subjects.subject import EstimatorPlan, NoNetworkError, subject_plans
from mindleak.subjects.trained import headline

ROWS = np.arange(100, 400)


def task_in(folder: Path, *assignments: str, mirrored: bool = False) -> EstimatorTask:
    (plan,) = subject_plans(open_in(folder, "data.name=digits", *(assignments or ("model.name=decision_tree",))))
    assert isinstance(plan, EstimatorPlan)
    return EstimatorTask(plan, "membership", ROWS, mirrored)


def test_what_is_kept_is_what_the_fitted_model_answers(tmp_path: Path) -> None:
    task = task_in(tmp_path, "model.name=random_forest", "estimator.trees=5", mirrored=True)
    data = task.plan.dataset
    forest = fitted("random_forest", task.plan.config.estimator, data.x_train[ROWS], data.y_train[ROWS], task.seed)
    target, answers = EstimatorTarget(forest), task.answering(task.run())
    for split in (TRAINING, TEST):
        images = data.of_split(split)[0]
        np.testing.assert_array_equal(answers.logits(split), target.logits(images).astype(np.float32))
        np.testing.assert_array_equal(answers.logits(split, np.array([7, 3]), mirrored=True),
                                      target.logits(mirror(images[[7, 3]])).astype(np.float32))


@pytest.mark.parametrize("name", ["decision_tree", "random_forest", "kmeans"])
def test_equal_fits_give_equal_answers_bit_by_bit(tmp_path: Path, name: str) -> None:
    first, again = (task_in(tmp_path / folder, f"model.name={name}").run() for folder in "ab")
    assert first.digest == again.digest
    assert first.arrays[TEST].tobytes() == again.arrays[TEST].tobytes()
    task = task_in(tmp_path / "a", f"model.name={name}")
    assert task.fingerprint(first) == task.fingerprint(again)


def test_a_fingerprint_tells_models_and_their_answers_apart(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    result = task.run()
    made = {task.fingerprint(result)}
    other = EstimatorTask(task.plan, "membership", ROWS[1:])
    made.add(other.fingerprint(other.run()))
    for key in (TRAINING, TEST):
        forged = copy.copy(result)
        forged.arrays = {**result.arrays, key: result.arrays[key] + 1}
        made.add(task.fingerprint(forged))
    forged = copy.copy(result)
    forged.metrics = {**result.metrics, "digest": other.run().metrics["digest"]}
    made.add(task.fingerprint(forged))
    assert len(made) == 5
    aside = {**result.arrays, TRAINING: result.arrays[TRAINING].copy()}
    aside[TRAINING][:ROWS[0]] = 0
    unlike = copy.copy(result)
    unlike.arrays = aside
    assert task.fingerprint(unlike) == task.fingerprint(result), "answers about other rows do not count"


def test_a_second_call_finds_the_stage_and_another_setting_does_not(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    assert not task.is_done
    assert [task.run().cached, task_in(tmp_path).run().cached] == [False, True] and task.is_done
    other = EstimatorTask(task.plan, "membership", ROWS + 1)
    assert not other.is_done, "other rows"
    task.plan.config.estimator.max_depth = 3
    assert not task.is_done, "another depth"


def test_nothing_but_plain_arrays_and_a_record_is_kept(tmp_path: Path) -> None:
    result = task_in(tmp_path).run()
    assert sorted(file.name for file in result.path.iterdir()) == ["arrays.npz", "result.json"]
    assert {name: array.dtype for name, array in result.arrays.items()} == {TRAINING: np.float32, TEST: np.float32}


def test_one_beside_the_subject_is_asked_about_its_own_rows_and_others(tmp_path: Path) -> None:
    asked = asked_aside(task_in(tmp_path), "shadow0", np.arange(200), np.arange(200, 300)).run()
    assert asked.arrays["logits"].shape == (300, 10)
    assert asked.metrics["train_accuracy"]["value"] == 1.0, "a tree that is fully grown knows its own images"
    assert 0.4 < asked.metrics["test_accuracy"]["value"] < 0.95


def test_a_class_without_an_image_is_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    without = EstimatorTask(task.plan, "reference3", np.flatnonzero(task.plan.dataset.y_train != 4))
    with pytest.raises(InputError, match=r"'decision_tree', reference3: the \d+ images that it is fitted to have none "
                                         "of class 4; expected images of all 10 classes"):
        without.check()
    task.check()


def test_more_centroids_than_images_are_refused(tmp_path: Path) -> None:
    task = task_in(tmp_path, "model.name=kmeans", "estimator.centroids=31")
    with pytest.raises(InputError, match="estimator.centroids is 31, which is 310 for 10 classes, and 'kmeans', "
                                         "membership, is fitted to 300 images; expected at most 30"):
        task.check()


def test_whoever_wants_a_network_of_it_is_refused(tmp_path: Path) -> None:
    plan = task_in(tmp_path).plan
    for wanted in (lambda: plan.example, lambda: plan.untrained, lambda: headline(plan).network):
        with pytest.raises(NoNetworkError, match="decision_tree, which has answers and neither layers nor gradients"):
            wanted()


def test_a_record_has_the_settings_and_no_checkpoint(tmp_path: Path) -> None:
    record = headline(task_in(tmp_path).plan).record()
    assert (record["training"], record["n_train"], record["checkpoint"], record["parameters"]) == (
        "fitted", 1297, None, None)
    assert record["estimator"]["name"] == "decision_tree" and record["estimator"]["max_depth"] is None
    assert record["train_accuracy"]["value"] == 1.0
