"""How reference attacks are shown and put in words, on a made-up record that holds every kind of gap."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindleak.attacks.membership import report
from mindleak.attacks.membership.reference_report import Truth, figures, several_targets
from mindleak.attacks.membership.scores import AttackScores
from mindleak.audits.findings import said_of
from mindleak.audits.membership.charts import attacks_roc_figure
from mindleak.audits.membership.questions import leak_families
from mindleak.audits.membership.reference_findings import reference_findings
from mindleak.audits.membership.reference_tables import (
    reference_details,
    reference_table,
    reference_worth,
)
from mindleak.audits.membership.results import REFERENCES, of_kind
from mindleak.audits.membership.text import membership_lines
from mindleak.audits.questions import Questions
from mindleak.data.splits import halves
from mindleak.evaluation.empirical_epsilon import EpsilonBound
from mindleak.reporting.pictures import captioned_figure
from mindleak.reporting.wording import Subjects

SAMPLES = 400


def attack(name: str, shift: float, notes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the record of an attack whose members score ``shift`` standard deviations higher."""
    generator = np.random.default_rng(0)
    keep = halves(np.zeros(SAMPLES, int), np.arange(SAMPLES), 6, 0)[1]
    members = np.arange(SAMPLES) % 2 == 0
    scores = AttackScores(generator.normal(size=SAMPLES) + shift * members,
                          generator.normal(size=keep.shape) + shift * keep)
    truth = Truth(members, keep, np.zeros(SAMPLES, int))
    return {"attack": name, **figures(scores, truth, 0), "notes": notes or {},
            "as_targets": several_targets(scores, truth), "roc": report.roc(scores.target, members)}


def document(*attacks: dict[str, Any]) -> dict[str, Any]:
    subject = {"id": "net-membership", "name": "net", "model": "lenet5", "training": "ordinary", "role": "membership"}
    record = {"subject": "net-membership", "n_references": 6, "reference_size": 200, "population": 50, "n_in": 200,
              "n_out": 200, "attacks": list(attacks), "detectable": report.detectable(200, 200), "notes": []}
    return {"subjects": [subject], "results": {"membership": [{"kind": "references", **record}]}}


def by_references(made: dict[str, Any]) -> list[dict[str, Any]]:
    return of_kind(made["results"]["membership"], REFERENCES)


def lines(made: dict[str, Any]) -> list[str]:
    return membership_lines(made["results"]["membership"], Subjects(made))


def said(results: list[dict[str, Any]], shadows: list[dict[str, Any]] | None = None,
         run_dir: Path = Path()) -> list[str]:
    questions = Questions()
    leaks = leak_families([], results, [], questions)
    return [finding.text for finding in reference_findings(results, shadows or [], run_dir, leaks, questions)]


NOTE = "2 IN and 2 OUT references per sample: σ is pooled"


def test_table_has_a_row_per_attack_with_interval_ppv_epsilon_and_spread() -> None:
    made = document(attack("lira_online", 2.0, {"sigma": "pooled", "sigma_note": NOTE}), attack("loss", 0.0))
    (result,) = by_references(made)
    table = reference_table(result, Subjects(made))
    assert [row.header for row in table.groups[0]] == ["lira_online", "loss"]
    assert all(len(row.cells) == len(table.head) - 1 for row in table.groups[0])
    row = dict(zip(table.head[1:], table.groups[0][0].cells))
    assert row["AUC"][0].interval and row["TPR at 1\u00a0% FPR"][0].detail.startswith("at FPR")
    table = reference_worth(result, Subjects(made))
    assert [row.header for row in table.groups[0]] == ["lira_online", "loss"]
    assert all(len(row.cells) == len(table.head) - 1 for row in table.groups[0])
    row = dict(zip(table.head[1:], table.groups[0][0].cells))
    assert {"PPV at 50\u00a0% members", "PPV at 10\u00a0% members", "PPV at 1\u00a0% members"} <= set(row)
    assert float(row["ε at least"][0].text) > 0.5
    assert "±" in row["AUC on references, mean ± sd"][0].text and row[table.head[-1]][0].detail == "6 targets"
    details = reference_details(result, Subjects(made))
    assert all(len(each.cells) == len(details.head) - 1 for each in details.groups[0])
    assert NOTE in details.groups[0][0].cells[-1][0].text and details.groups[0][1].cells[-1][0].text == "none"


def test_what_could_not_be_measured_is_a_dash_with_its_reason() -> None:
    empty = attack("rmia_online", 0.0)
    empty |= {"overall": {"auc": {"value": None, "ci": None, "ci_level": 0.95, "ci_method": None, "n": 0,
                                  "reason": "no members"}}, "bootstrap": {}, "ppv": {}, "epsilon": None,
              "as_targets": {"targets": 0}}
    made = document(empty)
    table = reference_table(by_references(made)[0], Subjects(made))
    assert table.notes == [("a", "no members")]
    assert lines(made)[-1].split() == ["rmia_online", *5 * ["–"]]
    assert any("no AUC (no members)" in sentence
               for sentence in said(by_references(made)))


def test_without_results_there_is_nothing_to_show() -> None:
    assert membership_lines([], Subjects({"subjects": [], "results": {}})) == []


def test_lines_for_the_terminal() -> None:
    title, head, line = lines(document(attack("lira_online", 2.0)))
    assert "6 references" in title and "200 members, 200 non-members" in title
    assert re.split(r"\s{2,}", head.strip()) == ["attack", "AUC", "TPR at 1 % FPR", "FPR", "TPR at 0.1 % FPR", "FPR"]
    interval = r"\d+\.\d+ \[\d+\.\d+, \d+\.\d+\]"
    assert re.fullmatch(rf"  lira_online +0\.9\d\d \[.*\] +{interval} +\d\.\d\d +{interval} +\d\.\d\d", line)
    assert "\u00a0" not in title + head + line


