"""How the RNN tutorial's attack is shown and put in words, on made-up scores with every verdict and every gap."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindleak.attacks.membership.balancing import BALANCINGS
from mindleak.attacks.membership.rnn_tutorial import ClassScores
from mindleak.attacks.membership.rnn_tutorial_protocols import JUDGED, Asked, judged
from mindleak.audits.families import families
from mindleak.audits.membership.questions import leak_families
from mindleak.audits.membership.results import RNN_TUTORIAL, of_kind
from mindleak.audits.membership.rnn_tutorial_findings import rnn_tutorial_findings
from mindleak.audits.membership.rnn_tutorial_tables import (
    classes_table,
    comparison_table,
    judged_table,
    parts_table,
    rnn_tutorial_lines,
    rnn_tutorial_tables,
)
from mindleak.audits.questions import Questions
from mindleak.evaluation.paired import auc_difference
from mindleak.evaluation.roc import auc
from mindleak.reporting.page import Page
from mindleak.reporting.tables import summary
from mindleak.reporting.wording import Subjects

CLASSES = ("nought", "one")


def record(lift: float = 0.0, shift: float = 0.0, test: int = 400, always: bool = False) -> dict[str, Any]:
    """A record whose members score ``lift`` standard deviations higher and whose test split ``shift`` lower."""
    sides = np.repeat([0, 1, 2], [4000, 4000, test])
    asked = Asked(sides == 0, sides == 2, np.arange(len(sides)) % 2)
    scores = np.random.default_rng(0).normal(size=len(sides)) + lift * asked.members - shift * asked.tested
    scores -= lift / 2
    own = ClassScores(scores, {}, {0: 600, 1: 600})
    everyone = ClassScores(np.ones(len(sides)), {}, {0: 600, 1: 600})
    shown = judged({name: everyone if always and name == "none" else own for name in BALANCINGS}, asked, CLASSES, 50, 0)
    return {"subject": "net-membership", "attack": "rnn_tutorial", "n_shadows": 10, "train_size": 4000, **shown,
            "compared": [], "notes": [], "saved": {"attack_train_data": "a.npz", "attack_test_data": "b.npz"}}


def document(*records: dict[str, Any]) -> dict[str, Any]:
    subject = {"id": "net-membership", "name": "net", "model": "lstm_rnn", "training": "ordinary", "role": "membership"}
    return {"subjects": [subject], "skipped": [],
            "results": {"membership": [{"kind": RNN_TUTORIAL, **each} for each in records]}}


def attacks(made: dict[str, Any]) -> list[dict[str, Any]]:
    return of_kind(made["results"]["membership"], RNN_TUTORIAL)


def sentences(found: dict[str, Any]) -> str:
    questions = Questions()
    said = rnn_tutorial_findings([found], leak_families([], [], [found], questions), questions)
    return " ".join(finding.text for finding in said)


def with_other(found: dict[str, Any], lift: float) -> dict[str, Any]:
    members = np.arange(2000) < 1000
    generator = np.random.default_rng(4)
    own, other = generator.normal(size=2000), generator.normal(size=2000) + lift * members
    difference = auc_difference(own, other, members)
    compared = {"attack": "lira_online", "n_in": 1000, "n_out": 1000, "auc": auc(other, members).to_json(),
                "own_auc": auc(own, members).to_json(), "difference": difference.to_json()}
    return {**found, "compared": [compared]}


def test_table_has_every_way_of_judging_once_and_full_rows() -> None:
    made = document(record())
    (result,) = attacks(made)
    table = judged_table(result, Subjects(made))
    rows = [row for group in table.groups for row in group[1:]]
    assert len(rows) == len(JUDGED) and all(len(row.cells) == len(table.head) - 1 for row in rows)
    first = dict(zip(table.head[1:], rows[0].cells))
    assert first["Non-members"][0].detail.endswith("rows") and first["AUC"][0].interval
    assert first["Members"][0].detail == "", "no member counts twice"
    parts = parts_table(result, Subjects(made))
    assert [row.cells[0][0].text[0] in "+\u2212" for row in parts.groups[0]] == [True] * 3
    classes = classes_table(result, Subjects(made))
    assert [row.header for row in classes.groups[0]] == list(CLASSES)
    assert not comparison_table(result, Subjects(made)).filled, "nothing to compare with"
    assert len(rnn_tutorial_tables([result], Subjects(made))[0]["tables"]) == 2


def test_every_number_on_the_page_is_the_records() -> None:
    made = document(record(1.0))
    (result,) = attacks(made)
    row = judged_table(result, Subjects(made)).groups[0][4]
    same = next(each for each in result["evaluations"] if each["evaluation"] == "same_split")
    assert row.header.startswith("balanced classes, same split")
    assert row.cells[5][0].text == f"{same['auc']['value']:.3f}"
    assert row.cells[0][0].text == f"{same['n_in']:,}" == "4,000"


def test_the_summary_says_where_the_attack_is_shown(tmp_path: Path) -> None:
    made = document(record())
    made["subjects"][0] |= {"test_accuracy": {"value": 0.9, "ci": None, "ci_level": 0.95, "ci_method": None, "n": 10},
                            "sparsity": None, "n_train": 4000}
    columns = families()["membership"].summary(made["results"]["membership"], Page(made, tmp_path))
    reasons = [reason for _, reason in summary(made, Subjects(made), columns).notes]
    assert "the shadow attack was not asked for; the others have sections of their own" in reasons


def test_without_the_attack_there_is_no_section() -> None:
    made = document()
    assert rnn_tutorial_tables([], Subjects(made)) == [] and rnn_tutorial_lines([], Subjects(made)) == []


def test_terminal_lines_hold_what_the_document_prints_and_fit_it() -> None:
    made = document(record())
    lines = rnn_tutorial_lines(attacks(made), Subjects(made))
    assert "training number is 600, testing number is" in lines[1]
    assert any("macro avg" in line for line in lines) and lines[-1] == "  saved: b.npz"
    assert max(map(len, lines)) <= 100


def test_null_is_said_as_one_with_what_could_have_been_shown() -> None:
    words = sentences(record(always=True))
    assert "no difference between the splits was detected. Eight of ten samples" in words
    assert "no membership was detected. Eight of ten samples of this size would show an AUC of 0.51" in words
    assert "so nothing beyond class imbalance was shown; their balanced accuracy is 50.00 %" in words
    assert "always saying \"member\" is right for 90.91 %" in words
    assert words.count("not distinguishable from none") == 3


def test_membership_and_difference_of_splits_are_named_only_where_shown() -> None:
    leaking, shifted = sentences(record(lift=1.0)), sentences(record(shift=1.0))
    assert "tells members from non-members better than chance" in leaking
    assert "no difference between the splits was detected" in leaking
    assert "the splits differ by themselves" in shifted and "no membership was detected" in shifted


def test_a_lower_accuracy_than_always_saying_member_is_said() -> None:
    words = sentences(record())
    assert "less than always saying \"member\"" in words


@pytest.mark.parametrize("lift, verdict", [
    (1.0, "lira_online is stronger on this network"), (-1.0, "lira_online is weaker on this network"),
    (0.0, "this run does not show which is stronger")])
def test_comparisons_follow_the_paired_interval(lift: float, verdict: str) -> None:
    found = with_other(record(), lift)
    assert verdict in sentences(found)
    made = document(found)
    table = comparison_table(found, Subjects(made))
    assert table.filled and len(table.groups[0][0].cells) == len(table.head) - 1


def test_gaps_are_named() -> None:
    found = copy.deepcopy(record())
    found["skipped_classes"] = {"one": "4 member and 0 non-member rows of shadows"}
    found["classes"][1]["accuracy"] = None
    found["notes"] = ["10 shadows of 400 samples are drawn from 1000"]
    words = sentences(found)
    assert "no attack model for class one (4 member" in words and "drawn from 1000." in words
    made = document(found)
    table = classes_table(found, Subjects(made))
    assert table.groups[0][1].cells[3][0].note and "4 member" in table.notes[0][1]


def test_too_few_samples_for_the_documents_batches_leave_the_other_figures() -> None:
    found = record(test=20)
    assert found["report"] == ""
    words = sentences(found)
    assert "its own evaluation has no figure, since no class has a whole batch" in words
    assert "no membership was detected" in words
    made = document(found)
    assert any("no whole batch" in reason for _, reason in classes_table(found, Subjects(made)).notes)
    assert "AUC -" in " ".join(rnn_tutorial_lines(attacks(made), Subjects(made)))
