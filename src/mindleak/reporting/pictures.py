"""Rows of pictures: originals above their inversions, and the first predictions of a classifier.

Whether a picture was recognised is said by a sign and a frame, never by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mindleak.reporting.canvas import house_style, writable
from mindleak.reporting.palette import ALARM, INK, MUTED

COLUMNS = 10
MAX_PAIRS = 30
# Inches: a picture's side, the distance between columns, the left margin with the row labels, the gap within a pair,
# and the two lines of text below a picture.
_SIDE = 0.64
_PITCH = 0.75
_LEFT = 0.24
_GAP = 0.05
_CAPTION = 0.42


def inversion_figure(
    originals: np.ndarray,
    inversions: np.ndarray,
    labels: Sequence[int],
    predicted: Sequence[int],
    names: Mapping[int, str],
    title: str = "",
) -> Figure:
    """Draw originals above inversions, ten a row, with the true class and the judge's reading below.

    Args:
        originals, inversions: float arrays (N, C, H, W) in [0, 1], C = 1 or 3; the first 30 are drawn.
        labels: the N true classes.
        predicted: what the independent judge takes the N inversions for.
        names: class number → name; a missing name is written as the number.
        title: printed above.

    Raises:
        ValueError: the arrays are not (N, C, H, W) with C in {1, 3}, or the lengths differ.
    """
    if inversions.shape != originals.shape:
        raise ValueError(f"originals {originals.shape} and inversions {inversions.shape} differ in shape")
    _check(originals, labels, predicted)
    shown = min(len(originals), MAX_PAIRS)
    pair = 2 * _SIDE + _GAP + _CAPTION
    with house_style():
        sheet = _Sheet(shown, pair, title)
        for index in range(shown):
            sheet.picture(index, 0, originals[index])
            sheet.picture(index, _SIDE + _GAP, inversions[index], wrong=labels[index] != predicted[index])
            sheet.caption(index, labels[index], predicted[index], names)
            if index % COLUMNS == 0:
                sheet.row_label(index, 0, "original")
                sheet.row_label(index, _SIDE + _GAP, "inverted")
    return sheet.figure


def prediction_figure(
    images: np.ndarray,
    actual: Sequence[int],
    predicted: Sequence[int],
    names: Optional[Mapping[int, str]] = None,
    title: str = "",
) -> Figure:
    """Draw a grid of pictures with the actual class and the predicted one below; wrong ones framed and marked ✗.

    Args:
        images: float array (N, C, H, W) in [0, 1], C = 1 or 3; all N are drawn, ten a row.
        actual, predicted: the N classes.
        names: class number → name; a missing name is written as the number.
        title: printed above.

    Raises:
        ValueError: there is no image, the array is not (N, C, H, W) with C in {1, 3}, or the lengths differ.
    """
    _check(images, actual, predicted)
    with house_style():
        sheet = _Sheet(len(images), _SIDE + _CAPTION, title)
        for index, image in enumerate(images):
            sheet.picture(index, 0, image, wrong=actual[index] != predicted[index])
            sheet.caption(index, actual[index], predicted[index], names or {})
    return sheet.figure


def captioned_figure(images: np.ndarray, captions: Sequence[str], title: str = "") -> Figure:
    """Draw a grid of pictures, ten a row, with up to two lines of text below each.

    Args:
        images: float array (N, C, H, W) in [0, 1], C = 1 or 3.
        captions: N texts.
        title: printed above.

    Raises:
        ValueError: there is no image, the array is not (N, C, H, W) with C in {1, 3}, or the lengths differ.
    """
    _check_images(images)
    if len(images) != len(captions):
        raise ValueError(f"{len(images)} images, {len(captions)} captions")
    with house_style():
        sheet = _Sheet(len(images), _SIDE + _CAPTION, title)
        for index, image in enumerate(images):
            sheet.picture(index, 0, image)
            sheet.words(index, captions[index])
    return sheet.figure


class _Sheet:
    """A figure with one place per picture, ten a row; all sizes and places in inches from its top left."""

    def __init__(self, pictures: int, row_height: float, title: str) -> None:
        columns = min(pictures, COLUMNS)
        self._row_height = row_height
        self._top = 0.32 if title else 0.06
        width = max(_LEFT + columns * _PITCH, 3.4)
        height = self._top + -(-pictures // columns) * row_height
        self.figure = Figure(figsize=(width, height))
        # One set of axes over the whole sheet: a set per picture takes many times longer to draw.
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._limits: dict[str, Any] = {"xlim": (0, width), "ylim": (height, 0), "aspect": "auto"}
        self._axes.set(**self._limits)
        if title:
            self._axes.text(_LEFT, 0.1, title, fontsize=9, fontweight="bold", ha="left", va="top")

    def _corner(self, index: int) -> tuple[float, float]:
        row, column = divmod(index, COLUMNS)
        return _LEFT + column * _PITCH, self._top + row * self._row_height

    def picture(self, index: int, down: float, image: np.ndarray, *, wrong: bool = False) -> None:
        """Show a (C, H, W) image in place ``index``, ``down`` inches lower, as large as its shape allows.

        The frame is a hairline, or thick and dashed where the image was taken for another class.
        """
        x, y = self._corner(index)
        height, width = (_SIDE * side / max(image.shape[1:]) for side in image.shape[1:])
        left, top = x + (_SIDE - width) / 2, y + down + (_SIDE - height) / 2
        pixels = np.clip(np.moveaxis(image, 0, -1), 0, 1)
        # "none" keeps the picture's own pixels in vector output.
        self._axes.imshow(
            pixels[..., 0] if pixels.shape[-1] == 1 else pixels,
            cmap="gray",
            vmin=0,
            vmax=1,
            interpolation="none",
            extent=(left, left + width, top + height, top),
        )
        self._axes.set(**self._limits)
        form: dict[str, Any] = {"edgecolor": ALARM, "linewidth": 1.8, "linestyle": (0, (3, 1.2))} if wrong else {}
        frame: dict[str, Any] = {"facecolor": "none", "edgecolor": MUTED, "linewidth": 0.5, **form}
        self._axes.add_patch(Rectangle((left, top), width, height, **frame))

    def caption(self, index: int, actual: int, predicted: int, names: Mapping[int, str]) -> None:
        """Write the true class and, after → or ✗, the predicted one at the foot of place ``index``.

        A name in a script that no font here can write stands as its number; tables and the terminal have the name.
        """
        right = actual == predicted
        first, second = (name if writable(name := names.get(int(label), str(label))) else str(int(label))
                         for label in (actual, predicted))
        form = {"color": INK, "fontweight": "normal"} if right else {"color": ALARM, "fontweight": "bold"}
        self.words(index, f"{first}\n{'→' if right else '✗'} {second}", **form)

    def words(self, index: int, text: str, **form: Any) -> None:
        """Write up to two lines at the foot of place ``index``."""
        x, y = self._corner(index)
        place = (x + _SIDE / 2, y + self._row_height - _CAPTION + 0.05)
        self._axes.text(*place, text, ha="center", va="top", fontsize=7, linespacing=1.25, **form)

    def row_label(self, index: int, down: float, text: str) -> None:
        """Write ``text`` upwards in the margin beside place ``index``."""
        x, y = self._corner(index)
        form: dict[str, Any] = {"ha": "right", "va": "center", "rotation": 90, "fontsize": 7, "color": MUTED}
        self._axes.text(x - 0.05, y + down + _SIDE / 2, text, **form)


def _check_images(images: np.ndarray) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
        raise ValueError(f"expected at least one image as (N, 1 or 3, H, W), got {images.shape}")


def _check(images: np.ndarray, labels: Sequence[int], predicted: Sequence[int]) -> None:
    _check_images(images)
    if not len(images) == len(labels) == len(predicted):
        raise ValueError(f"{len(images)} images, {len(labels)} labels, {len(predicted)} predictions")
