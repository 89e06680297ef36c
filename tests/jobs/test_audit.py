"""The audit from end to end on small digits: its document, its stages, and what happens to it when it is killed."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest

from command import call
from mindleak import settings as config
from mindleak.audits.inversion.plan import inverted_rows, judge_task, plan_inversion
from mindleak.audits.record import describe_data, describe_splits
from mindleak.cli import main
from mindleak.data.splits import Split
from mindleak.errors import InputError
from mindleak.jobs.audit import AuditReport, run_audit
from mindleak.jobs.session import open_session
from mindleak.runs.digest import stable_hash
from mindleak.subjects.subject import subject_plans
from mindleak.training.checkpoint import read
from records import results, said

CONFIG = """
data: {name: digits, image_size: 12}
training: {epochs: 2, batch_size: 50, learning_rate: 0.1}
membership: {target_in: 200, target_out: 200, population: 50, shadow_pool: 600, shadows: 2, attack: {epochs: 3}}
inversion: {images: 4, iterations: 2}
judge: {model: lstm_rnn, epochs: 1, batch_size: 50}
subjects:
  lenet5-ordinary:
    model: {name: lenet5_bias}
    inversion: {layer: fc2}
  lstm_rnn-ordinary:
    model: {name: lstm_rnn, hidden_size: 8}
    inversion: {layer: last}
  lstm_rnn-suppress:
    model: {name: lstm_rnn, hidden_size: 8}
    training: {method: suppress}
    suppress: {start_epoch: 1, mask_times: 3, sparse_end: 0.5}
    inversion: {layer: last}
"""


class Case:
    """A configuration file and the folders of its run."""

    def __init__(self, folder: Path, text: str = CONFIG) -> None:
        self.folder = folder
        self.file = folder / "tiny.yaml"
        self.file.write_text(text)
        self.run_dir, self.ckpt_dir = folder / "run", folder / "ckpt"

    def audit(self, *assignments: str, run_dir: Path | None = None) -> AuditReport:
        merged = config.load(str(self.file), assignments)
        report = run_audit(open_session(merged, str(run_dir or self.run_dir), str(self.ckpt_dir), "mindleak audit"))
        assert report is not None
        return report


def stages(report: AuditReport, cached: bool) -> set[str]:
    """Names of the stages that were, or were not, there already."""
    return {stage["name"] for stage in report.document["provenance"]["stages"] if stage["cached"] == cached}


def keys(report: AuditReport) -> dict[str, str]:
    return {stage["name"]: stage["key"] for stage in report.document["provenance"]["stages"]}


def measured(document: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured, without times and paths."""
    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cleaned(item) for key, item in value.items()
                    if key not in ("seconds", "checkpoint", "arrays")}
        return [cleaned(item) for item in value] if isinstance(value, list) else value

    return {part: cleaned(document[part]) for part in ("subjects", "results", "findings")}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="module")
def report(case: Case) -> AuditReport:
    """The audit, done once for all tests of this module."""
    return case.audit()


@pytest.fixture(scope="module")
def document(case: Case, report: AuditReport) -> dict[str, Any]:
    """What it wrote, read back strictly."""
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    loaded: dict[str, Any] = json.loads((case.run_dir / "report.json").read_text(), parse_constant=refuse)
    assert loaded.pop("checksum") == stable_hash(loaded)
    return loaded


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, float):
        yield value


def test_the_document_has_its_parts_and_every_number_is_finite(document: dict[str, Any], report: AuditReport) -> None:
    assert document["schema"] == 2
    assert {"title", "created", "config", "provenance", "subjects", "results", "skipped", "findings",
            "cautions"} <= set(document)
    assert list(document["results"]) == ["inversion", "membership"]
    assert {finding["verdict"] for finding in document["findings"]} <= {"shown", "not shown", "cannot tell", None}
    # What a finding rests on stands where its pointers say.
    for place in (place for finding in document["findings"] for place in finding["metrics"]):
        value: Any = document
        for part in place.split("/")[1:]:
            value = value[int(part)] if isinstance(value, list) else value[part.replace("~1", "/").replace("~0", "~")]
        assert "value" in value, place
    assert all(math.isfinite(number) for number in numbers(document))
    assert document == json.loads(json.dumps(report.document)), "the file is what the caller was handed"
    assert document["skipped"] == []