def test_attacks_on_the_same_shadows_stand_above_those_with_references() -> None:
    made = document(attack("modified_entropy", 0.5))
    record = {"subject": "net-membership", "n_shadows": 5, "n_in": 200, "n_out": 200, "per_class": []}
    made["results"]["membership"] += [{**record, "kind": "shadows", "attack": name,
                                       "overall": attack(name, 1.0)["overall"]} for name in ("shadow", "improved")]
    title, _, *rows = lines(made)
    assert "5 shadows, 6 references" in title
    assert [row.split()[0] for row in rows] == ["shadow", "improved", "modified_entropy"]
    assert all(len(line) <= 100 for block in (title, *rows) for line in block.splitlines())
    made["results"]["membership"] = made["results"]["membership"][1:2]
    assert lines(made) == []


def test_curves_of_several_attacks_in_one_figure() -> None:
    (result,) = by_references(document(attack("lira_online", 2.0), attack("loss", 0.5)))
    figure = attacks_roc_figure(result, "lenet5")
    assert figure is not None
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels[0] == "guessing"
    assert labels[1].startswith("lira_online, AUC 0.9") and labels[2].startswith("loss, AUC")
    result["attacks"][0]["roc"] = result["attacks"][1]["roc"] = {"fpr": [], "tpr": []}
    assert attacks_roc_figure(result, "lenet5") is None


def test_pictures_with_captions() -> None:
    figure = captioned_figure(np.zeros((12, 1, 4, 4)), [f"{number}\n0.5" for number in range(12)], "most exposed")
    written = [text.get_text() for text in figure.axes[0].texts]
    assert "11\n0.5" in written and "most exposed" in written
    for images, captions in ((np.zeros((0, 1, 4, 4)), []), (np.zeros((2, 1, 4, 4)), ["one"])):
        with pytest.raises(ValueError, match="image"):
            captioned_figure(images, captions)


def found(*attacks: dict[str, Any]) -> list[str]:
    return said(by_references(document(*attacks)))


def test_findings_follow_from_intervals() -> None:
    (strong, *_) = found(attack("lira_online", 2.0))
    assert "better than chance" in strong and "ε is at least" in strong and "shown by the members that it acc" in strong
    # 200 non-members cannot show .1 %; the rates stand with the interval of their difference.
    assert "At 1 % FPR the references' threshold finds" in strong and "0.1 %" not in strong
    assert "so members are found more often than non-members are accused" in strong
    (weak, *_) = found(attack("loss", 0.0))
    assert "no leak was detected on average over all samples" in weak and "eight of ten samples" in weak
    assert "so nothing beyond guessing was detected" in weak
    (below, *_) = found(attack("loss", -1.0))
    assert "below chance" in below


def test_epsilon_from_acquittals_says_so() -> None:
    cleared = attack("loss", 0.0)
    cleared["epsilon"] = EpsilonBound(1.2, 200, 200, 150, 200, 0.0, 1e-5, 0.05).to_json()
    assert cleared["epsilon"]["by_accusation"] is False
    assert "shown by the samples that it clears, hardly any of which is a member" in found(cleared)[0]
    first = said_of({**document(cleared), "skipped": []}, Path())["findings"][0]
    assert "no leak was detected on average" in first["text"] and first["verdict"] == "shown", "an ε is a leak, too"


@pytest.mark.parametrize("gain, way", [(0.8, "stronger: phi +0"), (-0.8, "weaker: phi -0"),
                                       (0.0, "not shown to differ: phi -0.00")])
def test_attacks_are_held_against_the_shadow_attack_in_pairs(tmp_path: Path, gain: float, way: str) -> None:
    # Two attacks that agree on most samples: separate intervals would meet, and the pairs tell.
    generator = np.random.default_rng(0)
    members = np.arange(SAMPLES) % 2 == 0
    own = generator.normal(size=SAMPLES) + 0.5 * members
    other = own + gain * 0.4 * members + generator.normal(0, 0.1, SAMPLES)
    if gain == 0.0:
        other = own + np.where(np.arange(SAMPLES) % 4 < 2, 0.1, -0.1)
    np.savez(tmp_path / "shadow.npz", rows=np.arange(SAMPLES), members=members, scores=own)
    np.savez(tmp_path / "references.npz", rows=np.arange(SAMPLES)[::-1], scores_phi=other[::-1])
    result = {**by_references(document(attack("phi", 0.5)))[0], "arrays": "references.npz"}
    shadow = {"subject": "net-membership", "attack": "shadow", "arrays": "shadow.npz"}
    *_, sentence = said([result], [shadow], tmp_path)
    assert sentence.startswith("Against the shadow attack on net-membership, AUC on the same samples, paired")
    assert way in sentence


def test_fallbacks_are_said() -> None:
    shared = {**attack("phi", 1.0), "shared_threshold": {"cat": "3 answers"}}
    lira = attack("lira_online", 1.0, {"sigma": "pooled", "sigma_note": NOTE})
    rmia = attack("rmia_online", 1.0, {"population_note": "shares of 50 samples are coarse"})
    sentences = " ".join(found(shared, lira, rmia))
    assert NOTE in sentences and "class cat (3 answers)" in sentences
    assert "shares of 50 samples are coarse" in sentences
    assert NOTE not in " ".join(found(attack("lira_online", 1.0, {"sigma": "per sample", "sigma_note": NOTE})))
