"""Sweeps end to end on real digits: halves, paired seeds, shadows among themselves, one report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindleak import settings as config
from mindleak.attacks.membership.shadow import Answers, ShadowAttack
from mindleak.attacks.membership.siblings import independent_rows
from mindleak.audits.membership.gauge import MembershipGauge
from mindleak.audits.sweep.stages import SweepPlan
from mindleak.audits.sweep.variants import make_pool
from mindleak.cli import main
from mindleak.errors import InputError
from mindleak.evaluation.roc import auc
from mindleak.jobs.audit import AuditReport, run_audit
from mindleak.jobs.session import open_session
from records import results, said

SETTINGS = """
data: {name: digits, image_size: 16}
model: {name: lenet5_bias}
training: {epochs: 3, batch_size: 20, learning_rate: 0.1}
suppress: {start_epoch: 1, mask_times: 10}
judge: {epochs: 2, batch_size: 20}
inversion: {images: 8, iterations: 5, layer: [fc1, logits]}
membership: {attack: {epochs: 2}}
sweep:
  models: 4
  pool: 400
  variants:
    ordinary: {}
    suppress-50: {training: {method: suppress}, suppress: {sparse_end: 0.5}}
    prune-50: {training: {method: prune}, prune: {sparsity: 0.5}}
    small: {model: {width: 0.5}}
