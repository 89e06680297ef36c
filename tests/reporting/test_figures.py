"""Figures: the same bytes each time, no pyplot, marks that do not rest on colour, honest low-FPR regions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from example_record import build_document
from mindleak.audits.membership.charts import roc_figure, summary_figure, thin
from mindleak.reporting import canvas
from mindleak.reporting.canvas import inline_svg, png_bytes, writable
from mindleak.reporting.charts import curves_figure
from mindleak.reporting.pictures import inversion_figure, prediction_figure
from mindleak.reporting.wording import Subjects


def pictures(n: int, channels: int = 1, height: int = 8, width: int = 8) -> np.ndarray:
    return np.random.default_rng(3).random((n, channels, height, width), dtype=np.float32)


def test_drawing_uses_no_pyplot_and_chooses_no_backend() -> None:
    program = (
        "import sys, numpy as np, matplotlib\n"
        "from mindleak.audits.report import write_page\n"
        "from mindleak.reporting.canvas import png_bytes\n"
        "from mindleak.reporting.pictures import prediction_figure\n"
        "png_bytes(prediction_figure(np.zeros((1, 1, 4, 4)), [0], [1]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'mindspore' not in sys.modules\n"
        "assert matplotlib.rcParams._get('backend') is matplotlib.rcsetup._auto_backend_sentinel\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_deterministic_and_carries_no_date_or_program(channels: int) -> None:
    images = pictures(3, channels)
    first, second = (png_bytes(inversion_figure(images, 1 - images, [1, 2, 3], [1, 2, 0], {})) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG") and b"tEXt" not in first and b"tIME" not in first


def test_a_wrong_prediction_is_marked_by_sign_and_dashed_frame_not_colour_alone() -> None:
    names = {0: "Bag", 1: "Coat"}
    right = inline_svg(prediction_figure(pictures(1), [0], [0], names), "p", "a picture")
    wrong = inline_svg(prediction_figure(pictures(1), [0], [1], names), "p", "a picture")
    assert "→ Bag" in right and "✗" not in right and "stroke-dasharray" not in right
    assert "✗ Coat" in wrong and "Bag" in wrong and "stroke-dasharray" in wrong


def test_classes_without_a_name_are_written_as_numbers_and_dollar_signs_are_no_formula() -> None:
    drawing = inline_svg(prediction_figure(pictures(2), [0, 7], [0, 7], {0: "$a_b$"}), "p", "two")
    assert "→ 7" in drawing and "→ $a_b$" in drawing


def test_names_that_no_font_can_write_stand_as_numbers_and_warn_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    # U+0378 is assigned to no character, so no font on any machine has it.
    names = {0: "\u0378", 1: "Ä → ж", 2: "猫"}
    figure = prediction_figure(np.zeros((3, 1, 4, 4), np.float32), [0, 1, 2], [0, 1, 2], names)
    png_bytes(figure)
    captions = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert captions[0] == "0\n→ 0" and captions[1] == "Ä → ж\n→ Ä → ж"
    assert captions[2] == ("猫\n→ 猫" if writable("猫") else "2\n→ 2")
    assert not [str(warning.message) for warning in recwarn if "lyph" in str(warning.message)]


def test_fonts_that_are_installed_are_asked_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "_fonts", lambda: {"DejaVu Sans": frozenset({97}), "Other": frozenset({0x732B})})
    assert writable("a猫") and not writable("b") and writable("")
    with canvas.house_style():
        assert matplotlib.rcParams["font.family"] == ["DejaVu Sans", "Other"]


def test_more_pictures_than_a_row_holds_go_on_below() -> None:
    few = prediction_figure(pictures(10), [0] * 10, [0] * 10).get_size_inches()
    many = prediction_figure(pictures(11), [0] * 11, [0] * 11).get_size_inches()
    assert many[0] == few[0] and many[1] > 1.5 * few[1]


def test_a_picture_that_is_not_square_keeps_its_shape() -> None:
    figure = prediction_figure(pictures(1, height=8, width=4), [0], [0])
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    assert (bottom - top) / (right - left) == pytest.approx(2)


@pytest.mark.parametrize(
    ("images", "labels"), [(pictures(2, 2), [0, 0]), (pictures(2)[:, 0], [0, 0]), (pictures(2), [0]), (pictures(0), [])]
)
def test_arrays_of_the_wrong_shape_are_refused(images: np.ndarray, labels: list[int]) -> None:
    with pytest.raises(ValueError, match="image"):
        prediction_figure(images, labels, labels)
    with pytest.raises(ValueError, match="image|differ"):
        inversion_figure(images, images, labels, labels, {})


def test_originals_and_inversions_must_match() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        inversion_figure(pictures(2), pictures(3), [0, 0], [0, 0], {})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 1), min_size=2, max_size=3000), st.integers(0, 5))
def test_thinning_keeps_ends_and_stays_within_one_bin_of_the_curve(steps: list[int], offset: int) -> None:
    moves = np.array([0] * offset + steps + [1])
    fpr = np.cumsum(moves) / moves.sum()
    tpr = np.linspace(0, 1, fpr.size)
    x, y = thin(fpr, tpr)
    kept = set(zip(x, y))
    assert kept <= set(zip(fpr, tpr))
    assert (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all()
    first = int(np.argmax(fpr > 0))
    assert (x[0], y[0]) == (fpr[first], tpr[first]) and (x[-1], y[-1]) == (1, 1)
    # Read as a step curve, the thinned one is never above the whole one and lags by less than a bin.
    at = fpr[first:]
    assert (height(x, y, at) <= height(fpr, tpr, at) + 1e-12).all()
    assert (height(x, y, np.minimum(at * 10 ** (1 / 150), 1)) >= height(fpr, tpr, at) - 1e-12).all()


def height(fpr: np.ndarray, tpr: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the step curve's value at each rate."""
    return tpr[np.searchsorted(fpr, at + 1e-12, side="right") - 1]


