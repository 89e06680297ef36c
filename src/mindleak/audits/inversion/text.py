"""Inversions as plain text for a terminal.

The five lines of an inversion are those that MindArmour's tutorial logs, with the figures that its
``ImageInversionAttack.evaluate`` would give, so that both can be laid side by side.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from mindleak.evaluation.metric import Record
from mindleak.reporting.text import WIDTH, plain
from mindleak.reporting.wording import Subjects, count

# Nobody reads more labels than this in a terminal; the report has all of them.
MOST_LABELS = 50
_TUTORIAL = (
    ("l2_relative", "average relative L2 distance between originals and inversions"),
    ("ssim_mindarmour", "average SSIM between them, by MindArmour's definition"),
    ("confidence", "average confidence of the judge in the true label of the inversions"),
)


def inversion_lines(results: Sequence[Record], subjects: Subjects) -> list[str]:
    """Return the tutorial's five lines for every inversion of few enough images."""
    return [line for entry in results if entry["n"] <= MOST_LABELS for line in _five_lines(entry, subjects)]


def _five_lines(entry: Mapping[str, Any], subjects: Subjects) -> list[str]:
    lines = [f"Inversion of {subjects.name(entry['subject']).full}, layer {entry['layer']}, {count(entry['n'])} images"]
    lines += [f"  {meaning}: {plain(key, entry['metrics'].get(key))}" for key, meaning in _TUTORIAL]
    lines += _labels("true labels of the originals:       ", entry["labels"])
    lines += _labels("predicted labels of the inversions: ", entry["predicted"])
    return lines


def _labels(title: str, labels: Sequence[int]) -> list[str]:
    """Write labels behind a title, further lines below the first label."""
    written = " ".join(str(label) for label in labels)
    return textwrap.wrap(written, WIDTH, initial_indent=f"  {title}", subsequent_indent=" " * (len(title) + 2))
