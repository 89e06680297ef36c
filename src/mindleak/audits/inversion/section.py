"""Inversion on the report's page: pictures, one table, and two columns of the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mindleak.audits.inversion.tables import inversion
from mindleak.evaluation.metric import Record
from mindleak.reporting.cells import Cell, Table
from mindleak.reporting.gallery import Illustration
from mindleak.reporting.page import Page, Section, SummaryColumn, of_subject
from mindleak.reporting.pictures import MAX_PAIRS, inversion_figure
from mindleak.reporting.text import metric_lines
from mindleak.reporting.wording import class_names, count

HERE = Path(__file__).parent


def inversion_sections(results: Sequence[Record], page: Page) -> list[Section]:
    """Return the section; none without a cell to show."""
    figures, table = _pictures(results, page), inversion(results, page.subjects)
    if not table.filled:
        return []
    return [page.section(HERE / "section.html.j2", "inversion", "Inversion",
                         heading="Inversion: what a layer's output gives back",
                         glossary=HERE / "glossary.html.j2", summary=table, figures=figures)]


def inversion_columns(results: Sequence[Record], page: Page) -> list[SummaryColumn]:
    """Return confidence and SSIM of a subject's inversions, on the page one per layer, in a terminal the first."""
    return [SummaryColumn(f"Inversion: {name}", ("inversion", name), *_column(results, page, key))
            for key, name in (("confidence", "confidence"), ("ssim", "SSIM"))]


def _column(results: Sequence[Record], page: Page, key: str) -> tuple[Any, Any]:
    def cells(table: Table, subject: Mapping[str, Any]) -> list[Cell]:
        own = of_subject(results, subject["id"])
        if not own:
            return [table.missing(_reason(page, subject))]
        return [table.metric(key, each["metrics"].get(key), label=f"layer {each['layer']}") for each in own]

    def plain(subject: Mapping[str, Any]) -> list[str]:
        own = of_subject(results, subject["id"])
        return metric_lines(key, own[0]["metrics"].get(key) if own else None)

    return cells, plain


def _reason(page: Page, subject: Mapping[str, Any]) -> str:
    """Return why a subject was not inverted."""
    elsewhere = ("inversion is measured on the headline subject" if subject["role"] not in ("headline", "provided")
                 else "inversion was not run on this subject")
    return page.not_done(subject["id"], "inversion") or elsewhere


def _pictures(results: Sequence[Record], page: Page) -> list[Illustration]:
    """Return originals above inversions for every inversion that kept its pictures.

    Raises:
        InputError: a picture file that the record names is missing or damaged.
    """
    names = class_names(page.record)
    shown = []
    for entry in results:
        if not entry.get("arrays"):
            continue
        originals, inversions = page.arrays(entry, "originals", "inversions")
        title = f"{page.subjects.name(entry['subject']).full}, layer {entry['layer']}"
        drawn = min(len(originals), MAX_PAIRS)
        right = sum(a == b for a, b in zip(entry["labels"][:drawn], entry["predicted"][:drawn]))
        which = f"The first {drawn} of {count(entry['n'])} images" if drawn < entry["n"] else f"All {drawn} images"
        caption = (
            f"{title}: originals above what the attack rebuilt from the layer's output. {which}, none picked by "
            f"hand. Below each pair the true class and what the judge ({entry['judge']}) reads: → right, ✗ wrong."
        )
        alt = f"{drawn} originals and their inversions, {title}; the judge reads {right} of {drawn} correctly."
        figure = inversion_figure(originals, inversions, entry["labels"], entry["predicted"], names, title)
        shown.append(page.hang(f"inversion-{entry['subject']}-{entry['layer']}", figure, caption, alt))
    return [illustration for illustration in shown if illustration]
