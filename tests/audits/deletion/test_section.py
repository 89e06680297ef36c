"""A deletion audit on the page and in a terminal: every method has a row, a point and a line."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from _made_up_deletions import audit
from mindleak.audits.deletion.findings import deletion_findings
from mindleak.audits.deletion.section import deletion_tables, further_tables, gap_figure, ledger_table, note
from mindleak.audits.deletion.text import deletion_lines
from mindleak.audits.deletion.words import ledger_words
from mindleak.audits.questions import Questions
from mindleak.reporting.text import WIDTH


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return audit({"scrub": 1.0, "sparse_fine_tune": 0.5})


def test_every_method_has_a_row_in_both_tables_and_a_line(result: dict[str, Any]) -> None:
    names = ["Before the deletion", "Full retraining", "Never saw them (control)", "SCRUB",
             "Pruning, then fine-tuning"]
    for table in deletion_tables(result):
        assert [row.header for row in table.groups[0]] == names
        assert [row.control for row in table.groups[0]] == [True, False, True, False, False]
    lines = deletion_lines([result])
    assert len(lines) == 2 + len(names) and max(map(len, lines)) <= WIDTH


def test_every_point_is_a_gap_over_its_cost_and_ticks_are_plain_text(result: dict[str, Any]) -> None:
    result["methods"][3]["sample_epochs"] = 20.0
    figure = gap_figure(result)
    assert figure is not None
    (axes,) = figure.axes
    drawn = {(container.lines[0].get_xdata()[0], container.lines[0].get_ydata()[0]) for container in axes.containers}
    shown = [entry for entry in result["methods"] if entry["method"] not in ("before", "full")]
    assert sorted(drawn) == [pytest.approx((cost, next(e for e in shown if e["method"] == name)["gaps"]["auc/u_lira"][
        "value"])) for cost, name in ((.02, "scrub"), (1.0, "never"), (1.08, "sparse_fine_tune"))], "side by side"
    figure.canvas.draw()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert "100 %" in labels and not any("$" in label for label in labels)


def test_the_note_says_what_the_goal_is(result: dict[str, Any]) -> None:
    said = note(result)
    assert "8 networks, each trained on 900 samples, of which 100 are deleted" in said
    assert "the full retraining's figure, not one half" in said and "shards" not in said


LEDGER = {"subject": "net", "ledger": {
    "shards": 3, "slices": 2, "samples": 1200, "last_hash": "ab" * 32,
    "entries": [{"number": 1, "when": "2026-11-27T04:00:00+00:00", "request": "class:3", "rows_digest": "cd" * 32,
                 "count": 120, "copies": 0, "seconds": 1.5, "state": "done", "shards": 3,
                 "sample_epochs": [4000, 4400]}]}}


def test_a_ledger_has_a_row_per_deletion_a_line_and_a_finding_without_a_verdict(result: dict[str, Any]) -> None:
    (row,) = ledger_table(LEDGER["ledger"]).groups[0]
    assert [cell.text for cells in row.cells for cell in cells][1:6] == ["done", "class:3", "120", "3", "4,000"]
    lines = deletion_lines([result, LEDGER])
    assert "the ledger records 1 deletion, 120 of 1,200 samples in all; last hash abababababababab" in lines[-1]
    assert max(map(len, lines)) <= WIDTH
    begun = copy.deepcopy(LEDGER["ledger"])
    begun["entries"] += [{**begun["entries"][0], "number": 2, "state": "begun"}]
    assert ledger_words(begun) == ("the ledger records 1 deletion, 120 of 1,200 samples in all, and 1 that was begun "
                                   "and is not finished")
    (said,) = list(deletion_findings([LEDGER], Questions()))
    assert said.verdict is None and "'mindleak delete --verify'" in said.text


def test_relearning_and_what_was_tried_have_tables_of_their_own(result: dict[str, Any]) -> None:
    scrub = next(entry for entry in result["methods"] if entry["method"] == "scrub")
    chosen, other = ({"passes": 10, "learning_rate": rate} for rate in (.05, .015))
    scrub.update(settings=chosen, tried=[{"settings": chosen, "score": .91}, {"settings": other, "score": None}])
    again, tried = further_tables(result)
    assert [row.header for row in again.groups[0]] == ["Full retraining", "Never saw them (control)", "SCRUB",
                                                       "Pruning, then fine-tuning"]
    texts = [[cell.text for cells in row.cells for cell in cells] for row in tried.groups[0]]
    assert texts[0] == ["passes 10, learning_rate 0.05", "0.910", "yes"] and texts[1][1:] == ["–", ""]