def test_every_subject_stands_in_both_roles(document: dict[str, Any]) -> None:
    roles = {subject["id"]: (subject["role"], subject["n_train"]) for subject in document["subjects"]}
    names = ("lenet5-ordinary", "lstm_rnn-ordinary", "lstm_rnn-suppress")
    assert roles == {**{f"{name}-headline": ("headline", 1297) for name in names},
                     **{f"{name}-membership": ("membership", 200) for name in names}}
    assert [result["subject"] for result in results(document, "inversion")] == [f"{name}-headline" for name in names]
    assert [result["subject"] for result in results(document, "membership", "shadows")] == [
        f"{name}-membership" for name in names]
    for subject in document["subjects"]:
        assert (subject["sparsity"] is not None) == (subject["training"] == "suppress")
        assert len(subject["history"]) == 2 and Path(subject["checkpoint"]).is_file()


def test_every_metric_keeps_the_contract(document: dict[str, Any]) -> None:
    for result in results(document, "membership", "shadows"):
        assert {"accuracy", "precision", "recall", "f1", "support", "auc", "tpr@0.01", "tpr@0.001",
                "non_member"} <= set(result["overall"])
        for record in (result["overall"]["auc"], result["overall"]["tpr@0.01"], result["overall"]["accuracy"]):
            assert {"value", "ci", "ci_level", "ci_method", "n"} <= set(record)
        assert {"fpr", "threshold", "ties"} <= set(result["overall"]["tpr_own_roc@0.001"])
        assert {"fpr", "fpr_ci", "threshold", "ties"} <= set(result["overall"]["tpr@0.01"])
        # 200 non-members of the one shadow that is kept for thresholds cannot set one for .1 %.
        assert "at least 999 are needed" in result["overall"]["tpr@0.001"]["reason"]
        assert result["thresholds"]["n_out"] == 200 and result["thresholds"]["shadow_stopped_training_too"]
        assert len(result["per_class"]) == 10 and result["n_in"] == result["n_out"] == 200
        assert sum(row["support_in"] for row in result["per_class"]) == 200
    for result in results(document, "inversion"):
        assert set(result["metrics"]) == {"l2_relative", "l2", "ssim", "ssim_mindarmour", "psnr", "confidence",
                                          "feature_mse", "judge_accuracy"}
        assert set(result["controls"]) == {"mean_image", "random_start", "original", "identity",
                                           "identity_regularised"}
        assert result["controls"]["identity"]["psnr"]["value"] > 40, "the optimiser works, two iterations or not"
        assert result["judge_n_train"] == 1297 - 4 and result["engine"] == "batched"
        assert result["non_members"]["source"] == "test split" and result["non_members"]["n"] == 4
        assert set(result["differences"]["non_members"]) == set(result["metrics"]) - {"judge_accuracy"}
        assert set(result["differences"]["mean_image"]) == set(result["metrics"]) - {"judge_accuracy", "feature_mse"}
        assert result["nearest"]["candidates"] == 1297 and result["nearest"]["top1"]["n"] == 4
        assert result["controls"]["original"]["ssim"]["value"] == pytest.approx(1)
        assert result["controls"]["original"]["psnr"]["value"] is None
        assert result["controls"]["original"]["psnr"]["reason"]


def test_the_provenance_says_where_it_all_comes_from(document: dict[str, Any]) -> None:
    provenance = document["provenance"]
    assert provenance["device_target"] == "CPU" and provenance["seed"] == 0
    assert provenance["data"]["class_names"] == [str(number) for number in range(10)]
    assert provenance["data"]["n_train"] == 1297 and len(provenance["data"]["digest"]) == 64
    assert provenance["split"]["sizes"] == {"target_in": 200, "target_out": 200, "population": 50, "shadow_pool": 600}
    assert len(provenance["stages"]) == 3 * 8 + 1 and {stage["cached"] for stage in provenance["stages"]} == {False}


