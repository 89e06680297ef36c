"""The RNN tutorial's attack from end to end on real digits: what it draws, keeps and reports, beside other attacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor

import memorised_digits
from memorised_digits import MEMBERS, Perceptron, noisy_digits, open_in
from mindleak.audits.membership.plan import MembershipPlan, plan_membership
from mindleak.cli import main
from mindleak.errors import InputError
from mindleak.evaluation.paired import auc_difference
from mindleak.evaluation.roc import auc
from mindleak.jobs.audit import AuditReport, run_audit
from mindleak.models import registry
from mindleak.subjects.own import Subject
from mindleak.subjects.subject import subject_plans
from records import results, said

SIZES = ("membership.target_in=200", "membership.target_out=200", "membership.population=200",
         "membership.shadow_pool=600", "membership.shadows=2", "membership.attack.batch_size=20",
         "membership.references=4", "membership.rnn_tutorial.shadows=3", "membership.rnn_tutorial.test_size=100",
         "membership.rnn_tutorial.shadow_test_size=100", "membership.rnn_tutorial.batch_size=20",
         "membership.rnn_tutorial.epochs=30", "membership.rnn_tutorial.learning_rate=0.02")
RECIPE = ("training.optimizer=adam", "training.learning_rate=0.01", "training.epochs=40", "training.batch_size=20")


def planned(folder: Path, *assignments: str, provided: Subject | None = None) -> MembershipPlan:
    given = {assignment.partition("=")[0] for assignment in assignments}
    session = open_in(folder, "model.name=lstm_rnn", "model.hidden_size=4", "membership.attacks=[rnn_tutorial]",
                      *(size for size in SIZES if size.partition("=")[0] not in given), *assignments)
    (plan,) = subject_plans(session, provided)
    return plan_membership(plan)


def test_no_sample_that_judges_the_attack_reaches_a_shadow(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    document, roles = plan.rnn_tutorial, plan.split.indices
    assert document is not None and plan.shadows == [] and plan.references is None and plan.subject is not None
    assert len(document.tasks) == 3 and len(document.target_test) == 100
    judged = set(roles["target_in"]) | set(roles["target_out"])
    assert set(document.pool) == set(range(1297)) - judged
    for task in document.tasks:
        assert task.training.rows is not None and task.out_of_test
        np.testing.assert_array_equal(task.training.rows, task.queries[0])
        assert len(task.training.rows) == 200 and set(task.training.rows) <= set(document.pool)
        assert len(task.queries[1]) == 100 and not set(task.queries[1]) & set(document.target_test)
        assert task.training.recipe == plan.subject.task.recipe
    assert len({task.training.seed for task in plan.tasks}) == len(plan.tasks) == 4


def test_around_a_subject_from_elsewhere_shadows_draw_from_the_rest(tmp_path: Path) -> None:
    plan = planned(tmp_path, provided=Subject(Perceptron(), MEMBERS, "mine"))
    assert plan.rnn_tutorial is not None and plan.rnn_tutorial.sizes.train == len(MEMBERS)
    assert not set(plan.rnn_tutorial.pool) & (set(MEMBERS) | set(plan.split.indices["target_out"]))


def test_without_sizes_they_follow_the_subject(tmp_path: Path) -> None:
    (plan,) = subject_plans(open_in(tmp_path, "model.name=lstm_rnn", "membership.attacks=[rnn_tutorial]"))
    document = plan_membership(plan).rnn_tutorial
    assert document is not None and len(document.tasks) == 10
    assert (document.sizes.train, document.sizes.test, document.sizes.shadow_test) == (216, 11, 65)


@pytest.mark.parametrize("setting, complaint", [
    ("membership.rnn_tutorial.train_size=2000",
     "membership.rnn_tutorial.train_size is 2000, and the training split has 897"),
    ("membership.rnn_tutorial.test_size=101", "membership.rnn_tutorial.test_size is 101; .*expected 1 to 100"),
    ("membership.rnn_tutorial.shadow_test_size=101", "shadow_test_size is 101; .*expected 1 to 100"),
    ("membership.rnn_tutorial.shadows=0", "membership.rnn_tutorial.shadows is 0; expected at least 1"),
    ("membership.rnn_tutorial.train_size=-1", "membership.rnn_tutorial.train_size is -1"),
    ("membership.rnn_tutorial.momentum=1.5", "membership.rnn_tutorial.momentum is 1.5"),
])
def test_what_cannot_work_is_refused_before_anything_is_trained(tmp_path: Path, setting: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        planned(tmp_path, setting)
    assert not (tmp_path / "run").exists()


def test_bad_sizes_on_the_command_line_are_exit_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["attack", "membership", "--attack", "rnn_tutorial", "--run_dir", str(tmp_path / "run"), "--set"]
    assert main([*call, "membership.rnn_tutorial.train_size=5000"]) == 2
    assert "membership.rnn_tutorial.train_size is 5000" in capsys.readouterr().err
    assert main([*call, "membership.rnn_tutorial.train_sise=5000"]) == 2
    assert "did you mean 'membership.rnn_tutorial.train_size'" in capsys.readouterr().err


def test_the_documents_network_reads_one_step_of_centred_pixels() -> None:
    plain, centred = (registry.build(name, (1, 28, 28), 10, 3, {"sequence": "channels"})
                      for name in ("lstm_rnn", "lstm_rnn_centred"))
    assert (centred.steps, centred.step_size) == (1, 784)  # type: ignore[attr-defined]
    images = np.random.default_rng(0).random((4, 1, 28, 28)).astype(np.float32)
    np.testing.assert_allclose(centred(Tensor(images)).asnumpy(), plain(Tensor(2 * images - 1)).asnumpy(), atol=1e-5)
    assert not np.allclose(centred(Tensor(images)).asnumpy(), plain(Tensor(images)).asnumpy(), atol=1e-3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("document")


def audited(folder: Path, *attacks: str) -> AuditReport:
    # Two in five training labels are wrong, no test label is: the splits differ, and members are learnt by heart.
    session = open_in(folder, *SIZES, *RECIPE, "data.name=custom", f"data.dir={noisy_digits(folder)}",
                      f"model.name={memorised_digits.__file__}:Determined",
                      f"membership.attacks=[{', '.join(attacks)}]")
    report = run_audit(session, ("membership",))
    assert report is not None
    return report


@pytest.fixture(scope="module")
def report(folder: Path) -> AuditReport:
    return audited(folder, "rnn_tutorial", "shadow", "lira_online")


def result_of(report: AuditReport) -> dict[str, Any]:
    (found,) = results(report.document, "membership", "rnn_tutorial")
    assert isinstance(found, dict)
    return found


def judged(report: AuditReport, training: str, evaluation: str) -> dict[str, Any]:
    (found,) = (each for each in result_of(report)["evaluations"]
                if (each["training"], each["evaluation"]) == (training, evaluation))
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
def test_positive_control_what_was_learnt_by_heart_is_found_on_one_split(report: AuditReport) -> None:
    same = judged(report, "tutorial", "same_split")
    assert (same["n_in"], same["n_out"]) == (200, 200)
    assert same["auc"]["ci"][0] > 0.53
    assert result_of(report)["overall"]["auc"] == same["auc"]


@pytest.mark.slow
def test_what_the_splits_do_and_what_membership_does_are_told_apart(report: AuditReport) -> None:
    # Right labels make the test split's non-members look like members, which hides what was learnt by heart.
    parts = result_of(report)["decomposition"]
    assert parts["membership"]["ci"][0] > max(parts["split"]["ci"][1], 0.03)
    control = judged(report, "tutorial", "split_control")
    assert control["n_in"] and control["n_out"] and control["auc"]["ci"] is not None
    findings = [each for each in said(report.document) if each.startswith("The RNN tutorial's attack")]
    assert len(findings) == 5 and "null control" in findings[2] and "better than chance" in findings[4]


@pytest.mark.slow
def test_shadows_answer_for_their_own_rows_and_for_the_test_splits(report: AuditReport, folder: Path) -> None:
    (plan,) = subject_plans(open_in(folder, *SIZES, *RECIPE, "data.name=custom", f"data.dir={noisy_digits(folder)}",
                                    f"model.name={memorised_digits.__file__}:Determined",
                                    "membership.attacks=[rnn_tutorial]"))
    document, data = plan_membership(plan).rnn_tutorial, plan.dataset
    assert document is not None
    queries = [task.queries for task in document.tasks]
    expected = np.concatenate([np.concatenate([data.y_train[inside], data.y_test[out]]) for inside, out in queries])
    with np.load(folder / "run" / result_of(report)["saved"]["attack_train_data"]) as train:
        np.testing.assert_array_equal(train["train_classes"], expected)
    # Two in five labels of the training split are wrong: no network that has not seen them gets so many right there.
    shadows = result_of(report)["shadow_accuracy"]
    assert np.mean([shadow["train"] for shadow in shadows]) > 0.9
    assert np.mean([shadow["test"] for shadow in shadows]) > 0.54


@pytest.mark.slow
def test_what_the_document_saves_is_saved(report: AuditReport, folder: Path) -> None:
    saved = result_of(report)["saved"]
    with np.load(folder / "run" / saved["attack_train_data"]) as train:
        assert train["train_x"].shape == (3 * 300, 10) and train["train_x"].dtype == np.float32
        assert train["train_y"].sum() == 3 * 200 and set(train["train_classes"]) == set(range(10))
    with np.load(folder / "run" / saved["attack_test_data"]) as test:
        assert test["test_x"].shape == (300, 10) and test["test_y"].sum() == 200


@pytest.mark.slow
def test_every_attack_is_compared_on_the_same_samples(report: AuditReport, folder: Path) -> None:
    result = result_of(report)
    assert [each["attack"] for each in result["compared"]] == ["shadow", "lira_online"]
    with np.load(folder / "run" / result["arrays"]) as own:
        rows, members, scores = own["rows"], own["members"], own["scores"]
    assert auc(scores, members).value == result["overall"]["auc"]["value"]
    shadow = results(report.document, "membership", "shadows")[0]
    with np.load(folder / "run" / shadow["arrays"]) as arrays:
        np.testing.assert_array_equal(arrays["rows"], rows)
        expected = auc_difference(scores, arrays["scores"], members).to_json()
    assert result["compared"][0]["difference"] == expected
    assert result["compared"][0]["auc"] == shadow["overall"]["auc"]
    # References leave out the last sample of an odd class, and hold the rows in another order.
    (references,) = results(report.document, "membership", "references")
    lira = result["compared"][1]
    assert (lira["n_in"], lira["n_out"]) == (references["n_in"], references["n_out"])
    assert lira["auc"]["value"] == pytest.approx(references["attacks"][0]["overall"]["auc"]["value"])
    assert any("lira_online less the RNN tutorial's attack" in sentence for sentence in said(report.document))


@pytest.mark.slow
def test_page_and_terminal_show_it(report: AuditReport, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = report.path.read_text()
    for words in ("the RNN tutorial&#39;s attack", "null control", "Training number", "weighted avg",
                  result_of(report)["saved"]["attack_test_data"]):
        assert words in page or words.replace("&#39;", "'") in page, words
    json.dumps(report.document, allow_nan=False)
    assert results(audited(folder, "rnn_tutorial").document, "membership", "rnn_tutorial")[0]["compared"] == []
    printed = capsys.readouterr().out
    assert "training number is" in printed and "macro avg" in printed and "attack_train_data.npz" in printed


@pytest.mark.slow
def test_a_finished_attack_is_not_done_again_and_other_settings_only_attack_anew(
        report: AuditReport, folder: Path, tmp_path: Path) -> None:
    again = audited(folder, "rnn_tutorial", "shadow", "lira_online")
    assert all(stage["cached"] for stage in again.document["provenance"]["stages"])
    assert result_of(again) == result_of(report)
