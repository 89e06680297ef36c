"""Tables as plain data: cells with value, interval and footnote, ready for the page's template.

A value that could not be measured is a dash with a footnote that gives the reason, so no table hides a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import Any, Optional

from mindleak.reporting.wording import DASH, count, has_value, metric_label, number, percent, written_bounds


@dataclass(frozen=True)
class Cell:
    """One table cell: ``text`` large, ``interval`` and ``detail`` small below, ``note`` a footnote letter."""

    text: str
    interval: str = ""
    detail: str = ""
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One table row: its heading, a smaller line below that, its cells, each a stack of values."""

    header: str
    sub: str
    cells: list[list[Cell]]
    control: bool = False


@dataclass
class Table:
    """A captioned table; rows in groups are ruled off from each other.

    ``intervals`` collects level and method of every interval shown, ``notes`` the reasons of missing values.
    ``prose``: its cells are text and read from the left.
    """

    caption: str
    head: list[str]
    groups: list[list[Row]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    intervals: dict[str, list[str]] = field(default_factory=dict)
    prose: bool = False

    @property
    def filled(self) -> bool:
        """Tell whether there is any cell to show."""
        return any(row.cells for group in self.groups for row in group)

    @property
    def interval_note(self) -> str:
        """Say what the brackets are: level and method, with the columns each method holds for."""
        if not self.intervals:
            return ""
        if len(self.intervals) == 1:
            return f"Brackets: {next(iter(self.intervals))}."
        return "Brackets: " + "; ".join(f"{', '.join(of)}: {how}" for how, of in self.intervals.items()) + "."

    def missing(self, reason: str) -> Cell:
        """Return a dash; a reason, if there is one, goes below the table under a letter."""
        return Cell(DASH, note=self._note(reason))

    def metric(self, key: str, metric: Optional[Mapping[str, Any]], *, label: str = "", with_fpr: bool = True,
               of: str = "") -> Cell:
        """Return the cell of one metric: value, interval, and the realised FPR where a rate is taken at one.

        ``label`` (a layer, an attack) stands below; ``with_fpr=False`` where a row of its own gives the FPR. ``of``
        tells columns of the same metric apart in the note on brackets.
        """
        if metric is None:
            return self.missing("")
        reason = metric.get("reason") or ""
        if not has_value(metric):
            return self.missing(reason or "no reason was recorded")
        interval = written_bounds(key, metric)
        details = [label] if label else []
        if with_fpr and metric.get("fpr") is not None:
            details.append(f"at FPR {percent(metric['fpr'], 2)}")
        written = ""
        if interval:
            self._interval(metric, f"{metric_label(key)}{f' of {of}' if of else ''}")
            written = f"[{interval[0]}, {interval[1]}]"
        return Cell(number(key, metric["value"]), written, ", ".join(details), self._note(reason))

    def _interval(self, metric: Mapping[str, Any], column: str) -> None:
        level, method = metric.get("ci_level"), metric.get("ci_method")
        how = f"{percent(level)} interval" if level is not None else "interval"
        labels = self.intervals.setdefault(f"{how} ({method})" if method else how, [])
        if column not in labels:
            labels.append(column)

    def _note(self, reason: str) -> str:
        if not reason:
            return ""
        for mark, known in self.notes:
            if known == reason:
                return mark
        self.notes.append((_mark(len(self.notes)), reason))
        return self.notes[-1][0]


def realised(metric: Optional[Mapping[str, Any]]) -> Cell:
    """Return the false-positive rate that a threshold really had, with its interval and the tied scores at it."""
    if metric is None or metric.get("fpr") is None:
        return Cell(DASH)
    interval = metric.get("fpr_ci")
    written = f"[{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]" if interval and None not in interval else ""
    ties = f"{count(metric['ties'])} tied scores" if metric.get("ties") else ""
    return Cell(percent(metric["fpr"], 2), written, ties)


def plain_cell(value: Any) -> Cell:
    """Return a cell for a count, a text or nothing."""
    if value is None or value == "":
        return Cell(DASH)
    return Cell(count(value) if isinstance(value, int) and not isinstance(value, bool) else str(value))


def _mark(position: int) -> str:
    """Return a, b, …, z, aa, ab, …"""
    letters = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        letters = ascii_lowercase[rest] + letters
    return letters