"""


def open_sweep(folder: Path, *assignments: str) -> Any:
    path = folder / "sweep.yaml"
    path.write_text(SETTINGS)
    merged = config.load(str(path), ["device.target=CPU", *assignments])
    return open_session(merged, str(folder / "run"), str(folder / "ckpt"), "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def report(folder: Path) -> AuditReport:
    found = run_audit(open_sweep(folder))
    assert found is not None
    return found


def test_every_network_has_half_of_the_pool_and_its_twins_the_same_half_and_seed(tmp_path: Path) -> None:
    sweep = SweepPlan(open_sweep(tmp_path))
    judge, *tasks = sweep.tasks
    by_defence = [tasks[start:start + 4] for start in range(0, 16, 4)]
    first = by_defence[0]
    for others in by_defence[1:]:
        for one, other in zip(first, others):
            np.testing.assert_array_equal(one.rows, other.rows)
            assert one.seed == other.seed
    assert len({task.seed for task in first}) == 4
    pool = np.unique(np.concatenate([task.rows for task in first if task.rows is not None]))
    assert judge.rows is not None and not set(judge.rows) & set(pool)
    appearances = np.sum([np.isin(pool, task.rows) for task in first], axis=0)
    assert (appearances == 2).all()


def test_the_size_of_images_is_settled_for_every_variant(tmp_path: Path) -> None:
    sweep = SweepPlan(open_sweep(tmp_path, "data.image_size=null"))
    # lenet5_bias needs images of 28 by 28 pixels.
    assert {task.plan.config.data.image_size for task in sweep.tasks} == {28}


@pytest.mark.slow
def test_the_report_has_every_defence_measure_and_comparison(report: AuditReport) -> None:
    sweep = results(report.document, "sweep")[0]
    assert [defence["name"] for defence in sweep["variants"]] == ["ordinary", "suppress-50", "prune-50", "small"]
    ordinary, suppressed, pruned, small = sweep["variants"]
    wanted = {"accuracy", "train_accuracy", "auc/shadow", "auc/loss", "tpr@0.01/shadow", "fpr@0.01/shadow",
              "confidence/fc1", "ssim/fc1",
              "confidence/logits", "ssim/logits", "gap_confidence/fc1"}
    assert wanted <= set(ordinary["measures"])
    assert all(len(measure["values"]) == 4 for measure in ordinary["measures"].values())
    assert small["parameters"] < ordinary["parameters"] == suppressed["parameters"]
    for zeros in (suppressed, pruned):
        assert zeros["measures"]["sparsity"]["value"] == pytest.approx(0.5, abs=0.05)
    assert "sparsity" not in ordinary["measures"]
    pairs = [(entry["variant"], entry["against"]) for entry in sweep["comparisons"]]
    assert pairs == [("suppress-50", "ordinary"), ("prune-50", "ordinary"), ("small", "ordinary"),
                     ("suppress-50", "prune-50"), ("suppress-50", "small")]
    assert report.document["subjects"] == []
    assert said(report.document) == sweep["conclusions"][-2:]


@pytest.mark.slow
def test_the_measures_are_those_of_the_stored_scores(report: AuditReport, folder: Path) -> None:
    # AUC by its definition: how often a member's score exceeds a non-member's.
    sweep = SweepPlan(open_sweep(folder))
    pool = make_pool(sweep.dataset, 400, 4, open_sweep(folder).seed("sweep"))
    (stage,) = (folder / "run" / "stages").glob("sweep-ordinary-membership0-*")
    with np.load(stage / "arrays.npz", allow_pickle=False) as arrays:
        scores = arrays["loss"]
    inside, outside = scores[pool.keep[0]], scores[~pool.keep[0]]
    area = np.mean(inside[:, None] > outside) + np.mean(inside[:, None] == outside) / 2
    ordinary = results(report.document, "sweep")[0]["variants"][0]["measures"]
    assert ordinary["auc/loss"]["values"][0] == pytest.approx(area)


def test_the_attacked_network_is_none_of_its_own_shadows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = SweepPlan(open_sweep(tmp_path))
    pool = make_pool(sweep.dataset, 400, 4, open_sweep(tmp_path).seed("sweep"))
    logits = np.random.default_rng(0).normal(size=(4, len(pool.rows), 10)).astype(np.float32)
    seen = []

    def recorded(attack: ShadowAttack, shadows: Any, subject: Any) -> Any:
        seen.append(([shadow.logits for shadow in shadows], [shadow.members for shadow in shadows], subject))
        return original(attack, shadows, subject)

    original = ShadowAttack.attack
    monkeypatch.setattr(ShadowAttack, "attack", recorded)
    answers = [Answers(each, sweep.variants[0].labels, kept) for each, kept in zip(logits, pool.keep)]
    gauge = MembershipGauge(sweep.variants)
    for number in range(4):
        gauge._stage(sweep.variants[0], number, answers)
    for number, (shadows, members, subject) in enumerate(seen):
        shown = independent_rows(pool.keep, number, open_sweep(tmp_path).seed("membership"))
        others = [other for other in range(4) if other != number]
        for other, answered, inside in zip(others, shadows, members):
            np.testing.assert_array_equal(answered, logits[other, shown[other]])
            np.testing.assert_array_equal(inside, pool.keep[other, shown[other]])
        assert len(shadows) == 3
        np.testing.assert_array_equal(subject.logits, logits[number])


@pytest.mark.slow
def test_the_thresholds_of_a_sweep_are_a_siblings(report: AuditReport, folder: Path) -> None:
    # The loss of the last sibling's non-members, by hand.
    sweep = SweepPlan(open_sweep(folder))
    pool = make_pool(sweep.dataset, 400, 4, open_sweep(folder).seed("sweep"))
    losses = []
    for number in (0, 3):
        (stage,) = (folder / "run" / "stages").glob(f"sweep-ordinary-membership{number}-*")
        with np.load(stage / "arrays.npz", allow_pickle=False) as arrays:
            losses.append(arrays["loss"])
    border = np.sort(losses[1][~pool.keep[3]])[::-1][1]  # floor(.01 * 201) = 2: the second highest
    ordinary = results(report.document, "sweep")[0]["variants"][0]["measures"]
    assert ordinary["tpr@0.01/loss"]["values"][0] == np.mean(losses[0][pool.keep[0]] > border)
    assert ordinary["fpr@0.01/loss"]["values"][0] == np.mean(losses[0][~pool.keep[0]] > border)


@pytest.mark.slow
def test_lira_among_the_networks_of_a_variant(tmp_path: Path) -> None:
    settings = ["sweep.models=6", "sweep.attacks=[lira_offline, phi]", "inversion.enabled=false", "training.epochs=2"]
    found = run_audit(open_sweep(tmp_path, *settings))
    assert found is not None
    sweep = results(found.document, "sweep")[0]
    assert sweep["leaks"] == [f"{name}/{attack}" for attack in ("lira_offline", "phi")
                              for name in ("auc", "excess@0.01")]
    session = open_sweep(tmp_path, *settings)
    pool = make_pool(SweepPlan(session).dataset, 400, 6, session.seed("sweep"))
    measures = sweep["variants"][0]["measures"]
    for number in range(6):
        (stage,) = (tmp_path / "run" / "stages").glob(f"sweep-ordinary-membership{number}-*")
        with np.load(stage / "arrays.npz", allow_pickle=False) as arrays:
            assert set(arrays.files) == {"lira_offline", "phi"}
            area = auc(arrays["lira_offline"], pool.keep[number]).value
        assert measures["auc/lira_offline"]["values"][number] == area
        excess, tpr, fpr = (measures[f"{name}@0.01/phi"]["values"][number] for name in ("excess", "tpr", "fpr"))
        assert excess == pytest.approx(tpr - fpr)


@pytest.mark.slow
def test_a_second_call_computes_nothing_and_writes_the_same(report: AuditReport, folder: Path) -> None:
    session = open_sweep(folder)
    again = run_audit(session)
    assert again is not None
    assert {event.how for event in session.run.log} == {"cached"}
    assert results(again.document, "sweep")[0] == results(report.document, "sweep")[0]


@pytest.mark.slow
def test_a_second_process_works_towards_the_first_from_the_end(report: AuditReport, folder: Path) -> None:
    session = open_sweep(folder)
    SweepPlan(session).assist()
    evaluations = [event for event in session.run.log if event.name.startswith("sweep-")]
    assert {event.how for event in evaluations} == {"cached"}
    names = list(dict.fromkeys(event.name.rpartition("-")[0] for event in evaluations))
    assert names == ["sweep-small", "sweep-prune-50", "sweep-suppress-50", "sweep-ordinary"]
    assert evaluations[0].name == "sweep-small-membership3"


@pytest.mark.slow
def test_page_and_terminal_show_the_defences(report: AuditReport, folder: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    page = report.path.read_text(encoding="utf-8")
    assert 'id="sweep"' in page and (folder / "run" / "figures" / "tradeoff.png").stat().st_size > 5000
    for defence in results(report.document, "sweep")[0]["variants"]:
        assert defence["name"] in page
    assert main(["report", "--run_dir", str(folder / "run")]) == 0
    shown = capsys.readouterr().out
    assert "Sweep by defence: means over 4 networks, each trained on" in shown and "no subjects" not in shown
    assert results(json.loads((folder / "run" / "report.json").read_text()), "sweep")[0]["models"] == 4


@pytest.mark.parametrize("setting, complaint", [
    ("sweep.models=3", "sweep.models is 3; expected an even number from 2 on"),
    ("sweep.models=0", "sweep.models is 0; expected an even number from 2 on"),
    ("sweep.models=2", "sweep.attacks has shadow, for which sweep.models 2 is too small; expected an even number"),
    ("sweep.pool=1290", "sweep.pool: .* leave the judge 9, less than its batch_size 20; take a smaller pool"),
    ("sweep.variants.suppress-50.suppress.sparse_end=2", "variants.suppress-50.suppress.sparse_end 2.0; expected"),
    ("sweep.pool=1297", "sweep.pool is 1297; expected 2 to 1296"),
    ("inversion.images=500", "inversion.images is 500; a network of the sweep has"),
    ("inversion.layer=fc9", "layer 'fc9' does not exist"),
    ("sweep.pool=60", "sweep.pool of 60 images is too small for the shadow attack"),
    ("sweep.attacks=[]", "sweep.attacks is empty; expected any of shadow, loss"),
    ("sweep.attacks=[lira_onlin]", "sweep.attacks: 'lira_onlin' is unknown; did you mean 'lira_online'"),
    ("sweep.attacks=[rmia_online]", "sweep.attacks: 'rmia_online' is unknown"),
    ("sweep.attacks=[lira_offline]", "lira_offline, for which sweep.models 4 is too small; expected an even number"),
    ("sweep.question=defense", "sweep.question 'defense' is unknown; did you mean 'defence'"),
])
def test_what_cannot_work_is_refused_before_anything_is_trained(tmp_path: Path, setting: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        run_audit(open_sweep(tmp_path, setting))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("setting, complaint", [
    ("sweep.baseline=ordinray", "'ordinray', which is none of sweep.variants; did you mean 'ordinary'"),
    ("sweep.variants.suppres-50.suppress.sparse_end=0.6", "variant 'suppres-50', which the configuration does"),
    ("sweep.variants.small.judge.epochs=3", "unknown key 'sweep.variants.small.judge'"),
    ("sweep.variants.small.sweep.models=6", "sweep.variants.small.sweep.models: a variant sets none of .* pool"),
    ("sweep.pairs=[[small, smal]]", "sweep.pairs names 'smal', which is none of sweep.variants; did you mean 'small'"),
    ("sweep.pairs=[[small, small]]", "expected a list of two different names"),
    ("sweep.pairs=[small]", "expected a list of two different names"),
])
def test_misnamed_defences_are_refused(tmp_path: Path, setting: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        open_sweep(tmp_path, setting)


@pytest.mark.parametrize("attacks", [("inversion",), ("membership",)])
def test_single_attacks_need_subjects(tmp_path: Path, attacks: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="has sweep.variants and no subjects"):
        run_audit(open_sweep(tmp_path), attacks)


def test_training_needs_subjects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(SETTINGS)
    assert main(["train", "--config", str(path), "--run_dir", str(tmp_path / "run")]) == 2
    assert "has sweep.variants and no subjects" in capsys.readouterr().err


SUBJECT = """
data: {name: digits}
model: {name: lstm_rnn, hidden_size: 16}
training: {epochs: 3, batch_size: 20, learning_rate: 0.5}
inversion: {enabled: false, images: 5000}
membership: {attack: {epochs: 2}}
sweep:
  question: subject
  baseline: base
  models: 4
  pool: 600
  pairs: [[fewer, wider]]
  variants:
    base: {}
    wider: {model: {hidden_size: 32}}
    fewer: {sweep: {pool: 400}}
    longer: {training: {epochs: 4}}
