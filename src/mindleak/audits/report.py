"""A record as a page and as text for a terminal, made of what its families have to show. Loads no MindSpore."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mindleak.audits.families import families
from mindleak.audits.family import Family
from mindleak.reporting.html import page_of, render_report
from mindleak.reporting.page import Page
from mindleak.reporting.text import bullets, summary_table


def write_page(record: Mapping[str, Any], run_dir: Path, name: str = "report") -> Path:
    """Write a record's figures as PNG, then ``NAME.html``, each atomically; return the path of the page.

    Args:
        record: of a run.
        run_dir: where the page and the figures go, and what its ``arrays`` are relative to.
        name: of the page, ``report`` or beginning with it.

    Raises:
        InputError: a picture file is missing or damaged, or the folder cannot be written.
        ValueError: the record is of another schema.
    """
    page = page_of(record, run_dir, name)
    return render_report(page, _each(page, lambda family, results: family.sections(results, page)),
                         _each(page, lambda family, results: family.summary(results, page)),
                         _each(page, lambda family, results: family.named(results)), name)


def terminal_text(record: Mapping[str, Any], run_dir: Path) -> str:
    """Return what a terminal shows of a record: subjects, results, and what makes their figures doubtful."""
    page = page_of(record, run_dir)
    columns = _each(page, lambda family, results: family.summary(results, page))
    notes = _each(page, lambda family, results: family.summary_notes(results, page))
    blocks = _each(page, lambda family, results: family.lines(results, page))
    doubts = ["Before you rely on these figures:", *bullets(record["cautions"])] if record["cautions"] else []
    without = not page.record["subjects"] and blocks
    parts = ["" if without else summary_table(page, columns, notes), *blocks, "\n".join(doubts)]
    return "\n\n".join(part for part in parts if part)


def unknown_families(record: Mapping[str, Any]) -> list[str]:
    """Return the families that a record has results of and that are not installed here: their sections are left out."""
    return [name for name in record["results"] if name not in families()]


def _each(page: Page, ask: Callable[[Family[Any], list[Any]], list[Any]]) -> list[Any]:
    """Ask every family with results, and put the answers one after another."""
    return [each for name, results in page.record["results"].items() if name in families() and results
            for each in ask(families()[name], results)]
