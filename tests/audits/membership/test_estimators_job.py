"""Membership inference on subjects that are no networks: a tree that learns by heart is caught, a stump is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command import call
from mindleak.audits.membership.results import REFERENCES, SHADOWS
from mindleak.data.catalogue import load
from records import results

QUICK = ("--device_target", "CPU", "--set", "membership.references=4")


def audited(capfd: pytest.CaptureFixture[str], folder: Path, *words: str) -> dict[str, Any]:
    outcome = call(capfd, "audit", *QUICK, "--run_dir", folder, *words)
    assert outcome.code == 0, outcome.err
    assert (folder / "report.html").is_file()
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def attack(found: dict[str, Any], name: str) -> dict[str, Any]:
    (references,) = results(found, "membership", REFERENCES)
    (record,) = (each for each in references["attacks"] if each["attack"] == name)
    return record


def verdicts(found: dict[str, Any]) -> set[str]:
    return {finding["verdict"] for finding in found["findings"]
            if finding["family"] == "membership" and finding["verdict"] is not None}


def drawn_labels(folder: Path) -> Path:
    """Digits all of whose labels are drawn at random: whatever is known of them was learnt by heart."""
    digits = load("digits", None, None, "bilinear")
    generator = np.random.default_rng(0)
    labels, others = (generator.permutation(labels) for labels in (digits.y_train, digits.y_test))
    path = folder / "drawn.npz"
    np.savez(path, x_train=digits.x_train[:, 0], y_train=labels, x_test=digits.x_test[:, 0], y_test=others)
    return path


def test_a_tree_that_knows_its_members_by_heart_is_caught(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = audited(capfd, tmp_path / "run", "--model", "decision_tree", "--dataset", "custom",
                    "--data_dir", str(drawn_labels(tmp_path)), "--set", "membership.attacks=[loss,entropy]")
    (references,) = results(found, "membership", REFERENCES)
    right_in, right_out = (references["subject_accuracy"][side]["value"] for side in ("train", "test"))
    assert right_in == 1.0 and right_out < 0.2
    # Its loss is one number where it is right and another where it is wrong, so the curve has a single corner.
    auc = attack(found, "loss")["overall"]["auc"]
    assert auc["value"] == pytest.approx(1 - right_out / 2)
    assert auc["value"] > 0.9 and auc["ci"][0] > 0.85
    assert any(finding["verdict"] == "shown" and finding["text"].startswith("loss on decision_tree-membership")
               for finding in found["findings"])
    # It is sure of whatever it says, so how sure it is tells nothing.
    assert attack(found, "entropy")["overall"]["auc"]["value"] == pytest.approx(0.5, abs=0.02)


def test_a_stump_is_not_flagged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = audited(capfd, tmp_path, "--model", "decision_tree", "--dataset", "digits",
                    "--set", "estimator.max_depth=1", "--set", "membership.attacks=[loss,confidence,lira_online]")
    for name in ("loss", "confidence"):
        low, high = attack(found, name)["overall"]["auc"]["ci"]
        assert low < 0.5 < high
    assert "shown" not in verdicts(found) and verdicts(found)
    (subject,) = (each for each in found["subjects"] if each["role"] == "membership")
    assert subject["estimator"]["max_depth"] == 1


def test_inversion_is_skipped_with_its_reason(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = audited(capfd, tmp_path, "--model", "kmeans", "--dataset", "digits",
                    "--set", "membership.attacks=[loss]", "--set", "membership.augment=mirror")
    assert found["skipped"] == [{
        "subject": "kmeans", "family": "inversion", "reason":
        "model.name of 'kmeans' is kmeans, which has answers and neither layers nor gradients; expected a network"}]
    assert [subject["training"] for subject in found["subjects"]] == ["fitted", "fitted"]
    again = call(capfd, "audit", *QUICK, "--run_dir", tmp_path, "--model", "kmeans", "--dataset", "digits",
                 "--set", "membership.attacks=[loss]", "--set", "membership.augment=mirror")
    assert again.code == 0 and "stages were already done; only the report was rendered again" in again.out


@pytest.mark.slow
def test_every_attack_reports_on_a_forest_beside_a_network(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "mixed.yaml"
    recipe.write_text("""
training: {epochs: 2, batch_size: 16, learning_rate: 0.1}
judge: {model: lenet5_bias, epochs: 1}
inversion: {images: 2, iterations: 5}
membership: {attacks: [shadow, improved, rnn_tutorial, loss, phi, lira_online, rmia_online], shadows: 3}
data: {image_size: 16}
subjects:
  net: {model: {name: lenet5_bias}}
  forest: {model: {name: random_forest}, estimator: {trees: 20}}
""")
    found = audited(capfd, tmp_path / "run", "--config", str(recipe))
    assert [(entry["subject"], entry["family"]) for entry in found["skipped"]] == [("forest", "inversion")]
    assert {each["subject"] for each in found["results"]["inversion"]} == {"net-headline"}
    of_forest = [each for each in found["results"]["membership"] if each["subject"] == "forest-membership"]
    assert [each["kind"] for each in of_forest].count(SHADOWS) == 2 and len(of_forest) == 4
    assert of_forest[0]["shadow_recipe"] == {"estimator": {
        "name": "random_forest", "max_depth": None, "min_leaf": 1, "trees": 20}}
    (improved,) = (each for each in of_forest if each.get("attack") == "improved")
    assert improved["notes"][0].startswith("the subject has no layer before the logits with a name")
