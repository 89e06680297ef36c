"""The honest protocol of a membership attack, on real digits with real training: roles, queries, and both controls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from mindspore import nn

import memorised_digits
from memorised_digits import MEMBERS, Perceptron, noisy_digits, open_in, trained
from mindleak.audits.membership.answers import answers_of
from mindleak.audits.membership.plan import MembershipPlan, plan_membership
from mindleak.audits.membership.shadow_stage import membership_stage
from mindleak.errors import InputError
from mindleak.evaluation.roc import auc
from mindleak.jobs.audit import run_audit
from mindleak.runs.stages import StageResult
from mindleak.subjects.own import Subject
from mindleak.subjects.subject import SubjectPlan, subject_plans
from records import results, said

SIZES = ("membership.target_in=200", "membership.target_out=200", "membership.population=200",
         "membership.shadow_pool=600", "membership.shadows=2", "membership.attack.batch_size=20")
RECIPE = ("training.optimizer=adam", "training.learning_rate=0.01", "training.epochs=60", "training.batch_size=20")


def planned(folder: Path, *assignments: str, provided: Subject | None = None) -> MembershipPlan:
    (plan,) = subject_plans(open_in(folder, "model.name=lstm_rnn", "model.hidden_size=4", *assignments), provided)
    return plan_membership(plan)


def class_counts(plan: MembershipPlan, rows: np.ndarray) -> list[int]:
    return np.bincount(plan.plan.dataset.y_train[rows], minlength=10).tolist()


def test_roles_are_disjoint_and_targets_never_reach_a_shadow(tmp_path: Path) -> None:
    plan = planned(tmp_path, *SIZES)
    roles = plan.split.indices
    assert {role: len(rows) for role, rows in roles.items()} == {
        "target_in": 200, "target_out": 200, "population": 200, "shadow_pool": 600}
    everything = np.concatenate(list(roles.values()))
    assert len(np.unique(everything)) == len(everything)
    for task in plan.shadows:
        assert task.training.rows is not None
        rows_in, rows_out = task.queries
        np.testing.assert_array_equal(task.training.rows, rows_in)
        assert not set(rows_in) & set(rows_out)
        assert set(rows_in) | set(rows_out) <= set(roles["shadow_pool"])
    assert not np.array_equal(plan.shadows[0].queries[0], plan.shadows[1].queries[0])


def test_in_and_out_are_equal_class_by_class_and_shadows_are_as_large_as_the_subject(tmp_path: Path) -> None:
    plan = planned(tmp_path, *SIZES)
    assert class_counts(plan, plan.split.indices["target_in"]) == class_counts(plan, plan.split.indices["target_out"])
    assert plan.subject is not None
    np.testing.assert_array_equal(plan.subject.task.rows, plan.split.indices["target_in"])
    for task in plan.shadows:
        assert len(task.queries[0]) == len(task.queries[1]) == len(plan.subject.task.rows)
        assert class_counts(plan, task.queries[0]) == class_counts(plan, task.queries[1])
        alike = plan.subject.task
        assert task.training.recipe == alike.recipe and task.training.settings == alike.settings


def test_every_network_has_a_seed_of_its_own(tmp_path: Path) -> None:
    plan = planned(tmp_path, *SIZES)
    assert len({task.training.seed for task in plan.tasks}) == len(plan.tasks) == 3


def test_twins_with_and_without_suppression_share_rows_and_seeds(tmp_path: Path) -> None:
    plain = planned(tmp_path / "a", *SIZES, "training.batch_size=20", "training.epochs=5")
    sparse = planned(tmp_path / "b", *SIZES, "training.batch_size=20", "training.epochs=5",
                     "training.method=suppress", "suppress.mask_times=600")
    for one, other in zip(plain.tasks, sparse.tasks):
        np.testing.assert_array_equal(one.training.rows, other.training.rows)
        assert one.training.seed == other.training.seed
    # 200 of 1,297 samples take 200/1,297 of the steps, and so of the mask updates.
    assert sparse.shadows[0].training.settings.mask_times == round(600 * 200 / 1297)


@pytest.mark.parametrize("settings, complaint", [
    (("membership.target_out=100",), "target_in is 200 and target_out 100"),
    (("membership.shadows=1",), "membership.shadows is 1; expected at least 2"),
    (("membership.shadow_pool=300",), "a shadow asks for 400 samples .* has 300; the sizes are those of membership"),
    (("membership.shadow_pool=6000",), "the split asks for 6600 samples"),
    (("membership.population=0",), "size of 'population' is 0"),
    (("membership.attack.epochs=0",), "membership.attack.epochs is 0"),
    (("membership.target_in=40", "membership.target_out=40"), "at most [0-9] members and non-members of a class"),
])
def test_what_cannot_work_is_refused_before_anything_is_trained(
        tmp_path: Path, settings: Sequence[str], complaint: str) -> None:
    overridden = {setting.partition("=")[0] for setting in settings}
    kept = [size for size in SIZES if size.partition("=")[0] not in overridden]
    with pytest.raises(InputError, match=complaint):
        planned(tmp_path, *kept, *settings)
    assert not (tmp_path / "run").exists()


def provided(network: nn.Cell, members: np.ndarray | None) -> Subject:
    return Subject(network, members, "mine")


def attacked(folder: Path, subject: Subject, *more: str) -> StageResult:
    return membership_stage(plan_membership(noisy_plan(folder, subject, *more)))


def noisy_plan(folder: Path, subject: Subject, *more: str) -> SubjectPlan:
    """Plan the attack on the digits with wrong labels, whose members a network can only know by heart."""
    data = ("data.name=custom", f"data.dir={noisy_digits(folder)}")
    (plan,) = subject_plans(open_in(folder, *SIZES, *RECIPE, *data, *more), subject)
    return plan


def test_a_subject_from_elsewhere_keeps_its_members_out_of_everything_else(tmp_path: Path) -> None:
    members = np.arange(0, 1297, 4)
    plan = planned(tmp_path, *[size for size in SIZES if "pool" not in size], "membership.shadow_pool=560",
                   provided=provided(Perceptron(), members[::-1]))
    roles = plan.split.indices
    assert set(roles["target_in"]) <= set(members)
    assert class_counts(plan, roles["target_in"]) == class_counts(plan, roles["target_out"])
    for role in ("target_out", "population", "shadow_pool"):
        assert not set(roles[role]) & set(members)
    for task in plan.shadows:
        assert len(task.queries[0]) == len(members) == 325, "a shadow is as large as the subject"
        assert len(task.queries[1]) == 200


def test_fewer_members_than_target_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="membership on 'mine': .*only 100 members can be matched"):
        planned(tmp_path, *SIZES, provided=provided(Perceptron(), np.arange(100)))


def test_without_members_there_is_no_membership_attack(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'mine' needs to know what it was trained on: .* --members"):
        planned(tmp_path, *SIZES, provided=provided(Perceptron(), None))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run for all attacks on own models: their shadows are the same, so they are trained once."""
    return tmp_path_factory.mktemp("protocol")


