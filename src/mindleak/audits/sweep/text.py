"""A sweep as plain text for a terminal: one line per variant with its means, then the conclusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mindleak.audits.sweep.tradeoff import NOUNS, trained_on
from mindleak.evaluation.metric import Record
from mindleak.reporting.text import WIDTH, bullets, plain


def sweep_lines(sweep: Record) -> list[str]:
    """Return the sweep: one line per variant with its means, then the conclusions."""
    noun = NOUNS[sweep["question"]]
    measures = ["accuracy", "gap", *sweep["leaks"]]
    rows = [[noun, *measures], *([d["name"], *_means(d, measures)] for d in sweep["variants"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"Sweep by {noun}: means over {sweep['models']} networks, each trained on {trained_on(sweep)} images"]
    for start in _blocks(widths):
        lines += [_row(row, widths, start) for row in rows]
        lines.append("")
    return [*lines, *bullets(sweep["conclusions"])]


def _means(variant: Mapping[str, Any], measures: Sequence[str]) -> list[str]:
    return [plain(measure.partition("/")[0], variant["measures"].get(measure)) for measure in measures]


def _blocks(widths: Sequence[int]) -> list[range]:
    """Divide the columns behind the first into blocks that fit beside it."""
    blocks: list[range] = []
    start, used = 1, widths[0]
    for column in range(1, len(widths)):
        if used + 2 + widths[column] > WIDTH:
            blocks.append(range(start, column))
            start, used = column, widths[0]
        used += 2 + widths[column]
    return [*blocks, range(start, len(widths))]


def _row(row: Sequence[str], widths: Sequence[int], columns: range) -> str:
    values = [row[column].rjust(widths[column]) for column in columns]
    return "  ".join([row[0].ljust(widths[0]), *values]).rstrip()
