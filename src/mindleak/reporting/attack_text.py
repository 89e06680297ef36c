"""Attacks and the sweep as plain text for a terminal, at most 100 columns wide.

The five lines of an inversion are those that MindArmour's tutorial logs, with the figures that its
``ImageInversionAttack.evaluate`` would give, so that both can be laid side by side.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from mindleak.reporting.ablation_table import ablation_lines
from mindleak.reporting.document_tables import document_lines
from mindleak.reporting.membership_text import membership_lines
from mindleak.reporting.text import WIDTH, summary_table
from mindleak.reporting.tradeoff import NOUNS, trained_on
from mindleak.reporting.wording import DASH, NBSP, Subjects, count, has_value, number

# Nobody reads more labels than this in a terminal; the report has all of them.
MOST_LABELS = 50
_TUTORIAL = (
    ("l2_relative", "average relative L2 distance between originals and inversions"),
    ("ssim_mindarmour", "average SSIM between them, by MindArmour's definition"),
    ("confidence", "average confidence of the judge in the true label of the inversions"),
)


def terminal_text(document: Mapping[str, Any]) -> str:
    """Return what a terminal shows of a report: subjects, attacks, sweep, and what makes their figures doubtful."""
    sweep = document.get("sweep")
    parts = [
        summary_table(document) if document["subjects"] or not sweep else "",
        "\n".join(document_lines(document)),
        "\n".join(membership_lines(document)),
        "\n".join(ablation_lines(document)),
        inversion_lines(document),
        sweep_lines(sweep) if sweep else "",
        "\n".join(_caution_lines(document)),
    ]
    return "\n\n".join(part for part in parts if part)


def _caution_lines(document: Mapping[str, Any]) -> list[str]:
    """Return what makes figures doubtful, last, where a reader of the tables comes by."""
    said = document.get("cautions")
    return ["Before you rely on these figures:", *_bullets(said)] if said else []


def inversion_lines(document: Mapping[str, Any]) -> str:
    """Return the tutorial's five lines for every inversion of few enough images; empty where there is none."""
    subjects = Subjects(document)
    blocks = [
        "\n".join(_five_lines(entry, subjects))
        for entry in document["inversion"]
        if entry["n"] <= MOST_LABELS
    ]
    return "\n".join(blocks)


def _five_lines(entry: Mapping[str, Any], subjects: Subjects) -> list[str]:
    lines = [f"Inversion of {subjects.name(entry['subject']).full}, layer {entry['layer']}, {count(entry['n'])} images"]
    lines += [f"  {meaning}: {_plain(key, entry['metrics'].get(key))}" for key, meaning in _TUTORIAL]
    lines += _labels("true labels of the originals:       ", entry["labels"])
    lines += _labels("predicted labels of the inversions: ", entry["predicted"])
    return lines


def _labels(title: str, labels: Sequence[int]) -> list[str]:
    """Write labels behind a title, further lines below the first label."""
    written = " ".join(str(label) for label in labels)
    return textwrap.wrap(written, WIDTH, initial_indent=f"  {title}", subsequent_indent=" " * (len(title) + 2))


def sweep_lines(sweep: Mapping[str, Any]) -> str:
    """Return the sweep: one line per variant with its means, then the conclusions."""
    noun = NOUNS[sweep["question"]]
    measures = ["accuracy", "gap", *sweep["leaks"]]
    rows = [[noun, *measures], *([d["name"], *_means(d, measures)] for d in sweep["variants"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"Sweep by {noun}: means over {sweep['models']} networks, each trained on {trained_on(sweep)} images"]
    for start in _blocks(widths):
        lines += [_row(row, widths, start) for row in rows]
        lines.append("")
    return "\n".join([*lines, *_bullets(sweep["conclusions"])])


def _bullets(sentences: Sequence[str]) -> list[str]:
    """Return sentences as wrapped lines; a number and its unit stay together."""
    return [line.replace(NBSP, " ") for sentence in sentences for line in textwrap.wrap(
        sentence.replace(" %", f"{NBSP}%"), WIDTH, initial_indent="- ", subsequent_indent="  ",
        break_on_hyphens=False)]


def _means(variant: Mapping[str, Any], measures: Sequence[str]) -> list[str]:
    return [_plain(measure.partition("/")[0], variant["measures"].get(measure)) for measure in measures]


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


def _plain(key: str, metric: Optional[Mapping[str, Any]]) -> str:
    if metric is None or not has_value(metric):
        return DASH
    return number(key, metric["value"]).replace(NBSP, " ")
