"""The terminal's summary table: aligned, at most 100 columns, with intervals and realised FPR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from example_record import build_document, metric
from mindleak.audits.report import terminal_text
from mindleak.reporting.text import WIDTH
from mindleak.reporting.wording import duration, metric_label, number


def summary_table(document: dict[str, Any]) -> str:
    """The first block of what a terminal shows."""
    return terminal_text(document, Path()).partition("\n\n")[0]


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    return build_document(tmp_path, images=2)


def test_the_table_fits_and_its_columns_line_up(document: dict[str, Any]) -> None:
    lines = summary_table(document).splitlines()
    assert max(map(len, lines)) <= WIDTH
    rules = [index for index, line in enumerate(lines) if set(line) == {"-"}]
    assert len(rules) == 2
    width = len(lines[rules[0]])
    values = [line for line in lines[rules[0] + 1 : rules[1]] if line.startswith("lenet5 · ordinary")]
    assert len(values) == 2 and len(values[1]) == width, "the last column ends where the rule ends"


def test_values_intervals_and_realised_fpr_are_there(document: dict[str, Any]) -> None:
    table = summary_table(document)
    for part in ("98.90 %", "98.70–99.10", "94.9 %", "0.998", "0.561", "0.555–0.567", "1.73 %", "FPR 0.98 %"):
        assert part in table
    assert "ranges: 95 % intervals" in table
    assert "smallest membership AUC these samples would have shown, asked alone: 0.511" in table


def test_long_names_missing_values_and_wide_numbers_still_fit(document: dict[str, Any]) -> None:
    for subject in document["subjects"]:
        subject["model"] = "a/very/long/path/to/some/model_file.py:ResidualNetworkWithAttention"
    document["results"]["inversion"][0]["metrics"]["ssim"] = metric(-0.123, 0.2)
    document["results"]["membership"][0]["overall"]["auc"] = metric(None, reason="nobody in")
    document["results"]["membership"][1]["overall"]["tpr@0.01"] = metric(0.995, 0.005, fpr=0.01)
    table = summary_table(document)
    assert max(map(len, table.splitlines())) <= WIDTH
    assert "…" in table and "\u22120.123" in table


def test_nothing_to_tell(document: dict[str, Any]) -> None:
    document.update(subjects=[], results={})
    assert summary_table(document) == "no subjects"


def test_membership_and_inversion_may_be_missing(document: dict[str, Any]) -> None:
    document.update(results={})
    table = summary_table(document)
    assert "ranges" not in table and "98.90 %" in table


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.42, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (6512.4, "1 h 49 min"),
        (7199.9, "2 h 0 min"),
    ],
)
def test_durations(seconds: float, written: str) -> None:
    assert duration(seconds).replace("\u00a0", " ") == written


def test_metric_words() -> None:
    assert metric_label("tpr@0.001").replace("\u00a0", " ") == "TPR at 0.1 % FPR"
    optimistic = metric_label("tpr_own_roc@0.01").replace("\u00a0", " ")
    assert optimistic == "Optimistic TPR at 1 % FPR: threshold from the subject's own ROC"
    assert number("tpr_own_roc@0.01", 0.02).endswith("%")
    assert metric_label("ppv@0.1").replace("\u00a0", " ") == "PPV at 10 % members"
    assert metric_label("something_new") == "something new"
    assert number("feature_mse", 0.00012345) == "0.000123"
    assert number("ssim", -0.0254) == "\u22120.025"


def test_a_subject_of_unknown_training_size_has_a_question_mark(document: dict[str, Any]) -> None:
    document["subjects"][0].update(training="elsewhere", role="provided", n_train=None)
    assert "provided, n=?" in summary_table(document)
