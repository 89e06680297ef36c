"""What the inversion job chooses: which images, which non-members beside them, and a judge that has seen neither."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mindspore import nn

from mindleak import settings as config
from mindleak.attacks.inversion.batched import BatchedInversion
from mindleak.attacks.inversion.mindarmour import MindArmourInversion
from mindleak.audits.inversion.plan import inverted_rows, matched_non_members, plan_inversion
from mindleak.data.copies import Copies
from mindleak.jobs.session import open_session
from mindleak.subjects.own import Subject
from mindleak.subjects.subject import SubjectPlan, subject_plans


def fake(y_train: list[int], y_test: list[int], members: list[int] | None = None, known: bool = False) -> Any:
    seen = None if members is None else np.array(members)
    numbers = np.arange(len(y_train) + len(y_test))
    data = SimpleNamespace(y_train=np.array(y_train, np.int32), y_test=np.array(y_test, np.int32),
                           copies=Copies(numbers[:len(y_train)], numbers[len(y_train):]))
    return SimpleNamespace(dataset=data, members=seen, is_trained=known or members is not None,
                           trained_on=np.arange(len(y_train)) if seen is None else seen,
                           session=SimpleNamespace(seed=lambda *purpose: 0))


def plan_of(tmp_path: Path, *assignments: str, provided: Subject | None = None) -> SubjectPlan:
    session = open_session(config.load(None, ["data.image_size=12", "model.name=lenet5_bias", *assignments]),
                           str(tmp_path / "run"), str(tmp_path / "ckpt"), "test")
    (plan,) = subject_plans(session, provided)
    return plan


def test_non_members_of_a_subject_trained_on_everything_come_from_the_test_split_matched_by_class() -> None:
    found = matched_non_members(fake([0, 1, 0, 2], [2, 0, 1, 0, 2]), np.array([0, 1, 2, 3]))
    assert found is not None and found.source == "test split"
    assert found.partners.tolist() == [0, 1, 2, 3]
    # Two test images are of class 0, two of class 2, and which of the latter is drawn depends on the seed.
    assert sorted(found.rows[[0, 2]]) == [1, 3] and found.rows[1] == 2 and found.rows[3] in (0, 4)


def test_members_without_a_partner_left_stay_unmatched() -> None:
    found = matched_non_members(fake([0, 0, 1], [0, 2]), np.array([0, 1, 2]))
    assert found is not None and found.partners.tolist() == [0] and found.rows.tolist() == [0]


def test_the_training_split_is_preferred_where_the_subject_left_enough_of_it() -> None:
    enough = matched_non_members(fake([0, 1, 1, 0, 1], [0, 1], members=[0, 1]), np.array([0, 1]))
    assert enough is not None and enough.source == "training split" and enough.rows[0] == 3
    assert enough.rows[1] in (2, 4)
    scarce = matched_non_members(fake([0, 1, 1, 1], [0, 1], members=[0, 1]), np.array([0, 1]))
    assert scarce is not None and scarce.source == "test split" and scarce.rows.tolist() == [0, 1]


def test_without_known_members_there_are_no_non_members() -> None:
    assert matched_non_members(fake([0, 1], [0, 1], known=True), np.array([0])) is None


class Tiny(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.flatten, self.dense = nn.Flatten(), nn.Dense(144, 10)

    def construct(self, x: Any) -> Any:
        return self.dense(self.flatten(x))


def test_the_judge_has_seen_neither_members_nor_non_members_that_are_inverted(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "inversion.images=20", "judge.model=lstm_rnn",
                   provided=Subject(Tiny(), members=np.arange(100, 700)))
    planned = plan_inversion(plan)
    assert planned.rows.tolist() == inverted_rows(plan).tolist() and set(planned.rows) <= set(range(100, 700))
    assert set(np.bincount(plan.dataset.y_train[planned.rows], minlength=10)) <= {1, 2, 3}
    assert planned.non_members is not None and planned.non_members.source == "training split"
    assert planned.judge.rows is not None
    inverted = np.concatenate([planned.rows, planned.non_members.rows])
    assert len(np.intersect1d(planned.judge.rows, inverted)) == 0 and len(planned.judge.rows) == 1297 - 40
    assert not np.isin(planned.non_members.rows, np.arange(100, 700)).any()
    labels = plan.dataset.y_train
    np.testing.assert_array_equal(labels[planned.non_members.rows], labels[planned.rows[planned.non_members.partners]])


def test_several_layers_are_several_attacks(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "inversion.layer=[conv1, fc1, logits]", "judge.model=lstm_rnn", "inversion.optimizer=adam",
                   "inversion.tv=mindarmour_cpu", "inversion.restarts=2", "inversion.patience=7",
                   "inversion.batch_size=11")
    attacks = plan_inversion(plan).attacks
    assert [attack.layer for attack in attacks] == ["conv1", "fc1", "logits"]
    assert {(attack.tv, attack.optimizer, attack.restarts, attack.patience, attack.batch_size)
            for attack in attacks if isinstance(attack, BatchedInversion)} == {("mindarmour_cpu", "adam", 2, 7, 11)}


@pytest.mark.parametrize("engine, kind", [("batched", BatchedInversion), ("mindarmour", MindArmourInversion)])
def test_the_engine_is_the_configured_one(tmp_path: Path, engine: str, kind: type) -> None:
    plan = plan_of(tmp_path, f"inversion.engine={engine}", "judge.model=lstm_rnn")
    (attack,) = plan_inversion(plan).attacks
    assert isinstance(attack, kind) and attack.settings()["engine"] == engine and attack.layer == "fc1"
    assert attack.tv == ("isotropic" if engine == "batched" else "mindarmour_cpu")
