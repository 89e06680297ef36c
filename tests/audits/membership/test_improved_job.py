"""The improved attack from end to end on real digits: observations, controls, ablation, stages, bad input, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor, nn

from memorised_digits import MEMBERS, Perceptron, noisy_digits, trained
from mindleak import settings as config
from mindleak.audits.membership.answers import answers_of
from mindleak.audits.membership.improved_stages import improved_stage
from mindleak.audits.membership.observations import Observer
from mindleak.audits.membership.plan import MembershipPlan, plan_membership
from mindleak.cli import main
from mindleak.errors import InputError
from mindleak.evaluation.roc import auc
from mindleak.jobs.audit import AuditReport, run_audit
from mindleak.jobs.session import open_session
from mindleak.models.base import Classifier
from mindleak.subjects.own import Subject
from mindleak.subjects.session import Session
from mindleak.subjects.subject import subject_plans
from records import results, said

SIZES = ("membership.target_in=200", "membership.target_out=200", "membership.population=200",
         "membership.shadow_pool=600", "membership.shadows=4", "membership.attack.batch_size=20",
         "membership.improved.batch_size=50", "membership.improved.epochs=15")
RECIPE = ("training.optimizer=adam", "training.learning_rate=0.01", "training.epochs=30", "training.batch_size=20")


class Named(Classifier):
    """A network with named layers that learns 200 digits by heart."""

    layer_names = ("first", "second.pre", "second", "logits")

    def __init__(self) -> None:
        super().__init__()
        self.input_shape, self.num_classes = (1, 8, 8), 10
        self.flatten, self.relu = nn.Flatten(), nn.ReLU()
        self.one, self.two, self.head = nn.Dense(64, 96), nn.Dense(96, 32), nn.Dense(32, 10)

    def forward_to(self, x: Tensor, layer: str) -> Tensor:
        x = self.relu(self.one(self.flatten(x)))
        if layer == "first":
            return x
        x = self.two(x)
        if layer == "second.pre":
            return x
        x = self.relu(x)
        return x if layer == "second" else self.head(x)


def open_in(folder: Path, *assignments: str) -> Session:
    given = {each.partition("=")[0] for each in assignments}
    kept = [each for each in (*SIZES, *RECIPE) if each.partition("=")[0] not in given]
    merged = config.load(None, ["device.target=CPU", *kept, *assignments])
    return open_session(merged, str(folder / "run"), str(folder / "ckpt"), "test")


def settings(folder: Path, *more: str) -> tuple[str, ...]:
    return ("data.name=custom", f"data.dir={noisy_digits(folder)}", f"model.name={__file__}:Named",
            "membership.attacks=[shadow, improved]", *more)


def planned(folder: Path, *more: str, provided: Subject | None = None) -> MembershipPlan:
    (plan,) = subject_plans(open_in(folder, *settings(folder, *more)), provided)
    return plan_membership(plan)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("improved")


def audited(folder: Path, *more: str, ablation: str = "added") -> AuditReport:
    session = open_in(folder, *settings(folder, f"membership.ablation=[{ablation}]", *more))
    report = run_audit(session, ("membership",))
    assert report is not None
    return report


@pytest.fixture(scope="module")
def audit(folder: Path) -> AuditReport:
    """Both attacks and the ablation on one subject that has learnt wrong labels by heart."""
    return audited(folder)


def by_attack(audit: AuditReport) -> dict[str, dict[str, Any]]:
    return {each["attack"]: each for each in results(audit.document, "membership", "shadows")}


@pytest.mark.slow
def test_positive_control_the_improved_attack_finds_what_was_learnt_by_heart(audit: AuditReport) -> None:
    found = by_attack(audit)["improved"]
    assert found["overall"]["auc"]["ci"][0] > 0.65
    assert found["n_in"] == found["n_out"] == 200 and found["n_shadows"] == 4
    assert found["layers"] == {"hidden": "second", "activations": ["first"]}
    assert found["attack_model"] == "network" and "calibrated" in found["features"]
    assert len(found["per_class"]) == 10 and found["detectable"]["auc"] > 0.5


@pytest.mark.slow
def test_both_attacks_stand_in_findings_page_and_json(audit: AuditReport, folder: Path) -> None:
    findings = said(audit.document)
    assert any("by the improved attack: AUC" in sentence for sentence in findings)
    assert any(sentence.startswith("Improved against shadow attack") for sentence in findings)
    assert any(sentence.startswith("Ablation on") for sentence in findings)
    page = audit.path.read_text()
    for words in ("improved attack", "posterior + calibrated", "AUC less that of the posterior only"):
        assert words in page
    json.dumps(audit.document, allow_nan=False)


@pytest.mark.slow
def test_attacks_are_compared_on_the_same_samples(audit: AuditReport, folder: Path) -> None:
    one, other = (np.load(folder / "run" / by_attack(audit)[name]["arrays"]) for name in ("shadow", "improved"))
    np.testing.assert_array_equal(one["rows"], other["rows"])
    np.testing.assert_array_equal(one["members"], other["members"])
    area = auc(other["scores"], other["members"]).value
    assert area == by_attack(audit)["improved"]["overall"]["auc"]["value"]


@pytest.mark.slow
def test_the_ablation_keeps_scores_and_paired_differences_of_every_variant(audit: AuditReport, folder: Path) -> None:
    (ablation,) = results(audit.document, "membership", "ablation")
    names = [each["name"] for each in ablation["variants"]]
    assert names[:2] == ["posterior only", "all"] and "posterior + activations" in names
    with np.load(folder / "run" / ablation["arrays"]) as arrays:
        assert arrays["scores"].shape == (len(names), 400)
        for scores, each in zip(arrays["scores"], ablation["variants"]):
            assert auc(scores, arrays["members"]).value == each["overall"]["auc"]["value"]


@pytest.mark.slow
def test_shadows_answer_as_they_did_when_they_were_trained(audit: AuditReport, folder: Path) -> None:
    # Weights are kept and loaded into one network in turn: a compiled call with the old ones would show here.
    plan = planned(folder, "membership.ablation=[added]")
    observer = Observer(plan)
    shadows, subject = observer.observed(observer.stages())
    for task, seen in zip(plan.shadows, shadows):
        answers = answers_of(task, task.run())
        np.testing.assert_array_equal(seen.members, answers.members)
        np.testing.assert_array_equal(seen.seen.labels, answers.labels)
        np.testing.assert_allclose(seen.seen.logits, answers.logits, atol=1e-5)
    assert (subject.seen.calibration.models == 4).all(), "no shadow was trained on a sample of the subject's"
    for number, (task, seen) in enumerate(zip(plan.shadows, shadows)):
        rows = np.concatenate(task.queries)
        outside = [~np.isin(rows, other.queries[0]) for place, other in enumerate(plan.shadows) if place != number]
        np.testing.assert_array_equal(seen.seen.calibration.models, np.sum(outside, axis=0))


def computed(audit: AuditReport) -> set[str]:
    return {stage["name"] for stage in audit.document["provenance"]["stages"] if not stage["cached"]}


@pytest.mark.slow
def test_a_second_call_computes_nothing_and_another_model_only_the_attack(audit: AuditReport, folder: Path) -> None:
    assert computed(audited(folder)) == set()
    name = results(audit.document, "membership", "shadows")[0]["subject"].removesuffix("-membership")
    again = audited(folder, "membership.improved.model=logistic", ablation="models")
    assert computed(again) == {f"improved-{name}", f"ablation-{name}"}
    assert by_attack(again)["shadow"] == by_attack(audit)["shadow"]
    assert by_attack(again)["improved"]["overall"]["auc"]["ci"][0] > 0.65
    assert any(sentence.startswith("Attack models on") for sentence in said(again.document))


@pytest.mark.slow
def test_null_control_a_network_that_never_saw_the_members_gives_nothing_away(folder: Path, tmp_path: Path) -> None:
    def attacked(network: Perceptron) -> Any:
        return improved_stage(planned(tmp_path, "membership.shadows=3", provided=Subject(network, MEMBERS, "mine")))

    untrained = Subject(Perceptron(), MEMBERS, "mine")
    elsewhere = planned(tmp_path, "membership.shadows=3", provided=untrained).split.indices["population"]
    null = attacked(trained(tmp_path, elsewhere, 0))
    known = np.isfinite(null.arrays["scores"])
    metric = auc(null.arrays["scores"][known], null.arrays["members"][known], level=0.999)
    assert metric.ci is not None and metric.ci[0] < 0.5 < metric.ci[1]
    leaking = attacked(trained(tmp_path, MEMBERS, 0))
    assert leaking.metrics["overall"]["auc"]["ci"][0] > 0.5
    # A network without named layers offers no hidden state, and the record says so.
    assert "hidden" not in leaking.metrics["features"]
    assert leaking.metrics["notes"][0].startswith("the subject has no layer before the logits with a name")


@pytest.mark.parametrize("more, complaint", [
    (("membership.improved.features=[phy]",), "membership.improved.features: 'phy' is unknown; did you mean 'phi'"),
    (("membership.improved.features=[]",), "membership.improved.features is empty"),
    (("membership.improved.model=netwrk",), "did you mean 'network'"),
    (("membership.ablation=[added, modles]",), "'modles' is unknown; did you mean 'models'"),
    (("membership.ablation=true", "membership.attacks=[shadow]"), "ablation takes the attack 'improved' apart"),
    (("membership.shadows=1",), "membership.shadows is 1; expected at least 2"),
])
def test_what_cannot_work_is_refused_before_anything_is_trained(
        tmp_path: Path, more: tuple[str, ...], complaint: str) -> None:
    changed = {each.partition("=")[0] for each in more}
    kept = [each for each in (*SIZES, *settings(tmp_path)) if each.partition("=")[0] not in changed]
    merged = config.load(None, ["device.target=CPU", *kept, *more])
    (plan,) = subject_plans(open_session(merged, str(tmp_path / "run"), str(tmp_path / "ckpt"), "test"))
    with pytest.raises(InputError, match=complaint):
        plan_membership(plan)
    assert not (tmp_path / "run").exists()


def test_hidden_features_of_a_network_without_layers_are_refused_where_they_are_all_there_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Perceptron offers none of these; expected any of posterior"):
        planned(tmp_path, "membership.improved.features=[hidden]",
                provided=Subject(Perceptron(), MEMBERS, "mine"))


def test_bad_features_on_the_command_line_are_exit_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["attack", "membership", "--attack", "improvd", "--run_dir", str(tmp_path / "run")])
    assert code == 2 and "did you mean 'improved'?" in capsys.readouterr().err
    code = main(["attack", "membership", "--attack", "improved", "--set", "membership.improved.featurs=[phi]",
                 "--run_dir", str(tmp_path / "run")])
    assert code == 2 and "membership.improved.features" in capsys.readouterr().err
