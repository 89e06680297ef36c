"""The defence sweep on the report page: a row and a point for every defence, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from example_sweep import LEAKS, MEASURES, make_sweep, written
from mindleak.audits.gauge import Measure
from mindleak.audits.sweep.defence_findings import defence_findings
from mindleak.audits.sweep.findings import summarise
from mindleak.audits.sweep.tradeoff import in_words, sweep_caption, sweep_note, sweep_tables, tradeoff_figure


@pytest.fixture
def sweep() -> dict[str, Any]:
    return make_sweep()


def test_every_defence_has_a_row_with_every_measure(sweep: dict[str, Any]) -> None:
    table, inverted, membership = sweep_tables(sweep)
    assert table.head == ["Defence", "Test accuracy", "Weights at zero"]
    assert membership.head == ["Defence", "auc/shadow", "auc/loss"]
    assert inverted.head == ["Defence", "confidence/fc1", "ssim/fc1"]
    (rows,) = table.groups
    assert [row.header for row in rows] == ["ordinary", "suppress-50", "suppress-95", "prune-95", "dp"]
    assert [row.header for row in inverted.groups[0]] == [row.header for row in rows]
    accuracy, sparsity = rows[2].cells[0][0], rows[2].cells[1][0]
    assert accuracy.text.startswith("96.25") and accuracy.interval
    assert sparsity.text.startswith("95.00")
    assert rows[0].cells[1][0].text == "\u2013", "an ordinary network has no zeros to report"


def test_every_leak_has_a_panel_and_every_defence_a_point(sweep: dict[str, Any]) -> None:
    figure = tradeoff_figure(sweep)
    assert figure is not None
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") or axes.get_title() for axes in panels] == list(LEAKS)
    for axes, leak in zip(panels, LEAKS):
        drawn = sorted((float(c.lines[0].get_xdata()[0]), float(c.lines[0].get_ydata()[0])) for c in axes.containers)
        wanted = sorted((d["measures"]["accuracy"]["value"], d["measures"][leak]["value"]) for d in sweep["variants"])
        np.testing.assert_allclose(drawn, wanted)


def test_a_sweep_without_leaks_draws_nothing(sweep: dict[str, Any]) -> None:
    assert tradeoff_figure({**sweep, "leaks": []}) is None


def test_words_for_those_who_cannot_see_it_and_the_controls(sweep: dict[str, Any]) -> None:
    assert "suppress-95 96.2" in in_words(sweep).replace("\u00a0", " ")
    assert sweep_note(sweep).endswith("the same halves and seeds. This is how it was measured.")


def test_a_sweep_of_the_subject_draws_leaks_against_the_gap_and_speaks_of_networks() -> None:
    sweep = make_sweep("subject")
    sweep["variants"][1]["n_train"] = 2500
    figure = tradeoff_figure(sweep)
    assert figure is not None
    (axes, *_) = (axes for axes in figure.axes if axes.get_visible())
    drawn = sorted(float(container.lines[0].get_xdata()[0]) for container in axes.containers)
    np.testing.assert_allclose(drawn, sorted(variant["measures"]["gap"]["value"] for variant in sweep["variants"]))
    assert axes.get_xlabel() == "Generalisation gap" and "generalisation gap" in sweep_caption(sweep)
    table = sweep_tables(sweep)[0]
    assert table.head[0] == "Network" and "on 2,500 to 10,000 images" in table.caption


def test_rates_have_a_table_of_their_own_with_the_realised_rate_in_the_cell(sweep: dict[str, Any]) -> None:
    added = {"tpr@0.01/loss": [.02, .03, .02, .03], "fpr@0.01/loss": [.011, .009, .011, .009]}
    for defence in sweep["variants"]:
        defence["measures"].update(summarise(added))
    tpr, fpr = added
    sweep["measures"] = written({**MEASURES, tpr: Measure(tpr, table="rates", realised=fpr),
                                 fpr: Measure(fpr, table=None)})
    table = sweep_tables(sweep)[-1]
    assert table.head == ["Defence", "tpr@0.01/loss"]
    cell = table.groups[0][0].cells[0][0]
    assert cell.text.startswith("2.50") and "at FPR 1.00" in cell.detail and cell.interval


def test_failed_inversions_are_shown_where_there_were_any(sweep: dict[str, Any]) -> None:
    failures = Measure("Without features", table="inversions", failed="inversions from fc1 had no features.")
    sweep["measures"] = written({**MEASURES, "silent/fc1": failures})
    for defence in sweep["variants"]:
        defence["measures"].update(summarise({"silent/fc1": [0.0] * 4}))
    assert "Without features" not in sweep_tables(sweep)[1].head
    sweep["variants"][3]["measures"].update(summarise({"silent/fc1": [1.0, 0.0, 0.0, 0.0]}))
    assert sweep_tables(sweep)[1].head[-1] == "Without features"
    said = defence_findings(sweep)
    assert any(sentence.startswith("prune-95: 25.0 % of the inversions from fc1 had no features.") for sentence in said)


def test_the_note_on_brackets_says_which_attack_has_which_intervals(sweep: dict[str, Any]) -> None:
    for variant in sweep["variants"]:
        variant["measures"]["auc/loss"]["ci_method"] = "another"
    membership = sweep_tables(sweep)[2]
    assert membership.interval_note.startswith("Brackets: AUC of shadow: 95\u00a0% interval (student-t); AUC of loss: ")
