"""Colours, dashes and markers of the figures, one look per recipe in every figure of a report.

The hues start from the colour-blind-safe set of Okabe and Ito ("Color Universal Design", 2008), darkened where
needed for contrast on white; each has a lighter partner for dark pages. A figure is drawn once in the light
colours; on the page, ``css_variables`` turns each of them into a CSS variable that follows the reader's theme.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INK = "#1d2329"
MUTED = "#59636e"
RULE = "#cdd3da"
PAPER = "#ffffff"
ALARM = "#b3261e"

_INK_DARK = "#e6e9ed"
_MUTED_DARK = "#a3adb8"
_RULE_DARK = "#3d4650"
_ALARM_DARK = "#ff8a80"

_SERIES_LIGHT = ("#0072b2", "#c4500a", "#00805c", "#a8438a", "#806300", "#4b5a9e", "#0f6f7c", "#7d4a2a", "#566f10",
                 "#992c55")
_SERIES_DARK = ("#56b4e9", "#f28f50", "#36c99d", "#e29ac8", "#dcbb48", "#a2aeea", "#5cc9d6", "#cfa27d", "#a9c95a",
                "#f08db1")
_DASHES = ("-", (0, (5, 1.6)), (0, (1.4, 1.2)), (0, (6, 1.5, 1.4, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")


@dataclass(frozen=True)
class Look:
    """How one recipe is drawn: ``colour`` (hex), ``dash`` (matplotlib line style), ``marker``."""

    colour: str
    dash: Any
    marker: str


def look(position: int) -> Look:
    """Return the look of the recipe at ``position`` (0-based order of appearance); wraps after twenty."""
    return Look(
        _SERIES_LIGHT[position % len(_SERIES_LIGHT)],
        _DASHES[position % len(_DASHES)],
        _MARKERS[position % len(_MARKERS)],
    )


def css_variables() -> dict[str, tuple[str, str, str]]:
    """Map each colour of the figures to ``(CSS variable, light value, dark value)``."""
    table = {
        INK: ("--ink", INK, _INK_DARK),
        MUTED: ("--muted", MUTED, _MUTED_DARK),
        RULE: ("--rule", RULE, _RULE_DARK),
        ALARM: ("--alarm", ALARM, _ALARM_DARK),
    }
    for position, (light, dark) in enumerate(zip(_SERIES_LIGHT, _SERIES_DARK)):
        table[light] = (f"--series-{position + 1}", light, dark)
    return table