def test_the_roc_marks_what_the_sample_cannot_resolve(tmp_path: Path) -> None:
    document = build_document(tmp_path, images=2, recipes=2)
    figure = roc_figure(document["results"]["membership"], Subjects(document))
    drawing = inline_svg(figure, "roc", "curves")
    assert "below 1 in 10,000: cannot be seen" in drawing
    assert "fewer than 10 false positives" in drawing
    assert "lenet5 · ordinary, AUC 0.506" in drawing and "lenet5 · suppress, AUC 0.500" in drawing
    thin_lines = [line for line in figure.axes[0].lines if line.get_linewidth() == 0.8]
    assert len(thin_lines) == 2 and all(line.get_xdata().max() <= 0.001 + 1e-9 for line in thin_lines)


def test_a_curve_without_points_or_without_leak_still_draws(tmp_path: Path) -> None:
    document = build_document(tmp_path, images=2, recipes=2)
    document["results"]["membership"][0]["roc"] = {"fpr": [0, 1], "tpr": [0, 1]}
    document["results"]["membership"][1]["roc"] = {"fpr": [], "tpr": []}
    assert png_bytes(roc_figure(document["results"]["membership"], Subjects(document)))
    assert roc_figure(document["results"]["membership"][1:], Subjects(document)) is None


def test_the_summary_shows_auc_values_the_guessing_line_and_the_smallest_visible_effect(tmp_path: Path) -> None:
    document = build_document(tmp_path, images=2)
    figure = summary_figure(document["results"]["membership"], Subjects(document))
    auc, tpr = figure.axes
    assert [text.get_text() for text in auc.texts] == ["0.506", "0.500", "0.561", "0.514"]
    bars = [patch for patch in auc.patches if patch.get_x() == 0.5]
    assert len(bars) == 4 and all(bar.get_width() == pytest.approx(0.0114) for bar in bars)
    for axes, guess in ((auc, 0.5), (tpr, 0.01)):
        assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"] == [guess]


def test_a_recipe_keeps_its_colour_in_both_roles_and_recipes_differ(tmp_path: Path) -> None:
    document = build_document(tmp_path, images=2)
    subjects = Subjects(document)
    looks = {s["id"]: subjects.look(s["id"]) for s in document["subjects"]}
    assert looks["lenet5-suppress-headline"] == looks["lenet5-suppress-membership"]
    assert len({(look.colour, look.marker, str(look.dash)) for look in looks.values()}) == 4
    assert len({look.marker for look in looks.values()}) == 4, "told apart without colour"


def test_training_curves_bear_gaps_one_epoch_and_no_history(tmp_path: Path) -> None:
    document = build_document(tmp_path, images=2, recipes=1)
    subject, subjects = document["subjects"][0], Subjects(document)
    for row in subject["history"]:
        row["val_loss"] = None
    subject["history"][3]["train_loss"] = None
    figure = curves_figure(subject, subjects)
    assert [len(axes.lines) for axes in figure.axes] == [1, 2]
    subject["history"] = subject["history"][:1]
    assert png_bytes(curves_figure(subject, subjects))
    subject["history"] = []
    assert curves_figure(subject, subjects) is None