def scored(result: StageResult) -> tuple[np.ndarray, np.ndarray]:
    return result.arrays["scores"], result.arrays["members"]


@pytest.mark.slow
def test_null_control_a_network_that_never_saw_the_members_gives_nothing_away(folder: Path) -> None:
    # Trained on the population role: neither the members nor the non-members that they are compared with.
    elsewhere = plan_membership(noisy_plan(folder, provided(Perceptron(), MEMBERS))).split.indices["population"]
    areas = []
    for seed in range(3):
        scores, members = scored(attacked(folder, provided(trained(folder, elsewhere, seed), MEMBERS)))
        metric = auc(scores, members, level=0.999)
        assert metric.ci is not None and metric.ci[0] < 0.5 < metric.ci[1]
        areas.append(metric.value)
    assert len(set(areas)) == 3
    assert abs(np.mean(areas) - 0.5) < 0.05


@pytest.mark.slow
def test_the_same_network_trained_on_the_members_gives_them_away(folder: Path) -> None:
    result = attacked(folder, provided(trained(folder, MEMBERS, 0), MEMBERS))
    assert result.metrics["overall"]["auc"]["ci"][0] > 0.5
    assert not result.cached


def test_shadows_are_trained_once_for_subjects_of_one_architecture_and_members(folder: Path) -> None:
    for seed in range(2):
        assert not attacked(folder, provided(trained(folder, MEMBERS, seed, epochs=1), MEMBERS)).cached
    stages = sorted(path.name.rpartition("-")[0] for path in (folder / "run" / "stages").iterdir())
    assert stages.count("train-mine-shadow0") == stages.count("train-mine-shadow1") == 1
    assert stages.count("membership-mine") >= 2


