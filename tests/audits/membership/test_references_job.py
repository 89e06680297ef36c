"""Reference attacks from end to end on real digits: protocol, controls, stages, bad input, and the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memorised_digits
from memorised_digits import MEMBERS, Perceptron, noisy_digits, open_in, trained
from mindleak.attacks.membership.lira import choose_spread, lira
from mindleak.audits.membership.plan import MembershipPlan, plan_membership
from mindleak.audits.membership.reference_stage import reference_stage
from mindleak.cli import main
from mindleak.data.splits import Split
from mindleak.errors import InputError
from mindleak.evaluation.roc import auc
from mindleak.jobs.audit import AuditReport, run_audit
from mindleak.runs.stages import StageResult
from mindleak.subjects.own import Subject
from mindleak.subjects.subject import subject_plans
from mindleak.subjects.task import stale_trainings
from records import results, said

SIZES = ("membership.target_in=200", "membership.target_out=200", "membership.population=200",
         "membership.shadow_pool=600", "membership.shadows=2", "membership.attack.batch_size=20",
         "membership.references=8")
RECIPE = ("training.optimizer=adam", "training.learning_rate=0.01", "training.epochs=40", "training.batch_size=20")
ATTACKS = ("lira_online", "lira_offline", "rmia_online", "rmia_offline", "modified_entropy", "phi", "shadow")


def noisy(folder: Path) -> tuple[str, ...]:
    return ("data.name=custom", f"data.dir={noisy_digits(folder)}")


def planned(folder: Path, *assignments: str, provided: Subject | None = None) -> MembershipPlan:
    given = {assignment.partition("=")[0] for assignment in assignments}
    session = open_in(folder, "model.name=lstm_rnn", "model.hidden_size=4", "membership.attacks=[lira_online]",
                      *(size for size in SIZES if size.partition("=")[0] not in given), *assignments)
    (plan,) = subject_plans(session, provided)
    return plan_membership(plan)


def counts(plan: MembershipPlan, rows: np.ndarray) -> np.ndarray:
    return np.bincount(plan.plan.dataset.y_train[rows], minlength=10)


def test_every_target_sample_is_in_half_of_the_references_and_the_population_in_none(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert plan.shadows == [] and plan.references is not None and plan.subject is not None
    references, split = plan.references, plan.split
    targets = np.concatenate([split.indices["target_in"], split.indices["target_out"]])
    assert set(targets) <= set(references.rows) and len(references.rows) <= len(targets) + 10
    assert (references.keep.sum(axis=0) == 4).all()
    for task, inside in zip(references.tasks, references.keep):
        assert task.training.rows is not None
        np.testing.assert_array_equal(task.training.rows, references.rows[inside])
        assert not set(task.training.rows) & set(references.population)
        assert abs(len(task.training.rows) - 200) <= 5, "as large as the subject"
        assert set(np.concatenate(task.queries)) == set(references.rows) | set(references.population)
        assert (np.abs(counts(plan, task.training.rows) - counts(plan, split.indices["target_in"])) <= 1).all()
        assert task.training.recipe == plan.subject.task.recipe
    assert len({task.training.seed for task in plan.tasks}) == len(plan.tasks) == 9
    # Whether a reference has a sample says nothing of whether the subject has it.
    inside = np.isin(references.rows, split.indices["target_in"])
    shares = references.keep[:, inside].mean(axis=1)
    assert np.abs(shares - 0.5).max() < 0.12, "five standard deviations of a fair deal"


def test_around_a_subject_from_elsewhere_the_pool_is_its_members_and_as_many_others(tmp_path: Path) -> None:
    members = np.arange(0, 1297, 4)
    plan = planned(tmp_path, "membership.shadow_pool=300", provided=Subject(Perceptron(), members, "mine"))
    references = plan.references
    assert references is not None and plan.subject.tasks == [] and plan.subject.size == len(members)
    assert set(references.rows) <= set(range(1297)) - set(plan.split.indices["population"])
    kept_members = np.isin(references.rows, members)
    assert kept_members.sum() >= len(members) - 10
    assert abs(int(kept_members.sum()) - int((~kept_members).sum())) <= 10
    assert abs(int(references.keep[0].sum()) - len(members)) <= 10


@pytest.mark.parametrize("settings, complaint", [
    (("membership.references=7",), "membership.references is 7; expected an even number from 4 on"),
    (("membership.references=2",), "membership.references is 2"),
    (("membership.augment=flip",), "membership.augment 'flip' is unknown; known: mirror, none"),
    (("membership.augment=miror",), "did you mean 'mirror'"),
    (("membership.rmia.gamma=0.5",), "membership.rmia.gamma is 0.5"),
    (("membership.attacks=[lira_onlin]",), "membership.attacks: 'lira_onlin' is unknown; did you mean 'lira_online'"),
    (("membership.attacks=[]",), "membership.attacks is empty"),
    (("membership.target_out=100",), "target_in is 200 and target_out 100"),
])
def test_what_cannot_work_is_refused_before_anything_is_trained(
        tmp_path: Path, settings: tuple[str, ...], complaint: str) -> None:
    kept = [size for size in SIZES if size.partition("=")[0] not in {each.partition("=")[0] for each in settings}]
    attacks = [] if "attacks" in settings[0] else ["membership.attacks=[lira_online]"]
    (plan,) = subject_plans(open_in(tmp_path, "model.name=lstm_rnn", *attacks, *kept, *settings))
    with pytest.raises(InputError, match=complaint):
        plan_membership(plan)
    assert not (tmp_path / "run").exists()


def test_unknown_attack_on_the_command_line_is_exit_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["attack", "membership", "--attack", "lira_online,rmai_online", "--run_dir", str(tmp_path / "run")])
    assert code == 2
    assert "membership.attacks: 'rmai_online' is unknown; did you mean 'rmia_online'?" in capsys.readouterr().err


def test_without_the_shadow_attack_the_pool_of_the_shadows_may_be_empty(tmp_path: Path) -> None:
    kept = [size for size in SIZES if "target" not in size and "pool" not in size and "population" not in size]
    sizes = ("membership.target_in=600", "membership.target_out=600", "membership.population=97")
    attacks = "membership.attacks=[lira_online]"
    (plan,) = subject_plans(open_in(tmp_path, "model.name=lstm_rnn", attacks, *kept, *sizes))
    assert plan_membership(plan).split.sizes == {"target_in": 600, "target_out": 600, "population": 97}
    (plan,) = subject_plans(open_in(tmp_path, "model.name=lstm_rnn", *kept, *sizes))
    with pytest.raises(InputError, match="size of 'shadow_pool' is 0"):
        plan_membership(plan)


def test_by_default_there_are_no_references(tmp_path: Path) -> None:
    (plan,) = subject_plans(open_in(tmp_path, "model.name=lstm_rnn", *SIZES))
    assert plan_membership(plan).references is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("references")


def audited(folder: Path, attacks: tuple[str, ...] = ATTACKS) -> AuditReport:
    session = open_in(folder, *SIZES, *RECIPE, *noisy(folder), f"model.name={memorised_digits.__file__}:Determined",
                      f"membership.attacks=[{', '.join(attacks)}]", "membership.augment=mirror")
    report = run_audit(session, ("membership",))
    assert report is not None
    return report


@pytest.fixture(scope="module")
def report(folder: Path) -> AuditReport:
    """All attacks on one subject that has learnt wrong labels by heart."""
    return audited(folder)


def result_of(report: AuditReport) -> dict[str, Any]:
    (found,) = results(report.document, "membership", "references")
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
def test_positive_control_attacks_find_what_was_learnt_by_heart(report: AuditReport) -> None:
    found = {each["attack"]: each for each in result_of(report)["attacks"]}
    assert tuple(found) == ATTACKS[:-1]
    # A digit's mirror is no digit, which costs LiRA: it averages both, where RMIA asks for the plain image alone.
    for name, least in {"lira_online": 0.75, "lira_offline": 0.55, "rmia_online": 0.75, "rmia_offline": 0.75}.items():
        assert found[name]["overall"]["auc"]["ci"][0] > least, name
        assert found[name]["as_targets"]["auc"]["mean"] > least
    assert found["lira_online"]["notes"]["sigma"] == "pooled"
    assert "4 IN and 4 OUT" in found["lira_online"]["notes"]["sigma_note"]
    assert "balanced_accuracy_per_class" in found["phi"]["overall"]
    assert result_of(report)["n_references"] == 8 and result_of(report)["mirrored"] is True
    assert any("shadow attack" in sentence for sentence in said(report.document))
    assert any("σ is pooled" in sentence for sentence in said(report.document))


@pytest.mark.slow
def test_the_page_shows_table_curves_and_the_most_exposed(report: AuditReport, folder: Path) -> None:
    page = report.path.read_text()
    for words in ("attacks with reference models", "most exposed by lira_online", "rmia_offline", "PPV at"):
        assert words in page
    stem = report.path.stem.removeprefix("report")
    names = {path.name for path in (folder / "run" / f"figures{stem}").iterdir()}
    assert any(name.startswith("attacks-") for name in names) and any(name.startswith("exposed-") for name in names)
    json.dumps(report.document, allow_nan=False)


@pytest.mark.slow
def test_scores_of_every_sample_are_kept(report: AuditReport, folder: Path) -> None:
    with np.load(folder / "run" / result_of(report)["arrays"]) as arrays:
        members, rows = arrays["members"], arrays["rows"]
        assert len(rows) == len(members) == result_of(report)["n_in"] + result_of(report)["n_out"]
        for each in result_of(report)["attacks"]:
            assert auc(arrays[f"scores_{each['attack']}"], members).value == each["overall"]["auc"]["value"]
        exposed = arrays["exposed_scores"]
        assert len(arrays["exposed_images"]) == 20 and (np.diff(exposed) <= 0).all()
        assert set(arrays["exposed_rows"]) <= set(rows[members])
        assert exposed[0] == arrays["scores_lira_online"][members].max()


@pytest.mark.slow
def test_references_are_asked_for_plain_and_mirrored_images(report: AuditReport, folder: Path) -> None:
    (stage, *_) = sorted((folder / "run" / "stages").glob("asked-*-reference0-*"))
    with np.load(stage / "arrays.npz") as plain, np.load(stage / "mirrored.npz") as flipped:
        assert plain["logits"].shape == flipped["mirrored"].shape
        assert not np.allclose(plain["logits"], flipped["mirrored"])


def computed(report: AuditReport) -> set[str]:
    return {stage["name"] for stage in report.document["provenance"]["stages"] if not stage["cached"]}


@pytest.mark.slow
def test_finished_references_are_never_trained_again_and_attacks_share_them(
        report: AuditReport, folder: Path) -> None:
    assert computed(audited(folder)) == set()
    fewer = audited(folder, ("rmia_online", "phi"))
    assert {name.partition("-")[0] for name in computed(fewer)} == {"references"}, "only scored anew"
    assert results(fewer.document, "membership", "shadows") == [], "the shadow attack was not asked for"
    whole = {each["attack"]: each for each in result_of(report)["attacks"]}
    for each in result_of(fewer)["attacks"]:
        assert each["overall"] == whole[each["attack"]]["overall"]


@pytest.mark.slow
def test_what_a_kill_left_out_is_trained_and_nothing_else(report: AuditReport, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in ("train-*-reference5-*", "references-*", "membership-*"):
        for stage in (copy / "run" / "stages").glob(name):
            shutil.rmtree(stage)
    again = audited(copy)
    assert sorted(name.split("-")[-1] for name in computed(again) if name.startswith("train")) == ["reference5"]
    assert result_of(again)["attacks"] == result_of(report)["attacks"]


@pytest.mark.slow
def test_references_of_another_split_are_not_used_and_that_is_said(
        report: AuditReport, folder: Path, tmp_path: Path) -> None:
    settings = (*SIZES, *RECIPE, *noisy(folder), f"model.name={memorised_digits.__file__}:Determined",
                "membership.attacks=[lira_online]", "membership.augment=mirror")

    def stale(*more: str) -> list[str]:
        # The run refuses another configuration, so its stages are put where the new one looks for them.
        elsewhere = tmp_path / "-".join(["run", *(each.partition("=")[0] for each in more)])
        shutil.copytree(folder / "run" / "stages", elsewhere / "run" / "stages")
        (plan,) = subject_plans(open_in(elsewhere, *settings, *more))
        references = plan_membership(plan).references
        assert references is not None
        return stale_trainings([task.training for task in references.tasks])

    assert stale() == []
    assert len(stale("seed=1")) == len(stale("training.weight_decay=0.001")) == 8


@pytest.mark.slow
def test_null_control_a_network_that_never_saw_the_members_gives_nothing_away(folder: Path) -> None:
    data = noisy(folder)
    attacks = "membership.attacks=[lira_online, lira_offline, rmia_online, phi]"

    def attacked(network: Perceptron) -> StageResult:
        (plan,) = subject_plans(open_in(folder / "null", *SIZES, *RECIPE, *data, attacks),
                                Subject(network, MEMBERS, "mine"))
        return reference_stage(plan_membership(plan))

    (plan,) = subject_plans(open_in(folder / "null", *SIZES, *RECIPE, *data, attacks),
                            Subject(Perceptron(), MEMBERS, "mine"))
    split: Split = plan_membership(plan).split
    elsewhere = np.setdiff1d(np.arange(len(split.labels)),
                             np.concatenate([MEMBERS, split.indices["target_out"], split.indices["population"]]))
    null = attacked(trained(folder, elsewhere[:len(MEMBERS)], 0))
    # The stage's own file is enough to compute a score again.
    again = lira(null.arrays["phi"], null.arrays["reference_phi"], null.arrays["keep"], choose_spread(4, 4, spared=1))
    np.testing.assert_array_equal(null.arrays["scores_lira_online"], again.online)
    for each in null.metrics["attacks"]:
        # Within its interval; at a level that four attacks on three processors leave by chance hardly ever.
        found = auc(null.arrays[f"scores_{each['attack']}"], null.arrays["members"], level=0.999)
        assert found.ci is not None and found.ci[0] < 0.5 < found.ci[1], each["attack"]
        # The references themselves have learnt their halves by heart: the same attack finds these.
        assert each["as_targets"]["auc"]["mean"] > 0.55
    leaking = attacked(trained(folder, MEMBERS, 0))
    assert leaking.metrics["attacks"][0]["overall"]["auc"]["ci"][0] > 0.6