def test_subjects_on_other_data_are_described_as_such(case: Case) -> None:
    merged = config.load(str(case.file), ["subjects.lenet5-ordinary.data.image_size=32"])
    session = open_session(merged, str(case.folder / "described"), str(case.ckpt_dir), "test")
    data = {plan.name: plan.dataset for plan in subject_plans(session)}
    described = describe_data(data)
    assert described["name"] == "digits" and described["n_train"] == 1297
    assert not {"digest", "image_shape", "preparation"} & set(described)
    assert {name: own["image_shape"] for name, own in described["subjects"].items()} == {
        "lenet5-ordinary": [1, 32, 32], "lstm_rnn-ordinary": [1, 12, 12], "lstm_rnn-suppress": [1, 12, 12]}
    assert all(own["digest"] == data[name].digest for name, own in described["subjects"].items())
    assert set(describe_data({"one": data["lenet5-ordinary"]})) >= {"digest", "image_shape", "preparation"}


def test_splits_of_unequal_subjects_keep_their_own_sizes() -> None:
    one, two = (Split({"target_in": np.arange(size)}, np.zeros(4, np.int32), 0, "data") for size in (3, 4))
    assert describe_splits({"a": one, "b": one}) == {
        "digest": one.digest, "sizes": {"target_in": 3}, "digests": {"a": one.digest, "b": one.digest}}
    assert describe_splits({"a": one, "b": two}) == {
        "digest": None, "sizes": {"a": {"target_in": 3}, "b": {"target_in": 4}},
        "digests": {"a": one.digest, "b": two.digest}}
    assert describe_splits({}) == {"digest": None, "sizes": {}, "digests": {}}


def test_the_page_is_one_file_with_every_subject(case: Case, report: AuditReport, document: dict[str, Any]) -> None:
    page = report.path.read_text()
    assert report.path == case.run_dir / "report.html" and "http://" not in page.replace("http://www.w3.org", "")
    for subject in document["subjects"]:
        assert subject["model"] in page


def test_suppressed_and_ordinary_are_compared_image_by_image(document: dict[str, Any]) -> None:
    pair = "lstm_rnn-suppress-headline against lstm_rnn-ordinary-headline"
    assert sum(pair in sentence for sentence in said(document)) == 2
    pair = "lstm_rnn-suppress-membership against lstm_rnn-ordinary-membership: membership AUC"
    assert sum(pair in sentence for sentence in said(document)) == 1


def test_a_second_audit_computes_nothing_and_says_so(
        case: Case, report: AuditReport, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (case.run_dir / "stages").rglob("*")}
    again = case.audit()
    assert stages(again, cached=False) == set() and stages(again, cached=True) == stages(report, cached=False)
    assert f"all {len(before and keys(report))} stages were already done" in capsys.readouterr().out
    assert measured(again.document) == measured(report.document)
    assert {path: path.stat().st_mtime_ns for path in (case.run_dir / "stages").rglob("*")} == before


@pytest.mark.slow
@pytest.mark.parametrize("setting, changed", [
    ("subjects.lstm_rnn-ordinary.membership.attack.epochs=4", {"membership-lstm_rnn-ordinary"}),
    ("subjects.lstm_rnn-suppress.inversion.iterations=3", {"inversion-lstm_rnn-suppress"}),
])
def test_a_setting_changes_the_keys_of_what_depends_on_it_and_no_other(
        case: Case, report: AuditReport, setting: str, changed: set[str], tmp_path: Path) -> None:
    # The run refuses another configuration, so its stages are put where the new one looks for them.
    shutil.copytree(case.run_dir / "stages", tmp_path / "run" / "stages")
    relative = os.path.relpath(case.ckpt_dir, case.run_dir)
    shutil.copytree(case.ckpt_dir, tmp_path / "run" / relative)
    again = case.audit(setting, run_dir=tmp_path / "run")
    assert stages(again, cached=False) == changed
    before, after = keys(report), keys(again)
    assert {name for name in before if before[name] != after[name]} == changed
    assert measured(again.document)["subjects"] == measured(report.document)["subjects"]