"""


@pytest.mark.slow
def test_a_sweep_of_the_subject_varies_the_data_too_and_inverts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "subject.yaml"
    path.write_text(SUBJECT)
    session = open_session(config.load(str(path), ["device.target=CPU"]), str(tmp_path / "run"),
                           str(tmp_path / "ckpt"), "test")
    found = run_audit(session)
    assert found is not None
    sweep = results(found.document, "sweep")[0]
    sizes = {variant["name"]: variant["n_train"] for variant in sweep["variants"]}
    assert list(sizes) == ["base", "wider", "fewer", "longer"]
    assert sizes["base"] == sizes["wider"] == sizes["longer"] > sizes["fewer"] > 150
    assert set(sweep["gauges"]) == {"training", "membership"}
    assert not any("judge" in event.name for event in session.run.log)
    assert sweep["leaks"] == ["auc/shadow", "excess@0.01/shadow", "auc/loss", "excess@0.01/loss"]
    for variant in sweep["variants"]:
        measures = {name: measure["values"] for name, measure in variant["measures"].items()}
        np.testing.assert_allclose(measures["gap"], np.subtract(measures["train_accuracy"], measures["accuracy"]))
    assert ("fewer", "wider") in [(entry["variant"], entry["against"]) for entry in sweep["comparisons"]]
    assert any("fewer against wider" in sentence for sentence in sweep["conclusions"])
    assert "generalisation gap over 4 variants" in said(found.document)[0]
    page = found.path.read_text(encoding="utf-8")
    assert "Sweep of the subject: what makes a network leak" in page
    assert f"on {sizes['fewer']} to {sizes['base']} images" in page