def test_the_subject_is_queried_in_evaluation_mode(folder: Path) -> None:
    network = trained(folder, MEMBERS, 0, epochs=2)
    network.set_train(True)
    logits = attacked(folder, provided(network, MEMBERS)).arrays["logits"]
    plan = noisy_plan(folder, provided(network, MEMBERS))
    indices = plan_membership(plan).split.indices
    images = plan.dataset.x_train[np.concatenate([indices["target_in"], indices["target_out"]])].reshape(400, -1)
    weights = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    hidden = np.maximum(images @ weights["hidden.weight"].T + weights["hidden.bias"], 0)
    np.testing.assert_allclose(logits, hidden @ weights["head.weight"].T + weights["head.bias"], atol=1e-3)


def test_shadows_are_queried_in_evaluation_mode(folder: Path) -> None:
    # With one image's answer asked for twice, dropout would answer twice differently.
    plan = noisy_plan(folder, provided(Perceptron(), MEMBERS))
    task = plan_membership(plan).shadows[0]
    answers = answers_of(task, task.run())
    assert answers.members.sum() == len(MEMBERS) and len(answers.labels) == len(MEMBERS) + 200
    accuracy = float((answers.logits.argmax(1) == answers.labels)[answers.members].mean())
    # By heart: two in five labels are wrong. Which dropout a shadow was trained with depends on what ran before it.
    assert accuracy == task.run().metrics["train_accuracy"]["value"] > 0.9


@pytest.mark.slow
def test_positive_control_an_overfitted_model_gives_its_members_away(tmp_path: Path) -> None:
    session = open_in(tmp_path, *SIZES, *RECIPE, "data.name=custom", f"data.dir={noisy_digits(tmp_path)}",
                      f"model.name={memorised_digits.__file__}:Perceptron")
    report = run_audit(session, ("membership",))
    assert report is not None
    (found,) = results(report.document, "membership", "shadows")
    assert found["overall"]["auc"]["ci"][0] > 0.65
    assert found["overall"]["accuracy"]["ci"][0] > 0.6
    assert found["n_in"] == found["n_out"] == 200
    assert any("better than chance" in sentence for sentence in said(report.document))
    # The headline subject, trained on everything, has no part in this.
    names = sorted(stage["name"].rpartition("-")[2] for stage in report.document["provenance"]["stages"])
    # Each shadow is trained and then asked.
    assert names == ["membership", "ordinary", "shadow0", "shadow0", "shadow1", "shadow1"]
    assert [subject["role"] for subject in report.document["subjects"]] == ["membership"]


def test_sizes_left_open_are_shares_of_the_training_split(tmp_path: Path) -> None:
    plan = planned(tmp_path, "membership.shadows=2")
    assert plan.split.sizes == {"target_in": 216, "target_out": 216, "population": 108, "shadow_pool": 757}


def test_sizes_left_open_around_a_subject_from_elsewhere_fit_its_members(tmp_path: Path) -> None:
    members = np.arange(400)
    plan = planned(tmp_path, "membership.shadows=2", provided=provided(Perceptron(), members))
    assert plan.split.sizes == {"target_in": 149, "target_out": 149, "population": 74, "shadow_pool": 674}
    assert all(len(task.queries[0]) == 400 for task in plan.shadows)
