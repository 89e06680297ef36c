"""The summary as plain text for a terminal: one block of lines per subject, at most 100 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from mindleak.reporting.page import Page, SummaryColumn
from mindleak.reporting.wording import (
    DASH,
    NBSP,
    Subjects,
    count,
    has_value,
    number,
    percent,
    written_bounds,
)

WIDTH = 100
_NAME_WIDTH = 26
_HEAD = (
    ("subject", ""),
    ("test", "accuracy"),
    ("weights", "zero"),
)

Lines = list[str]


def summary_table(page: Page, columns: Sequence[SummaryColumn], notes: Sequence[str]) -> str:
    """Return the summary table: subjects by recipe, intervals on the line below.

    Lines are at most 100 characters long; a longer name or reason is cut or wrapped. Ends without a newline.

    Args:
        page: with the record.
        columns: of the families.
        notes: lines below the table.
    """
    document, subjects = page.record, page.subjects
    recipes = list(dict.fromkeys(subjects.name(subject["id"]).recipe for subject in document["subjects"]))
    ordered = sorted(document["subjects"], key=lambda each: recipes.index(subjects.name(each["id"]).recipe))
    blocks = [_block(subject, subjects, columns) for subject in ordered]
    if not blocks:
        return "no subjects"
    head: list[Lines] = [list(pair) for pair in (*_HEAD, *(column.lines for column in columns))]
    widths = [max(len(line) for block in [head, *blocks] for line in block[column]) for column in range(len(head))]
    widths[0] -= max(0, sum(widths) + 2 * (len(widths) - 1) - WIDTH)
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [*_aligned(head, widths), rule]
    for block in blocks:
        lines += _aligned(block, widths)
    return "\n".join([*lines, rule, *(cut(line, WIDTH) for line in notes)])


def _block(subject: Mapping[str, Any], subjects: Subjects, columns: Sequence[SummaryColumn]) -> list[Lines]:
    """Return one subject's cells, each a list of lines."""
    name = subjects.name(subject["id"])
    sparsity = subject["sparsity"]
    return [
        [cut(name.recipe), cut(f"  {name.role}, n={_size(subject['n_train'])}")],
        metric_lines("accuracy", subject["test_accuracy"]),
        [ordinary(percent(sparsity["overall"], 1)) if sparsity else DASH],
        *(column.plain(subject) for column in columns),
    ]


def _size(n_train: Optional[int]) -> str:
    return "?" if n_train is None else count(n_train)


def metric_lines(key: str, metric: Optional[Mapping[str, Any]]) -> Lines:
    """Return a metric and its interval, a line each; a dash where it has no value."""
    if metric is None or not has_value(metric):
        return [DASH]
    lines = [ordinary(number(key, metric["value"]))]
    interval = written_bounds(key, metric)
    if interval:
        lines.append(DASH.join(interval))
    return lines


def _aligned(cells: Sequence[Lines], widths: Sequence[int]) -> Lines:
    """Lay cells of several lines side by side: the first column to the left, the others to the right."""
    lines = []
    for index in range(max(len(cell) for cell in cells)):
        parts = [cell[index] if index < len(cell) else "" for cell in cells]
        name = cut(parts[0], widths[0]).ljust(widths[0])
        values = [part.rjust(width) for part, width in zip(parts[1:], widths[1:])]
        lines.append("  ".join([name, *values]).rstrip())
    return lines


def cut(text: str, width: int = _NAME_WIDTH) -> str:
    """Shorten from the middle, keeping both ends of a long name readable."""
    if len(text) <= width:
        return text
    left = (width - 1) // 2
    return f"{text[:left]}…{text[len(text) - (width - 1 - left) :]}"


def ordinary(text: str) -> str:
    """Return text for a terminal: a number and its unit are parted by an ordinary space."""
    return text.replace(NBSP, " ")


def bullets(sentences: Sequence[str]) -> list[str]:
    """Return sentences as wrapped lines; a number and its unit stay together."""
    return [line.replace(NBSP, " ") for sentence in sentences for line in textwrap.wrap(
        sentence.replace(" %", f"{NBSP}%"), WIDTH, initial_indent="- ", subsequent_indent="  ",
        break_on_hyphens=False)]


def plain(key: str, metric: Optional[Mapping[str, Any]]) -> str:
    """Return a metric without its interval; a dash where it has no value."""
    if metric is None or not has_value(metric):
        return DASH
    return number(key, metric["value"]).replace(NBSP, " ")