def test_another_configuration_in_the_same_run_is_refused(case: Case, report: AuditReport) -> None:
    with pytest.raises(InputError, match="another configuration: inversion.images is 4 there and 5 now"):
        case.audit("inversion.images=5")


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["removed", "altered"])
def test_a_checkpoint_that_is_not_what_it_was_is_trained_again(case: Case, report: AuditReport, damage: str) -> None:
    (file,) = (case.ckpt_dir / "lstm_rnn-ordinary-headline").glob("lstm_rnn-[0-9]*.ckpt")
    original, weights = file.read_bytes(), read(file)
    if damage == "removed":
        file.unlink()
    else:
        # One bit of one weight: still a checkpoint that loads, of the same training.
        place = original.index(weights["fc.weight"].tobytes()) + 8
        file.write_bytes(original[:place] + bytes([original[place] ^ 1]) + original[place + 1:])
        assert not np.array_equal(ms.load_checkpoint(str(file))["fc.weight"].asnumpy(), weights["fc.weight"])
    again = case.audit()
    # The weights are what they were, bit by bit, so nothing that builds upon them is computed again.
    assert stages(again, cached=False) == {"train-lstm_rnn-ordinary-headline"}
    for name, values in read(file).items():
        if name != "mindleak.history":
            np.testing.assert_array_equal(values, weights[name])
    assert measured(again.document) == measured(report.document)


def test_judges_are_shared_by_data_and_by_nothing_else(case: Case, report: AuditReport) -> None:
    merged = config.load(str(case.file), ["subjects.lenet5-ordinary.data.image_size=32",
                                          "subjects.lstm_rnn-ordinary.data.resize=pad"])
    session = open_session(merged, str(case.folder / "other"), str(case.ckpt_dir), "test")
    tasks = [judge_task(plan, inverted_rows(plan)) for plan in subject_plans(session)]
    assert len({task.stage_name for task in tasks}) == len({task.checkpoint_dir for task in tasks}) == 3
    (plan,) = [plan for plan in subject_plans(session) if plan.name == "lstm_rnn-suppress"]
    judge = plan_inversion(plan).judge
    assert judge.stage_name in keys(report)
    # The judge takes its own size from the defaults, not the 8 of the subject it judges.
    assert judge.plan.config.model.hidden_size == 128
    # It has not seen the four images that it is to recognise, and everything else.
    assert judge.rows is not None and len(inverted_rows(plan)) == 4
    assert judge.rows.tolist() == np.setdiff1d(np.arange(1297), inverted_rows(plan)).tolist()
    assert judge_task(plan, np.array([7])).stage_name != judge.stage_name


KILLED = """
data: {name: digits}
model: {name: lstm_rnn, hidden_size: 4}
training: {epochs: 12, batch_size: 20, optimizer: adam, learning_rate: 0.01}
membership: {target_in: 150, target_out: 150, population: 10, shadow_pool: 300, shadows: 2, attack: {epochs: 3}}
"""


def epochs_done(run_dir: Path, task: str) -> int:
    files = (run_dir / "work").glob(f"train-*-{task}-*/lstm_rnn-*.ckpt")
    return max((int(file.name.split("-")[1].split("_")[0]) for file in files), default=0)


