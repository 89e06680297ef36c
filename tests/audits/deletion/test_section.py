"""A deletion audit on the page and in a terminal: every method has a row, a point and a line."""

from __future__ import annotations

from typing import Any

import pytest

from made_up_deletions import audit
from mindleak.audits.deletion.section import deletion_tables, gap_figure, note
from mindleak.audits.deletion.text import deletion_lines
from mindleak.reporting.text import WIDTH


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return audit({"scrub": 1.0, "sparse_fine_tune": 0.5})


def test_every_method_has_a_row_in_both_tables_and_a_line(result: dict[str, Any]) -> None:
    names = ["Before the deletion", "Full retraining", "Never saw the samples (control)", "SCRUB",
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
    assert drawn == {(entry["sample_epochs"] / 1000, entry["gaps"]["auc/u_lira"]["value"]) for entry in shown}
    figure.canvas.draw()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert "100 %" in labels and not any("$" in label for label in labels)


def test_the_note_says_what_the_goal_is(result: dict[str, Any]) -> None:
    said = note(result)
    assert "8 networks, each trained on 900 samples, of which 100 are deleted" in said
    assert "the full retraining's figure, not one half" in said and "shards" not in said