@pytest.mark.slow
def test_a_killed_audit_ends_with_the_scores_of_one_that_was_not(
        tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    case = Case(tmp_path, KILLED)
    command = ["attack", "membership", "--config", str(case.file), "--run_dir", str(case.run_dir),
               "--ckpt_dir", str(case.ckpt_dir)]
    process = subprocess.Popen([sys.executable, "-m", "mindleak", *command],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 180
        while not 2 <= epochs_done(case.run_dir, "shadow1") < 12:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    done = {path.name.rpartition("-")[0] for path in (case.run_dir / "stages").iterdir()}
    assert done == {"train-lstm_rnn-ordinary-membership", "train-lstm_rnn-ordinary-shadow0",
                    "asked-lstm_rnn-ordinary-shadow0"}
    assert not list(case.run_dir.glob("report*"))

    resumed = call(capfd, *command)
    assert resumed.code == 0 and "epoch  12/12" in resumed.out
    assert "epoch   1/12" not in resumed.out, "shadow 1 went on where it was, and nothing else was trained"
    untouched = [*command[:5], str(tmp_path / "whole"), "--ckpt_dir", str(tmp_path / "whole_ckpt")]
    assert main(untouched) == 0
    scores = [np.load(next((folder / "stages").glob("membership-*/arrays.npz")))["scores"]
              for folder in (case.run_dir, tmp_path / "whole")]
    np.testing.assert_array_equal(*scores)
    assert not list((case.run_dir / "work").glob("*/*")) and not list((case.run_dir / "partial").glob("*"))


@pytest.mark.parametrize("assignments, complaint", [
    (["inversion.layer=fc9"], "layer 'fc9' does not exist"),
    (["inversion.images=0"], "inversion.images is 0; expected 1 to 1297"),
    (["inversion.images=5000"], "inversion.images is 5000"),
    (["inversion.iterations=0"], "inversion.iterations is 0"),
    (["membership.shadow_pool=100"], "a shadow asks for 400 samples"),
    (["judge.model=lenet"], "model 'lenet' is unknown"),
    (["judge.batch_size=2000"], "batch_size 2000 is larger than"),
    (["judge.model=lenet5"], "lenet5 needs images of at least 16x16"),
])
def test_what_cannot_work_is_refused_before_anything_is_done(
        tmp_path: Path, assignments: list[str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        Case(tmp_path).audit(*assignments)
    assert not (tmp_path / "run").exists() and not (tmp_path / "ckpt").exists()


@pytest.mark.slow
def test_an_attack_in_an_audits_directory_leaves_the_audits_report_alone(
        case: Case, report: AuditReport, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in [*case.run_dir.glob("report.*"),
                                                        *(case.run_dir / "figures").iterdir()]}
    words = ["--config", str(case.file), "--run_dir", str(case.run_dir), "--ckpt_dir", str(case.ckpt_dir)]
    assert main(["attack", "membership", *words]) == 0
    said = capsys.readouterr().out
    assert f"report: {case.run_dir / 'report-membership.html'}" in said and "stages were already done" in said
    after = {path.name: path.read_bytes() for path in [*case.run_dir.glob("report.*"),
                                                       *(case.run_dir / "figures").iterdir()]}
    assert after == before and {"report.json", "report.html", "roc.png"} <= set(before)
    attack = json.loads((case.run_dir / "report-membership.json").read_text())
    assert len(results(attack, "membership", "shadows")) == 3 and results(attack, "inversion") == []
    assert set(re.findall(r"figures[\w-]*/[\w-]+\.png", (case.run_dir / "report-membership.html").read_text())) == {
        f"figures-membership/{path.name}" for path in (case.run_dir / "figures-membership").iterdir()}

    (case.run_dir / "report-membership.html").unlink()
    assert main(["report", "--run_dir", str(case.run_dir)]) == 0
    said = capsys.readouterr().out
    assert f"{case.run_dir / 'report.html'}" in said and f"{case.run_dir / 'report-membership.html'}" in said
    assert (case.run_dir / "report-membership.html").is_file()


def test_an_attack_switched_off_is_not_run(tmp_path: Path) -> None:
    case = Case(tmp_path, KILLED.replace("{epochs: 12,", "{epochs: 1,"))
    report = case.audit("membership.enabled=false", "inversion.enabled=false")
    assert set(keys(report)) == {"train-lstm_rnn-ordinary-headline"}
    assert results(report.document, "membership", "shadows") == results(report.document, "inversion") == []
    assert report.path.is_file()
